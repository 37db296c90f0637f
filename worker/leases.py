"""The jobs that a worker holds, and the heartbeat that renews their leases for as long as they make progress."""

import faulthandler
import io
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from PIL import Image

from jobs.errors import Unavailable
from jobs.job import Job
from jobs.store import JobStore
from jobs.store.work import Renewal
from worker.editors.editor import Step, zero_seconds
from worker.frames import Frames, is_kept

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 0.3  #: between two heartbeats while the worker holds jobs
IDLE_HEARTBEAT_SECONDS = 2.0  #: between two heartbeats while it holds none
PREVIEW_SECONDS = 0.5  #: between two previews of a job
PATIENCE_SECONDS = 60.0  #: without progress after which a lease is no longer renewed
PATIENCE_STEPS = 10  #: a job may go without progress for this many of its mean steps, if that is longer
LAST_CLAIM_SECONDS = 10.0  #: an exiting worker waits this long for a claim under way
EXIT_STUCK = 70  #: exit status: a thread hangs, or the device is lost
EXIT_NOT_LOADED = 78  #: exit status: a model does not load

Clock = Callable[[], float]


class Stopped(Exception):
    """Raised at a denoising step to end the edit early."""


class Canceled(Stopped):
    """The client asked the job to stop."""


class Lost(Stopped):
    """The job is no longer this worker's: another attempt has it, or it ended."""


class Drained(Stopped):
    """The worker is shutting down, and this job does not fit into its grace period."""


class Lease:
    """One claimed job of this worker, and its progress."""

    def __init__(
        self,
        job: Job,
        claimed: float,
        engine_worked_at: Clock,
        patience: float = PATIENCE_SECONDS,
        engine_allowance: Callable[[], float] = zero_seconds,
    ) -> None:
        self.job = job
        self.renewed = claimed  #: when the lease was last renewed, by the monotonic clock
        self._engine_worked_at = engine_worked_at
        self._engine_allowance = engine_allowance
        self._in_engine = False
        self._usual_patience = self._patience = patience
        self.step = 0
        self.steps = 0
        self.is_loading = False  #: the job waits for its model; loading it may kill the process
        self.stop: type[Stopped] | None = None
        self.preview: tuple[bytes, bytes] | None = None
        self.frames = Frames()
        self._phase_began = self._progressed = time.monotonic()
        self._previewed = 0.0
        self._wanted: set[int] | None = None  #: the steps to make previews of, if the editor asks beforehand

    def enter_phase(self, *, engine: bool = False, patience: float | None = None) -> None:
        """Begin a phase with a patience of its own, in seconds.

        In the engine, work for other jobs counts as progress too, because the engine serves all jobs in turn.

        Raises:
            Stopped: the job must not go on.
        """
        self._in_engine = engine
        self._patience = patience or self._usual_patience
        self._phase_began = self._progressed = time.monotonic()
        self.check()

    def check(self) -> None:
        """Raise Stopped if the job must not go on."""
        if self.stop:
            raise self.stop

    def advance(self, progress: Step) -> None:
        """Note that a denoising step is done.

        Raises:
            Stopped: the job must not go on.
        """
        self.step, self.steps = max(self.step, progress.step), progress.steps  # a repeated edit starts at step 1 again
        self.note_progress()
        self.check()
        try:
            self._keep_pictures(progress)
        except Exception:  # a missing preview must not fail the job
            log.exception("job %s: no preview of step %s", self.job.id, self.step)

    def wait_for_others(self) -> None:
        """Note that the job waits for other jobs, whose own progress is watched. Raises as `check` does."""
        self.note_progress()
        self.check()

    def note_progress(self) -> None:
        """Note that some work on the job is done."""
        self._progressed = time.monotonic()

    def wants(self, step: int, steps: int) -> bool:
        """Whether the pictures of a step will be looked at. A thread of the editor asks this before the step."""
        self._wanted = self._wanted or set()
        now = time.monotonic()
        if now - self._previewed > PREVIEW_SECONDS:
            self._previewed = now
            self._wanted.add(step)
        return step in self._wanted or is_kept(step, steps)

    def _keep_pictures(self, progress: Step) -> None:
        self.frames.note(progress)
        if self._wanted is not None:
            due = progress.step in self._wanted
        elif due := self._progressed - self._previewed > PREVIEW_SECONDS:
            self._previewed = self._progressed
        if due:
            preview, noisy = progress.preview(), progress.noisy()
            self.preview = None if preview is None or noisy is None else (_jpeg(preview), _jpeg(noisy))

    @property
    def is_progressing(self) -> bool:
        """Whether the last progress is recent enough to renew the lease."""
        allowance = self._engine_allowance() if self._in_engine else 0.0  # read first: it ends with the work
        mean_step = (self._progressed - self._phase_began) / self.step if self.step else 0.0
        patience, progressed = max(self._patience, PATIENCE_STEPS * mean_step, allowance), self._progressed
        if self._in_engine:
            progressed = max(progressed, self._engine_worked_at())
        return time.monotonic() - progressed < patience

    def renewal(self) -> Renewal:
        phase: Literal["", "loading"] = "loading" if self.is_loading else ""
        return Renewal(self.job.id, self.job.fence, self.is_progressing, self.step, self.steps, phase)


def _jpeg(picture: Image.Image) -> bytes:
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=80)
    return data.getvalue()


class Leases:
    """All jobs that this worker holds. `heartbeat` runs in a thread of its own."""

    def __init__(
        self,
        store: JobStore,
        worker: str,
        about: Mapping[str, Any],
        *,
        lease_seconds: int,
        engine_worked_at: Clock,
        engine_allowance: Callable[[], float] = zero_seconds,
        patience: float = PATIENCE_SECONDS,
        vitals: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        """
        Args:
            about: what the worker says of itself: slots, checkpoint, version.
            engine_worked_at: when the engine last finished a piece of work, by the monotonic clock.
            engine_allowance: seconds that the engine's present piece of work may take.
            patience: seconds that a job may go without progress.
            vitals: what the worker says of itself anew at each heartbeat, such as its free memory.
        """
        self.store = store
        self._engine_worked_at = engine_worked_at
        self._engine_allowance = engine_allowance
        self.worker = worker
        self._about = about
        self._vitals = vitals
        self._lease_seconds = lease_seconds
        self._patience = patience
        self._claims = 0
        self._exiting = False
        self._held: dict[str, Lease] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()

    @contextmanager
    def holding(self, job: Job, claimed: float) -> Iterator[Lease]:
        """Hold the lease of a job that was `claimed` at this time of the monotonic clock."""
        lease = Lease(job, claimed, self._engine_worked_at, self._patience, self._engine_allowance)
        with self._lock:
            self._held[job.fence] = lease
        self._wake.set()
        try:
            yield lease
        finally:
            with self._lock:
                del self._held[job.fence]

    @contextmanager
    def claiming(self) -> Iterator[float | None]:
        """Count a claim as under way, because its job is not held yet.

        Yields its start by the monotonic clock, or None when the worker exits and must claim nothing.
        """
        with self._lock:
            exiting = self._exiting
            self._claims += 1
        try:
            yield None if exiting else time.monotonic()
        finally:
            with self._lock:
                self._claims -= 1

    def is_idle(self) -> bool:
        """Whether the worker holds no job and claims none."""
        with self._lock:
            return not self._held and not self._claims

    def held(self) -> list[Lease]:
        """The leases of the jobs held now."""
        with self._lock:
            return list(self._held.values())

    def heartbeat(self) -> None:
        """Renew the leases until the process ends. While Redis does not answer, nothing is renewed."""
        while True:
            self._wake.clear()
            leases = self.held()
            if not all(lease.is_progressing for lease in leases):
                self._exit_stuck(leases)
            try:
                self.renew(leases)
            except Unavailable as error:
                log.warning("leases not renewed: %s", error)
            except Exception:
                log.exception("the heartbeat failed; the process exits, because no lease is renewed without it")
                os._exit(EXIT_STUCK)
            self._wake.wait(HEARTBEAT_SECONDS if leases else IDLE_HEARTBEAT_SECONDS)
            if leases:
                time.sleep(HEARTBEAT_SECONDS)

    def _exit_stuck(self, leases: list[Lease]) -> None:
        """End the process: a thread that hangs cannot be ended alone. The supervisor starts a new worker."""
        stuck = [lease.job.id for lease in leases if not lease.is_progressing]
        log.error("no progress in %s; the process exits. The stacks of its threads:", ", ".join(stuck))
        faulthandler.dump_traceback()
        os._exit(EXIT_STUCK)

    def exit_process(self, status: int, reason: str) -> None:
        """Release all held jobs without counting a crash, and end the process because it cannot edit any more."""
        log.error("the process exits with status %s: %s", status, reason)
        self._stop_claiming()
        try:
            for lease in self.held():
                self.store.release(lease.job, reason)
            self.store.retire(self.worker)
        except Unavailable as error:
            log.warning("could not tell Redis that this worker exits: %s", error)
        logging.shutdown()
        os._exit(status)

    def _stop_claiming(self) -> None:
        """Claim nothing more. Otherwise the other slots would claim the released jobs at once and crash with them."""
        with self._lock:
            self._exiting = True
        latest = time.monotonic() + LAST_CLAIM_SECONDS
        while self._claims and time.monotonic() < latest:
            time.sleep(0.01)

    def verify(self, lease: Lease) -> None:
        """Renew a lease that may have run out unnoticed, for example while the process was stopped.

        Raises:
            Stopped: the job must not go on.
            Unavailable
        """
        if time.monotonic() - lease.renewed > self._lease_seconds:
            self.renew([lease])
            lease.check()

    def renew(self, leases: list[Lease]) -> None:
        """Renew these leases once, and tell each of them whether its job goes on."""
        asked = time.monotonic()
        answers = self.store.renew(
            self.worker,
            {**self._about, **self._vitals()},
            [lease.renewal() for lease in leases],
            lease_seconds=self._lease_seconds,
        )
        for lease, answer in zip(leases, answers, strict=True):
            lease.renewed = asked
            if answer == "canceling":
                lease.stop = Canceled
            elif answer == "lost":
                lease.stop = Lost
            if lease.preview:
                self.store.keep_preview(lease.job, *lease.preview, lease.step)
                lease.preview = None
