"""The story of one job, from the queue to its end. Knows nothing of Celery."""

import inspect
import io
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from uuid import uuid4

from PIL import Image

from jobs import logs, traces
from jobs.errors import JobError, RecordsUnavailable, Unavailable, internal_error, missing_input, unusable_input
from jobs.job import Frames, Job, Picture
from jobs.pictures import NoSuchPicture, PictureStore
from jobs.provenance import InputCredentials, pixels_sha256
from jobs.retries import full_jitter
from jobs.store import JobStore
from pipeline.blending import blend
from pipeline.errors import DeviceLost, NotFinite, OutOfMemory, PipelineError
from pipeline.notes import Notes
from worker.credentials import Edit, NotSigned, OutputSigner
from worker.editors.editor import Editor
from worker.hands import STUCK, UNFIT, Canceled, Drained, Hands, Held, Lost

log = logging.getLogger(__name__)

T = TypeVar("T")


class NotLoaded(Exception):
    """A model could not be made from the checkpoint."""


LOADING_PATIENCE = 900.0  #: seconds that loading a model may take
SIGNING_PATIENCE = 180.0  #: and signing an output: a time-stamp authority that hangs is given up after 30
LARGE = 2_000_000  #: pixels of a picture that is packed quickly rather than tightly
LONGEST_WAIT = 60.0  #: seconds before a job that met trouble is tried again, at most


@dataclass(frozen=True)
class Desk:
    """What a worker works with: the records, the pictures, its hands, an editor for each model."""

    store: JobStore
    pictures: PictureStore
    hands: Hands
    editors: Mapping[str, Editor]
    lease_seconds: int
    slots: int = 1
    max_crashes: int = 3
    max_running: int = 1000
    signer: OutputSigner | None = None  #: of outputs; None: they leave unsigned
    must_sign: bool = False  #: whether a job rather fails than leaves an output unsigned

    def claim(self, token: str) -> Job | None:
        """The next job for this worker; the same one for the same token."""
        return self.store.claim(
            self.hands.worker,
            lease_seconds=self.lease_seconds,
            token=token,
            slots=self.slots,
            max_crashes=self.max_crashes,
            max_running=self.max_running,
        )


def run_next(desk: Desk, on_claim: Callable[[], object] = lambda: None) -> bool:
    """Carry the next job from queued to its end; `on_claim` is called when there is one. False: there was none."""
    with ExitStack() as stack:
        with desk.hands.claiming() as began:
            job = claim(desk) if began else None
            if began is None or job is None:
                return False
            held = stack.enter_context(desk.hands.holding(job, began))
        stack.enter_context(logs.about(job_id=job.id, tenant=job.tenant, request_id=job.request_id))
        stack.enter_context(traces.span("job", job.traceparent, job_id=job.id, attempt=len(job.attempts)))
        on_claim()
        log.info("job %s claimed (attempt %s)", job.id, len(job.attempts))
        try:
            result = edit_job(desk, held)
        except Canceled:
            insist(lambda: desk.store.canceled(job, held.step), seconds=desk.lease_seconds)
        except Lost:
            log.warning("job %s is no longer ours; dropped at step %s", job.id, held.step)
        except Drained:
            insist(lambda: desk.store.release(job, "drained"), seconds=5)
        except Unavailable as trouble:
            log.warning("job %s given back: %s", job.id, trouble)
            release(desk, job, "storage-trouble", len(job.attempts))
        except NoSuchPicture:
            end_badly(desk, job, missing_input())
        except Exception as error:
            meet(desk, job, error)
        else:
            end_well(desk, held, result)
    return True


def meet(desk: Desk, job: Job, error: Exception) -> None:
    """End a job that the client can mend, or that we can; give back one that another attempt may make."""
    match error:
        case PipelineError() if error.field != "checkpoint":  # the user can mend this
            end_badly(desk, job, unusable_input(str(error)))
            return
        case OutOfMemory():
            log.error("job %s: %s", job.id, error)
            give_back(desk, job, "out-of-memory")
            return
    log.error("job %s broke", job.id, exc_info=error)
    match error:
        case DeviceLost():
            give_back(desk, job, "device-lost")
            desk.hands.leave(STUCK, "device-lost")
        case NotLoaded():
            release(desk, job, "model-not-loaded", len(job.attempts))
            desk.hands.leave(UNFIT, "model-not-loaded")
        case NotSigned():
            give_back(desk, job, "not-signed")
        case NotFinite():
            end_badly(desk, job, no_picture())
        case _:  # only we can mend this
            end_badly(desk, job, internal_error())


def claim(desk: Desk) -> Job | None:
    """The next job, unless the storage is away: then nothing could be fetched.

    Raises:
        Unavailable
    """
    if desk.pictures.failing:
        desk.pictures.ping()
    token = uuid4().hex
    return insist(lambda: desk.claim(token), seconds=5)


@dataclass(frozen=True)
class Result:
    """What an edit has made, stored, and what it said of itself; times are milliseconds."""

    output: Picture
    frames: Frames | None
    timing: Mapping[str, int]
    receipt: Mapping[str, Any]
    notes: Notes


def edit_job(desk: Desk, held: Held) -> Result:
    """Fetch the job's picture, edit it, store the result under the job's fence."""
    job = held.job
    params = {**job.params}
    began = time.monotonic()
    with traces.span("fetch"):
        fetched = desk.pictures.read_picture(job.input)
        photo = Image.open(io.BytesIO(fetched), formats=["PNG", "JPEG"])
        photo.load()
        mask = Image.open(io.BytesIO(desk.pictures.read(job.mask)), formats=["PNG"]).convert("L") if job.mask else None
    loaded = time.monotonic()
    held.enter(patience=LOADING_PATIENCE)
    editor = editor_for(desk, job.model)
    held.enter(engine=True)
    insist(lambda: desk.hands.confirm(held), seconds=desk.lease_seconds)
    with traces.span("edit", model=job.model, steps=params["steps"]):
        notes = Notes()
        wanted = inspect.signature(editor.edit).parameters
        params |= {name: given for name, given in (("on_wait", held.check), ("notes", notes)) if name in wanted}
        strength = params.pop("strength", 1.0)
        edited = editor.edit(photo, params.pop("prompt"), on_step=held.advance, priority=job.priority.value, **params)
        edited = blend(photo.convert("RGB"), edited, strength, mask)
    ran = time.monotonic()
    held.enter()
    with traces.span("store"):
        data, content_type = encode(edited, job.format)
        receipt: dict[str, str | None] = {
            "pixels_sha256": pixels_sha256(edited if job.format == "png" else Image.open(io.BytesIO(data)))
        }
        held.enter(patience=SIGNING_PATIENCE)
        data, receipt["signed_by"] = sign(desk, job, data, content_type, fetched, notes)
        held.enter()
        output = desk.pictures.put_result(job, data, content_type, edited.size)
        frames = put_frames(desk, held)
    stored = time.monotonic()
    spans = {"load_ms": loaded - began, "run_ms": ran - loaded, "upload_ms": stored - ran}
    return Result(output, frames, {name: round(seconds * 1000) for name, seconds in spans.items()}, receipt, notes)


def sign(desk: Desk, job: Job, data: bytes, content_type: str, photo: bytes, notes: Notes) -> tuple[bytes, str | None]:
    """The output with its content credentials, and whose signature they have; as it was, and None, without.

    Raises:
        NotSigned: it could not be signed, and has to be.
    """
    if desk.signer is None:
        return data, None
    computed = desk.editors[job.model].receipt()
    edit = Edit(
        job=job.id,
        model=job.model,
        checkpoint=f"{computed.get('checkpoint')} {computed.get('revision', '')}".rstrip(),
        seed=job.params["seed"],
        prompt=job.params["prompt"],
        photo=photo,
        photo_type=job.input.content_type,
        photo_sha256=job.input.sha256,
        credentials=input_credentials(desk, job),
    )
    try:
        return desk.signer.sign(data, content_type, edit), desk.signer.issuer
    except NotSigned as error:
        if desk.must_sign:
            raise
        log.error("job %s: its output is not signed: %s", job.id, error)
        notes.warn("not-signed", "The picture carries no content credentials: it could not be signed.")
        return data, None


def input_credentials(desk: Desk, job: Job) -> InputCredentials | None:
    """What the job's input came with, if it did."""
    if job.credentials is None:
        return None
    try:
        return InputCredentials.from_bytes(desk.pictures.read(job.credentials))
    except (NoSuchPicture, ValueError, KeyError, TypeError) as error:
        log.warning("job %s: the credentials of its input are gone: %r", job.id, error)
        return None


def editor_for(desk: Desk, model: str) -> Editor:
    """The model's editor, made now if it is asked for the first time.

    Raises:
        NotLoaded: it cannot be made, whatever the job asks for.
    """
    try:
        return desk.editors[model]
    except KeyError:  # a model that this worker does not serve
        raise
    except Exception as error:
        raise NotLoaded(model) from error


def put_frames(desk: Desk, held: Held) -> Frames | None:
    """Store the sprite of the edit's way; None where the engine told of no step."""
    kept = held.frames
    return Frames(desk.pictures.put_sprite(held.job, *kept.sprite()), tuple(kept.steps)) if kept.steps else None


def encode(picture: Image.Image, kind: str) -> tuple[bytes, str]:
    """A picture's bytes and their content type; nothing but its pixels goes in."""
    large = picture.width * picture.height > LARGE
    options: dict[str, dict[str, Any]] = {
        "png": {"compress_level": 1 if large else 6},
        "jpeg": {"quality": 92, "subsampling": 0},
        "webp": {"quality": 92, "method": 2 if large else 4},
        "avif": {"quality": 85, "subsampling": "4:4:4", "speed": 9, "max_threads": 1},
    }
    data = io.BytesIO()
    picture.save(data, kind.upper(), **options[kind])
    return data.getvalue(), f"image/{kind}"


def end_well(desk: Desk, held: Held, result: Result) -> None:
    job, notes = held.job, result.notes
    receipt = {"seed": job.params["seed"], **desk.editors[job.model].receipt(), **notes.receipt, **result.receipt}
    if notes.warnings:
        receipt["warnings"] = notes.warnings
    answer = insist(
        lambda: desk.store.finish(job, result.output, result.timing, receipt, result.frames, notes.warnings),
        seconds=desk.lease_seconds,
    )
    if answer == "canceling":
        insist(lambda: desk.store.canceled(job, held.step), seconds=desk.lease_seconds)
    log.info("job %s %s in %s ms", job.id, answer, result.timing["run_ms"])


def end_badly(desk: Desk, job: Job, error: JobError) -> None:
    insist(lambda: desk.store.fail(job, error), seconds=desk.lease_seconds)
    log.info("job %s failed: %s", job.id, error.type)


def give_back(desk: Desk, job: Job, reason: str) -> None:
    """Release a job that met a fault of ours; it fails when as many of its attempts as may crash met the same one."""
    met = 1 + sum(attempt.get("outcome") == reason for attempt in job.attempts)
    if met >= desk.max_crashes:
        end_badly(desk, job, internal_error())
        return
    release(desk, job, reason, met)


def release(desk: Desk, job: Job, reason: str, tries: int) -> None:
    """Give a job back, unpunished, to be tried again after a wait that grows with its tries."""
    wait = full_jitter(tries, base=1.0, cap=LONGEST_WAIT)
    insist(lambda: desk.store.release(job, reason, wait_seconds=wait), seconds=desk.lease_seconds)


def no_picture() -> JobError:
    detail = "The network gave numbers that are not finite, in place of a picture; the request is not at fault."
    return replace(internal_error(), detail=detail)


def insist(call: Callable[[], T], *, seconds: float) -> T:
    """Make a call that is safe to repeat until Redis answers, or it has been silent for so long.

    Raises:
        RecordsUnavailable: the keeper will take the job back when its lease runs out.
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
