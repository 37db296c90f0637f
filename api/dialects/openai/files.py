"""Files, as the native API keeps them; an id has `file-` before the native one."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from api.dialects.native import Native, Problem, Service, refusal
from api.forms import SentFile, read_form

router = APIRouter()

PREFIX = "file-"
LONGEST_SECONDS = 7 * 86_400
ANCHOR, SECONDS = "expires_after[anchor]", "expires_after[seconds]"


@router.post("/files")
async def create_file(native: Service, request: Request) -> dict[str, Any]:
    """Keep a file for a week at most."""
    sent = dict(await read_form(request, {"file"}))
    file, purpose = sent.pop("file", None), sent.pop("purpose", None)
    if not isinstance(file, SentFile):
        raise lacking("file", "is required, as a file")
    if not isinstance(purpose, str) or not purpose:
        raise lacking("purpose", "is required: batch, vision, or what you like")
    sent.pop(ANCHOR, None)
    seconds = _seconds(sent.pop(SECONDS, None))
    native.ignore(sent)
    return view_file(await native.keep_file(file, {"purpose": purpose[:64]}, seconds))


def _seconds(asked: object) -> int:
    if asked is None:
        return LONGEST_SECONDS
    if not isinstance(asked, str) or not asked.isdigit():
        raise lacking(SECONDS, "must be a whole number")
    return min(int(asked[:9]), LONGEST_SECONDS)


def lacking(field: str, detail: str) -> Problem:
    return refusal(400, "invalid-request", "The request has a field that cannot be used", detail, field)


@router.get("/files")
async def list_files(
    native: Service,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    purpose: str | None = None,
) -> dict[str, Any]:
    """Your files, newest first."""
    place = await _place(native, after) if after else None
    page = await native.get("/v1/files", limit=limit, after=place)
    files = [view_file(file) for file in page["data"]]
    data = [file for file in files if purpose in (None, file["purpose"])]
    return {"object": "list", "data": data, "has_more": page["has_more"]} | ends(files)


def ends(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """The ids between which a page lies."""
    return {"first_id": entries[0]["id"], "last_id": entries[-1]["id"]} if entries else {}


async def _place(native: Native, after: str) -> str:
    """The native name of the place behind a file."""
    file = await native.get(f"/v1/files/{native_id(after)}")
    return f"{round(datetime.fromisoformat(file['created_at']).timestamp() * 1000)}-{file['id']}"


@router.get("/files/{file_id}")
async def retrieve_file(file_id: str, native: Service) -> dict[str, Any]:
    """What is known of a file."""
    return view_file(await native.get(f"/v1/files/{native_id(file_id)}"))


@router.get("/files/{file_id}/content", response_class=Response)
async def retrieve_file_content(file_id: str, native: Service) -> Response:
    """A file as it was sent."""
    answer = await native.call("GET", f"/v1/files/{native_id(file_id)}/content")
    return Response(answer.content, media_type="application/octet-stream")


@router.delete("/files/{file_id}")
async def delete_file(file_id: str, native: Service) -> dict[str, Any]:
    """Remove a file."""
    await native.call("DELETE", f"/v1/files/{native_id(file_id)}")
    return {"id": file_id, "object": "file", "deleted": True}


def native_id(file_id: str) -> str:
    """The native id, in which nothing is left that an address could be made of."""
    name = file_id.removeprefix(PREFIX)
    return name if name.isalnum() and name.isascii() else "none"


def view_file(file: Mapping[str, Any]) -> dict[str, Any]:
    """A file of the native API's as OpenAI's clients know one."""
    created, expires = (int(datetime.fromisoformat(file[name]).timestamp()) for name in ("created_at", "expires_at"))
    purpose = file["metadata"].get("purpose")
    return {
        "id": PREFIX + file["id"],
        "object": "file",
        "bytes": file["bytes"],
        "created_at": created,
        "expires_at": expires,
        "filename": file["name"],
        "purpose": purpose if isinstance(purpose, str) else "user_data",
        "status": "processed",
    }
