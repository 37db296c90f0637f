"""Live events (server-sent) of one job, or of all jobs of a tenant on one stream."""

import re
import time
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from api import examples
from api.deps import Caller, FoundJob, Reader, Service, Services, StillAllowed
from api.openapi import answers, raises
from api.subscriptions import Event
from api.views import view_jobs
from jobs import redis_keys
from jobs.errors import TooManyStreams
from jobs.job import Job

router = APIRouter(tags=["events"])

LONGEST_LIFE = 900.0  #: seconds after which the stream ends; the client then connects again with its last id
HEARTBEAT = 15.0  #: seconds; at this interval a stream checks whether its caller's key is still valid
SNAPSHOT = 20  #: number of jobs in the `reset` event of a tenant's stream
EVENT_ID = re.compile(r"\d{1,15}-\d{1,15}")

LastEventId = Annotated[str | None, Header(description="the id of the last event that you have")]


class NothingMore(Exception):
    """The client has all events of a job that is over."""


async def on_nothing_more(_: Request, __: Exception) -> Response:
    """Answer 204, which makes a browser's EventSource stop reconnecting."""
    return Response(status_code=204)


async def limit_streams(caller: Reader, service: Service) -> AsyncIterator[None]:
    """Take one of the tenant's open streams, and give it back at the end.

    Raises:
        TooManyStreams
    """
    with service.connections.hold(caller.tenant):
        yield


async def limit_streams_of_job(
    caller: Reader, job: FoundJob, service: Service, last_event_id: LastEventId = None
) -> AsyncIterator[None]:
    """The same for the stream of one job. A job that is over needs no stream, because all its events are sent at once.

    Raises:
        TooManyStreams
        NothingMore: the job is over, and the client has its last event.
    """
    if not job.status.is_over:
        with service.connections.hold(caller.tenant):
            yield
        return
    if last_event_id and last_event_id == (await service.subscriptions.bounds(redis_keys.EVENTS + job.id))[1]:
        raise NothingMore
    yield


@router.get(
    "/v1/jobs/{job_id}/events",
    summary="Follow a job",
    response_class=EventSourceResponse,
    dependencies=[Depends(limit_streams_of_job)],
    responses={204: {"description": "The job is over, and `Last-Event-ID` is its last event."}}
    | answers(examples.STREAM, media="text/event-stream")
    | raises(TooManyStreams),
)
async def follow_job(
    caller: Reader, job: FoundJob, service: Service, is_allowed: StillAllowed, last_event_id: LastEventId = None
) -> AsyncIterator[ServerSentEvent]:
    """The events of a job from its first one: `status`, `progress`, `preview`, and `done`, which ends the stream.

    With `Last-Event-ID` the stream continues after that event, without gap or repetition. `reset` says that some events
    are no longer kept; it ends the stream of a job that is over.
    """
    async for event in _follow(service, caller, redis_keys.EVENTS + job.id, job, last_event_id or "0-0", is_allowed):
        yield event
        if event.event == "done":
            return


@router.get(
    "/v1/events",
    summary="Follow all jobs",
    response_class=EventSourceResponse,
    dependencies=[Depends(limit_streams)],
    responses=answers(examples.STREAM, media="text/event-stream") | raises(TooManyStreams),
)
async def follow_jobs(
    caller: Reader, service: Service, is_allowed: StillAllowed, last_event_id: LastEventId = None
) -> AsyncIterator[ServerSentEvent]:
    """The events of all your jobs, including `deleted`, from now on or after `Last-Event-ID`."""
    stream = redis_keys.FEED + caller.tenant
    after = last_event_id or (await service.subscriptions.bounds(stream))[1]
    async for event in _follow(service, caller, stream, None, after, is_allowed):
        yield event


async def _follow(
    service: Services, caller: Caller, stream: str, job: Job | None, after: str, is_allowed: Callable[[], bool]
) -> AsyncIterator[ServerSentEvent]:
    ends = time.monotonic() + LONGEST_LIFE
    checked = time.monotonic()
    job_id = job.id if job else None
    with service.subscriptions.subscribe(job_id or caller.tenant) as subscription:
        if await _misses(service, stream, after, job):
            after = (await service.subscriptions.bounds(stream))[1]
            snapshot = await _snapshot(service, caller, job_id)
            yield ServerSentEvent(event="reset", id=after, data=snapshot)
            if job_id and snapshot["jobs"][0]["finished_at"]:
                return
        while (left := ends - time.monotonic()) > 0 and not service.subscriptions.leaving:
            if time.monotonic() - checked >= HEARTBEAT:
                if not await run_in_threadpool(is_allowed):
                    return
                checked = time.monotonic()
            events = await service.subscriptions.read(stream, after)
            for event in events:
                after = event.id
                yield _sent(event, job_id)
            if not events and job and job.status.is_over:
                return
            if not events:
                await subscription.wait_for_change(min(left, HEARTBEAT))


async def _misses(service: Services, stream: str, after: str, job: Job | None) -> bool:
    """Whether events after this id are no longer kept, or the id does not belong to this stream.

    This is also true for a job that is over but whose end is not among its events, for example after a repair.
    """
    if not EVENT_ID.fullmatch(after):
        return True
    first, latest = await service.subscriptions.bounds(stream)
    if job and job.status.is_over and after == latest:
        return True
    return not _order(first) <= _order(after) <= _order(latest)


def _order(event_id: str) -> tuple[int, ...]:
    return tuple(map(int, event_id.split("-")))


async def _snapshot(service: Services, caller: Caller, job_id: str | None) -> dict[str, Any]:
    def read() -> dict[str, Any]:
        if job_id:
            jobs = [service.job(job_id, caller)]
        else:
            jobs = service.store.page(caller.tenant, status=None, limit=SNAPSHOT, after=None)
        return {"jobs": [view.model_dump(mode="json") for view in view_jobs(jobs, service)]}

    return await run_in_threadpool(read)


def _sent(event: Event, job_id: str | None) -> ServerSentEvent:
    job = event.job or job_id
    data = {"job": job, "at": int(event.id.split("-")[0]), **event.data}
    if event.type == "preview":
        data["url"] = f"/v1/jobs/{job}/preview?step={event.data['step']}"
    return ServerSentEvent(event=event.type, id=event.id, data=data)
