"""Files: they are kept for some days, and later requests name them as `file:<id>`."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, BeforeValidator, Field
from starlette.concurrency import run_in_threadpool

from api import examples, strict_json
from api.deps import Caller, PageSize, PlaceInPages, Reader, Service, Services, Submitter
from api.forms import SentFile, read_form
from api.openapi import answers, raises
from api.submission import Metadata, invalid, number_of
from api.views import Page, moment
from jobs.errors import FieldError, NotFound, PictureTooLarge, StorageUnavailable, TooManyFiles
from jobs.files import LONGEST_SECONDS, File

router = APIRouter(prefix="/v1/files", tags=["files"])

ANY = "application/octet-stream"
CONTENT: dict[int | str, dict[str, Any]] = {200: {"content": {ANY: {}}}}
BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {
                    "file": {"type": "string", "format": "binary"},
                    "metadata": {"type": "string", "description": "JSON of your own, kept with the file."},
                    "expires_in_seconds": {"type": "integer", "minimum": 60, "maximum": LONGEST_SECONDS},
                },
                "additionalProperties": False,
            },
            "example": {"file": "@photo.jpg"},
        },
    },
}


class NewFile(BaseModel, extra="forbid"):
    """The fields of the form apart from the file."""

    metadata: Metadata = {}
    expires_in_seconds: Annotated[int, Field(strict=True, ge=60, le=LONGEST_SECONDS), BeforeValidator(number_of)] = (
        LONGEST_SECONDS
    )


class FileView(BaseModel):
    """A file. `image` is its name in the fields of a job."""

    id: str = Field(description="the file")
    object: Literal["file"] = "file"
    image: str = Field(description="the value of `image` in a submission")
    name: str = Field(description="the name under which it was sent")
    content_type: str = Field(description="media type, by its content")
    bytes: int = Field(description="the size in bytes")
    sha256: str = Field(description="SHA-256 in hexadecimal")
    metadata: dict[str, Any] = Field(description="your own metadata")
    created_at: datetime = Field(description="when it was sent")
    expires_at: datetime = Field(description="when it is deleted")


class FileListView(Page[FileView]):
    """A page of files, newest first."""


async def find_file(
    file_id: Annotated[str, Path(description="the file's id", max_length=64)], service: Service, caller: Reader
) -> File:
    file = await run_in_threadpool(service.files.get, file_id, caller.tenant)
    if file is None:
        raise no_file()
    return file


FoundFile = Annotated[File, Depends(find_file)]


def no_file() -> NotFound:
    """The one answer for a file that does not exist, belongs to another tenant, or is no longer kept."""
    return NotFound("There is no file with this id.")


def make_room(caller: Submitter, service: Service) -> Caller:
    """The caller, if it may keep one more file. This is checked before the body is read."""
    service.files.refuse_more_than(service.settings.max_files, caller.tenant)
    service.pictures.refuse_while_away()
    return caller


@router.post(
    "",
    summary="Keep a file",
    status_code=201,
    openapi_extra={"requestBody": BODY},
    responses=answers(examples.FILE, 201) | raises(TooManyFiles, StorageUnavailable),
)
async def create_file(caller: Annotated[Caller, Depends(make_room)], request: Request, service: Service) -> FileView:
    """Keep a file for some days. Jobs and batches can name it."""
    fields: dict[str, Any] = {}
    for name, value in await read_form(request, {"file"}):
        if name in fields:
            raise invalid(name, "must be given once")
        fields[name] = strict_json.loads(value, name) if name == "metadata" and isinstance(value, str) else value
    sent = fields.pop("file", None)
    if not isinstance(sent, SentFile):
        raise invalid("file", "is required, as a file")
    asked = strict_json.validated(NewFile, fields)
    return await run_in_threadpool(_keep, sent, asked, caller, service)


def _keep(sent: SentFile, asked: NewFile, caller: Caller, service: Services) -> FileView:
    if len(sent.data) > service.settings.max_upload_bytes:
        limit = f"must be at most {service.settings.max_upload_bytes} bytes"
        raise PictureTooLarge(f"The file {limit}.", FieldError("file", limit))
    file = service.files.put(
        caller.tenant,
        sent.data,
        name=sent.name[:255],
        content_type=sent.content_type[:127] or ANY,
        metadata=asked.metadata,
        seconds=asked.expires_in_seconds,
    )
    return view_file(file)


def view_file(file: File) -> FileView:
    """A file as its owner sees it."""
    facts = {name: getattr(file, name) for name in ("id", "name", "content_type", "bytes", "sha256", "metadata")}
    created, expires = moment(file.created_ms), moment(file.expires_ms)
    return FileView(**facts, image=f"file:{file.id}", created_at=created, expires_at=expires)


@router.get(
    "",
    summary="List your files",
    responses=answers(examples.list_of(examples.FILE, has_more=False, next=None)),
)
def list_files(caller: Reader, service: Service, limit: PageSize = 100, after: PlaceInPages = None) -> FileListView:
    """Your files, newest first."""
    files, place = service.files.page(caller.tenant, limit=limit, after=after)
    return FileListView(data=[view_file(file) for file in files], has_more=place is not None, next=place)


@router.get("/{file_id}", summary="Describe a file", responses=answers(examples.FILE))
def read_file(file: FoundFile) -> FileView:
    """Describe a file."""
    return view_file(file)


@router.get(
    "/{file_id}/content",
    summary="Download a file",
    response_class=Response,
    responses=CONTENT | raises(StorageUnavailable),
)
def read_file_content(file: FoundFile, service: Service) -> Response:
    """A file as it was sent. It is always a download and never shown as a page, whatever its type."""
    data = service.files.read(file.id, file.tenant)
    headers = {"Content-Disposition": "attachment", "X-File-Type": file.content_type}
    return Response(data, media_type=ANY, headers=headers)


@router.delete("/{file_id}", summary="Remove a file", status_code=204)
def delete_file(
    caller: Submitter, file_id: Annotated[str, Path(description="the file's id", max_length=64)], service: Service
) -> None:
    """Remove a file. Jobs that use it have their own copy."""
    if not service.files.delete(file_id, caller.tenant):
        raise no_file()
