"""Live events (server-sent): of one job, or of all of a tenant's jobs on one stream."""

import re
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from api.deps import Caller, FoundJob, Parts, Reader, Service
from api.views import view_jobs
from api.waiters import Event
from jobs import keys

router = APIRouter(tags=["events"])

LONGEST_LIFE = 900.0  #: seconds; then a client connects again, with the id that it has
SNAPSHOT = 20  #: jobs in a tenant's `reset`
EVENT_ID = re.compile(r"\d{1,15}-\d{1,15}")

LastEventId = Annotated[str | None, Header(description="the last event that you have: the next one comes first")]


async def take_seat(caller: Reader, service: Service) -> AsyncIterator[None]:
    """Room for one more open stream, given back at its end.

    Raises:
        TooManyStreams
    """
    with service.seats.seat(caller.tenant):
        yield


Stream = Depends(take_seat)


@router.get("/v1/jobs/{job_id}/events", response_class=EventSourceResponse, dependencies=[Stream])
async def follow_job(
    caller: Reader, job: FoundJob, service: Service, last_event_id: LastEventId = None
) -> AsyncIterator[ServerSentEvent]:
    """A job's events from its first one on: `status`, `progress`, `preview`, and `done`, which ends the stream.

    With `Last-Event-ID`, from the next one on, without gap or repeat; `reset` tells that some are no longer kept.
    """
    async for event in _follow(service, caller, keys.EVENTS + job.id, job.id, last_event_id or "0-0"):
        yield event
        if event.event == "done":
            return


@router.get("/v1/events", response_class=EventSourceResponse, dependencies=[Stream])
async def follow_jobs(
    caller: Reader, service: Service, last_event_id: LastEventId = None
) -> AsyncIterator[ServerSentEvent]:
    """The events of all your jobs, `deleted` too, from now on or from `Last-Event-ID` on."""
    stream = keys.FEED + caller.tenant
    after = last_event_id or (await service.waiters.bounds(stream))[1]
    async for event in _follow(service, caller, stream, None, after):
        yield event


async def _follow(
    service: Parts, caller: Caller, stream: str, job_id: str | None, after: str
) -> AsyncIterator[ServerSentEvent]:
    ends = time.monotonic() + LONGEST_LIFE
    with service.waiters.watching(job_id or caller.tenant) as watch:
        if await _misses(service, stream, after):
            after = (await service.waiters.bounds(stream))[1]
            yield ServerSentEvent(event="reset", id=after, data=await _snapshot(service, caller, job_id))
        while (left := ends - time.monotonic()) > 0 and not service.waiters.leaving:
            events = await service.waiters.read(stream, after)
            for event in events:
                after = event.id
                yield _sent(event, job_id)
            if not events:
                await watch.change(left)


async def _misses(service: Parts, stream: str, after: str) -> bool:
    """Whether events behind an id are no longer kept, or the id is none of this stream's."""
    if not EVENT_ID.fullmatch(after):
        return True
    first, latest = await service.waiters.bounds(stream)
    return not _order(first) <= _order(after) <= _order(latest)


def _order(event_id: str) -> tuple[int, ...]:
    return tuple(map(int, event_id.split("-")))


async def _snapshot(service: Parts, caller: Caller, job_id: str | None) -> dict[str, Any]:
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
