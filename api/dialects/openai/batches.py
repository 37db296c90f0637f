"""Batches over `/v1/images/edits`: a file of lines in, a file of answers and a file of errors out.

Each valid line becomes a job of a native batch, under the line's `custom_id`. Invalid lines are left out of the batch;
when the errors are requested, they are read again from the file of lines.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request

from api import strict_json
from api.dialects.native import Service
from api.dialects.openai.errors import lacking
from api.dialects.openai.ids import ends, place_behind, second
from api.dialects.openai.lines import ENDPOINT, read_lines
from api.dialects.openai.results import PREFIX, about_openai, path_of
from api.dialects.retries import idempotency_key
from api.forms import SentFile

router = APIRouter()

WINDOW = re.compile(r"([1-9]\d{0,2})([hd])")
LONGEST_HOURS = 7 * 24
STATUSES = {"canceling": "cancelling", "canceled": "cancelled"}


BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["input_file_id", "endpoint", "completion_window"],
                    "properties": {
                        "input_file_id": {"type": "string"},
                        "endpoint": {"const": ENDPOINT},
                        "completion_window": {"type": "string", "pattern": "^24h$"},
                        "metadata": {"type": "object"},
                    },
                }
            }
        },
    }
}


@router.post("/batches", openapi_extra=BODY)
async def create_batch(native: Service, request: Request) -> dict[str, Any]:
    """Make a batch of all edits of a file."""
    asked = strict_json.loads(await request.body())
    if not isinstance(asked, dict):
        raise lacking("body", "must be a JSON object")
    source = asked.get("input_file_id")
    if not isinstance(source, str):
        raise lacking("input_file_id", "is required: the id of a file of lines")
    if asked.get("endpoint") != ENDPOINT:
        raise lacking("endpoint", f"must be {ENDPOINT}")
    seconds = _seconds(asked.get("completion_window"))
    native.ignore(asked.keys() - {"input_file_id", "endpoint", "completion_window", "metadata"})
    key = await idempotency_key(request, asked.items())
    lines = await read_lines(native, source)
    good = [line for line in lines if line.problem is None]
    if not good:
        raise lines[0].problem if lines and lines[0].problem else lacking("input_file_id", "must have lines")
    text = "\n".join(json.dumps({"name": line.custom_id, "request": line.request}) for line in good)
    file = await native.keep_file(SentFile(text.encode(), "lines.jsonl", "application/jsonl"), {}, 3600)
    about = {name: asked.get(name) for name in ("input_file_id", "completion_window", "metadata")}
    body = {
        "lines": file["image"],
        "expires_in_seconds": seconds,
        "contact_sheet": False,
        "metadata": {"openai": {**about, "refused": len(lines) - len(good)}},
    }
    headers = {"Idempotency-Key": key} if key else {}
    batch = await native.call("POST", "/v1/batches", json=body, headers=headers)
    await native.call("DELETE", f"/v1/files/{file['id']}")
    return _view(batch.json())


def _seconds(window: Any) -> int:
    """The seconds of a completion window. OpenAI only has 24h; here it may be up to a week."""
    read = WINDOW.fullmatch(window) if isinstance(window, str) else None
    hours = int(read[1]) * (24 if read[2] == "d" else 1) if read else 0
    if not 1 <= hours <= LONGEST_HOURS:
        raise lacking("completion_window", "must be 24h, or another number of hours or days up to 7d")
    return hours * 3600


@router.get("/batches")
async def list_batches(native: Service, after: str | None = None, limit: int = 20) -> dict[str, Any]:
    """Your batches, newest first."""
    place = place_behind(await native.get(path_of(after))) if after else None
    page = await native.get("/v1/batches", limit=max(1, min(100, limit)), after=place)
    data = [_view(batch) for batch in page["data"] if "openai" in batch["metadata"]]
    return {"object": "list", "data": data, "has_more": page["has_more"], **ends(data)}


@router.get("/batches/{batch_id}")
async def retrieve_batch(batch_id: str, native: Service) -> dict[str, Any]:
    """A batch and its progress."""
    return _view(await native.get(path_of(batch_id)))


@router.post("/batches/{batch_id}/cancel")
async def cancel_batch(batch_id: str, native: Service) -> dict[str, Any]:
    """Cancel a batch."""
    return _view((await native.call("POST", f"{path_of(batch_id)}/cancel")).json())


def _view(batch: Mapping[str, Any]) -> dict[str, Any]:
    about = about_openai(batch)
    counts, refused = batch["counts"], int(about.get("refused") or 0)
    over, status, ended = batch["ended_at"] is not None, batch["status"], second(batch["ended_at"])
    total = counts["total"] + refused
    return {
        "id": PREFIX + batch["id"],
        "object": "batch",
        "endpoint": ENDPOINT,
        "errors": None,
        "input_file_id": about.get("input_file_id") or "",
        "completion_window": about.get("completion_window") or "24h",
        "status": STATUSES.get(status, status),
        "output_file_id": f"file-out{batch['id']}" if over and counts["completed"] else None,
        "error_file_id": f"file-err{batch['id']}" if over and counts["completed"] < total else None,
        "created_at": second(batch["created_at"]),
        "in_progress_at": second(batch["created_at"]),
        "expires_at": second(batch["expires_at"]),
        "completed_at": ended if status == "completed" else None,
        "expired_at": ended if status == "expired" else None,
        "cancelled_at": ended if status == "canceled" else None,
        "request_counts": {
            "total": total,
            "completed": counts["completed"],
            "failed": counts["failed"] + refused,
        },
        "metadata": about.get("metadata"),
    }
