"""Jobs and models as clients see them."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from api.deps import Services
from jobs.job import Job, Picture, Status
from jobs.parameters import Kind
from jobs.served_models import ServedModel
from jobs.store.requests import QueuePosition

T = TypeVar("T")
Source = Literal["library", "ours"]


class Page(BaseModel, Generic[T]):
    """A page of a list."""

    object: Literal["list"] = "list"
    data: list[T] = Field(description="the entries of this page")
    has_more: bool = Field(description="whether another page follows")
    next: str | None = Field(description="the value of `after` for the next page; null: there is none")


class InputView(BaseModel):
    """The stored picture: upright, RGB, without metadata."""

    width: int = Field(description="pixels")
    height: int = Field(description="pixels")
    sha256: str = Field(description="SHA-256 of the PNG or JPEG file that is kept, in hexadecimal")


class OutputView(BaseModel):
    """The edited picture. `url` works without a key until `expires_at`."""

    url: str = Field(description="an address of the picture that needs no key")
    expires_at: datetime = Field(description="until when `url` works")
    content_type: str = Field(description="media type of the file")
    width: int = Field(description="pixels")
    height: int = Field(description="pixels")
    bytes: int = Field(description="size of the file")
    sha256: str = Field(description="SHA-256 of the file, in hexadecimal")


class EachOutputView(OutputView):
    """One output of a job: its seed, the parts of the receipt that are its own, and its permanent path."""

    seed: int = Field(description="the seed of this edit")
    path: str = Field(description="an address of the API that works as long as the job is kept")
    receipt: dict[str, Any] = Field(
        description="what may differ from output to output: `pixels_sha256`, `signed_by`, `dtype`"
    )


class RenderView(OutputView):
    """An output of the job in another strength. `output` is the number of the output, `path` its permanent path."""

    object: Literal["render"] = "render"
    output: int = Field(description="which of the job's outputs it was made from, counted from 0")
    strength: float = Field(description="from 0 (the photo) to 1 (the edit)")
    path: str = Field(description="an address of the API that works as long as the job is kept")
    receipt: dict[str, Any] = Field(description="the digest of its pixels, and who signed it")
    created_at: datetime = Field(description="when it was made")


class FramesView(BaseModel):
    """A sprite with the progress of the edit: a column for each of `steps`, predictions above noisy latents."""

    url: str = Field(description="the sprite, a JPEG")
    width: int = Field(description="pixels of the sprite")
    height: int = Field(description="pixels of the sprite")
    steps: list[int] = Field(description="the denoising step that each column shows")


class QueuePlace(BaseModel):
    """How many jobs are claimed before this one if nothing else arrives, and the seconds until it is done."""

    position: int = Field(description="its position; 1 is the next job")
    eta_seconds: int | None = Field(description="seconds until the job is over, as estimated; null: not known yet")


class ProgressView(BaseModel):
    """The number of finished and of all denoising steps."""

    step: int = Field(description="denoising steps that are done")
    steps: int = Field(description="denoising steps in all")
    fraction: float = Field(description="from 0 to 1")
    preview_url: str = Field(description="a preview of the picture")


class JobErrorView(BaseModel):
    """Why a job failed."""

    type: str = Field(description="a constant name for this kind of error")
    title: str = Field(description="a title, the same for all errors of this type")
    detail: str = Field(description="what went wrong this time")


class WarningView(BaseModel):
    """Why the picture may differ from the request. Some codes have more fields.

    `prompt-truncated`: the instruction was longer than the model reads. `detail` has the words that it did not read.
    `instruction-not-recognized`: the checkpoint cannot follow the instruction and left the photo unchanged. `nearest`
    has instructions that it can follow. Only checkpoints that list all their abilities give this warning.
    """

    model_config = ConfigDict(extra="allow")
    code: str = Field(description="a constant name for this kind of warning")
    detail: str = Field(description="an explanation for people")


class CancellationView(BaseModel):
    """The step at which a job stopped, and the milliseconds since it was asked to."""

    step: int = Field(description="denoising steps that were done")
    ms: int = Field(description="milliseconds from the request until the job stopped")


class AttemptView(BaseModel):
    """One worker's turn at the job."""

    number: int = Field(description="counted from 1")
    worker: str = Field(description="the name of the worker")
    started_at: datetime = Field(description="when the worker claimed the job")
    ended_at: datetime | None = Field(description="when it ended; null: it still runs")
    outcome: str | None = Field(
        description="how the attempt ended, such as `succeeded` or `crashed`; null: it still runs"
    )


class TimingView(BaseModel):
    """The duration of each part, in milliseconds."""

    queued_ms: int | None = Field(None, description="waiting for a worker")
    load_ms: int | None = Field(None, description="fetching and decoding the picture")
    run_ms: int | None = Field(None, description="the model's work")
    upload_ms: int | None = Field(None, description="storing the result")
    total_ms: int | None = Field(None, description="from the submission to the end")


class UrlsView(BaseModel):
    """Addresses for further requests."""

    self: str = Field(description="the job")
    events: str = Field(description="its events, as a stream")
    cancel: str = Field(description="POST here to cancel it")
    output: str = Field(description="the edited picture")


class JobView(BaseModel):
    """A job."""

    id: str = Field(description="26 letters and digits; ids sort by the time of their making")
    object: Literal["job"] = "job"
    status: Status = Field(description="the state of the job")
    status_text: str = Field(description="the state as a sentence")
    model: str = Field(description="the id of the model")
    params: dict[str, Any] = Field(description="the parameters of the model, with their defaults, and `format` and `n`")
    input: InputView = Field(description="the photo")
    output: OutputView | None = Field(
        description="the edited picture, or the first of several; null until the job has succeeded"
    )
    outputs: list[EachOutputView] = Field(description="all edited pictures, in the order of their seeds")
    renders: list[RenderView] = Field(description="the same edits in other strengths")
    frames: FramesView | None = Field(description="small pictures of the edit's steps")
    queue: QueuePlace | None = Field(description="the position in the queue; null once the job has started")
    progress: ProgressView | None = Field(description="null unless the job is running")
    error: JobErrorView | None = Field(description="null unless the job has failed")
    warnings: list[WarningView] = Field(description="reasons why the picture may differ from the request")
    cancellation: CancellationView | None = Field(description="null unless the job was canceled while it ran")
    attempts: list[AttemptView] = Field(description="the workers that had the job")
    timing: TimingView = Field(description="milliseconds of each phase")
    receipt: dict[str, Any] | None = Field(
        description="everything that the picture was made with; the same values make the same picture"
    )
    priority: str = Field(description="`low`, `normal` or `high`")
    deadline_seconds: int = Field(description="seconds after the submission; a job that is not over by then fails")
    metadata: dict[str, Any] = Field(description="your own metadata, as you sent it")
    parent: str | None = Field(description="the job that this one retries or edits again")
    urls: UrlsView = Field(description="addresses for further requests")
    created_at: datetime = Field(description="when it was accepted")
    started_at: datetime | None = Field(description="when a worker began, for the first time")
    finished_at: datetime | None = Field(description="when it was over")
    expires_at: datetime | None = Field(description="when its record and pictures are deleted")


class JobListView(Page[JobView]):
    """A page of jobs, newest first. `next` is the cursor of the next page."""


class ParameterView(BaseModel):
    """A parameter of a model: its range, choices or length, and its default (null: none, or drawn)."""

    name: str = Field(description="the name of the field in a submission")
    kind: Kind = Field(description="the type of its value")
    summary: str = Field(description="what it does")
    required: bool = Field(description="whether a submission must have it")
    minimum: int | float | None = Field(description="the least value, or the least length of a text")
    maximum: int | float | None = Field(description="the greatest value, or the greatest length of a text")
    choices: list[str] | None = Field(description="the values that it may have; null: any in its range")
    default: str | int | float | None = Field(description="the value if it is not sent")


class MadeOfView(BaseModel):
    """The implementation of each network: ours or the library's."""

    text_encoder: Source = Field(description="`ours`: written here; `library`: diffusers' or transformers'")
    vae: Source = Field(description="the autoencoder")
    unet: Source = Field(description="the denoising network")


class WeightsView(BaseModel):
    """The weights of one model."""

    name: str = Field(description="the checkpoint's own name")
    revision: str = Field(description="a text that changes with the weights")


class ModelView(BaseModel):
    """A model. `text_scale` is the fixed scale of a model that is guided by text alone.

    `workers` serve it now, since `served_since`. Without any, its jobs wait for one. `troubles` say why workers that
    should serve it cannot. `rivals` are other revisions that some workers serve under the same id.
    """

    id: str = Field(description="the value of `model` in a submission")
    object: Literal["model"] = "model"
    summary: str = Field(description="a description")
    made_of: MadeOfView = Field(description="the implementation of each network")
    sampler: str = Field(description="the sampler of its steps")
    guidance: Literal["three-way", "text"] = Field(description="`three-way`: by text and photo; `text`: only by text")
    text_scale: float | None = Field(description="the fixed scale of a model that is guided only by text")
    default: bool = Field(description="whether a submission without `model` gets this one")
    parameters: list[ParameterView] = Field(description="what a submission may set")
    parameters_schema: dict[str, Any] = Field(description="the parameters as JSON Schema")
    sizes: list[str] = Field(description="the sizes that it works at")
    abilities: dict[str, list[str]] = Field(
        description="by kind, an instruction for each thing that it can do; empty: the model does not declare them"
    )
    checkpoint: WeightsView = Field(description="its weights")
    owner: str = Field(description="the owner of the weights")
    license: str = Field(description="the license of the weights")
    workers: int = Field(description="how many workers serve it now; 0: its jobs wait for one")
    served_since: datetime | None = Field(description="when the first of these workers started")
    rivals: list[str] = Field(description="other revisions that some workers serve under the same id")
    troubles: list[str] = Field(description="why workers that should serve it cannot")


class CheckpointView(BaseModel):
    """The weights that the default model runs on, and instructions that it follows well."""

    name: str = Field(description="the checkpoint's own name")
    revision: str = Field(description="a text that changes with the weights")
    instructions: list[str] = Field(description="examples of what it does well")


class LimitsView(BaseModel):
    """The limits of every edit: the largest accepted picture, the largest output, and how long an edit is kept."""

    upload_bytes: int = Field(description="the largest picture that is accepted, in bytes")
    output_pixels: int = Field(description="the largest picture that is made, in pixels")
    retention_seconds: int = Field(description="how long a job is kept after its end")


class ModelListView(BaseModel):
    """The models, the checkpoint of the default model, and the limits of this service."""

    object: Literal["list"] = "list"
    data: list[ModelView] = Field(description="the models")
    checkpoint: CheckpointView = Field(description="the weights of the default model")
    limits: LimitsView = Field(description="the limits of this service")


OWN_RECEIPT = ("pixels_sha256", "signed_by", "dtype")  #: the parts of a receipt that may differ between outputs


def moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def moment_or_none(ms: int | None) -> datetime | None:
    return moment(ms) if ms else None


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
        created_at=moment(job.created_ms),
        started_at=moment_or_none(job.started_ms),
        finished_at=moment_or_none(job.finished_ms),
        expires_at=moment_or_none(job.expires_ms),
    )


def sentence(job: Job, service: Services) -> str:
    """The state of a job in words. For a queued job it tells whether any worker serves its model."""
    if job.status is Status.QUEUED and not service.models.is_served(job.model):
        return f"Accepted; no worker serves {job.model} now, so it waits for one until its deadline."
    if job.status is Status.RUNNING and job.phase == "loading":
        return f"A worker is loading {job.model}."
    return job.status.sentence


def view_jobs(jobs: Sequence[Job], service: Services) -> list[JobView]:
    """Jobs as their owner sees them, with the positions of queued jobs."""
    positions = service.store.queue_positions(jobs)
    return [view_job(job, positions.get(job.id), service) for job in jobs]


def links_end(service: Services) -> int:
    """When the links in a job's view expire, in seconds since 1970.

    The time changes in steps, because it is part of a job's ETag, which then stays the same for a step. A link works
    for at least half of the usual time.
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
    """The file name of a downloaded picture."""
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
        created_at=moment(render.created_ms),
    )


def _linked(job: Job, picture: Picture, service: Services) -> dict[str, Any]:
    """The facts of a picture, and a link to it that works until `links_end`."""
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
        started_at=moment(attempt["started_ms"]),
        ended_at=moment_or_none(attempt.get("ended_ms")),
        outcome=attempt.get("outcome"),
    )


def _view_timing(job: Job) -> TimingView:
    return TimingView(
        queued_ms=job.started_ms - job.created_ms if job.started_ms else None,
        total_ms=job.finished_ms - job.created_ms if job.finished_ms else None,
        **job.timing,
    )


def view_model(model: ServedModel, *, is_default: bool) -> ModelView:
    """A model as its workers publish it. Parts that its editor does not describe are the library's."""
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
        abilities={kind: list(examples) for kind, examples in one.abilities.items()},
        checkpoint=WeightsView(name=one.checkpoint, revision=one.revision),
        owner=one.owner,
        license=one.license,
        workers=model.workers,
        served_since=moment_or_none(model.since_ms),
        rivals=list(model.rivals),
        troubles=list(model.troubles),
    )
