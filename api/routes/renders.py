"""Renders: the output of a finished job in another strength, without running the model again."""

import time
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, BeforeValidator, Field
from starlette.concurrency import run_in_threadpool

from api import examples
from api.deps import Caller, JobId, Service, Services, Submitter
from api.openapi import answers, raises
from api.strict_json import StrictBody, whole
from api.submission import invalid
from api.views import RenderView, view_render
from jobs.errors import Conflict, QueueFull, StorageUnavailable, TooManyStreams, Unavailable
from jobs.job import Job, Status
from jobs.renders import MOST, SECONDS, Outcome, Wanted

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["pictures"])

LOOK = 1.0  #: seconds; a waiting request looks this often, in case its wake-up is lost


class NewRender(BaseModel, extra="forbid"):
    """The render to make."""

    strength: float = Field(ge=0, le=1, strict=True, description="from 0 (the photo) to 1 (the edit)")
    output: Annotated[int, BeforeValidator(whole), Field(strict=True, ge=0, le=7)] = Field(
        0, description="which of the job's outputs"
    )
    format: Literal["png", "jpeg", "webp", "avif"] | None = Field(None, description="default: the format of the job")


NEW_RENDER = StrictBody(NewRender, example={"strength": 0.5})


@router.post(
    "/render",
    summary="Render another strength",
    status_code=201,
    openapi_extra=NEW_RENDER.openapi,
    responses={200: {"model": RenderView, "description": "The render exists already.", **answers(examples.RENDER)[200]}}
    | answers(examples.RENDER, 201)
    | raises(QueueFull, StorageUnavailable, TooManyStreams, Conflict),
)
async def render_job(
    caller: Submitter,
    job_id: JobId,
    service: Service,
    response: Response,
    asked: Annotated[NewRender, Depends(NEW_RENDER)],
) -> RenderView:
    """Make the output of a finished job in another strength. It is kept as long as its job. Safe to repeat."""
    job = await run_in_threadpool(service.job, job_id, caller)
    _check(job, asked)
    wanted = Wanted.of(job, asked.output, asked.strength, asked.format or job.format)
    place = wanted.among(job.renders)
    if place is not None:
        response.status_code = 200
    elif len(job.renders) >= MOST:
        raise _conflict("full")
    else:
        await _made(wanted, caller, service)
        job = await run_in_threadpool(service.job, job_id, caller)
        place = wanted.among(job.renders)
    if place is None:
        raise _conflict("gone")
    response.headers["Location"] = f"/v1/jobs/{job.id}/renders/{place}"
    return await run_in_threadpool(view_render, job, place, service)


def _check(job: Job, asked: NewRender) -> None:
    if job.status is not Status.SUCCEEDED:
        raise Conflict(f"Only a job that has succeeded can be rendered; this one is {job.status}.")
    if asked.output >= len(job.outputs):
        raise invalid("output", f"must be less than {len(job.outputs)}, the number of the job's outputs")
    output = job.outputs[asked.output]
    if output.whole is None and job.params.get("strength", 1) != 1:
        raise Conflict("The job's edit was kept at its own strength only.")


async def _made(wanted: Wanted, caller: Caller, service: Services) -> None:
    """Wait until the render is in the record of the job.

    Raises:
        Conflict, Unavailable, TooManyStreams
    """
    ends = time.monotonic() + SECONDS
    with service.connections.hold(caller.tenant), service.subscriptions.subscribe(wanted.job) as subscription:
        await run_in_threadpool(service.renders.want, wanted)
        while (left := ends - time.monotonic()) > 0 and not service.subscriptions.leaving:
            await subscription.wait_for_change(min(left, LOOK))
            outcome = await run_in_threadpool(service.renders.outcome, wanted.token)
            if outcome in ("kept", "known"):
                return
            if outcome is not None:
                raise _conflict(outcome)
    raise Unavailable("No worker has made the render in time; it is safe to ask again.")


def _conflict(outcome: Outcome) -> Conflict | Unavailable:
    if outcome == "unavailable":
        return Unavailable("The render could not be made right now.")
    why = {"full": f"At most {MOST} renders of a job are kept.", "gone": "The job or its pictures are no longer kept."}
    return Conflict(why[outcome])
