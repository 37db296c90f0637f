"""What the keeper does: take back jobs of dead workers, end and remove what is due, repair the indexes."""

from collections.abc import Sequence
from typing import cast

from jobs import redis_keys
from jobs.job import Job, Status
from jobs.scripts import UNFINISHED, reaching_redis
from jobs.store.base import StoreBase, readable_jobs

ROUNDS = 100  #: most calls of `expire` in a row, before the keeper does something else
PAGE = 1000  #: most ended jobs, or folders, in one answer


class Upkeep(StoreBase):
    """Jobs as the keeper sees them. Each method is safe to repeat, and for several keepers at a time."""

    def reclaim(self, max_crashes: int) -> list[str]:
        """Take back the jobs whose lease has run out. Returns their ids."""
        taken: list[str] = []
        more = True
        while more:
            ids, more = self._run("reclaim", max_crashes)
            taken += ids
        return taken

    def expire(self, keeper: str = "") -> None:
        """End overdue jobs and remove old ones. `keeper` is the caller's name, which counts as its heartbeat."""
        for _ in range(ROUNDS):
            if self._run("expire", keeper) != UNFINISHED:
                return

    def recount(self) -> bool:
        """Correct the census of queued and running jobs. True: it was wrong."""
        answer = UNFINISHED
        while answer == UNFINISHED:
            answer = self._run("recount")
        return bool(answer)

    def unwritten_ends(self) -> list[Job]:
        """Ended jobs without an `end.json` in the bucket, oldest first."""
        with reaching_redis():
            pipe = self.redis.pipeline(transaction=False)
            for job_id in self.redis.zrange(redis_keys.ENDED, 0, PAGE - 1):
                pipe.hgetall(redis_keys.JOB + job_id)
            return readable_jobs(pipe.execute())

    def mark_end_written(self, job_id: str) -> None:
        """Note that the job's `end.json` is written."""
        self._run("end_written", job_id)

    def repair_indexes(self, *, lease_seconds: int) -> int:
        """Rebuild every index from the records. Returns how many jobs had wrong index entries."""
        repaired: int = 0
        cursor = 0
        while True:
            with reaching_redis():
                cursor, names = self.redis.scan(cursor, match=redis_keys.JOB + "*", count=100)
            ids = [name.removeprefix(redis_keys.JOB) for name in names]
            while ids:
                wrong, looks = self._run("repair", lease_seconds * 1000, *ids)
                repaired, ids = repaired + wrong, ids[looks:]
            if cursor == 0:
                return repaired

    def statuses_and_fences(self, job_ids: Sequence[str]) -> dict[str, tuple[Status, str]]:
        """The status and the fence of those jobs that have a record, by id."""
        pipe = self.redis.pipeline(transaction=False)
        for job_id in job_ids:
            pipe.hmget(redis_keys.JOB + job_id, "status", "fence")
        with reaching_redis():
            found = zip(job_ids, pipe.execute(), strict=True)
        return {job_id: (Status(status), fence or "") for job_id, (status, fence) in found if status}

    def instance(self) -> str | None:
        """The name of this Redis. None: it is new, or has lost its data."""
        with reaching_redis():
            return cast(str | None, self.redis.get(redis_keys.INSTANCE))

    def adopt_instance(self, instance: str) -> str:
        """Give this Redis its name, if it has none. Returns the one that it has now."""
        with reaching_redis():
            self.redis.set(redis_keys.INSTANCE, instance, nx=True)
            return cast(str, self.redis.get(redis_keys.INSTANCE))

    def trashed_folders(self) -> list[str]:
        """Folders of removed jobs that are still to be emptied."""
        with reaching_redis():
            return list(self.redis.zrange(redis_keys.TRASH, 0, PAGE - 1))

    def forget_trashed_folder(self, folder: str) -> None:
        """Note that the folder is empty."""
        with reaching_redis():
            self.redis.zrem(redis_keys.TRASH, folder)
