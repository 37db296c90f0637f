"""The GPU worker: a Celery worker whose threads claim jobs until none is left. Started by `python -m worker.app`."""

import ctypes
import logging
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from celery import Celery, signals

from jobs import logs, traces
from jobs.connections import ClusterRefused, refuse_cluster
from jobs.errors import Unavailable
from jobs.pictures import PictureStore
from jobs.served_models import publish
from jobs.settings import Settings
from jobs.store import JobStore
from jobs.version import version
from jobs.wakeups import TASK, celery_app, queue_of
from pipeline.errors import PipelineError
from worker.certificates import CredentialsError
from worker.credentials import load_signer
from worker.editors.editor import load_editors
from worker.engine_metrics import EngineMetrics
from worker.health import place
from worker.leases import Drained, Leases
from worker.loaded_models import LoadedModels
from worker.metrics import registry_of, serve_metrics
from worker.models_file import ModelsFileError
from worker.photos import photo_decoders
from worker.renders import Renderer
from worker.run import WorkerContext, run_next

log = logging.getLogger("worker")

REDIS_TIMEOUT = 5.0
S3_TIMEOUT = 20.0
S3_PATIENCE = 10.0
PATROL_SECONDS = 10.0  #: a free slot looks for work this often without a wake-up
PUBLISH_SECONDS = 15.0  #: between two publications of the models that are served
NICENESS = 5  #: on a shared machine, the answers of the web tier are more urgent than edits
SWITCH_SECONDS = 0.00005  #: another thread may hold Python this long while the engine waits (decision 0019)
PROBE_SECONDS = 2.0  #: while the storage is unreachable, it is probed this often


class Worker:
    """The slots of one process: each holds one job at a time, found by a wake-up or on patrol."""

    def __init__(self, context: WorkerContext, grace_seconds: int) -> None:
        self.context = context
        self.draining = False
        self._grace = grace_seconds
        self._free = threading.BoundedSemaphore(context.slots)

    def work(self) -> None:
        """Run jobs in a free slot until none is left. Each claimed job makes the next free slot look for work."""
        if not self._free.acquire(blocking=False):
            return
        worked = False
        try:
            while not self.draining and run_next(self.context, on_claim=lambda: in_background(self.work)):
                worked = True
        except Unavailable as error:
            log.warning("no job claimed: %s", error)
        finally:
            self._free.release()
        if worked and self.context.leases.is_idle():
            give_memory_back()

    def patrol(self) -> None:
        """Look for work at the start and at intervals, because the broker may lose wake-ups."""
        while not self.draining:
            in_background(self.work)
            time.sleep(PROBE_SECONDS if self.context.pictures.failing else PATROL_SECONDS)

    def render(self) -> None:
        """Make renders of finished jobs, beside the jobs in the slots."""
        Renderer(self.context).work(lambda: self.draining)

    def publish(self) -> None:
        """Publish what this worker serves, again at intervals, because Redis may lose it."""
        while not self.draining:
            try:
                publish(self.context.store, self.context.served, self.context.started_ms)
            except Unavailable as error:
                log.warning("models not published: %s", error)
            time.sleep(PUBLISH_SECONDS)

    def drain(self, **_: Any) -> None:
        """Stop claiming, finish the jobs that fit into the grace period, release the others, exit before it ends."""
        if self.draining:
            return
        self.draining = True
        log.info("draining: %s jobs held, %s s of grace", len(self.context.leases.held()), self._grace)
        latest = threading.Timer(self._grace, os._exit, [0])  # in case a thread or Redis hangs
        latest.daemon = True
        latest.start()
        in_background(self._finish_or_release)

    def _finish_or_release(self) -> None:
        margin = min(3.0, self._grace / 2)
        ends = time.monotonic() + self._grace
        while not self.context.leases.is_idle() and time.monotonic() < ends - margin:
            time.sleep(0.05)
        for lease in self.context.leases.held():
            lease.stop = lease.stop or Drained
        while not self.context.leases.is_idle() and time.monotonic() < ends - margin / 3:
            time.sleep(0.05)
        self._exit()

    def _exit(self) -> None:
        try:
            for lease in self.context.leases.held():
                self.context.store.release(lease.job, "drained")
            self.context.store.retire(self.context.leases.worker)
        except Unavailable as error:
            log.warning("could not tell Redis that this worker exits: %s", error)
        traces.flush()
        logging.shutdown()
        os._exit(0)


def give_memory_back() -> None:
    """Return the memory that glibc keeps after large tensors to the system. Other C libraries lack this call."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def in_background(target: Callable[[], None]) -> None:
    threading.Thread(target=target, daemon=True, name=target.__name__).start()


def load_context(settings: Settings) -> WorkerContext:
    """Load the editors and connect to Redis and S3. Takes seconds to minutes.

    Raises:
        CredentialsError: outputs must be signed, but the signer cannot be loaded.
        ClusterRefused: Redis is a cluster.
        PipelineError: a checkpoint cannot be served.
    """
    photo_decoders().start()
    signer = load_signer(settings)
    editors = load_editors(settings)
    definitions = editors.served()
    store = JobStore.connect(settings.redis_url, timeout=REDIS_TIMEOUT)
    refuse_cluster(store.redis)
    about: dict[str, Any] = {"slots": settings.worker_slots, "checkpoint": asdict(editors.card), "pid": os.getpid()}
    about |= {"version": version(), "started_ms": time.time_ns() // 1_000_000}
    digests = {one.id: one.digest() for one in definitions}
    if signer:
        about["signer"] = {"name": signer.issuer, "expires_ms": round(signer.expires.timestamp() * 1000)}
    name = f"{place()}-{os.getpid()}.{secrets.token_hex(2)}"  # a restarted container has the same pid
    pictures = PictureStore.connect(settings, timeout=S3_TIMEOUT, patience=S3_PATIENCE)
    registry = registry_of("worker", pictures)
    engine = EngineMetrics(registry, editors.device, lambda: len(leases.held()), editors.graphs)
    editors.watch(engine.note)
    leases = Leases(
        store,
        name,
        about,
        lease_seconds=settings.lease_seconds,
        engine_worked_at=editors.worked_at,
        engine_allowance=editors.allowance,
        patience=settings.patience_seconds,
        vitals=lambda: engine.vitals() | about_models(digests, editors.several),
    )
    if editors.several:
        registry.register(editors.several)
    serve_metrics(registry, settings.worker_metrics_port, settings)
    return WorkerContext(
        store,
        pictures,
        leases,
        editors.by_model,
        lease_seconds=settings.lease_seconds,
        slots=settings.worker_slots,
        max_crashes=settings.max_crashes,
        max_running=settings.max_running_jobs,
        signer=signer,
        must_sign=settings.credentials == "required",
        several=editors.several,
        definitions=definitions,
        started_ms=about["started_ms"],
    )


def about_models(digests: Mapping[str, str], several: LoadedModels | None) -> dict[str, Any]:
    """The served models with the digests of their definitions, and why other models cannot be loaded."""
    troubles = dict(several.troubles) if several else {}
    models = [{"id": model, "digest": digest} for model, digest in digests.items() if model not in troubles]
    return {"models": models, "troubles": troubles}


def serve(app: Celery, worker: Worker, slots: int) -> None:
    """Receive wake-ups until the process is told to stop."""
    app.task(worker.work, name=TASK)
    signals.worker_shutting_down.connect(worker.drain, weak=False)
    signals.setup_logging.connect(_leave_logging_alone)
    signal.signal(signal.SIGTERM, lambda *_: worker.drain())  # until Celery installs its own handler, seconds later
    in_background(worker.context.leases.heartbeat)
    in_background(worker.patrol)
    in_background(worker.render)
    in_background(worker.publish)
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    queues = ",".join(map(queue_of, ["", *worker.context.models]))
    app.worker_main(["--quiet", "worker", "--pool=threads", f"--concurrency={slots}", f"--queues={queues}", *quiet])


def _leave_logging_alone(**_: Any) -> None:
    """Celery leaves logging alone when this signal has a receiver."""


def main() -> None:
    sys.setswitchinterval(SWITCH_SECONDS)
    os.nice(NICENESS)
    settings = Settings()
    logs.set_up(settings.log_format)
    traces.set_up("worker")
    try:
        context = load_context(settings)
    except (CredentialsError, ClusterRefused, PipelineError, ModelsFileError) as error:
        raise SystemExit(str(error)) from error
    worker = Worker(context, settings.worker_grace_seconds)
    log.info("ready: %s slots", settings.worker_slots)
    serve(celery_app(settings), worker, settings.worker_slots)
    worker.drain()
    time.sleep(settings.worker_grace_seconds + 1)  # the drain ends the process


if __name__ == "__main__":
    main()
