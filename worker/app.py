"""The GPU worker: a Celery worker whose threads claim jobs until none is left. Started by `python -m worker.app`."""

import ctypes
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from celery import Celery, signals

from jobs.errors import Unavailable
from jobs.hints import QUEUE, TASK, celery_app
from jobs.pictures import PictureStore
from jobs.settings import Settings
from jobs.store import JobStore
from pipeline.catalogue import MODELS
from worker.hands import Drained, Hands
from worker.run import Desk, Editor, run_next

if TYPE_CHECKING:
    from pipeline.edit import Pipeline

log = logging.getLogger("worker")

REDIS_TIMEOUT = 5.0
S3_TIMEOUT = 20.0
PATROL = 10.0  #: seconds after which a free slot looks for work unasked


class Worker:
    """The slots of one process: each holds one job at a time, found by a wake-up or on patrol."""

    def __init__(self, desk: Desk, grace_seconds: int) -> None:
        self.desk = desk
        self.draining = False
        self._grace = grace_seconds
        self._free = threading.BoundedSemaphore(desk.slots)

    def work(self) -> None:
        """Run jobs in a free slot until none is left; without a free slot there is nothing to do."""
        if not self._free.acquire(blocking=False):
            return
        worked = False
        try:
            while not self.draining and run_next(self.desk):
                worked = True
        except Unavailable as error:
            log.warning("no job claimed: %s", error)
        finally:
            self._free.release()
        if worked and not self.desk.hands.in_hand():
            give_memory_back()

    def patrol(self) -> None:
        """Look for work at the start and now and then, for the broker may have lost every wake-up."""
        while not self.draining:
            self.work()
            time.sleep(PATROL)

    def drain(self, **_: Any) -> None:
        """Claim no more; finish what fits into the grace, give the rest back, be gone at its end."""
        if self.draining:
            return
        self.draining = True
        log.info("draining: %s jobs in hand, %s s", len(self.desk.hands.in_hand()), self._grace)
        in_background(self._leave)

    def _leave(self) -> None:
        margin = min(3.0, self._grace / 2)
        ends = time.monotonic() + self._grace
        while self.desk.hands.in_hand() and time.monotonic() < ends - margin:
            time.sleep(0.05)
        for held in self.desk.hands.in_hand():
            held.stop = held.stop or Drained
        while self.desk.hands.in_hand() and time.monotonic() < ends - margin / 3:
            time.sleep(0.05)
        self._go()

    def _go(self) -> None:
        try:
            for held in self.desk.hands.in_hand():
                self.desk.store.release(held.job, "drained")
            self.desk.store.retire(self.desk.hands.worker)
        except Unavailable as error:
            log.warning("left without a goodbye: %s", error)
        logging.shutdown()
        os._exit(0)


def give_memory_back() -> None:
    """Hand what glibc keeps for the next large tensors back to the system; elsewhere there is no such call."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def in_background(target: Callable[[], None]) -> None:
    threading.Thread(target=target, daemon=True, name=target.__name__).start()


class Editors(dict[str, Editor]):
    """An editor for each model, made when it is first asked for: importing the library takes seconds."""

    def __init__(self, pipeline: "Pipeline") -> None:
        super().__init__({pipeline.model: pipeline})
        self._pipeline = pipeline
        self._making = threading.Lock()

    def __missing__(self, model: str) -> Editor:
        with self._making:
            if model not in self:
                self[model] = self._pipeline.with_model(model)
        return self[model]

    def make_all(self) -> None:
        """Make those that are left, so that nobody has to wait for them."""
        for model in MODELS:
            _ = self[model]


def set_threads(count: int) -> None:
    """Of the engine's and every other thread's that starts from now on."""
    from torch import set_num_threads

    set_num_threads(count)
    log.info("computing with %s threads", count)


def load_desk(settings: Settings) -> Desk:
    """Load the checkpoint and connect; seconds to minutes."""
    from pipeline.edit import Pipeline  # loads torch

    pipeline = Pipeline.load(settings.checkpoint, dtype=settings.dtype, compiled=settings.compile)
    if settings.torch_threads is None:
        set_threads(pipeline.fastest_threads(at_most=max(1, (os.cpu_count() or 1) - 1)))
    editors = Editors(pipeline)
    store = JobStore.connect(settings.redis_url, timeout=REDIS_TIMEOUT)
    about = {"slots": settings.worker_slots, "checkpoint": asdict(pipeline.card), "pid": os.getpid()}
    name = f"{socket.gethostname()}-{os.getpid()}"
    engine = pipeline.checkpoint.engine
    hands = Hands(store, name, about, lease_seconds=settings.lease_seconds, engine_worked_at=lambda: engine.finished_at)
    pictures = PictureStore.connect(settings, timeout=S3_TIMEOUT)
    in_background(editors.make_all)
    return Desk(store, pictures, hands, editors, settings.lease_seconds, settings.worker_slots)


def serve(app: Celery, worker: Worker, slots: int) -> None:
    """Take wake-ups until told to stop."""
    app.task(worker.work, name=TASK)
    signals.worker_shutting_down.connect(worker.drain, weak=False)
    signals.setup_logging.connect(_leave_logging_alone)
    in_background(worker.desk.hands.pulse)
    in_background(worker.patrol)
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    app.worker_main(["--quiet", "worker", "--pool=threads", f"--concurrency={slots}", f"--queues={QUEUE}", *quiet])


def _leave_logging_alone(**_: Any) -> None:
    """Celery sets up no logging of its own where somebody listens to this signal."""


def main() -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s: %(message)s")
    for chatty in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    settings = Settings()
    set_threads(settings.torch_threads or 1)
    worker = Worker(load_desk(settings), settings.worker_grace_seconds)
    log.info("ready: %s, %s slots", settings.checkpoint, settings.worker_slots)
    serve(celery_app(settings), worker, settings.worker_slots)
    worker.draining = True
    worker._leave()


if __name__ == "__main__":
    main()
