"""The pictures of a job: its outputs, its input, its latest preview and a thumbnail."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import RedirectResponse

from api.deps import FoundJob, Service, Services
from api.openapi import raises
from api.thumbnails import thumbnail
from api.views import file_name, picture_link
from jobs.errors import Conflict, NotFound, StorageUnavailable
from jobs.job import Job, Picture
from jobs.pictures import NoSuchPicture
from jobs.store.requests import PreviewKind

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["pictures"])

PlaceInList = Annotated[int, Path(ge=0, le=1000, description="its position, from 0")]
Proxy = Annotated[bool, Query(description="send the bytes instead of an address in the picture store")]
FOUND: dict[int | str, dict[str, Any]] = {307: {"description": "The picture's address, valid for some minutes."}}
FOUND |= raises(StorageUnavailable)


@router.get(
    "/output",
    summary="Download the edited picture",
    response_class=Response,
    responses=FOUND | raises(Conflict),
)
def read_output(job: FoundJob, service: Service, proxy: Proxy = False) -> Response:
    """The edited picture."""
    if job.output is None:
        raise Conflict(f"The job is {job.status}; it has no output{'' if job.status.is_over else ' yet'}.")
    return _send(job, job.output, service) if proxy else _redirect(picture_link(job, job.output, service))


@router.get(
    "/outputs/{place}", summary="Download one of several edited pictures", response_class=Response, responses=FOUND
)
def read_each_output(job: FoundJob, service: Service, place: PlaceInList, proxy: Proxy = False) -> Response:
    """One of the job's outputs, by its position in `outputs`. `/output` is the first one."""
    if not job.outputs:
        return read_output(job, service, proxy)
    if place >= len(job.outputs):
        raise NotFound(f"The job has {len(job.outputs)} outputs.")
    picture = job.outputs[place].picture
    return _send(job, picture, service) if proxy else _redirect(picture_link(job, picture, service))


@router.get("/renders/{place}", summary="Download a render", response_class=Response, responses=FOUND)
def read_render(job: FoundJob, service: Service, place: PlaceInList, proxy: Proxy = False) -> Response:
    """A render of the job, by its position in `renders`."""
    if place >= len(job.renders):
        raise NotFound(f"The job has {len(job.renders)} renders.")
    picture = job.renders[place].picture
    return _send(job, picture, service) if proxy else _redirect(picture_link(job, picture, service))


@router.get(
    "/input",
    summary="Download the picture that was sent",
    response_class=Response,
    responses=raises(StorageUnavailable),
)
def read_input(job: FoundJob, service: Service) -> Response:
    """The input picture, as it is kept. Its bytes are always sent, for its object also holds the job."""
    return _send(job, job.input, service)


@router.get(
    "/steps",
    summary="Download the steps as one sprite",
    response_class=Response,
    responses=FOUND | raises(Conflict),
)
def read_steps(job: FoundJob, service: Service, proxy: Proxy = False) -> Response:
    """Small intermediate pictures of the edit as one sprite. The job's `frames` describes its columns."""
    if job.frames is None:
        raise Conflict(f"The job is {job.status}; it has no recorded steps{'' if job.status.is_over else ' yet'}.")
    sprite = job.frames.sprite
    return _send(job, sprite, service) if proxy else _redirect(picture_link(job, sprite, service))


@router.get(
    "/preview",
    summary="See the latest preview",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}}},
)
def read_preview(
    job: FoundJob,
    service: Service,
    kind: Annotated[PreviewKind, Query(description="the picture as predicted, or the latents with their noise")] = (
        "predicted"
    ),
) -> Response:
    """A small picture of the unfinished edit. There is none before the first steps."""
    jpeg = service.store.preview(job.id, kind)
    if jpeg is None:
        raise NotFound("The job has no preview.")
    return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "no-store"})


@router.get(
    "/thumbnail", summary="See a thumbnail", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}}
)
def read_thumbnail(job: FoundJob, service: Service) -> Response:
    """A small JPEG of the edited picture, or of the input picture if there is no output yet."""
    picture = job.output or job.input
    is_strangers = picture is job.input and picture.content_type == "image/jpeg"
    try:
        data = service.pictures.read(picture.key)
        jpeg = service.photos.thumbnail(data) if is_strangers else thumbnail(data)
    except NoSuchPicture:
        raise NotFound("The picture is no longer kept.") from None
    cache = "private, max-age=86400" if job.status.is_over else "no-store"
    return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": cache})


def _redirect(url: str) -> Response:
    return RedirectResponse(url, headers={"Cache-Control": "no-store"})


def _send(job: Job, picture: Picture, service: Services) -> Response:
    try:
        data = service.pictures.read(picture.key)
    except NoSuchPicture:
        raise NotFound("The picture is no longer kept.") from None
    headers = {
        "Content-Disposition": f'attachment; filename="{file_name(job, picture)}"',
        "Cache-Control": "private, max-age=3600",
    }
    return Response(data, media_type=picture.content_type, headers=headers)
