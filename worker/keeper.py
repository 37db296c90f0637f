"""The keeper: takes back the jobs of dead workers, wakes the living, ends and removes what is due.

A courier in a thread of its own delivers webhooks beside it.

Any number of copies may run: each step is one Lua call or safe to repeat. It works with no worker alive, and loads no
torch. Started by `python -m worker.keeper`.
"""

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from types import FrameType

from jobs.errors import Unavailable
from jobs.hints import Hints
from jobs.pictures import PictureStore
from jobs.settings import Settings
from jobs.store import JobStore
from worker.courier import Courier

log = logging.getLogger("keeper")

TICK = 1.0  #: seconds
CLEANING = 3600.0  #: seconds between two looks for old uploads


class Keeper:
    """Sees to it that every accepted job ends."""

    def __init__(self, store: JobStore, pictures: PictureStore, hints: Hints, settings: Settings) -> None:
        self.store = store
        self.pictures = pictures
        self.hints = hints
        self.settings = settings
        self._name = f"{socket.gethostname()}-{os.getpid()}"
        self._last_tick = time.monotonic()
        self._reclaims_from = self._last_tick
        self._cleans_from = self._last_tick

    def tick(self) -> None:
        """One round. What fails is left for the next one."""
        now = time.monotonic()
        if now - self._last_tick > self.settings.lease_seconds / 2:
            # The keeper slept, or Redis did; then the workers could not renew either. They first get the chance.
            self._reclaims_from = now + self.settings.lease_seconds
            log.info("a gap of %.0f s: leases count again in one lease", now - self._last_tick)
        try:
            self.store.expire(self._name)
            if now >= self._reclaims_from:
                for job_id in self.store.reclaim(self.settings.max_crashes):
                    log.warning("job %s taken back: its worker stopped answering", job_id)
        except Unavailable as error:
            log.warning("no round: %s", error)
            return
        self._last_tick = now
        self._try(self._close_books)
        self._try(self._empty_trash)
        self._try(self._drop_old_uploads)
        self.hints.top_up()

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Unavailable as error:
            log.warning("%s: %s", step.__name__, error)

    def _close_books(self) -> None:
        """Write `end.json` beside each ended job, so that the bucket alone tells which jobs are over."""
        for job in self.store.ended():
            end = {"id": job.id, "status": job.status, "fence": job.fence, "finished_ms": job.finished_ms}
            output = asdict(job.output) if job.output else None
            self.pictures.put_document(job.folder, "end.json", {**end, "output": output, "error": job.error})
            self.store.forget_ended(job.id)

    def _empty_trash(self) -> None:
        for folder in self.store.trash():
            self.pictures.empty(folder)
            self.store.forget_trash(folder)

    def _drop_old_uploads(self) -> None:
        if time.monotonic() >= self._cleans_from:
            self._cleans_from = time.monotonic() + CLEANING
            if dropped := self.pictures.drop_old_uploads(time.time()):
                log.info("%s old uploads removed", dropped)

    def wait_for_young_redis(self) -> None:
        """A Redis that has just come back held no renewals while it was away: its leases wait one lease."""
        try:
            uptime = self.store.uptime_seconds()
        except Unavailable:
            uptime = 0
        self._reclaims_from = time.monotonic() + max(0, self.settings.lease_seconds - uptime)

    def run(self) -> None:
        """Tick until the process is ended."""
        self.wait_for_young_redis()
        while True:
            started = time.monotonic()
            self.tick()
            time.sleep(max(0.05, TICK - (time.monotonic() - started)))


def _leave(_signal: int, _frame: FrameType | None) -> None:
    os._exit(0)  # at once: nothing is half done that another keeper would not do again


def main() -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s: %(message)s")
    signal.signal(signal.SIGTERM, _leave)
    settings = Settings()
    store = JobStore.connect(settings.redis_url, timeout=5)
    pictures = PictureStore.connect(settings, timeout=10)
    Courier.start(settings)
    Keeper(store, pictures, Hints.connect(settings, store, timeout=5), settings).run()


if __name__ == "__main__":
    main()
