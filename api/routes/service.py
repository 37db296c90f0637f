"""The service itself: its models, its queue, its health."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import BaseModel, Field

from api import examples
from api.deps import Reader, Service
from api.metrics import scraped
from api.openapi import answers, raises
from api.views import CheckpointView, LimitsView, ModelListView, view_model
from jobs.api_keys import Scope
from jobs.errors import FieldError, Unavailable
from jobs.metrics import TenantMetrics

router = APIRouter()


class PromisesView(BaseModel):
    """How far the estimates that the last finished jobs got at acceptance were from the truth."""

    jobs: int = Field(description="the number of jobs behind these numbers")
    median_error_seconds: float = Field(description="the median error of the estimates")
    p90_error_seconds: float = Field(description="the 90th percentile of the errors")
    median_seconds: float = Field(description="the median time from submission to end")


class ModelQueueView(BaseModel):
    """The jobs of one model, and the workers and slots that serve it. These may serve other models too."""

    model: str = Field(description="the id of the model")
    queued: int = Field(description="queued jobs")
    running: int = Field(description="running jobs")
    edits: int = Field(description="queued and running edits; a job may have several")
    oldest_seconds: float = Field(description="seconds that the next job has waited")
    estimated_wait_seconds: int | None = Field(
        description="seconds until all queued jobs for the same workers are done, as estimated"
    )
    workers: int = Field(description="workers that serve the model now")
    slots: int = Field(description="the number of jobs that these can hold at a time")


class QueueState(BaseModel):
    """The queue now. Seconds are null if nothing was measured yet."""

    queued: int = Field(description="queued jobs")
    running: int = Field(description="running jobs")
    edits: int = Field(description="queued and running edits; a job may have several")
    oldest_seconds: float = Field(description="seconds that the next job has waited")
    estimated_wait_seconds: int | None = Field(description="seconds until all queued jobs are done, as estimated")
    workers: int = Field(description="the number of workers that are alive")
    slots: int = Field(description="the number of jobs that they can hold at a time")
    paused: bool = Field(description="whether an operator has stopped claims")
    promises: PromisesView | None = Field(description="the accuracy of the estimates")
    models: list[ModelQueueView] = Field(description="the queue of each model")


@router.get("/v1/models", summary="List the models", tags=["models"], responses=answers(examples.MODELS))
def list_models(_: Reader, service: Service) -> ModelListView:
    """The models with their parts, parameters, ranges and defaults, and the number of workers that serve each."""
    models, settings = service.models.now(), service.settings
    default = models.default
    return ModelListView(
        data=[view_model(model, is_default=name == default.id) for name, model in models.by_id.items()],
        checkpoint=CheckpointView(
            name=default.checkpoint, revision=default.revision, instructions=list(default.instructions)
        ),
        limits=LimitsView(
            upload_bytes=settings.max_upload_bytes,
            output_pixels=settings.output_pixels,
            retention_seconds=settings.retention_seconds,
        ),
    )


@router.get("/v1/queue", summary="Read the queue", tags=["queue"], responses=answers(examples.QUEUE))
def read_queue(_: Reader, service: Service) -> QueueState:
    """The length of the queue, and the estimated wait of a job that arrives now."""
    promises = service.store.eta_accuracy()
    told = PromisesView(**asdict(promises)) if promises else None
    queues = [asdict(one) for one in service.store.model_queues().values()]
    models = [ModelQueueView(**{name: one[name] for name in ModelQueueView.model_fields}) for one in queues]
    return QueueState(**asdict(service.store.queue()), promises=told, models=models)


class Scale(BaseModel):
    """What an autoscaler needs: the number of queued and running edits. A job may ask for several edits."""

    jobs: int = Field(description="queued and running edits")


@router.get(
    "/v1/queue/scale", summary="Read how many jobs need workers", tags=["queue"], responses=answers({"jobs": 5})
)
def read_scale(
    _: Reader, service: Service, model: Annotated[str | None, Query(description="count only this model's jobs")] = None
) -> Scale:
    """The number of queued and running edits, for an autoscaler."""
    if model is None:
        return Scale(jobs=service.store.queue().edits)
    found = service.store.model_queues().get(model)
    return Scale(jobs=found.edits if found else 0)


class NotReady(Unavailable):
    """Redis or S3 does not answer."""

    slug = "not-ready"
    title = "A part of the service is down"


@router.get("/healthz", summary="Ask whether the process answers", tags=["health"], responses=answers({"status": "ok"}))
async def is_alive() -> dict[str, str]:
    """This process answers."""
    return {"status": "ok"}


@router.get(
    "/readyz",
    summary="Ask whether jobs can be accepted",
    tags=["health"],
    response_class=JSONResponse,
    responses=answers({"status": "ready", "parts": {"redis": "ok", "s3": "ok"}}) | raises(NotReady),
)
def is_ready(service: Service) -> Response:
    """Whether jobs can be accepted, and if not, which part is down."""
    parts = {"redis": _ask(service.store.ping), "s3": _ask(service.pictures.ping)}
    down = {name: answer for name, answer in parts.items() if answer != "ok"}
    if not down:
        return JSONResponse({"status": "ready", "parts": parts})
    raise NotReady(" ".join(down.values()), *(FieldError(name, answer) for name, answer in down.items()), retry_after=2)


def _ask(ping: Callable[[], None]) -> str:
    try:
        ping()
    except Unavailable as error:
        return error.detail
    return "ok"


@router.get("/metrics", summary="Read Prometheus metrics", tags=["health"], response_class=Response)
def read_metrics(caller: Reader, request: Request, service: Service) -> Response:
    """Prometheus metrics: of the web tier and all jobs for a key with the scope `admin`, otherwise of your jobs."""
    if service.settings.auth == "off" or Scope.ADMIN in caller.scopes:
        registry = scraped(request.app.state.registry, service.store)
    else:
        registry = CollectorRegistry()
        registry.register(TenantMetrics(service.store, caller.tenant))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
