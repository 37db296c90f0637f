"""Batches: many edits in one request, either photos x instructions x parameters or line by line."""

import hashlib
import json
import math
import time
from collections.abc import Sequence
from datetime import datetime
from itertools import product
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field, model_validator
from starlette.concurrency import run_in_threadpool

from api import examples, strict_json
from api.deps import Caller, IdempotencyHeader, PageSize, PlaceInPages, Reader, Service, Services, Submitter
from api.openapi import answers, raises
from api.routes.files import no_file
from api.routes.jobs import checked_parameters
from api.routes.webhooks import check_webhook
from api.strict_json import StrictBody
from api.submission import LONGEST_URL, Metadata, Submission, invalid
from api.views import Page, moment, moment_or_none
from jobs.batches import LONGEST_SECONDS, MOST_LINES, MOST_OPEN, Batch, BatchStatus, LineStatus
from jobs.errors import Conflict, InvalidRequest, MalformedBody, NotFound, StorageUnavailable, TooManyBatches
from jobs.job import Priority, new_id
from jobs.pictures import NoSuchPicture

router = APIRouter(prefix="/v1/batches", tags=["batches"])

LONGEST_NAME = 512
MOST_COLUMNS = 20
ANY_PICTURE = "data:image/png;base64,AA=="  #: stands for the image while all other fields are checked


class NewBatch(BaseModel, extra="forbid"):
    """All combinations of `images`, `prompts` and `parameters`, or else `lines`: a file of JSON lines.

    Combinations come in the order of the images, within an image in that of the prompts, within a prompt in that of the
    parameters. Each line has a name and a request.
    """

    images: Annotated[list[str], Field(min_length=1, max_length=10_000)] | None = Field(
        None, description="each is file:<id>, upload:<id>, job:<id> or an https address"
    )
    prompts: Annotated[list[str], Field(min_length=1, max_length=100)] | None = None
    parameters: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=100)] = Field(
        [{}], description="the other fields of a job, such as model, steps, seed or format"
    )
    lines: str | None = Field(None, pattern=r"^file:[0-9a-z]{26}$", description="file:<id>")
    priority: Priority = Priority.LOW
    expires_in_seconds: int = Field(86_400, ge=60, le=LONGEST_SECONDS, description="no edit begins after this time")
    contact_sheet: bool = True
    webhook: str | None = Field(None, max_length=LONGEST_URL, description="receives one event, when the batch is over")
    metadata: Metadata = {}

    @model_validator(mode="after")
    def _is_one_of_both(self) -> "NewBatch":
        grid = self.images is not None and self.prompts is not None
        if grid == (self.lines is not None) or (self.lines and (self.images or self.prompts)):
            raise ValueError("must have images and prompts, or lines")
        return self

    @property
    def columns(self) -> int:
        """The number of columns of the grid. 1 for lines."""
        return len(self.prompts or [1]) * len(self.parameters)


NEW_BATCH = StrictBody(
    NewBatch,
    example={
        "images": [f"file:{examples.FILE_ID}", "https://you.example/photo.jpg"],
        "prompts": ["make it look like winter", "make it look like night"],
        "parameters": [{"steps": 20}],
    },
    most_bytes=2_000_000,
)


class BatchCounts(BaseModel):
    """The number of lines in all, of those with a picture, and of those that will get none."""

    total: int = Field(description="all lines")
    completed: int = Field(description="lines with a picture")
    failed: int = Field(description="lines that will get no picture")


class BatchUrls(BaseModel):
    """Addresses for further requests about a batch."""

    self: str = Field(description="the batch")
    lines: str = Field(description="the outcome of each line")
    cancel: str = Field(description="POST here to stop it")
    contact_sheet: str | None = Field(description="the sheet with all pictures; null until the batch is over")


class BatchView(BaseModel):
    """A batch."""

    id: str = Field(description="the batch")
    object: Literal["batch"] = "batch"
    status: BatchStatus = Field(description="the present state")
    counts: BatchCounts = Field(description="the counts of its lines")
    priority: str = Field(description="the priority of its jobs")
    metadata: dict[str, Any] = Field(description="your own metadata")
    created_at: datetime = Field(description="when it was accepted")
    expires_at: datetime = Field(description="no edit begins after this time")
    ended_at: datetime | None = Field(description="when it ended; null: it is not over")
    urls: BatchUrls = Field(description="addresses for further requests")


class BatchListView(Page[BatchView]):
    """A page of batches, newest first."""


class LineView(BaseModel):
    """One edit of a batch. `problem` tells why there is no picture."""

    number: int = Field(description="counted from 0")
    name: str = Field(description="its name in the file of lines, or its number")
    status: LineStatus = Field(description="the present state")
    job: str | None = Field(description="the job of this line; null: there is none yet")
    output: str | None = Field(description="the edited picture")
    problem: dict[str, Any] | None = Field(description="why there is no picture")


class LineListView(BaseModel):
    """Lines of a batch, in their order."""

    object: Literal["list"] = "list"
    data: list[LineView] = Field(description="the entries of this page")
    has_more: bool = Field(description="whether another page follows")
    next: int | None = Field(description="the value of `after` for the next page; null: there is none")


SHEET: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}}}
BatchId = Annotated[str, Path(description="the batch's id", max_length=64)]


def find_batch(batch_id: BatchId, service: Service, caller: Reader) -> Batch:
    batch = service.batches.get(batch_id, caller.tenant)
    if batch is None:
        raise no_batch()
    return batch


FoundBatch = Annotated[Batch, Depends(find_batch)]


def no_batch() -> NotFound:
    """The one answer for a batch that does not exist, belongs to another tenant, or is no longer kept."""
    return NotFound("There is no batch with this id.")


@router.post(
    "",
    summary="Ask for many edits",
    status_code=202,
    openapi_extra=NEW_BATCH.openapi,
    responses=answers(examples.BATCH, 202) | raises(NotFound, Conflict, TooManyBatches, StorageUnavailable),
)
async def create_batch(
    caller: Submitter,
    asked: Annotated[NewBatch, Depends(NEW_BATCH)],
    request: Request,
    service: Service,
    response: Response,
    idempotency_key: IdempotencyHeader = None,
) -> BatchView:
    """Ask for many edits at once. They are made when nothing more urgent waits, each exactly once."""
    batch = await run_in_threadpool(_create, asked, caller, service, idempotency_key)
    request.app.state.feeder.stir()
    response.headers["Location"] = f"/v1/batches/{batch.id}"
    return view_batch(batch)


def _create(asked: NewBatch, caller: Caller, service: Services, key: str | None) -> Batch:
    service.batches.refuse_more_than(MOST_OPEN, caller.tenant)
    if asked.webhook:
        check_webhook("webhook", asked.webhook, service)
    requests = _lines(asked, caller, service) if asked.lines else _grid(asked, service)
    expires_ms = round((time.time() + asked.expires_in_seconds) * 1000)
    batch = Batch(
        id=new_id(),
        tenant=caller.tenant,
        total=len(requests),
        expires_ms=expires_ms,
        forgotten_ms=expires_ms + service.settings.retention_seconds * 1000,
        columns=_columns(asked, len(requests)) if asked.contact_sheet else 0,
        priority=asked.priority,
        webhook=asked.webhook or "",
        metadata=json.dumps(asked.metadata),
    )
    once = (key, _fingerprint(asked, requests)) if key else None
    created = service.batches.create(batch, requests, once)
    if created is None:
        raise invalid("Idempotency-Key", "was used for another request: take a new one")
    found = service.batches.get(created, caller.tenant)
    if found is None:
        raise Conflict("The batch of this Idempotency-Key is no longer kept.")
    return found


def _fingerprint(asked: NewBatch, requests: Sequence[dict[str, Any]]) -> str:
    told = json.dumps([asked.model_dump(mode="json", exclude={"lines"}), requests], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def _columns(asked: NewBatch, total: int) -> int:
    """The columns of the contact sheet: those of the grid, or if that has one, enough for an almost square sheet."""
    return min(MOST_COLUMNS, asked.columns if asked.columns > 1 else math.ceil(math.sqrt(total)))


def _grid(asked: NewBatch, service: Services) -> list[dict[str, Any]]:
    """A line for each combination of photo, instruction and parameters. Shared fields are checked now.

    Raises:
        InvalidRequest: it names the wrong entry.
    """
    images, prompts = asked.images or [], asked.prompts or []
    total = len(images) * asked.columns
    if total > MOST_LINES:  # checked before the lines exist, because a small request can ask for a hundred million
        raise invalid("images", f"may make at most {MOST_LINES} edits, with prompts and parameters; they make {total}")
    variants = [{"prompt": prompt, **parameters} for prompt, parameters in product(prompts, asked.parameters)]
    for variant in variants:
        checked_parameters(strict_json.validated(Submission, {"image": ANY_PICTURE, **variant}), service)
    for number, image in enumerate(images):
        try:
            strict_json.validated(Submission, {"image": image, **variants[0]})
        except InvalidRequest as error:
            raise invalid(f"images.{number}", error.errors[0].detail) from None
    requests = [{"image": image, **variant} for image, variant in product(images, variants)]
    return [{"name": str(number), "request": request} for number, request in enumerate(requests)]


def _lines(asked: NewBatch, caller: Caller, service: Services) -> list[dict[str, Any]]:
    try:
        data = service.files.read((asked.lines or "").removeprefix("file:"), caller.tenant)
    except NoSuchPicture:
        raise no_file() from None
    requests = [_line(number, text) for number, text in strict_json.lines(data, MOST_LINES, "lines")]
    if not requests:
        raise invalid("lines", "must be a file with a JSON object on each line; it is empty")
    return requests


def _line(number: int, text: bytes) -> dict[str, Any]:
    try:
        line = strict_json.loads(text)
    except (MalformedBody, InvalidRequest) as error:
        raise invalid("lines", f"line {number} cannot be read: {error.detail}") from None
    wanted = f'line {number} must be {{"name": text of at most {LONGEST_NAME} characters, "request": object}}'
    if not isinstance(line, dict) or line.keys() != {"name", "request"} or not isinstance(line["request"], dict):
        raise invalid("lines", wanted)
    if not isinstance(line["name"], str) or len(line["name"]) > LONGEST_NAME:
        raise invalid("lines", wanted)
    return line


def view_batch(batch: Batch) -> BatchView:
    """A batch as its owner sees it."""
    base = f"/v1/batches/{batch.id}"
    sheet = f"{base}/contact-sheet" if batch.columns and batch.is_over else None
    return BatchView(
        id=batch.id,
        status=batch.status,
        counts=BatchCounts(total=batch.total, completed=batch.completed, failed=batch.failed),
        priority=batch.priority,
        metadata=json.loads(batch.metadata),
        created_at=moment(batch.created_ms),
        expires_at=moment(batch.expires_ms),
        ended_at=moment_or_none(batch.ended_ms),
        urls=BatchUrls(self=base, lines=f"{base}/lines", cancel=f"{base}/cancel", contact_sheet=sheet),
    )


@router.get(
    "",
    summary="List your batches",
    responses=answers(examples.list_of(examples.BATCH, has_more=False, next=None)),
)
def list_batches(caller: Reader, service: Service, limit: PageSize = 20, after: PlaceInPages = None) -> BatchListView:
    """Your batches, newest first."""
    batches, place = service.batches.page(caller.tenant, limit=limit, after=after)
    return BatchListView(data=[view_batch(batch) for batch in batches], has_more=place is not None, next=place)


@router.get("/{batch_id}", summary="Read a batch", responses=answers(examples.BATCH))
def read_batch(batch: FoundBatch) -> BatchView:
    """A batch and its progress."""
    return view_batch(batch)


@router.get(
    "/{batch_id}/lines",
    summary="Read the outcome of each line",
    responses=answers(examples.list_of(examples.LINE, has_more=False, next=None)),
)
def list_lines(
    batch: FoundBatch,
    service: Service,
    limit: PageSize = 1000,
    after: Annotated[int, Query(ge=-1, le=MOST_LINES, description="`next` of the page before")] = -1,
) -> LineListView:
    """The outcome of each line."""
    lines = service.batches.lines(batch, after + 1, limit)
    data = [
        LineView(
            number=number,
            name=line.name,
            status=line.status,
            job=line.job,
            output=f"/v1/jobs/{line.job}/output" if line.status == "succeeded" else None,
            problem=dict(line.problem) if line.problem else None,
        )
        for number, line in lines.items()
    ]
    more = after + 1 + limit < batch.total
    return LineListView(data=data, has_more=more, next=after + limit if more else None)


@router.post(
    "/{batch_id}/cancel",
    summary="Stop a batch",
    status_code=202,
    responses=answers(examples.BATCH | {"status": "canceling"}, 202) | raises(Conflict),
)
def cancel_batch(batch: FoundBatch, caller: Submitter, service: Service) -> BatchView:
    """Cancel a batch: no more edits are begun, and its jobs are canceled. Finished edits stay."""
    if batch.status in (BatchStatus.COMPLETED, BatchStatus.EXPIRED):
        raise Conflict(f"The batch is over: it is {batch.status}.")
    service.batches.cancel(batch)
    return view_batch(service.batches.get(batch.id, caller.tenant) or batch)


@router.get(
    "/{batch_id}/contact-sheet",
    summary="See a batch's contact sheet",
    response_class=Response,
    responses=SHEET | raises(Conflict, StorageUnavailable),
)
def read_contact_sheet(batch: FoundBatch, service: Service) -> Response:
    """The batch's pictures, small, on one sheet: a row for each photo, or all of them in rows."""
    if not batch.is_over:
        raise Conflict("The batch is not over; it has no contact sheet yet.")
    try:
        sheet = service.batches.sheet(batch)
    except NoSuchPicture:
        raise NotFound("The batch has no contact sheet.") from None
    return Response(sheet, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})
