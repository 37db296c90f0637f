"""The jobs that a worker holds, and the pulse that keeps their leases while they get on."""

import faulthandler
import io
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from PIL import Image

from jobs.errors import Unavailable
from jobs.job import Job
from jobs.store import JobStore
from jobs.store.work import Renewal
from worker.editors.editor import Step, never
from worker.frames import Frames

log = logging.getLogger(__name__)

PULSE = 0.3  #: seconds between pulses while there is work
IDLE_PULSE = 2.0
PREVIEW_EVERY = 0.5
PATIENCE = 60.0  #: seconds that loading, storing or one step may take before the lease is left to run out
STUCK = 70  #: the exit status of a worker that cannot go on: a thread hangs, or the device is lost
LAST_CLAIM = 10.0  #: seconds that a worker that leaves waits for a claim under way
UNFIT = 78  #: and of one whose model does not load
STEPS_OF_PATIENCE = 10  #: or so many times the mean step, if that is longer


Clock = Callable[[], float]


class Stopped(Exception):
    """Raised at a denoising step to leave the edit."""


class Canceled(Stopped):
    """The client asked the job to stop."""


class Lost(Stopped):
    """The job is no longer this worker's: another attempt has it, or it ended."""


class Drained(Stopped):
    """The worker is to leave, and this job does not fit into its grace."""


class Held:
    """One claimed job in this worker's hands."""

    def __init__(
        self,
        job: Job,
        claimed: float,
        engine_worked_at: Clock,
        patience: float = PATIENCE,
        engine_allowance: Callable[[], float] = never,
    ) -> None:
        self.job = job
        self.renewed = claimed  #: when its lease was last asked for, by the monotonic clock
        self._engine_worked_at = engine_worked_at
        self._engine_allowance = engine_allowance
        self._in_engine = False
        self._usual_patience = self._patience = patience
        self.step = 0
        self.steps = 0
        self.stop: type[Stopped] | None = None
        self.preview: tuple[bytes, bytes] | None = None
        self.frames = Frames()
        self._began = self._moved = time.monotonic()
        self._previewed = 0.0

    def enter(self, *, engine: bool = False, patience: float | None = None) -> None:
        """A new phase begins, with its own patience. In the engine others' work counts too: it serves them in turn.

        Raises:
            Stopped: the job is not to go on.
        """
        self._in_engine = engine
        self._patience = patience or self._usual_patience
        self._began = self._moved = time.monotonic()
        self.check()

    def check(self) -> None:
        """Raises Stopped if the job is not to go on."""
        if self.stop:
            raise self.stop

    def advance(self, progress: Step) -> None:
        """One denoising step is done.

        Raises:
            Stopped: the job is not to go on.
        """
        self.step, self.steps = max(self.step, progress.step), progress.steps  # an edit may begin once more
        self._moved = time.monotonic()
        self.check()
        try:
            self._show(progress)
        except Exception:  # a job is worth more than a look at it
            log.exception("job %s: no preview of step %s", self.job.id, self.step)

    def _show(self, progress: Step) -> None:
        self.frames.note(progress)
        if self._moved - self._previewed > PREVIEW_EVERY:
            self._previewed = self._moved
            self.preview = _jpeg(progress.preview()), _jpeg(progress.noisy())

    @property
    def gets_on(self) -> bool:
        """Whether the last unit of work is young enough to vouch for the job."""
        mean_step = (self._moved - self._began) / self.step if self.step else 0.0
        patience, moved = max(self._patience, STEPS_OF_PATIENCE * mean_step), self._moved
        if self._in_engine:
            moved, patience = max(moved, self._engine_worked_at()), max(patience, self._engine_allowance())
        return time.monotonic() - moved < patience

    def renewal(self) -> Renewal:
        return Renewal(self.job.id, self.job.fence, self.gets_on, self.step, self.steps)


def _jpeg(picture: Image.Image) -> bytes:
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=80)
    return data.getvalue()


class Hands:
    """All the jobs that this worker holds; `pulse` runs in a thread of its own."""

    def __init__(
        self,
        store: JobStore,
        worker: str,
        about: Mapping[str, Any],
        *,
        lease_seconds: int,
        engine_worked_at: Clock,
        engine_allowance: Callable[[], float] = never,
        patience: float = PATIENCE,
        vitals: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        """`engine_worked_at` tells when the engine last finished a piece of work, by the monotonic clock;
        `engine_allowance`, how many seconds the piece under way may take, by its size; `patience`, for how many
        seconds a job without progress is still vouched for.

        The worker says of itself what it is `about`, and at each pulse how it is, its `vitals`.
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
        self._leaves = False
        self._held: dict[str, Held] = {}
        self._lock = threading.Lock()
        self._stir = threading.Event()

    @contextmanager
    def holding(self, job: Job, claimed: float) -> Iterator[Held]:
        """Keep the lease of a job that was `claimed` then, by the monotonic clock, while it gets on."""
        held = Held(job, claimed, self._engine_worked_at, self._patience, self._engine_allowance)
        with self._lock:
            self._held[job.fence] = held
        self._stir.set()
        try:
            yield held
        finally:
            with self._lock:
                del self._held[job.fence]

    @contextmanager
    def claiming(self) -> Iterator[float | None]:
        """While a claim is under way: what it brings is not in hand yet.

        Yields its start by the monotonic clock; None: the worker leaves, and nothing is to be claimed.
        """
        with self._lock:
            leaves = self._leaves
            self._claims += 1
        try:
            yield None if leaves else time.monotonic()
        finally:
            with self._lock:
                self._claims -= 1

    def are_empty(self) -> bool:
        """Whether no job is held, and none on its way here."""
        with self._lock:
            return not self._held and not self._claims

    def in_hand(self) -> list[Held]:
        """The jobs held now."""
        with self._lock:
            return list(self._held.values())

    def pulse(self) -> None:
        """Renew, for ever; while Redis does not answer, the leases wait."""
        while True:
            self._stir.clear()
            held = self.in_hand()
            if not all(item.gets_on for item in held):
                self._leave_stuck(held)
            try:
                self.beat(held)
            except Unavailable as error:
                log.warning("leases not renewed: %s", error)
            except Exception:
                log.exception("the pulse has stopped; without it no lease is kept")
                os._exit(STUCK)
            self._stir.wait(PULSE if held else IDLE_PULSE)
            if held:
                time.sleep(PULSE)

    def _leave_stuck(self, held: list[Held]) -> None:
        """A thread that hangs cannot be ended, only its process; whoever started that starts it again."""
        stuck = [item.job.id for item in held if not item.gets_on]
        log.error("no progress in %s; leaving the process. Where its threads are:", ", ".join(stuck))
        faulthandler.dump_traceback()
        os._exit(STUCK)

    def leave(self, status: int, reason: str) -> None:
        """Give back what is held, unpunished, and end the process: it can edit nothing any more."""
        log.error("leaving the process with status %s: %s", status, reason)
        self._claim_no_more()
        try:
            for held in self.in_hand():
                self.store.release(held.job, reason)
            self.store.retire(self.worker)
        except Unavailable as error:
            log.warning("left without a goodbye: %s", error)
        logging.shutdown()
        os._exit(status)

    def _claim_no_more(self) -> None:
        """What is given back would be claimed at once by this worker's other slots, and go down with it as crashed."""
        with self._lock:
            self._leaves = True
        latest = time.monotonic() + LAST_CLAIM
        while self._claims and time.monotonic() < latest:
            time.sleep(0.01)

    def confirm(self, held: Held) -> None:
        """Ask whose the job is if its lease may have run out unseen, as while the process was stopped.

        Raises:
            Stopped: the job is not to go on.
            Unavailable
        """
        if time.monotonic() - held.renewed > self._lease_seconds:
            self.beat([held])
            held.check()

    def beat(self, held: list[Held]) -> None:
        """Renew once, and hand each job what it is told."""
        asked = time.monotonic()
        answers = self.store.renew(
            self.worker,
            {**self._about, **self._vitals()},
            [item.renewal() for item in held],
            lease_seconds=self._lease_seconds,
        )
        for item, answer in zip(held, answers, strict=True):
            item.renewed = asked
            if answer == "canceling":
                item.stop = Canceled
            elif answer == "lost":
                item.stop = Lost
            if item.preview:
                self.store.keep_preview(item.job, *item.preview, item.step)
                item.preview = None
