"""Maintenance of the bucket: keeps it in step with the records, in a thread of the keeper's process.

It has a thread of its own so that a storage that hangs does not delay the recovery of jobs.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import islice
from typing import TypeVar
from uuid import uuid4

from jobs.batches import BatchStore
from jobs.errors import Unavailable
from jobs.files import FileStore
from jobs.job import LONGEST_DEADLINE, Job, Status
from jobs.pictures import OWN_FOLDER, Folder, PictureStore, Refused
from jobs.settings import Settings
from jobs.store import JobStore
from worker.backup import Backup

log = logging.getLogger("maintenance")

T = TypeVar("T")

ROUND_SECONDS = 1.0  #: between two rounds
PARALLEL_CALLS = 8  #: calls to the storage at a time
BACKUP_SECONDS = 10.0  #: between two backups of API keys and webhooks, if they have changed
SWEEP_SECONDS = 3600.0  #: between two sweeps through the whole bucket
AGAIN = 60.0  #: seconds until a failed step is tried again, unless it is due sooner
STALE_SECONDS = 900.0  #: age at which a result that no record names is removed
DAY = 86_400


class Maintenance:
    """The steps of the maintenance. Each is safe to repeat, and for several keepers at a time."""

    def __init__(self, store: JobStore, pictures: PictureStore, settings: Settings) -> None:
        self.store = store
        self.pictures = pictures
        self.settings = settings
        self._clock: dict[str, float] = {}
        self._instance: str | None = None
        secret = settings.backup_key
        self._backup = Backup(store, pictures, secret.get_secret_value()) if secret else None

    @classmethod
    def start(cls, settings: Settings, pictures: PictureStore) -> threading.Thread:
        """Start a thread that runs for as long as the process lives."""
        maintenance = cls(JobStore.connect(settings.redis_url, timeout=5), pictures, settings)
        thread = threading.Thread(target=maintenance.run, daemon=True, name="maintenance")
        thread.start()
        return thread

    def run(self) -> None:
        """Run rounds until the process ends."""
        while True:
            self.run_once()
            time.sleep(ROUND_SECONDS)

    def run_once(self) -> None:
        """Do the steps that are due. A failed step is left for a later round."""
        self._do(self.write_ends)
        self._do(self.empty_trash)
        self._do(self.save, every=BACKUP_SECONDS)
        self._do(self.limit_age, every=DAY)
        self._do(self.drop_old_uploads, every=SWEEP_SECONDS)
        self._do(self.drop_old_files, every=SWEEP_SECONDS)
        self._do(self.drop_old_batches, every=SWEEP_SECONDS)
        self._do(self.sweep, every=SWEEP_SECONDS)

    def _do(self, step: Callable[[], object], every: float = 0.0) -> None:
        if time.monotonic() < self._clock.get(step.__name__, 0.0):
            return
        try:
            step()
        except Unavailable as error:
            log.warning("%s: %s", step.__name__, error)
            every = min(every, AGAIN)
        except Exception:
            log.exception("%s failed", step.__name__)
            every = min(every, AGAIN)
        self._clock[step.__name__] = time.monotonic() + every

    def write_ends(self) -> None:
        """Write `end.json` beside each ended job, so that the bucket alone tells which jobs are over."""
        self._for_each(self._write_end, self.store.unwritten_ends())

    def _write_end(self, job: Job) -> None:
        end = {"id": job.id, "status": job.status, "fence": job.fence, "finished_ms": job.finished_ms}
        outputs = [asdict(output.picture) for output in job.outputs]
        told = {"output": next(iter(outputs), None), "outputs": outputs, "error": job.error}
        self.pictures.put_document(job.folder, "end.json", {**end, **told})
        self.store.mark_end_written(job.id)

    def empty_trash(self) -> None:
        """Empty the folders of removed jobs."""
        self._for_each(self._empty, self.store.trashed_folders())

    def _empty(self, folder: str) -> None:
        self.pictures.empty(folder)
        self.store.forget_trashed_folder(folder)

    def _for_each(self, step: Callable[[T], None], items: Sequence[T]) -> None:
        """Work on several items at a time, because each call waits for the storage. The first failure ends it."""
        with ThreadPoolExecutor(PARALLEL_CALLS) as pool:
            for _ in pool.map(step, items):
                pass

    def drop_old_uploads(self) -> None:
        """Remove uploads that are a day old."""
        if dropped := self.pictures.drop_old_uploads(self.pictures.now()):
            log.info("%s old uploads removed", dropped)

    def drop_old_files(self, stale: float = STALE_SECONDS) -> None:
        """Remove clients' files that have expired, or whose record was never written."""
        if not self.is_ours():
            return
        files = FileStore(self.store.redis, self.pictures)
        for page in self.pictures.files():
            known, now = files.known([file for _, file, _ in page]), self.pictures.now()
            for tenant, file, written in page:
                if file not in known and now - written >= stale:
                    self.pictures.delete_file(tenant, file)

    def drop_old_batches(self, stale: float = STALE_SECONDS) -> None:
        """Remove the objects of batches that have expired, or whose record was never written."""
        if not self.is_ours():
            return
        batches, now = BatchStore(self.store.redis, self.pictures), self.pictures.now()
        for page in self.pictures.batch_documents():
            for key, written in page:
                if now - written >= stale and batches.get(key.split("/")[2]) is None:
                    self.pictures.delete(key)

    def limit_age(self) -> None:
        """Ask the bucket to remove objects that no job can need any more, in case no keeper runs.

        The owner of the storage may refuse the rule. The refusal is logged, and the next day it is tried again.
        """
        days = math.ceil((LONGEST_DEADLINE + self.settings.retention_seconds) / DAY) + 1
        advice = f"let it expire what is older than {days} days below the prefix {self.settings.s3_folder!r}"
        try:
            if not self.pictures.limit_age(days):
                log.warning("the bucket has lifecycle rules of others: %s yourself, or set S3_PREFIX", advice)
        except Refused as error:
            log.warning("the bucket takes no lifecycle rule of ours (%s): %s yourself", error.__cause__, advice)

    def save(self) -> None:
        """Back up keys, tenants and webhooks when they have changed."""
        if self._backup and self.is_ours():
            self._backup.save(self._instance or "")

    def sweep(self, *, stale: float = STALE_SECONDS, orphaned: float | None = None) -> int:
        """Remove results of attempts that lost their job, and folders without a record.

        Younger ones are left alone, because their record may be about to be written. `stale` and `orphaned` are ages in
        seconds; by default a folder is kept as long as a job. Returns how many objects and folders were removed.
        """
        if not self.is_ours():
            return 0
        removed, now = 0, self.pictures.now()
        patience = self.settings.retention_seconds if orphaned is None else orphaned
        for folders in _batches(self.pictures.folders(), 200):
            known_jobs = self.store.statuses_and_fences([folder.job_id for folder in folders])
            for folder in folders:
                if folder.job_id in known_jobs:
                    removed += self._drop_stale(folder, *known_jobs[folder.job_id], written_before=now - stale)
                elif now - folder.newest >= patience and self.store.instance() == self._instance:
                    self.pictures.empty(folder.path)
                    removed += 1
        if removed:
            log.info("%s orphans removed", removed)
        return removed

    def _drop_stale(self, folder: Folder, status: Status, fence: str, *, written_before: float) -> int:
        """Remove results under any other fence than the job's own; all results if the job ended without one."""
        counts = "" if status.is_over and status is not Status.SUCCEEDED else f"{folder.path}/{fence}/"
        stale = [
            key
            for key, written in folder.objects.items()
            if key.count("/") == 3 and not (counts and key.startswith(counts)) and written <= written_before
        ]
        for key in stale:
            self.pictures.delete(key)
        return len(stale)

    def is_ours(self) -> bool:
        """Whether the bucket and this Redis belong together.

        A Redis that has lost its data knows no job: every folder would look orphaned, and the backup would be empty.
        Therefore nothing is removed or saved until `rebuild` has run.
        """
        document = self.pictures.document(OWN_FOLDER, "instance.json")
        known = document["instance"] if document else None
        self._instance = self.store.instance() if known else self.store.adopt_instance(uuid4().hex)
        if known is None:
            self.pictures.put_document(OWN_FOLDER, "instance.json", {"instance": self._instance})
        elif known != self._instance:
            log.error("The bucket belongs to another Redis. If this one lost its data: `darkroom rebuild-from-bucket`")
            return False
        return True


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
