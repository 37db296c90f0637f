"""Runs one job, from the queue to its end. Knows nothing of Celery."""

import inspect
import io
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from threading import BoundedSemaphore
from typing import Any, TypeVar
from uuid import uuid4

from PIL import Image

from jobs import logs, traces
from jobs.errors import JobError, RecordsUnavailable, Unavailable, internal_error, missing_input, unusable_input
from jobs.job import Frames, Job, Output
from jobs.models import Definition
from jobs.pictures import NoSuchPicture, PictureStore
from jobs.provenance import InputCredentials
from jobs.retries import full_jitter
from jobs.store import JobStore
from pipeline.blending import blend
from pipeline.errors import DeviceLost, NotFinite, OutOfMemory, PipelineError
from pipeline.notes import Notes
from worker.credentials import Edit, NotSigned, OutputSigner
from worker.editors.editor import Editor
from worker.encoding import encode, pixels_in
from worker.leases import EXIT_NOT_LOADED, EXIT_STUCK, Canceled, Drained, Lease, Leases, Lost
from worker.loaded_models import LoadedModels, NotLoaded
from worker.photo_memory import Room
from worker.photos import decoded
from worker.variations import OnStep, edit_all

log = logging.getLogger(__name__)

T = TypeVar("T")


LOADING_SECONDS = 900.0  #: loading a model may take this long
SIGNING_SECONDS = 180.0  #: signing an output may take this long; a time-stamp authority that hangs takes 30 of them
ENCODING = BoundedSemaphore(2)  #: pictures blended and encoded at a time; each takes copies in memory
MAX_BACKOFF_SECONDS = 60.0  #: longest wait before a released job may be claimed again


@dataclass(frozen=True)
class WorkerContext:
    """What a worker needs to run jobs: records, pictures, leases, and an editor for each model."""

    store: JobStore
    pictures: PictureStore
    leases: Leases
    editors: Mapping[str, Editor]
    lease_seconds: int
    slots: int = 1
    max_crashes: int = 3
    max_running: int = 1000
    signer: OutputSigner | None = None  #: signs outputs; None: outputs are not signed
    must_sign: bool = False  #: a job fails if its output cannot be signed
    several: LoadedModels | None = None  #: replaces `editors` where models are loaded on demand
    definitions: Sequence[Definition] = ()  #: the models that this worker serves, as it publishes them
    started_ms: int = 0
    room: Room = field(default_factory=Room)  #: for the decoded photos of the jobs that this worker holds

    @property
    def models(self) -> list[str]:
        """The models whose jobs are claimed. An empty list means the six built-in models."""
        return [one.id for one in self.served]

    @property
    def served(self) -> list[Definition]:
        """The definitions of the served models, without those that could not be loaded."""
        troubles = self.several.troubles if self.several else {}
        return [one for one in self.definitions if one.id not in troubles]

    def claim(self, token: str) -> Job | None:
        """Claim the next job for this worker. The same token gets the same job again."""
        return self.store.claim(
            self.leases.worker,
            lease_seconds=self.lease_seconds,
            token=token,
            slots=self.slots,
            max_crashes=self.max_crashes,
            max_running=self.max_running,
            models=self.models,
        )


def run_next(context: WorkerContext, on_claim: Callable[[], object] = lambda: None) -> bool:
    """Claim the next job and run it to its end. Returns False when there was none.

    `on_claim` is called once the job is claimed, before it runs.
    """
    with ExitStack() as stack:
        with context.leases.claiming() as began:
            job = claim(context) if began else None
            if began is None or job is None:
                return False
            lease = stack.enter_context(context.leases.holding(job, began))
        stack.enter_context(logs.about(job_id=job.id, tenant=job.tenant, request_id=job.request_id))
        stack.enter_context(traces.span("job", job.traceparent, job_id=job.id, attempt=len(job.attempts)))
        on_claim()
        log.info("job %s claimed (attempt %s)", job.id, len(job.attempts))
        try:
            with context.room.taken(job.input.width * job.input.height, lease.wait_for_others):
                result = edit_job(context, lease)
        except Canceled:
            retry_until_answered(lambda: context.store.canceled(job, lease.step), seconds=context.lease_seconds)
        except Lost:
            log.warning("job %s: another attempt has it; stopped at step %s", job.id, lease.step)
        except Drained:
            retry_until_answered(lambda: context.store.release(job, "drained"), seconds=5)
        except Unavailable as trouble:
            log.warning("job %s given back: %s", job.id, trouble)
            release(context, job, "storage-trouble", len(job.attempts))
        except NoSuchPicture:
            fail(context, job, missing_input())
        except Exception as error:
            handle_error(context, job, error)
        else:
            succeed(context, lease, result)
    return True


def handle_error(context: WorkerContext, job: Job, error: Exception) -> None:
    """Fail the job when repeating it is useless; otherwise release it for another attempt."""
    match error:
        case PipelineError() if error.field != "checkpoint":  # the client can correct the request
            fail(context, job, unusable_input(str(error)))
            return
        case OutOfMemory():
            log.error("job %s: %s", job.id, error)
            release_after_fault(context, job, "out-of-memory")
            return
    log.error("job %s raised an error", job.id, exc_info=error)
    match error:
        case DeviceLost():
            release_after_fault(context, job, "device-lost")
            context.leases.exit_process(EXIT_STUCK, "device-lost")
        case NotLoaded():
            release(context, job, "model-not-loaded", len(job.attempts))
            if not context.several or not context.served:
                context.leases.exit_process(EXIT_NOT_LOADED, "model-not-loaded")
        case NotSigned():
            release_after_fault(context, job, "not-signed")
        case NotFinite():
            fail(context, job, not_finite_error())
        case _:  # a bug
            fail(context, job, internal_error())


def claim(context: WorkerContext) -> Job | None:
    """Claim the next job. If the storage is unreachable this raises first, because no input could be fetched.

    Raises:
        Unavailable
    """
    if context.pictures.failing:
        context.pictures.ping()
    token = uuid4().hex
    return retry_until_answered(lambda: context.claim(token), seconds=5)


@dataclass(frozen=True)
class Result:
    """The stored outputs of a job and what its receipt says. Times are milliseconds."""

    outputs: Sequence[Output]
    frames: Frames | None
    timing: Mapping[str, int]
    notes: Notes
    computed: Mapping[str, Any]  #: the editor's receipt


@dataclass(frozen=True)
class Edited:
    """One finished edit as a file. `whole` is the file of the edit at strength 1, if the strength is another."""

    seed: int
    data: bytes
    content_type: str
    size: tuple[int, int]
    pixels_sha256: str
    whole: bytes | None
    notes: Notes


def edit_job(context: WorkerContext, lease: Lease) -> Result:
    """Fetch the job's picture, make its edits, and store the results under the job's fence."""
    job = lease.job
    began = time.monotonic()
    with traces.span("fetch"):
        fetched = context.pictures.read_picture(job.input)
        photo = decoded(fetched, job.input)
        mask = (
            Image.open(io.BytesIO(context.pictures.read(job.mask)), formats=["PNG"]).convert("L") if job.mask else None
        )
    with using(context, lease) as editor:
        lease.enter_phase(engine=True)
        loaded = time.monotonic()
        retry_until_answered(lambda: context.leases.verify(lease), seconds=context.lease_seconds)
        with traces.span("edit", model=job.model, steps=job.params.get("steps", 0)):
            edits = edit_all(lease, partial(make_edit, editor, job, photo, mask, lease.wants))
        computed = editor.receipt()
    ran = time.monotonic()
    with traces.span("store"):
        outputs = [store_edit(context, lease, number, edit, fetched, computed) for number, edit in enumerate(edits)]
        frames = store_frames(context, lease)
    stored = time.monotonic()
    spans = {"load_ms": loaded - began, "run_ms": ran - loaded, "upload_ms": stored - ran}
    timing = {name: round(seconds * 1000) for name, seconds in spans.items()}
    return Result(outputs, frames, timing, Notes.of_all([edit.notes for edit in edits]), computed)


def make_edit(
    editor: Editor,
    job: Job,
    photo: Image.Image,
    mask: Image.Image | None,
    wants: Callable[[int, int], bool],
    number: int,
    on_step: OnStep,
    check: Callable[[], None],
) -> Edited:
    """Make one of the job's edits. Only the encoded file is kept, because it is small compared with the pixels."""
    notes, params = Notes(), {**job.params, "seed": job.params["seed"] + number}
    strength, prompt = params.pop("strength", 1.0), params.pop("prompt")
    wanted = inspect.signature(editor.edit).parameters
    asked: dict[str, Any] = {"on_wait": check, "notes": notes} | ({} if number else {"wants": wants})
    params |= {name: given for name, given in asked.items() if name in wanted}
    edited = editor.edit(photo, prompt, on_step=on_step, priority=job.priority.value, **params)
    with ENCODING:
        upright = photo if photo.mode == "RGB" else photo.convert("RGB")
        whole = blend(upright, edited, mask=mask)
        edited = blend(upright, whole, strength)
        data, content_type = encode(edited, job.format)
        pixels = pixels_in(edited, data, job.format)
        kept = encode(whole, job.format)[0] if strength != 1 else None
    return Edited(params["seed"], data, content_type, edited.size, pixels, kept, notes)


def store_edit(
    context: WorkerContext, lease: Lease, number: int, edit: Edited, photo: bytes, computed: Mapping[str, Any]
) -> Output:
    """Sign one of the job's edits and store it. The first is named `output`, the others `output-1`, `output-2`, ...

    Raises:
        NotSigned, StorageUnavailable, Stopped
    """
    job, pictures = lease.job, context.pictures
    lease.enter_phase(patience=SIGNING_SECONDS)
    told = edit_of(context, job, photo, computed, seed=edit.seed, strength=job.params.get("strength", 1.0))
    data, signed_by = sign(context, edit.data, edit.content_type, told, edit.notes)
    lease.enter_phase()
    suffix = f"-{number}" if number else ""
    picture = pictures.put_result(job, data, edit.content_type, edit.size, "output" + suffix)
    whole = edit.whole and pictures.put_result(job, edit.whole, edit.content_type, edit.size, "whole" + suffix)
    receipt = {**edit.notes.receipt, "pixels_sha256": edit.pixels_sha256, "signed_by": signed_by}
    return Output(picture, edit.seed, receipt, whole or None)


def edit_of(
    context: WorkerContext, job: Job, photo: bytes, computed: Mapping[str, Any], *, seed: int, strength: float
) -> Edit:
    """What the content credentials of an output say; `computed` is the receipt of what computed it."""
    return Edit(
        job=job.id,
        model=job.model,
        checkpoint=f"{computed.get('checkpoint')} {computed.get('revision', '')}".rstrip(),
        seed=seed,
        prompt=job.params["prompt"],
        photo=photo,
        photo_type=job.input.content_type,
        photo_sha256=job.input.sha256,
        credentials=input_credentials(context, job) if context.signer else None,
        strength=strength,
    )


def sign(context: WorkerContext, data: bytes, content_type: str, edit: Edit, notes: Notes) -> tuple[bytes, str | None]:
    """Sign the output. Returns it and the name of the signer; without a signer it is unchanged and the name is None.

    Raises:
        NotSigned: signing failed, and an unsigned output is not allowed.
    """
    if context.signer is None:
        return data, None
    try:
        return context.signer.sign(data, content_type, edit), context.signer.issuer
    except NotSigned as error:
        if context.must_sign:
            raise
        log.error("job %s: its output is not signed: %s", edit.job, error)
        notes.warn("not-signed", "The picture carries no content credentials: it could not be signed.")
        return data, None


def input_credentials(context: WorkerContext, job: Job) -> InputCredentials | None:
    """The content credentials that the job's input had, or None."""
    if job.credentials is None:
        return None
    try:
        return InputCredentials.from_bytes(context.pictures.read(job.credentials))
    except (NoSuchPicture, ValueError, KeyError, TypeError) as error:
        log.warning("job %s: the credentials of its input are gone: %r", job.id, error)
        return None


@contextmanager
def using(context: WorkerContext, lease: Lease) -> Iterator[Editor]:
    """The editor of the job's model. The model is loaded first if necessary, and stays loaded until the end.

    Raises:
        NotLoaded: the model cannot be served, whatever the job asks for.
        Stopped
    """
    model, several = lease.job.model, context.several
    lease.enter_phase(patience=LOADING_SECONDS)
    if several is None:
        yield editor_for(context.editors, model)
        return

    def wait() -> None:
        lease.is_loading = True
        lease.wait_for_others()

    def load() -> None:
        lease.is_loading = True
        lease.enter_phase(patience=LOADING_SECONDS)
        with suppress(Unavailable):
            context.leases.renew([lease])  # so that the keeper knows of it even if loading kills the process at once

    with several.using(model, wait, load) as editor:
        lease.is_loading = False
        yield editor


def editor_for(editors: Mapping[str, Editor], model: str) -> Editor:
    """The model's editor, which is loaded on its first use.

    Raises:
        NotLoaded: the checkpoint cannot serve this model, whatever the job asks for.
    """
    try:
        return editors[model]
    except KeyError:  # a model that this worker does not serve
        raise
    except Exception as error:
        raise NotLoaded(model) from error


def store_frames(context: WorkerContext, lease: Lease) -> Frames | None:
    """Store the sprite of intermediate pictures. None: the engine reported no step."""
    kept = lease.frames
    return Frames(context.pictures.put_sprite(lease.job, *kept.sprite()), tuple(kept.steps)) if kept.steps else None


def succeed(context: WorkerContext, lease: Lease, result: Result) -> None:
    job, notes = lease.job, result.notes
    output = result.outputs[0]
    receipt = {"seed": output.seed, **result.computed, **output.receipt}
    if notes.warnings:
        receipt["warnings"] = notes.warnings
    answer = retry_until_answered(
        lambda: context.store.finish(
            job, output.picture, result.timing, receipt, result.frames, notes.warnings, result.outputs
        ),
        seconds=context.lease_seconds,
    )
    if answer == "canceling":
        retry_until_answered(lambda: context.store.canceled(job, lease.step), seconds=context.lease_seconds)
    log.info("job %s %s in %s ms", job.id, answer, result.timing["run_ms"])


def fail(context: WorkerContext, job: Job, error: JobError) -> None:
    retry_until_answered(lambda: context.store.fail(job, error), seconds=context.lease_seconds)
    log.info("job %s failed: %s", job.id, error.type)


def release_after_fault(context: WorkerContext, job: Job, reason: str) -> None:
    """Release a job after a server fault. It fails instead if `max_crashes` of its attempts had the same fault."""
    met = 1 + sum(attempt.get("outcome") == reason for attempt in job.attempts)
    if met >= context.max_crashes:
        fail(context, job, internal_error())
        return
    release(context, job, reason, met)


def release(context: WorkerContext, job: Job, reason: str, tries: int) -> None:
    """Release a job without counting a crash. The wait before its next attempt grows with its tries."""
    wait = full_jitter(tries, base=1.0, cap=MAX_BACKOFF_SECONDS)
    retry_until_answered(lambda: context.store.release(job, reason, wait_seconds=wait), seconds=context.lease_seconds)


def not_finite_error() -> JobError:
    detail = "The network produced values that are not finite instead of a picture. The request is not the cause."
    return replace(internal_error(), detail=detail)


def retry_until_answered(call: Callable[[], T], *, seconds: float) -> T:
    """Repeat a call, which must be safe to repeat, until Redis answers or `seconds` have passed.

    Raises:
        RecordsUnavailable: Redis did not answer. The keeper takes the job back when its lease runs out.
    """
    gives_up = time.monotonic() + seconds
    tries = 0
    while True:
        try:
            return call()
        except RecordsUnavailable:
            if time.monotonic() > gives_up:
                raise
            time.sleep(full_jitter(tries, base=0.2, cap=2.0))
            tries += 1
