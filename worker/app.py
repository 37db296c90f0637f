"""The GPU worker: a Celery worker whose threads claim jobs until none is left. Started by `python -m worker.app`."""

import ctypes
import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from celery import Celery, signals

from jobs import logs, traces
from jobs.errors import Unavailable
from jobs.pictures import PictureStore
from jobs.settings import Settings
from jobs.store import JobStore
from jobs.version import version
from jobs.wakeups import QUEUE, TASK, celery_app
from worker.certificates import CredentialsError
from worker.credentials import load_signer
from worker.editors.editor import load_editors
from worker.engine_metrics import EngineMetrics
from worker.hands import Drained, Hands
from worker.metrics import registry_of, serve_metrics
from worker.run import Desk, run_next

log = logging.getLogger("worker")

REDIS_TIMEOUT = 5.0
S3_TIMEOUT = 20.0
S3_PATIENCE = 10.0
PATROL = 10.0  #: seconds after which a free slot looks for work unasked
PROBE = 2.0  #: and after which it looks whether the storage is back


class Worker:
    """The slots of one process: each holds one job at a time, found by a wake-up or on patrol."""

    def __init__(self, desk: Desk, grace_seconds: int) -> None:
        self.desk = desk
        self.draining = False
        self._grace = grace_seconds
        self._free = threading.BoundedSemaphore(desk.slots)

    def work(self) -> None:
        """Run jobs in a free slot until none is left; who finds one has the next slot look, too."""
        if not self._free.acquire(blocking=False):
            return
        worked = False
        try:
            while not self.draining and run_next(self.desk, on_claim=lambda: in_background(self.work)):
                worked = True
        except Unavailable as error:
            log.warning("no job claimed: %s", error)
        finally:
            self._free.release()
        if worked and self.desk.hands.are_empty():
            give_memory_back()

    def patrol(self) -> None:
        """Look for work at the start and now and then, for the broker may have lost every wake-up."""
        while not self.draining:
            in_background(self.work)
            time.sleep(PROBE if self.desk.pictures.failing else PATROL)

    def drain(self, **_: Any) -> None:
        """Claim no more; finish what fits into the grace, give the rest back, be gone at its end."""
        if self.draining:
            return
        self.draining = True
        log.info("draining: %s jobs in hand, %s s", len(self.desk.hands.in_hand()), self._grace)
        latest = threading.Timer(self._grace, os._exit, [0])  # should a thread hang, or Redis while we say goodbye
        latest.daemon = True
        latest.start()
        in_background(self._leave)

    def _leave(self) -> None:
        margin = min(3.0, self._grace / 2)
        ends = time.monotonic() + self._grace
        while not self.desk.hands.are_empty() and time.monotonic() < ends - margin:
            time.sleep(0.05)
        for held in self.desk.hands.in_hand():
            held.stop = held.stop or Drained
        while not self.desk.hands.are_empty() and time.monotonic() < ends - margin / 3:
            time.sleep(0.05)
        self._go()

    def _go(self) -> None:
        try:
            for held in self.desk.hands.in_hand():
                self.desk.store.release(held.job, "drained")
            self.desk.store.retire(self.desk.hands.worker)
        except Unavailable as error:
            log.warning("left without a goodbye: %s", error)
        traces.flush()
        logging.shutdown()
        os._exit(0)


def give_memory_back() -> None:
    """Hand what glibc keeps for the next large tensors back to the system; elsewhere there is no such call."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def in_background(target: Callable[[], None]) -> None:
    threading.Thread(target=target, daemon=True, name=target.__name__).start()


def load_desk(settings: Settings) -> Desk:
    """Load the editors and connect; seconds to minutes.

    Raises:
        CredentialsError: outputs are to be signed, and cannot be.
    """
    signer = load_signer(settings)
    editors = load_editors(settings)
    store = JobStore.connect(settings.redis_url, timeout=REDIS_TIMEOUT)
    about = {"slots": settings.worker_slots, "checkpoint": asdict(editors.card), "pid": os.getpid()}
    about |= {"version": version(), "started_ms": time.time_ns() // 1_000_000}
    if signer:
        about["signer"] = {"name": signer.issuer, "expires_ms": round(signer.expires.timestamp() * 1000)}
    name = f"{socket.gethostname()}-{os.getpid()}.{secrets.token_hex(2)}"  # in a container, every life has the same pid
    pictures = PictureStore.connect(settings, timeout=S3_TIMEOUT, patience=S3_PATIENCE)
    registry = registry_of("worker", pictures)
    engine = EngineMetrics(registry, editors.device, lambda: len(hands.in_hand()))
    editors.watch(engine.note)
    hands = Hands(
        store,
        name,
        about,
        lease_seconds=settings.lease_seconds,
        engine_worked_at=editors.worked_at,
        engine_allowance=editors.allowance,
        patience=settings.patience_seconds,
        vitals=engine.vitals,
    )
    serve_metrics(registry, settings.worker_metrics_port, settings)
    return Desk(
        store,
        pictures,
        hands,
        editors.by_model,
        lease_seconds=settings.lease_seconds,
        slots=settings.worker_slots,
        max_crashes=settings.max_crashes,
        max_running=settings.max_running_jobs,
        signer=signer,
        must_sign=settings.credentials == "required",
    )


def serve(app: Celery, worker: Worker, slots: int) -> None:
    """Take wake-ups until told to stop."""
    app.task(worker.work, name=TASK)
    signals.worker_shutting_down.connect(worker.drain, weak=False)
    signals.setup_logging.connect(_leave_logging_alone)
    signal.signal(signal.SIGTERM, lambda *_: worker.drain())  # until Celery, seconds from now, listens itself
    in_background(worker.desk.hands.pulse)
    in_background(worker.patrol)
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    app.worker_main(["--quiet", "worker", "--pool=threads", f"--concurrency={slots}", f"--queues={QUEUE}", *quiet])


def _leave_logging_alone(**_: Any) -> None:
    """Celery sets up no logging of its own where somebody listens to this signal."""


def main() -> None:
    settings = Settings()
    logs.set_up(settings.log_format)
    traces.set_up("worker")
    try:
        desk = load_desk(settings)
    except CredentialsError as error:
        raise SystemExit(str(error)) from error
    worker = Worker(desk, settings.worker_grace_seconds)
    log.info("ready: %s slots", settings.worker_slots)
    serve(celery_app(settings), worker, settings.worker_slots)
    worker.drain()
    time.sleep(settings.worker_grace_seconds + 1)  # the drain ends the process


if __name__ == "__main__":
    main()
