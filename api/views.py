"""Jobs and models as clients see them."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.deps import Services
from jobs.job import Job, Picture, Status
from jobs.parameters import Kind
from jobs.served_models import ServedModel
from jobs.store.requests import QueuePosition

Source = Literal["library", "ours"]


class InputView(BaseModel):
    """The picture as it is kept: upright, RGB, without metadata."""

    width: int
    height: int
    sha256: str


class OutputView(BaseModel):
    """The edited picture; `url` works without a key until `expires_at`."""

    url: str
    expires_at: datetime
    content_type: str
    width: int
    height: int
    bytes: int
    sha256: str


class EachOutputView(OutputView):
    """One of a job's outputs: its seed, what it was computed with where that is its own, and where it always is."""

    seed: int
    path: str
    receipt: dict[str, Any]


class RenderView(OutputView):
    """An output of the job in another strength; `output` says which one, and `path` is where it always is."""

    object: Literal["render"] = "render"
    output: int
    strength: float
    path: str
    receipt: dict[str, Any]
    created_at: datetime


class FramesView(BaseModel):
    """A sprite of the edit's way: a column for each of `steps`, predictions above, noisy latents below."""

    url: str
    width: int
    height: int
    steps: list[int]


class QueuePlace(BaseModel):
    """How many jobs are claimed before this one if nothing else arrives, and the seconds until it is done."""

    position: int
    eta_seconds: int | None


class ProgressView(BaseModel):
    """Denoising steps done and in all."""

    step: int
    steps: int
    fraction: float
    preview_url: str


class JobErrorView(BaseModel):
    """Why a job failed."""

    type: str
    title: str
    detail: str


class WarningView(BaseModel):
    """Why the picture may not be quite what was asked for; some codes come with more than this.

    `prompt-truncated`: the instruction was longer than the model reads; `detail` has the words that it did not read.
    """

    model_config = ConfigDict(extra="allow")
    code: str
    detail: str


class CancellationView(BaseModel):
    """The step at which a job stopped, and the milliseconds since it was asked to."""

    step: int
    ms: int


class AttemptView(BaseModel):
    """One worker's turn at the job."""

    number: int
    worker: str
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None


class TimingView(BaseModel):
    """Where the time went, in milliseconds."""

    queued_ms: int | None = None
    load_ms: int | None = None
    run_ms: int | None = None
    upload_ms: int | None = None
    total_ms: int | None = None


class UrlsView(BaseModel):
    """Where to go on from here."""

    self: str
    events: str
    cancel: str
    output: str


class JobView(BaseModel):
    """A job."""

    id: str
    object: Literal["job"] = "job"
    status: Status
    status_text: str
    model: str
    params: dict[str, Any]
    input: InputView
    output: OutputView | None
    outputs: list[EachOutputView]
    renders: list[RenderView]
    frames: FramesView | None
    queue: QueuePlace | None
    progress: ProgressView | None
    error: JobErrorView | None
    warnings: list[WarningView]
    cancellation: CancellationView | None
    attempts: list[AttemptView]
    timing: TimingView
    receipt: dict[str, Any] | None
    priority: str
    deadline_seconds: int
    metadata: dict[str, Any]
    parent: str | None
    urls: UrlsView
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None


class JobListView(BaseModel):
    """A page of jobs, newest first; `next` is the cursor of the next page."""

    object: Literal["list"] = "list"
    data: list[JobView]
    has_more: bool
    next: str | None


class ParameterView(BaseModel):
    """A parameter of a model: its range, choices or length, and its default (null: none, or drawn)."""

    name: str
    kind: Kind
    summary: str
    required: bool
    minimum: int | float | None
    maximum: int | float | None
    choices: list[str] | None
    default: str | int | float | None


class MadeOfView(BaseModel):
    """Whose implementation each network is."""

    text_encoder: Source
    vae: Source
    unet: Source


class WeightsView(BaseModel):
    """The weights of one model."""

    name: str
    revision: str


class ModelView(BaseModel):
    """A model; `text_scale` is the fixed scale of one that is guided by text alone.

    `workers` serve it now, since `served_since`; where there are none, its jobs wait for one. `troubles` say why
    workers that should serve it cannot. `rivals` are other revisions that some workers serve under the same id.
    """

    id: str
    object: Literal["model"] = "model"
    summary: str
    made_of: MadeOfView
    sampler: str
    guidance: Literal["three-way", "text"]
    text_scale: float | None
    default: bool
    parameters: list[ParameterView]
    parameters_schema: dict[str, Any] = Field(description="the parameters as JSON Schema")
    sizes: list[str]
    checkpoint: WeightsView
    owner: str
    license: str
    workers: int
    served_since: datetime | None
    rivals: list[str]
    troubles: list[str]


class CheckpointView(BaseModel):
    """The weights that the default model runs on, and instructions that it follows well."""

    name: str
    revision: str
    instructions: list[str]


class LimitsView(BaseModel):
    """What holds for every edit: the largest picture taken, the largest made, and how long an ended edit is kept."""

    upload_bytes: int
    output_pixels: int
    retention_seconds: int


class ModelListView(BaseModel):
    """The models, the checkpoint of the default one, and what this service takes and keeps."""

    object: Literal["list"] = "list"
    data: list[ModelView]
    checkpoint: CheckpointView
    limits: LimitsView


OWN_RECEIPT = ("pixels_sha256", "signed_by", "dtype")  #: of a receipt, what may differ from output to output


def moment(ms: int | None) -> datetime | None:
    return datetime.fromtimestamp(ms / 1000, UTC) if ms else None


def view_job(job: Job, position: QueuePosition | None, service: Services) -> JobView:
    """A job as its owner sees it."""
    base = f"/v1/jobs/{job.id}"
    progress = None
    if job.step and job.steps and job.status in (Status.RUNNING, Status.CANCELING):
        progress = ProgressView(
            step=job.step, steps=job.steps, fraction=round(job.step / job.steps, 4), preview_url=f"{base}/preview"
        )
    return JobView(
        id=job.id,
        status=job.status,
        status_text=sentence(job, service),
        model=job.model,
        params={**job.params, "format": job.format, "n": job.n},
        input=InputView(width=job.input.width, height=job.input.height, sha256=job.input.sha256),
        output=OutputView(**_linked(job, job.output, service)) if job.output else None,
        outputs=[_view_each(job, place, service) for place in range(len(job.outputs))],
        renders=[view_render(job, place, service) for place in range(len(job.renders))],
        frames=_view_frames(job),
        queue=QueuePlace(position=position.position, eta_seconds=position.eta_seconds) if position else None,
        progress=progress,
        error=JobErrorView(**job.error) if job.error else None,
        warnings=[WarningView(**warning) for warning in job.warnings],
        cancellation=CancellationView(**job.cancellation) if job.cancellation else None,
        attempts=[view_attempt(attempt) for attempt in job.attempts],
        timing=_view_timing(job),
        receipt=dict(job.receipt) if job.receipt else None,
        priority=job.priority,
        deadline_seconds=job.deadline_seconds,
        metadata=dict(job.metadata),
        parent=job.parent,
        urls=UrlsView(self=base, events=f"{base}/events", cancel=f"{base}/cancel", output=f"{base}/output"),
        created_at=datetime.fromtimestamp(job.created_ms / 1000, UTC),
        started_at=moment(job.started_ms),
        finished_at=moment(job.finished_ms),
        expires_at=moment(job.expires_ms),
    )


def sentence(job: Job, service: Services) -> str:
    """The job's state in words, and of one that waits whether there is any worker for it."""
    if job.status is Status.QUEUED and not service.models.is_served(job.model):
        return f"Accepted; no worker serves {job.model} now, so it waits for one until its deadline."
    if job.status is Status.RUNNING and job.phase == "loading":
        return f"A worker is loading {job.model}."
    return job.status.sentence


def view_jobs(jobs: Sequence[Job], service: Services) -> list[JobView]:
    """Jobs as their owner sees them, with the places of those that wait."""
    positions = service.store.queue_positions(jobs)
    return [view_job(job, positions.get(job.id), service) for job in jobs]


def links_end(service: Services) -> int:
    """When the links in a job's view end, in seconds since 1970.

    The moment moves on in steps, so that a job's ETag, which has it, holds for a step. A link works for half of the
    usual time at least.
    """
    step = max(1, service.settings.presign_seconds // 2)
    return (int(time.time()) // step + 2) * step


def picture_link(job: Job, picture: Picture, service: Services, seconds: int | None = None) -> str:
    """A short-lived address of one of the job's pictures."""
    return service.pictures.link(
        picture.key,
        filename=file_name(job, picture),
        content_type=picture.content_type,
        seconds=seconds or service.settings.presign_seconds,
    )


def file_name(job: Job, picture: Picture) -> str:
    """What a downloaded picture is called."""
    return f"{job.id}-{picture.key.rsplit('/', 1)[1]}"


def _view_each(job: Job, place: int, service: Services) -> EachOutputView:
    output = job.outputs[place]
    receipt = {name: output.receipt[name] for name in OWN_RECEIPT if name in output.receipt}
    path = f"/v1/jobs/{job.id}/outputs/{place}"
    return EachOutputView(**_linked(job, output.picture, service), seed=output.seed, path=path, receipt=receipt)


def view_render(job: Job, place: int, service: Services) -> RenderView:
    """The render at this place in the job's list."""
    render = job.renders[place]
    return RenderView(
        **_linked(job, render.picture, service),
        output=render.output,
        strength=render.strength,
        path=f"/v1/jobs/{job.id}/renders/{place}",
        receipt=dict(render.receipt),
        created_at=datetime.fromtimestamp(render.created_ms / 1000, UTC),
    )


def _linked(job: Job, picture: Picture, service: Services) -> dict[str, Any]:
    """A picture's facts, and a link that works until the end that the job's ETag goes with."""
    ends = links_end(service)
    return {
        "url": picture_link(job, picture, service, ends - int(time.time())),
        "expires_at": datetime.fromtimestamp(ends, UTC),
        "content_type": picture.content_type,
        "width": picture.width,
        "height": picture.height,
        "bytes": picture.bytes,
        "sha256": picture.sha256,
    }


def _view_frames(job: Job) -> FramesView | None:
    if not job.frames:
        return None
    sprite, steps = job.frames.sprite, list(job.frames.steps)
    return FramesView(url=f"/v1/jobs/{job.id}/steps", width=sprite.width, height=sprite.height, steps=steps)


def view_attempt(attempt: Any) -> AttemptView:
    return AttemptView(
        number=attempt["number"],
        worker=attempt["worker"],
        started_at=datetime.fromtimestamp(attempt["started_ms"] / 1000, UTC),
        ended_at=moment(attempt.get("ended_ms")),
        outcome=attempt.get("outcome"),
    )


def _view_timing(job: Job) -> TimingView:
    return TimingView(
        queued_ms=job.started_ms - job.created_ms if job.started_ms else None,
        total_ms=job.finished_ms - job.created_ms if job.finished_ms else None,
        **job.timing,
    )


def view_model(model: ServedModel, *, is_default: bool) -> ModelView:
    """A model as its workers publish it. What its editor does not tell is the library's."""
    one, facts = model.definition, model.definition.facts
    made_of = dict.fromkeys(MadeOfView.model_fields, "library") | dict(facts.get("made_of") or {})
    by_picture = any("image" in parameter.name for parameter in one.parameters)
    return ModelView(
        id=one.id,
        summary=one.summary,
        made_of=MadeOfView.model_validate(made_of),
        sampler=str(facts.get("sampler") or "the library's"),
        guidance=facts.get("guidance") or ("three-way" if by_picture else "text"),
        text_scale=facts.get("text_scale"),
        default=is_default,
        parameters=[ParameterView(**asdict(parameter)) for parameter in one.parameters],
        parameters_schema=one.schema(),
        sizes=list(one.sizes),
        checkpoint=WeightsView(name=one.checkpoint, revision=one.revision),
        owner=one.owner,
        license=one.license,
        workers=model.workers,
        served_since=moment(model.since_ms),
        rivals=list(model.rivals),
        troubles=list(model.troubles),
    )
