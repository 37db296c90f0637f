"""The lines of a batch's input file. Each is a request of `images.edit`."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from api import strict_json
from api.dialects.native import Native, Problem
from api.dialects.openai.edits import parts_of, understood
from api.dialects.openai.errors import lacking
from api.dialects.openai.ids import native_id

ENDPOINT = "/v1/images/edits"
MOST_LINES = 50_000


@dataclass(frozen=True)
class Read:
    """One line of the file: a native request, or the reason why there is none."""

    number: int
    custom_id: str
    request: Mapping[str, Any] | None = None
    problem: Problem | None = None


async def read_lines(native: Native, source: str) -> list[Read]:
    """Read the lines of one of the caller's files.

    Raises:
        Problem: there is no such file.
    """
    data = (await native.call("GET", f"/v1/files/{native_id(source)}/content")).content
    models = (await native.get("/v1/models"))["data"]
    return await asyncio.to_thread(lambda: [*_lines(data, models)])


def _lines(data: bytes, models: list[dict[str, Any]]) -> Iterator[Read]:
    known: set[str] = set()
    for number, text in strict_json.lines(data, MOST_LINES, "input_file_id"):
        custom_id, line = _parsed(text)
        try:
            yield Read(number, custom_id, _request(custom_id, line, known, models))
        except Problem as problem:
            yield Read(number, custom_id, problem=problem)
        known.add(custom_id)


def _parsed(text: bytes) -> tuple[str, Any]:
    try:
        line = strict_json.loads(text)
    except Exception:  # reported as a line that is not a JSON object
        return "", None
    custom_id = line.get("custom_id") if isinstance(line, dict) else ""
    return (custom_id, line) if isinstance(custom_id, str) and len(custom_id) <= 512 else ("", line)


def _request(custom_id: str, line: Any, known: set[str], models: list[dict[str, Any]]) -> Mapping[str, Any]:
    """Translate a line into a native request.

    Raises:
        Problem: the line is wrong.
    """
    if not isinstance(line, dict) or not isinstance(line.get("body"), dict):
        raise lacking("body", "must be an object in a line that is a JSON object")
    if not custom_id or custom_id in known:
        raise lacking("custom_id", "must be text of at most 512 characters that no line before has")
    if (line.get("method"), line.get("url")) != ("POST", ENDPOINT):
        raise lacking("url", f"must be {ENDPOINT}, and the method POST")
    edit = understood(parts_of(line["body"]), models)
    if edit.n != 1 or edit.stream:
        raise lacking("n" if edit.n != 1 else "stream", "must have its default value in a batch")
    return {name: value for name, value in edit.jobs()[0].items() if value is not None}
