"""Uploads: a client sends a large picture directly to the picture store, and a job then names it."""

from datetime import UTC, datetime, timedelta
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api import examples
from api.deps import Service, Submitter
from api.openapi import answers, raises
from jobs.errors import StorageUnavailable, TooManyUploads
from jobs.job import new_id
from jobs.pictures import UPLOAD_SECONDS

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])


class UploadView(BaseModel):
    """Post a multipart form of `fields` and then the picture as `file` to `url`. Then submit `image: upload:<id>`."""

    id: str = Field(description="the upload")
    object: Literal["upload"] = "upload"
    image: str = Field(description="the value of `image` in a submission")
    url: str = Field(description="where to post the form")
    fields: dict[str, str] = Field(description="the fields to put into the form, unchanged, before the picture")
    max_bytes: int = Field(description="the largest picture that is accepted, in bytes")
    expires_at: datetime = Field(description="until when the address accepts a picture")


@router.post(
    "",
    summary="Ask for an address to upload to",
    status_code=201,
    responses=answers(examples.UPLOAD, 201) | raises(TooManyUploads, StorageUnavailable),
)
def create_upload(caller: Submitter, service: Service) -> UploadView:
    """Get an address that accepts one picture. The upload is kept for a day, for any number of jobs."""
    settings, upload = service.settings, new_id()
    service.store.reserve_upload(caller.tenant, upload, settings.max_uploads, UPLOAD_SECONDS)
    invitation = service.pictures.presign_upload(
        caller.tenant, upload, most_bytes=settings.max_upload_bytes, seconds=settings.presign_seconds
    )
    return UploadView(
        id=upload,
        image=f"upload:{upload}",
        url=invitation.url,
        fields=dict(invitation.fields),
        max_bytes=settings.max_upload_bytes,
        expires_at=datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=settings.presign_seconds),
    )
