"""Translates ids, page positions and times between OpenAI's form and the native one."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

FILE = "file-"


def native_id(file_id: str) -> str:
    """The native id. Text that could change the path of an address becomes `none`."""
    name = file_id.removeprefix(FILE)
    return name if name.isalnum() and name.isascii() else "none"


def ends(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """The ids of the first and last entry of a page."""
    return {"first_id": entries[0]["id"], "last_id": entries[-1]["id"]} if entries else {}


def place_behind(entry: Mapping[str, Any]) -> str:
    """The native cursor of the position after an entry of a list."""
    return f"{round(datetime.fromisoformat(entry['created_at']).timestamp() * 1000)}-{entry['id']}"


def second(moment: str | None) -> int | None:
    """A time in seconds since 1970."""
    return int(datetime.fromisoformat(moment).timestamp()) if moment else None
