"""Operating the service: its queue, workers, dead letters and tenants."""

import logging
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from fastapi import Path as PathParameter
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from api import examples
from api.deps import Caller, JobId, Operating, PageSize, PlaceInPages, Service, Services
from api.openapi import answers, raises
from api.routes.jobs import run_again
from api.strict_json import StrictBody, whole
from api.views import AttemptView, JobErrorView, Page, moment_or_none, view_attempt
from jobs.api_keys import TENANT
from jobs.errors import Conflict, NotFound, QueueFull, StorageUnavailable, TooManyJobs, Unavailable
from jobs.job import Job, Status
from jobs.operator import Allowed, BrokenRecord, WorkerView

log = logging.getLogger(__name__)

router = APIRouter(prefix="/v1/admin", tags=["operations"])


Seconds = Annotated[int, Field(strict=True, ge=0, le=10 * 366 * 86_400), BeforeValidator(whole)]
Jobs = Annotated[int, Field(strict=True, ge=0, le=10**9), BeforeValidator(whole)] | None
Requests = Annotated[int, Field(strict=True, ge=1, le=10**6), BeforeValidator(whole)] | None


class KindCount(BaseModel):
    """The number of queued and running jobs of one model and priority."""

    model: str = Field(description="the id of the model")
    priority: str = Field(description="`low`, `normal` or `high`")
    queued: int = Field(description="queued jobs")
    running: int = Field(description="running jobs")


class OperatedQueue(BaseModel):
    """The queue as its operator sees it. Seconds are null if nothing was measured yet."""

    paused: bool = Field(description="whether an operator has stopped claims")
    queued: int = Field(description="queued jobs")
    running: int = Field(description="running jobs")
    oldest_seconds: float = Field(description="seconds that the next job has waited")
    estimated_wait_seconds: int | None = Field(description="seconds until all queued jobs are done, as estimated")
    workers: int = Field(description="the number of workers that are alive")
    slots: int = Field(description="the number of jobs that they can hold at a time")
    kinds: list[KindCount] = Field(description="the jobs by model and priority")
    dead_letters: int = Field(description="the number of dead letters that are still kept")
    webhook_receivers_waiting: int = Field(description="webhook receivers with undelivered messages")
    redis_bytes: int = Field(description="memory that Redis uses")
    redis_limit_bytes: int | None = Field(description="Redis' memory limit; null: it has none")


class Pruning(BaseModel):
    """The ended jobs to remove before their retention ends."""

    model_config = ConfigDict(extra="forbid")

    status: Literal[Status.SUCCEEDED, Status.FAILED, Status.CANCELED] | None = Field(
        None, description="only jobs that ended with this status"
    )
    tenant: str | None = Field(None, pattern=f"^{TENANT}$", description="only jobs of this tenant")
    older_than_seconds: Seconds = Field(description="only jobs that ended longer ago than this")


class Pruned(BaseModel):
    """The number of removed jobs. `more`: there may be others, so repeat the request."""

    removed: int = Field(description="the number of removed jobs")
    more: bool = Field(description="whether there may be more such jobs")


class WorkerState(BaseModel):
    """A worker, as it last described itself. Seconds and bytes are null if it does not know them."""

    name: str = Field(description="its name in logs and attempts")
    object: Literal["worker"] = "worker"
    alive: bool = Field(description="whether it sent a heartbeat recently")
    draining: bool = Field(description="whether it claims no more jobs")
    holds: int = Field(description="the number of jobs that it holds")
    slots: int | None = Field(description="the number of jobs that it can hold at a time")
    checkpoint: str | None = Field(description="the name of its checkpoint")
    revision: str | None = Field(description="the revision of its checkpoint")
    device: str | None = Field(description="the device, such as `cpu` or a GPU's name")
    free_bytes: int | None = Field(description="free memory of the device")
    step_seconds: float | None = Field(description="mean seconds of its last denoising steps")
    version: str | None = Field(description="the version of Darkroom")
    signer: str | None = Field(description="the issuer of the signatures on its outputs; null: they are not signed")
    signer_expires_at: datetime | None = Field(description="when the signer's certificate expires")
    started_at: datetime | None = Field(description="when it started")
    seen_at: datetime | None = Field(description="the time of its last heartbeat")


class WorkerList(BaseModel):
    """All workers that sent a heartbeat in the last minute."""

    object: Literal["list"] = "list"
    data: list[WorkerState] = Field(description="the entries of this page")


class DeadLetter(BaseModel):
    """A job that failed through no fault of its client."""

    id: str = Field(description="the job")
    object: Literal["dead_letter"] = "dead_letter"
    tenant: str = Field(description="the tenant of the job")
    model: str = Field(description="the id of the model")
    params: dict[str, Any] = Field(description="the parameters of the job")
    error: JobErrorView | None = Field(description="why it failed")
    attempts: list[AttemptView] = Field(description="the workers that had it")
    created_at: datetime | None = Field(description="when it was accepted")
    finished_at: datetime | None = Field(description="when it failed")
    expires_at: datetime | None = Field(description="when it is deleted")


class DeadLetterList(Page[DeadLetter]):
    """A page of dead letters, newest first. `next` is the cursor of the next page."""


class BrokenRecordView(BaseModel):
    """A job whose record is incomplete, and how it is repaired."""

    id: str = Field(description="the job")
    object: Literal["broken_record"] = "broken_record"
    tenant: str | None = Field(description="the tenant; null: the record does not say")
    status: str | None = Field(description="the state; null: the record does not say")
    wrong: str = Field(description="what is wrong with the record")
    repair: str = Field(description="what happens to the job")


class BrokenRecordList(Page[BrokenRecordView]):
    """The incomplete records among some thousand jobs. `next` is the cursor of the next jobs."""


class Redriven(BaseModel):
    """The new job that replaces a dead letter."""

    id: str = Field(description="the new job")
    parent: str = Field(description="the dead letter")
    tenant: str = Field(description="the tenant of both jobs")


class TenantLimits(BaseModel):
    """The limits of one tenant. null: the service's setting for all tenants."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)

    queued: Jobs = Field(None, description="jobs that may be queued at a time; 0: no job is accepted")
    running: Jobs = Field(None, description="jobs that may run at a time; 0: no job is begun")
    reads_per_minute: Requests = Field(None, description="GET requests for each of its keys")
    writes_per_minute: Requests = Field(None, description="other requests for each of its keys")


class TenantState(BaseModel):
    """A tenant: its queued, running and kept jobs, its keys and its limits."""

    tenant: str = Field(description="its name")
    object: Literal["tenant"] = "tenant"
    queued: int = Field(description="queued jobs")
    running: int = Field(description="running jobs")
    kept: int = Field(description="jobs whose records are kept")
    keys: int = Field(description="keys that are not revoked")
    limits: TenantLimits = Field(description="its limits")


class TenantList(Page[TenantState]):
    """A page of the tenants that have a key or ever submitted a job, by name. `next` is the cursor of the next page."""


@router.get("/queue", summary="Read the queue as its operator", responses=answers(examples.OPERATED_QUEUE))
def read_operated_queue(_: Operating, service: Service) -> OperatedQueue:
    """The queued and running jobs by model and priority, and the sizes of other backlogs."""
    queue, backlogs = service.store.queue(), service.store.backlogs()
    used, limit = service.store.memory()
    kinds: dict[tuple[str, str], dict[str, int]] = {}
    for (status, model, priority), number in sorted(service.store.census().items()):
        kinds.setdefault((model, priority), {"queued": 0, "running": 0})[status] = max(0, number)
    return OperatedQueue(
        **asdict(queue),
        kinds=[
            KindCount(model=model, priority=priority, **n) for (model, priority), n in kinds.items() if any(n.values())
        ],
        dead_letters=int(backlogs["dead_letters"]),
        webhook_receivers_waiting=int(backlogs["webhook_receivers_waiting"]),
        redis_bytes=used,
        redis_limit_bytes=limit or None,
    )


@router.post("/queue/pause", summary="Pause the queue", responses=answers(examples.OPERATED_QUEUE | {"paused": True}))
def pause_queue(caller: Operating, service: Service) -> OperatedQueue:
    """Stop claiming jobs until the queue is resumed. Running jobs go on, and new jobs are accepted."""
    service.operator.pause()
    return read_operated_queue(caller, service)


@router.post("/queue/resume", summary="Resume the queue", responses=answers(examples.OPERATED_QUEUE))
def resume_queue(caller: Operating, service: Service) -> OperatedQueue:
    """Let workers claim jobs again."""
    service.operator.resume()
    service.wakeups.top_up_soon()
    return read_operated_queue(caller, service)


PRUNING = StrictBody(Pruning, example={"status": "succeeded", "older_than_seconds": 3600})


@router.post(
    "/queue/prune",
    summary="Remove ended jobs",
    openapi_extra=PRUNING.openapi,
    responses=answers({"removed": 120, "more": False}),
)
def prune_queue(_: Operating, service: Service, wanted: Annotated[Pruning, Depends(PRUNING)]) -> Pruned:
    """Remove ended jobs and their pictures before their retention ends, about 10,000 at most in one request."""
    removed, more = service.operator.prune(**dict(wanted))
    return Pruned(removed=removed, more=more)


WorkerName = Annotated[str, PathParameter(max_length=300, description="its name in `GET /v1/admin/workers`")]


@router.get("/workers", summary="List the workers", responses=answers(examples.list_of(examples.WORKER)))
def list_workers(_: Operating, service: Service) -> WorkerList:
    """All workers: their models, device, free memory and seconds for a step."""
    return WorkerList(data=[_worker(worker) for worker in service.operator.workers()])


@router.post(
    "/workers/{worker}/drain",
    summary="Drain a worker",
    responses=answers(examples.list_of(examples.WORKER | {"draining": True})),
)
def drain_worker(_: Operating, service: Service, worker: WorkerName) -> WorkerList:
    """Let a worker claim no more jobs. It finishes those that it holds. When it holds none it can be stopped."""
    return _drain(service, worker)


@router.delete(
    "/workers/{worker}/drain", summary="Let a worker claim again", responses=answers(examples.list_of(examples.WORKER))
)
def undrain_worker(_: Operating, service: Service, worker: WorkerName) -> WorkerList:
    """Let a drained worker claim jobs again."""
    return _drain(service, worker, undo=True)


def _drain(service: Services, worker: str, *, undo: bool = False) -> WorkerList:
    if not service.operator.drain(worker, undo=undo):
        raise NotFound("There is no worker of this name.")
    return WorkerList(data=[_worker(one) for one in service.operator.workers() if one.name == worker])


def _worker(worker: WorkerView) -> WorkerState:
    said = worker.about
    checkpoint, signer = said.get("checkpoint") or {}, said.get("signer") or {}
    return WorkerState(
        name=worker.name,
        alive=worker.alive,
        draining=worker.draining,
        holds=worker.holds,
        checkpoint=checkpoint.get("name"),
        revision=checkpoint.get("revision"),
        seen_at=moment_or_none(worker.seen_ms),
        started_at=moment_or_none(said.get("started_ms")),
        signer=signer.get("name"),
        signer_expires_at=moment_or_none(signer.get("expires_ms")),
        **{name: said.get(name) for name in ("slots", "device", "free_bytes", "step_seconds", "version")},
    )


@router.get("/broken-records", summary="List the incomplete records", responses=answers(examples.BROKEN_RECORDS))
def list_broken_records(
    _: Operating,
    service: Service,
    after: Annotated[str, Query(pattern=r"^\d{1,19}$", description="`next` of the page before")] = "0",
) -> BrokenRecordList:
    """Jobs whose records are incomplete, and their repairs. The keeper checks all records every ten minutes."""
    broken, cursor = service.operator.broken_records(int(after))
    return BrokenRecordList(
        data=[_broken(record) for record in broken], has_more=cursor > 0, next=str(cursor) if cursor else None
    )


def _broken(record: BrokenRecord) -> BrokenRecordView:
    wrong = [f"has no {name}" for name in record.absent if name not in ("error", "finished_ms", "expires_ms")]
    wrong += [f"has no number as {name}" for name in record.no_numbers]
    repairs = ["fills in what it lacks"] if record.absent else []
    repairs += [f"removes {', '.join(record.no_numbers)}"] if record.no_numbers else []
    ends = "status" in record.absent
    repair = "The keeper " + " and ".join([*repairs, "ends the job as failed"] if ends else repairs) if repairs else ""
    if record.unreadable:
        wrong.append(f"cannot be read: {record.unreadable}")
        repair = (
            "No worker can run the job; it is hidden until it is removed, which the keeper does when its time is over"
        )
    return BrokenRecordView(
        id=record.id, tenant=record.tenant, status=record.status, wrong="; ".join(wrong), repair=f"{repair}."
    )


@router.get(
    "/dead-letters",
    summary="List the dead letters",
    responses=answers(examples.list_of(examples.DEAD_LETTER, has_more=False, next=None)),
)
def list_dead_letters(
    _: Operating, service: Service, limit: PageSize = 100, after: PlaceInPages = None
) -> DeadLetterList:
    """The jobs of all tenants that failed through no fault of their client: by crashed workers, or a bug of ours."""
    page, following = service.operator.dead_letters(limit, after)
    return DeadLetterList(data=[_letter(job) for job in page], has_more=following is not None, next=following)


@router.get("/dead-letters/{job_id}", summary="Read a dead letter", responses=answers(examples.DEAD_LETTER))
def read_dead_letter(_: Operating, service: Service, job_id: JobId) -> DeadLetter:
    """One dead letter, with all attempts."""
    return _letter(_find(service, job_id))


@router.post(
    "/dead-letters/{job_id}/retry",
    summary="Run a dead letter again",
    status_code=202,
    responses=answers(examples.REDRIVEN, 202) | raises(TooManyJobs, QueueFull, StorageUnavailable, Conflict),
)
def retry_dead_letter(_: Operating, service: Service, job_id: JobId, response: Response) -> Redriven:
    """Run a dead letter again, as a new job of its tenant that names it as its parent. It stops being a dead letter."""
    job = _find(service, job_id)
    accepted = run_again(job, Caller(job.tenant, frozenset(), None), service)
    response.headers.update(accepted.headers)
    try:
        service.operator.forget_dead_letter(job.id)
    except Unavailable:  # the new job is accepted all the same
        log.warning("the dead letter %s runs again, but could not be removed", job.id)
    service.wakeups.top_up_soon()
    return Redriven(id=accepted.job.id, parent=job.id, tenant=job.tenant)


def _find(service: Services, job_id: str) -> Job:
    job = service.operator.dead_letter(job_id)
    if job is None:
        raise NotFound("There is no dead letter with this id.")
    return job


def _letter(job: Job) -> DeadLetter:
    return DeadLetter(
        id=job.id,
        tenant=job.tenant,
        model=job.model,
        params=dict(job.params),
        error=JobErrorView(**job.error) if job.error else None,
        attempts=[view_attempt(attempt) for attempt in job.attempts],
        created_at=moment_or_none(job.created_ms),
        finished_at=moment_or_none(job.finished_ms),
        expires_at=moment_or_none(job.expires_ms),
    )


@router.get(
    "/tenants",
    summary="List the tenants",
    responses=answers(examples.list_of(examples.TENANT, has_more=False, next=None)),
)
def list_tenants(
    _: Operating,
    service: Service,
    limit: PageSize = 100,
    after: Annotated[str | None, Query(pattern=f"^{TENANT}$", description="`next` of the page before")] = None,
) -> TenantList:
    """The tenants and their usage, page by page."""
    keys = service.api_keys.count_by_tenant()
    page, following = service.operator.tenants(limit, after, keys)
    tenants = [TenantState(**asdict(tenant), keys=keys[tenant.tenant]) for tenant in page]
    return TenantList(data=tenants, has_more=following is not None, next=following)


TenantName = Annotated[str, PathParameter(pattern=f"^{TENANT}$", description="its name")]


LIMITS = StrictBody(TenantLimits, example={"queued": 500, "running": 8})


@router.put(
    "/tenants/{tenant}/limits",
    summary="Limit a tenant",
    openapi_extra=LIMITS.openapi,
    responses=answers(examples.LIMITS),
)
def limit_tenant(
    _: Operating, service: Service, tenant: TenantName, limits: Annotated[TenantLimits, Depends(LIMITS)]
) -> TenantLimits:
    """Give a tenant other limits than the service's settings. A limit that is left out is that of the settings."""
    service.operator.limit(tenant, Allowed(**dict(limits)))
    return limits


@router.delete("/tenants/{tenant}/limits", summary="Remove a tenant's limits", status_code=204)
def unlimit_tenant(_: Operating, service: Service, tenant: TenantName) -> None:
    """Give a tenant the limits of the service's settings again."""
    service.operator.limit(tenant, Allowed())
