"""The keeper: takes back the jobs of dead workers, wakes live workers, ends overdue jobs and removes old ones.

Webhook delivery and the maintenance of the bucket run in two more threads of this process.

Any number of keepers may run at once, because each step is one Lua script or safe to repeat. The keeper needs no live
worker and never loads torch.
"""

import logging
import os
import signal
import time
from types import FrameType

from prometheus_client import CollectorRegistry

from jobs import logs, traces
from jobs.connections import ClusterRefused, refuse_cluster
from jobs.errors import Unavailable
from jobs.pictures import PictureStore
from jobs.settings import Settings
from jobs.store import JobStore
from jobs.wakeups import Wakeups
from worker.health import place
from worker.keeper.maintenance import Maintenance
from worker.keeper.webhook_delivery import WebhookSender
from worker.metrics import KeeperMetrics, registry_of, serve_metrics

log = logging.getLogger("keeper")

TICK_SECONDS = 1.0  #: between two rounds
REPAIR_SECONDS = 600.0  #: between two repairs of the indexes from all records
RECOUNT_SECONDS = 60.0  #: between two checks of the census
MEMORY_ALARM = 0.7  #: share of Redis' memory above which the keeper warns


class Keeper:
    """Makes sure that every accepted job ends."""

    def __init__(
        self, store: JobStore, wakeups: Wakeups, settings: Settings, metrics: KeeperMetrics | None = None
    ) -> None:
        self.store = store
        self.wakeups = wakeups
        self.settings = settings
        self.metrics = metrics or KeeperMetrics(CollectorRegistry())
        self._name = f"{place()}-{os.getpid()}"
        self._last_tick = time.monotonic()
        self._reclaims_from = self._last_tick
        self._repairs_from = self._recounts_from = self._last_tick
        self._memory_is_short = False

    def tick(self) -> None:
        """One round. A failed round is left to the next one."""
        now = time.monotonic()
        if now - self._last_tick > self.settings.lease_seconds / 2 + 2 * TICK_SECONDS:
            # The keeper or Redis was stopped, so the workers could not renew either. They get one lease to do so.
            self._reclaims_from = now + self.settings.lease_seconds
            log.info("a gap of %.0f s: expired leases are taken back in one lease", now - self._last_tick)
        try:
            self._repair(now)
            self._recount(now)
            self._watch_memory()
            self.store.expire(self._name)
            if now >= self._reclaims_from:
                for job_id in self.store.reclaim(self.settings.max_crashes):
                    log.warning("job %s taken back: its worker stopped answering", job_id)
                    self.metrics.taken_back.inc()
        except Unavailable as error:
            log.warning("round failed: %s", error)
            return
        self._last_tick = now
        self.wakeups.top_up()

    def _repair(self, now: float) -> None:
        """Repair the indexes at the start and at intervals: a job that no index names would never be found."""
        if now < self._repairs_from:
            return
        if repaired := self.store.repair_indexes(lease_seconds=self.settings.lease_seconds):
            log.warning("%s jobs had wrong index entries", repaired)
        self._repairs_from = now + REPAIR_SECONDS

    def _watch_memory(self) -> None:
        used = self.store.memory_used()
        if (used >= MEMORY_ALARM) != self._memory_is_short:
            self._memory_is_short = not self._memory_is_short
            log.warning("Redis uses %.0f %% of its memory; above 80 %% no job is accepted", 100 * used)

    def _recount(self, now: float) -> None:
        """Correct the census. It is wrong only after a version that does not count has run beside this one."""
        if now >= self._recounts_from:
            if self.store.recount():
                log.info("the census of queued and running jobs was wrong and has been corrected")
            self._recounts_from = now + RECOUNT_SECONDS

    def wait_for_young_redis(self) -> None:
        """Take back no lease of a Redis that has just started: the workers could not renew while it was down."""
        try:
            uptime = self.store.uptime_seconds()
        except Unavailable:
            uptime = 0
        self._reclaims_from = time.monotonic() + max(0, self.settings.lease_seconds - uptime)

    def run(self) -> None:
        """Run rounds until the process ends."""
        self.wait_for_young_redis()
        while True:
            started = time.monotonic()
            with self.metrics.rounds.time():
                self.tick()
            time.sleep(max(0.05, TICK_SECONDS - (time.monotonic() - started)))


def _leave(_signal: int, _frame: FrameType | None) -> None:
    os._exit(0)  # at once, because another keeper repeats whatever is half done


def main() -> None:
    signal.signal(signal.SIGTERM, _leave)
    settings = Settings()
    logs.set_up(settings.log_format)
    traces.set_up("keeper")
    store = JobStore.connect(settings.redis_url, timeout=5)
    try:
        refuse_cluster(store.redis)
    except ClusterRefused as error:
        raise SystemExit(str(error)) from error
    pictures = PictureStore.connect(settings, timeout=10)
    registry = registry_of("keeper", pictures)
    metrics = KeeperMetrics(registry)
    serve_metrics(registry, settings.keeper_metrics_port, settings)
    WebhookSender.start(settings, metrics)
    Maintenance.start(settings, pictures)
    Keeper(store, Wakeups.connect(settings, store, timeout=5), settings, metrics).run()
