"""Ids, pages and moments, as OpenAI's clients and the native API have them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

FILE = "file-"


def native_id(file_id: str) -> str:
    """The native id, in which nothing is left that an address could be made of."""
    name = file_id.removeprefix(FILE)
    return name if name.isalnum() and name.isascii() else "none"


def ends(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """The ids between which a page lies."""
    return {"first_id": entries[0]["id"], "last_id": entries[-1]["id"]} if entries else {}


def place_behind(entry: Mapping[str, Any]) -> str:
    """The native name of the place behind an entry of a list."""
    return f"{round(datetime.fromisoformat(entry['created_at']).timestamp() * 1000)}-{entry['id']}"


def second(moment: str | None) -> int | None:
    """A moment in seconds since 1970."""
    return int(datetime.fromisoformat(moment).timestamp()) if moment else None
