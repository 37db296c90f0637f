"""Files of the native API. OpenAI's id of a file is the native id with `file-` in front."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from api.dialects.native import Service
from api.dialects.openai import results
from api.dialects.openai.errors import lacking
from api.dialects.openai.ids import FILE, ends, native_id, place_behind, second
from api.forms import SentFile, read_form

router = APIRouter()

ANY = "application/octet-stream"
LONGEST_SECONDS = 7 * 86_400
ANCHOR, SECONDS = "expires_after[anchor]", "expires_after[seconds]"


BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": {"type": "string", "minLength": 1},
                    },
                }
            }
        },
    }
}


@router.post("/files", openapi_extra=BODY)
async def create_file(native: Service, request: Request) -> dict[str, Any]:
    """Keep a file, for a week at most."""
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
    if not isinstance(asked, str) or not (asked.isascii() and asked.isdigit()):
        raise lacking(SECONDS, "must be a whole number")
    return min(int(asked[:9]), LONGEST_SECONDS)


@router.get("/files")
async def list_files(
    native: Service,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    purpose: str | None = None,
) -> dict[str, Any]:
    """Your files, newest first."""
    place = place_behind(await native.get(f"/v1/files/{native_id(after)}")) if after else None
    page = await native.get("/v1/files", limit=limit, after=place)
    files = [view_file(file) for file in page["data"]]
    data = [file for file in files if purpose in (None, file["purpose"])]
    return {"object": "list", "data": data, "has_more": page["has_more"]} | ends(files)


@router.get("/files/{file_id}")
async def retrieve_file(file_id: str, native: Service) -> dict[str, Any]:
    """Describe a file."""
    if made := results.RESULT.fullmatch(file_id):
        return await results.view_result(native, *made.groups())
    return view_file(await native.get(f"/v1/files/{native_id(file_id)}"))


@router.get("/files/{file_id}/content", response_class=Response)
async def retrieve_file_content(file_id: str, native: Service) -> Response:
    """A file as it was sent, or a result of a batch."""
    if made := results.RESULT.fullmatch(file_id):
        return StreamingResponse(await results.result(native, *made.groups()), media_type=ANY)
    answer = await native.call("GET", f"/v1/files/{native_id(file_id)}/content")
    return Response(answer.content, media_type=ANY)


@router.delete("/files/{file_id}")
async def delete_file(file_id: str, native: Service) -> dict[str, Any]:
    """Remove a file."""
    await native.call("DELETE", f"/v1/files/{native_id(file_id)}")
    return {"id": file_id, "object": "file", "deleted": True}


def view_file(file: Mapping[str, Any]) -> dict[str, Any]:
    """A native file in the shape that OpenAI's clients expect."""
    purpose = file["metadata"].get("purpose")
    return {
        "id": FILE + file["id"],
        "object": "file",
        "bytes": file["bytes"],
        "created_at": second(file["created_at"]),
        "expires_at": second(file["expires_at"]),
        "filename": file["name"],
        "purpose": purpose if isinstance(purpose, str) else "user_data",
        "status": "processed",
    }
