"""The results of a batch: a file of answers and a file of errors, which are produced when they are read."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.datastructures import Headers

from api.dialects.native import Native, Problem, refusal
from api.dialects.openai.edits import USAGE
from api.dialects.openai.errors import shape
from api.dialects.openai.ids import native_id, second
from api.dialects.openai.lines import Read, read_lines

PREFIX = "batch_"
PAGE = 1000
RESULT = re.compile(r"file-(out|err)([0-9a-z]{26})")
UNFINISHED = {"canceled": "batch_cancelled", "expired": "batch_expired"}


def path_of(batch_id: str) -> str:
    """The native path of a batch."""
    return f"/v1/batches/{native_id(batch_id.removeprefix(PREFIX))}"


def about_openai(batch: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the batch's metadata say of OpenAI's own fields. Empty for a batch that was made through another API."""
    about = batch["metadata"].get("openai")
    return about if isinstance(about, dict) else {}


async def view_result(native: Native, kind: str, batch_id: str) -> dict[str, Any]:
    """Describe a result file. It is produced when it is read, so its size is not known."""
    batch = await _over(native, batch_id)
    name = "output" if kind == "out" else "error"
    return {
        "id": f"file-{kind}{batch_id}",
        "object": "file",
        "bytes": 0,
        "created_at": second(batch["ended_at"]),
        "expires_at": None,
        "filename": f"{PREFIX}{batch_id}_{name}.jsonl",
        "purpose": "batch_output",
        "status": "processed",
    }


async def result(native: Native, kind: str, batch_id: str) -> AsyncIterator[bytes]:
    """The lines of a result file.

    Raises:
        Problem: there is no such batch, or it is not over. It is raised before the first line.
    """
    batch = await _over(native, batch_id)
    return _outputs(native, batch) if kind == "out" else _errors(native, batch)


async def _over(native: Native, batch_id: str) -> dict[str, Any]:
    batch: dict[str, Any] = await native.get(path_of(batch_id))
    if batch["ended_at"] is None:
        raise refusal(
            404, "not-found", "There is no such thing here", "The batch is not over: it has no such file yet."
        )
    return batch


async def _outputs(native: Native, batch: Mapping[str, Any]) -> AsyncIterator[bytes]:
    async for line in _native_lines(native, batch):
        if line["status"] == "succeeded":
            picture = await _output(native, line["job"])
            if picture is None:
                continue
            data = [{"b64_json": base64.b64encode(picture).decode(), "job_id": line["job"]}]
            body = {"created": second(batch["created_at"]), "data": data, "usage": USAGE}
            yield _told(batch, line["number"], line["name"], 200, body)


async def _output(native: Native, job_id: str) -> bytes | None:
    """The picture, or None if it is no longer kept. Waits when the caller has used up its requests for this minute."""
    while True:
        try:
            return (await native.output(job_id))[0]
        except Problem as problem:
            if problem.status != 429:
                return None
            await asyncio.sleep(int(problem.headers.get("retry-after", "1")))


async def _errors(native: Native, batch: Mapping[str, Any]) -> AsyncIterator[bytes]:
    if about_openai(batch).get("refused"):
        for read in await _read_again(native, about_openai(batch)["input_file_id"]):
            if read.problem:
                body, status, _ = shape(dict(read.problem.document), Headers())
                yield _told(batch, f"r{read.number}", read.custom_id, status, body)
    async for line in _native_lines(native, batch):
        if line["status"] in ("failed", "refused"):
            problem = {"status": 500, **line["problem"]}
            problem["type"] = f"urn:darkroom:problem:{problem['type']}"
            body, status, _ = shape(problem, Headers())
            yield _told(batch, line["number"], line["name"], status, body)
        elif line["status"] != "succeeded":
            code = UNFINISHED.get(batch["status"], "job_canceled")
            error = {"code": code, "message": "This line was not done before its batch's end."}
            yield _told(batch, line["number"], line["name"], error=error)


async def _read_again(native: Native, source: str) -> list[Read]:
    try:
        return await read_lines(native, source)
    except Problem:  # the file is no longer kept
        return []


def _told(
    batch: Mapping[str, Any],
    number: int | str,
    custom_id: str,
    status: int = 0,
    body: Mapping[str, Any] | None = None,
    error: Mapping[str, Any] | None = None,
) -> bytes:
    name = f"{batch['id']}-{number}"
    response = {"status_code": status, "request_id": name, "body": body} if body is not None else None
    line = {"id": f"batch_req_{name}", "custom_id": custom_id or None, "response": response, "error": error}
    return json.dumps(line).encode() + b"\n"


async def _native_lines(native: Native, batch: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
    after: int | None = None
    while True:
        page = await native.get(batch["urls"]["lines"], limit=PAGE, after=after)
        for line in page["data"]:
            yield line
        if not page["has_more"]:
            return
        after = page["next"]
