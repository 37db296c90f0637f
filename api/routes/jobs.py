"""Jobs: submit, read, list, cancel, retry, delete."""

import logging
import re
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Header, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from api import examples
from api.conditions import is_known
from api.deps import Admission, Admitted, Caller, IdempotencyHeader, JobId, Reader, Service, Services, Submitter, no_job
from api.masks import draw_shapes, fits, inverted
from api.openapi import SUBMIT_BODY, answers, raises
from api.routes.webhooks import check_webhook
from api.submission import Elsewhere, Submission, Submitted, invalid
from api.views import JobListView, JobView, links_end, view_job, view_jobs
from jobs import logs, traces
from jobs.decoder import Photo
from jobs.errors import (
    Conflict,
    FetchFailed,
    FieldError,
    InvalidPicture,
    InvalidRequest,
    NotFound,
    QueueFull,
    StorageUnavailable,
    TooManyJobs,
    TooManyStreams,
)
from jobs.fetch import FetchError
from jobs.job import ID_PATTERN, Job, Status, born_ms, is_id, new_id
from jobs.parameters import LARGEST_SEED, ParameterError
from jobs.pictures import NoSuchPicture, input_picture
from jobs.store.requests import IdempotencyKey, Known, QueuePosition

log = logging.getLogger(__name__)

POSITION_SECONDS = 10.0  #: a waiting request looks this often, because other jobs change the job's position

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@dataclass(frozen=True)
class Acceptance:
    """An accepted job, and its position if that is known. `replayed`: an earlier request with this key made it."""

    job: Job
    position: QueuePosition | None = None
    replayed: bool = False

    @property
    def headers(self) -> dict[str, str]:
        location = {"Location": f"/v1/jobs/{self.job.id}"}
        return location | {"Idempotent-Replayed": "true"} if self.replayed else location


@router.post(
    "",
    summary="Submit a job",
    status_code=202,
    openapi_extra={"requestBody": SUBMIT_BODY},
    responses=answers(examples.JOB, 202)
    | {200: answers(examples.JOB)[200] | {"model": JobView, "description": "The job is over."}}
    | raises(NotFound, InvalidPicture, FetchFailed, TooManyJobs, QueueFull, StorageUnavailable),
)
async def create_job(
    admitted: Admitted,
    submission: Submitted,
    service: Service,
    request: Request,
    response: Response,
    idempotency_key: IdempotencyHeader = None,
    prefer: Annotated[
        str | None, Header(description="`wait=N`: answer when the job is over, or after N seconds")
    ] = None,
) -> JobView:
    """Accept a picture and an instruction. The edit itself happens later.

    If the same request is sent again within a day with the same `Idempotency-Key`, the answer is the same job.
    """
    wait, caller = preferred_wait(prefer), admitted.caller

    def shown(fetched: Submission) -> tuple[Acceptance, JobView]:
        """Runs in a thread, because a digest takes long. An idempotency key is for an address, not for its picture."""
        idempotency = IdempotencyKey(idempotency_key, submission.fingerprint) if idempotency_key else None
        if admitted.known and idempotency:
            accepted = _replay(admitted.known, idempotency, caller, service)
        else:
            accepted = submit_job(caller, fetched, idempotency, service)
        return accepted, _show_accepted(accepted, service, response)

    if admitted.known:  # no picture is read, so none of the threads for pictures is needed
        accepted, view = await run_in_threadpool(shown, submission)
    else:
        fetched = submission
        if url := submission.image_at("url"):
            fetched = submission.model_copy(update={"image": await fetch_picture(url, caller, service)})
        accepted, view = await service.submitting.run(shown, fetched)
    response.headers.update(accepted.headers)
    service.wakeups.top_up_soon()
    if not wait:
        return view
    try:
        job, position = await _wait(service, request, caller, accepted.job.id, wait)
    except Exception as error:  # the job is accepted, and `Prefer` may be ignored
        log.info("the wait for an accepted job failed: %r", error)
        return view
    response.headers["Preference-Applied"] = f"wait={wait}"
    if job.status.is_over:
        response.status_code = 200
    return await run_in_threadpool(_show, job, position, service, response)


def preferred_wait(prefer: str | None) -> int:
    """The seconds of a `Prefer: wait=N` header (RFC 7240), at most 60. 0 without such a header."""
    found = re.search(r"(?:^|[,;\s])wait=(\d{1,6})(?:$|[,;\s])", prefer or "", re.IGNORECASE)
    return min(60, int(found[1])) if found else 0


async def fetch_picture(url: str, caller: Caller, service: Services) -> bytes:
    """Fetch a picture from its address.

    Raises:
        FetchFailed
    """
    limit = service.settings.max_upload_bytes
    try:
        return await service.fetcher.get(url, limit=limit, tenant=caller.tenant)
    except FetchError as error:
        log.info("no picture fetched: %s", error)
        wanted = f"must be a public https address that answers in 15 s with at most {limit} bytes"
        raise FetchFailed(f"The picture {wanted}.", FieldError("image", wanted)) from None


def submit_job(
    caller: Caller, submission: Submission, idempotency: IdempotencyKey | None, service: Services
) -> Acceptance:
    """Make a new job. The caller must fetch a picture at an address first.

    The caller must also look for the idempotency key. Here a repeated request is noticed only at the end.

    Raises:
        InvalidRequest, TooManyJobs, Unavailable
    """
    model, params = checked_parameters(submission, service)
    if submission.webhook:
        check_webhook("webhook", submission.webhook, service)
    image = _image(submission, caller, service)
    photo, credentials = service.photos.read(image), service.credentials.keep(image)
    mask = _mask(submission, photo, caller, service)
    job_id = new_id()
    folder = f"{caller.tenant}/{job_id}"
    job = Job(
        id=job_id,
        tenant=caller.tenant,
        model=model,
        params=params,
        input=input_picture(folder, photo.data, photo.content_type, photo.size),
        format=submission.format,
        priority=submission.priority,
        deadline_seconds=submission.deadline_seconds or service.settings.deadline_seconds,
        retention_seconds=service.settings.retention_seconds,
        metadata=submission.metadata,
        parent=submission.image_at("job"),
        webhook=submission.webhook,
        webhook_events=tuple(submission.webhook_events),
        n=submission.n,
        mask=service.pictures.put_mask(folder, mask) if mask else None,
        credentials=service.pictures.put_credentials(folder, credentials) if credentials else None,
    )
    return _accept(job, partial(service.pictures.put_job, job.input, photo.data), service, idempotency)


def _replay(known: Known, idempotency: IdempotencyKey, caller: Caller, service: Services) -> Acceptance:
    """The job of an earlier request with this key.

    Raises:
        InvalidRequest: that was another request.
    """
    if known.fingerprint != idempotency.fingerprint:
        raise _is_taken()
    return Acceptance(service.job(known.job_id, caller), replayed=True)


def _is_taken() -> InvalidRequest:
    return invalid("Idempotency-Key", "was used for another request: take a new one")


def checked_parameters(submission: Submission, service: Services) -> tuple[str, dict[str, Any]]:
    """The model of a submission and all its parameters.

    Raises:
        InvalidRequest
    """
    try:
        model, params = service.models.resolve(submission.model, submission.given)
    except ParameterError as error:
        raise invalid(error.field, error.detail) from None
    params = _with_seed(params)
    if params["seed"] + submission.n - 1 > LARGEST_SEED:
        raise invalid("seed", f"must be at most {LARGEST_SEED - submission.n + 1}: the other edits use the next seeds")
    return model, params


def _with_seed(params: Mapping[str, Any]) -> dict[str, Any]:
    seed = params.get("seed")
    return {**params, "seed": secrets.randbits(32) if seed is None else seed}


def _image(submission: Submission, caller: Caller, service: Services) -> bytes:
    if isinstance(submission.image, bytes):
        return submission.image
    if isinstance(submission.image, Elsewhere) and submission.image.place in ("upload", "file"):
        return _sent_before(submission.image, caller, service)
    source = service.job(submission.image_at("job") or "", caller)
    if source.output is None:
        raise invalid("image", f"must be a job with an output; {source.id} is {source.status}")
    try:
        return service.pictures.read(source.output.key)
    except NoSuchPicture:
        raise invalid("image", "must be a job whose output is still kept") from None


def _mask(submission: Submission, photo: Photo, caller: Caller, service: Services) -> bytes | None:
    """The area of the photo to edit, as a gray PNG."""
    asked = submission.mask
    if asked is None:
        return None
    if isinstance(asked, tuple):
        shapes = draw_shapes(asked, photo.size)
        return inverted(shapes) if submission.mask_invert else shapes
    data = asked if isinstance(asked, bytes) else _sent_before(asked, caller, service, "mask")
    mask = service.photos.read(data, "mask")
    if not fits(mask.size, photo.size):
        sizes = [f"{width} x {height}" for width, height in (photo.size, mask.size)]
        raise invalid("mask", f"must have the picture's proportions, {sizes[0]}; it has {sizes[1]}")
    return inverted(mask.data) if submission.mask_invert else mask.data


def _sent_before(picture: Elsewhere, caller: Caller, service: Services, field: str = "image") -> bytes:
    try:
        if picture.place == "file":
            return service.files.read(picture.name, caller.tenant)
        return service.pictures.read_upload(caller.tenant, picture.name)
    except NoSuchPicture:
        if picture.place == "file":
            raise invalid(field, "must be a file that is still kept") from None
        raise invalid(field, "must be an upload that has arrived and is younger than a day") from None


def _accept(
    job: Job,
    store: Callable[[Mapping[str, Any]], None],
    service: Services,
    idempotency: IdempotencyKey | None = None,
) -> Acceptance:
    """Accept a job. First `store` is called with the document of the job, to store the job's input together with it."""
    job = replace(job, request_id=logs.subject().get("request_id"), traceparent=traces.traceparent())
    logs.note(job_id=job.id)
    once = asdict(idempotency) if idempotency else None
    store({"id": job.id, "tenant": job.tenant, **job.request(), "once": once})
    try:
        accepted = service.store.submit(job, idempotency, service.limits)
    except (TooManyJobs, QueueFull):
        service.pictures.empty(job.folder)
        raise
    if accepted is None or accepted.id != job.id:  # another request with this key was faster
        service.pictures.empty(job.folder)
    if accepted is None:
        raise _is_taken()
    try:
        return Acceptance(Job.from_record(accepted.record), accepted.position, replayed=accepted.id != job.id)
    except Exception:  # the job is accepted all the same
        log.warning("an accepted job cannot be read", exc_info=True)
        return Acceptance(replace(job, created_ms=born_ms(job.id)))


def _show_accepted(accepted: Acceptance, service: Services, response: Response) -> JobView:
    """Show an accepted job. If its view fails, it is shown without position and ETag, because it is accepted."""
    try:
        return _show(accepted.job, accepted.position, service, response)
    except Exception:
        log.warning("the position of an accepted job cannot be shown", exc_info=True)
        return view_job(accepted.job, None, service)


def _show(job: Job, position: QueuePosition | None, service: Services, response: Response) -> JobView:
    """Show a job with its ETag. A client sends the ETag back to wait until the job differs from it."""
    response.headers["ETag"] = _etag(job, position, service)  # before the link is made: an ETag must not outlive it
    return view_job(job, position, service)


@router.get("", summary="List jobs", responses=answers(examples.list_of(examples.JOB, has_more=False, next=None)))
def list_jobs(
    caller: Reader,
    service: Service,
    status: Annotated[Status | None, Query(description="only jobs in this state")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[
        str | None, Query(description="`next` of the page before", json_schema_extra={"pattern": ID_PATTERN})
    ] = None,
) -> JobListView:
    """Your jobs, newest first."""
    if after is not None and not is_id(after):
        raise InvalidRequest("after: must be `next` of a page", FieldError("after", "must be `next` of a page"))
    jobs = service.store.page(caller.tenant, status=status, limit=limit + 1, after=after)
    page, more = jobs[:limit], len(jobs) > limit
    return JobListView(data=view_jobs(page, service), has_more=more, next=page[-1].id if more else None)


@router.get(
    "/{job_id}",
    summary="Read a job, or wait for it",
    response_model=JobView,
    responses={304: {"description": "The job still matches the ETag."}}
    | answers(examples.JOB)
    | raises(TooManyStreams),
)
async def read_job(
    caller: Reader,
    job_id: JobId,
    service: Service,
    request: Request,
    response: Response,
    wait: Annotated[float, Query(ge=0, le=60, description="seconds to wait until the job is over or changes")] = 0,
    if_none_match: Annotated[str | None, Header(description="an ETag: answer when the job differs from it")] = None,
) -> JobView | Response:
    """A job. `wait`: answer when it is over, or with `If-None-Match` as soon as it differs from that ETag."""

    def told(job: Job, position: QueuePosition | None) -> JobView | Response:
        etag = _etag(job, position, service)
        if is_known(etag, if_none_match):
            return Response(status_code=304, headers={"ETag": etag})
        return _show(job, position, service, response)

    if wait:
        return await run_in_threadpool(told, *await _wait(service, request, caller, job_id, wait, if_none_match))
    return await run_in_threadpool(lambda: told(*service.job_and_position(job_id, caller)))


async def _wait(
    service: Services, request: Request, caller: Caller, job_id: str, seconds: float, known: str | None = None
) -> tuple[Job, QueuePosition | None]:
    """The job when it is over, differs from the `known` ETag, `seconds` have passed, or the client has hung up."""
    ends = time.monotonic() + seconds
    connection = service.connections.hold(caller.tenant) if seconds else nullcontext()
    with connection, service.subscriptions.subscribe(job_id) as subscription:
        while True:
            job, position = await run_in_threadpool(service.job_and_position, job_id, caller)
            left = ends - time.monotonic()
            late = left <= 0 or service.subscriptions.leaving
            if job.status.is_over or late or (known and not is_known(_etag(job, position, service), known)):
                return job, position
            if await request.is_disconnected():
                return job, position
            await subscription.wait_for_change(min(left, POSITION_SECONDS) if known else left)


def _etag(job: Job, position: QueuePosition | None, service: Services) -> str:
    """The job's ETag. It changes with the job and with the link to its output, so that no client keeps a dead link."""
    if job.output:
        return f'"{job.version}-{links_end(service)}"'
    return f'"{job.version}-{position.position if position else ""}"'


@router.post(
    "/{job_id}/cancel",
    summary="Cancel a job",
    status_code=202,
    responses=answers(examples.CANCELED, 202) | raises(Conflict),
)
def cancel_job(caller: Submitter, job_id: JobId, service: Service, response: Response) -> JobView:
    """Cancel a job: at once when it is queued, at the next denoising step when it is running."""
    status = service.store.cancel(job_id, caller.tenant) if is_id(job_id) else None
    if status is None:
        raise no_job()
    if status in (Status.SUCCEEDED, Status.FAILED):
        raise Conflict(f"The job is over: it {status}.")
    return _show(*service.job_and_position(job_id, caller), service, response)


@router.post(
    "/{job_id}/retry",
    summary="Try a job again",
    status_code=202,
    responses=answers(examples.JOB | {"parent": "01krx2t4z0d6gq8s5n3b7w9xkc"}, 202)
    | raises(TooManyJobs, QueueFull, StorageUnavailable, Conflict),
)
def retry_job(
    admitted: Admitted,
    job_id: JobId,
    service: Service,
    response: Response,
    idempotency_key: IdempotencyHeader = None,
) -> JobView:
    """Run a failed or canceled job again, as a new job that names this one as its parent.

    If the same request is sent again within a day with the same `Idempotency-Key`, the answer is the same new job.
    """
    idempotency = IdempotencyKey(idempotency_key, f"retry {job_id}") if idempotency_key else None
    accepted = _retry(job_id, admitted, service, idempotency)
    response.headers.update(accepted.headers)
    service.wakeups.top_up_soon()
    return _show_accepted(accepted, service, response)


def _retry(job_id: str, admitted: Admission, service: Services, idempotency: IdempotencyKey | None) -> Acceptance:
    caller = admitted.caller
    if admitted.known and idempotency:
        return _replay(admitted.known, idempotency, caller, service)
    job = service.job(job_id, caller)
    if job.status not in (Status.FAILED, Status.CANCELED):
        raise Conflict(f"Only a failed or canceled job can be tried again; this one is {job.status}.")
    return run_again(job, caller, service, idempotency)


def run_again(job: Job, caller: Caller, service: Services, idempotency: IdempotencyKey | None = None) -> Acceptance:
    """Submit an ended job again, as a new job that names it as its parent.

    Raises:
        Conflict: the picture of the job is no longer kept.
    """
    again_id = new_id()
    folder = f"{caller.tenant}/{again_id}"
    picture = replace(job.input, key=f"{folder}/{job.input.key.rpartition('/')[2]}")
    try:
        mask = service.pictures.copy_mask(job.mask, folder) if job.mask else None
        credentials = service.pictures.copy_credentials(job.credentials, folder) if job.credentials else None
    except NoSuchPicture:
        raise _is_gone(folder, service) from None
    again = Job(
        id=again_id,
        tenant=caller.tenant,
        model=job.model,
        params=job.params,
        input=picture,
        format=job.format,
        priority=job.priority,
        deadline_seconds=job.deadline_seconds,
        retention_seconds=service.settings.retention_seconds,
        metadata=job.metadata,
        parent=job.id,
        webhook=job.webhook,
        webhook_events=job.webhook_events,
        n=job.n,
        mask=mask,
        credentials=credentials,
    )
    try:
        return _accept(again, partial(service.pictures.copy_job, job.input, picture), service, idempotency)
    except NoSuchPicture:
        raise _is_gone(folder, service) from None


def _is_gone(folder: str, service: Services) -> Conflict:
    service.pictures.empty(folder)  # those masks and credentials that were still stored
    return Conflict("The job's picture is no longer kept.")


@router.delete("/{job_id}", summary="Delete an ended job", status_code=204, responses=raises(Conflict))
def delete_job(caller: Submitter, job_id: JobId, service: Service, after: BackgroundTasks) -> None:
    """Remove an ended job and its pictures."""
    answer = service.store.delete(job_id, caller.tenant) if is_id(job_id) else None
    if answer is None:
        raise no_job()
    if answer == "active":
        raise Conflict("The job is not over: cancel it first.")
    after.add_task(service.pictures.empty, f"{caller.tenant}/{job_id}")  # the keeper repeats this if it fails
