"""Rebuilds a lost Redis from the bucket: `python -m worker.rebuild`.

Every job that the bucket holds (`jobs/pictures.py`) without an `end.json` is accepted again, with its own id,
idempotency key and deadline, in the old order. API keys, tenants and webhooks come from the encrypted backup. The
command is safe to repeat, and may run while the service runs.

A job that ended in the seconds before the loss may run again. Ended jobs are not restored; their pictures are removed
at the usual time.
"""

import logging
import sys
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from jobs.job import Job, born_ms
from jobs.pictures import OWN_FOLDER, Folder, PictureStore
from jobs.settings import Settings
from jobs.store import JobStore
from jobs.store.requests import IdempotencyKey
from worker.backup import Backup

log = logging.getLogger("rebuild")

CLOCKS_DIFFER_MS = 60_000  #: longer than a submission takes from its id to its write into the bucket


@dataclass(frozen=True)
class Rebuilt:
    """What the bucket had: unfinished jobs, ended jobs, and Redis keys of the backup."""

    jobs: int
    over: int
    keys: int


def rebuild(store: JobStore, pictures: PictureStore, backup: Backup | None) -> Rebuilt:
    """Restore everything that the bucket has.

    Raises:
        Unavailable, BackupError
    """
    restored = backup.restore() if backup else 0
    unfinished, over = [], 0
    for folder in pictures.folders():
        if folder.has("end.json"):
            over += 1
        elif folder.job_key:
            unfinished.append(folder)
    jobs = 0
    for folder in sorted(unfinished, key=lambda folder: folder.job_id):
        document = pictures.job_document(folder)
        if document:  # otherwise it was deleted meanwhile, or was about to be submitted
            resubmit(store, document, accepted_ms(folder))
            jobs += 1
    _adopt(store, pictures)
    return Rebuilt(jobs, over, restored)


def accepted_ms(folder: Folder) -> int:
    """When a job was accepted: the time in its id, unless that differs too much from the storage's clock."""
    born, written = born_ms(folder.job_id), round(folder.objects[folder.job_key or ""] * 1000)
    return born if abs(born - written) < CLOCKS_DIFFER_MS else written


def resubmit(store: JobStore, document: dict[str, Any], at_ms: int) -> None:
    """Accept a job again, with the time of its first acceptance."""
    once = document.pop("once", None)
    job = Job.from_record({**document, "status": "queued"})
    store.submit(job, IdempotencyKey(**once) if once else None, at_ms=at_ms)


def _adopt(store: JobStore, pictures: PictureStore) -> None:
    """Make this Redis the one that the bucket belongs to."""
    known = pictures.document(OWN_FOLDER, "instance.json")
    instance = store.adopt_instance(known["instance"] if known else uuid4().hex)
    pictures.put_document(OWN_FOLDER, "instance.json", {"instance": instance})


def main() -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    settings = Settings()
    store = JobStore.connect(settings.redis_url, timeout=10)
    pictures = PictureStore.connect(settings, timeout=20)
    key = settings.backup_key
    backup = Backup(store, pictures, key.get_secret_value()) if key else None
    if backup is None:
        log.warning("BACKUP_KEY is not set: API keys and webhooks are not restored")
    found = rebuild(store, pictures, backup)
    log.info("%s unfinished jobs are queued again; %s were over; %s keys restored", found.jobs, found.over, found.keys)


if __name__ == "__main__":
    main()
