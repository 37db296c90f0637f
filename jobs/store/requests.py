"""What the web tier does for its clients: submit, read, cancel and delete jobs."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal, Self, cast

from jobs import redis_keys
from jobs.errors import QueueFull, TooManyJobs, TooManyUploads
from jobs.job import Job, Status
from jobs.scripts import UNFINISHED, reaching_redis
from jobs.store.base import StoreBase, readable_jobs
from jobs.throttle import Allowance, Counted

ONCE_SECONDS = 86_400  #: how long an idempotency key is remembered
PreviewKind = Literal["predicted", "noisy"]


@dataclass(frozen=True)
class IdempotencyKey:
    """A client's idempotency key, and a digest of the request that used it."""

    key: str
    fingerprint: str


@dataclass(frozen=True)
class Limits:
    """The limits of the queue: waiting jobs of one tenant, waiting jobs in all, and the wait of a new job."""

    own: int = 10**9
    all: int = 10**9
    wait_seconds: float = 1e9

    def refuse(self, why: str, ms: int) -> None:
        """
        Raises:
            TooManyJobs: the tenant has as many jobs as it may have.
            QueueFull: there is no room for any tenant.
        """
        seconds = ceil(min(max(ms, 1000), 3_600_000) / 1000 * random.uniform(1, 1.25))  # noqa: S311 - jitter
        if why == "tenant":
            raise TooManyJobs(f"At most {self.own} jobs of yours may wait at a time.", retry_after=seconds)
        raise QueueFull(FULL[why].format(self), retry_after=seconds)


FULL = {
    "memory": "The record store is nearly full; nothing was accepted.",
    "queue": "At most {0.all} jobs may wait at a time, and so many do; nothing was accepted.",
    "wait": "A new job would wait for more than {0.wait_seconds:.0f} s; nothing was accepted.",
}
NO_LIMITS = Limits()


@dataclass(frozen=True)
class QueuePosition:
    """The position of a queued job, and the estimated seconds until its end (None: nothing was measured yet)."""

    position: int
    eta_seconds: int | None

    @classmethod
    def of(cls, place: tuple[int, int]) -> Self:
        """A position from a script's answer: the position, and milliseconds or -1."""
        at, ms = place
        return cls(at, round(ms / 1000) if ms >= 0 else None)


@dataclass(frozen=True)
class Known:
    """The job that an idempotency key stands for, and the fingerprint of the request that made it."""

    job_id: str
    fingerprint: str


@dataclass(frozen=True)
class Accepted:
    """An accepted job's record, and its position if it is queued."""

    record: Mapping[str, str]
    position: QueuePosition | None

    @property
    def id(self) -> str:
        return self.record["id"]


class Requests(StoreBase):
    """Jobs as clients see them: each method acts for one tenant."""

    def admit(
        self,
        tenant: str,
        limits: Limits,
        idempotency_key: str | None = None,
        counted: Counted | None = None,
        tell: Callable[[Allowance], None] = lambda _: None,
    ) -> Known | None:
        """Refuse a new job of the tenant if there is no room. A repeated request, with a known key, is never refused.

        `counted`: take the request from this allowance first, and `tell` the rest of it. If nothing was left, nothing
        else is checked. Returns what is known of the idempotency key.

        Raises:
            TooManyJobs, QueueFull
        """
        bounds = (limits.own, limits.all, round(limits.wait_seconds * 1000))
        taking = (*counted.arguments, counted.limit_name) if counted else ()
        taken, known, fingerprint, *refused = self._run("admit", tenant, idempotency_key or "", *bounds, *taking)
        if counted:
            tell(counted.allowance(taken))
        if refused:
            limits.refuse(*refused)
        return Known(known, fingerprint) if known else None

    def submit(
        self,
        job: Job,
        idempotency: IdempotencyKey | None = None,
        limits: Limits = NO_LIMITS,
        *,
        at_ms: int | None = None,
    ) -> Accepted | None:
        """Accept a job. Submitting the same job again changes nothing.

        Returns the accepted job. If the idempotency key was used before, it is that earlier job, or None if the earlier
        request was a different one. `at_ms`: the time of the acceptance, if it was not now.

        Raises:
            TooManyJobs: the tenant has as many waiting jobs as it may have.
        """
        key = (idempotency.key, idempotency.fingerprint, ONCE_SECONDS) if idempotency else ("", "", 0)
        fields = [part for pair in job.request().items() for part in pair]
        head = (job.id, job.tenant, job.priority.head_start_ms, job.deadline_seconds, at_ms or "")
        bounds = (limits.own, limits.all, round(limits.wait_seconds * 1000))
        answer, *rest = self._run("submit", *head, *key, *bounds, *fields)
        if answer == "taken":
            return None
        if answer != "accepted":
            limits.refuse(answer, *rest)
        return Accepted(*_read(rest))

    def reserve_upload(self, tenant: str, upload: str, most: int, keep_seconds: int) -> None:
        """Count one more upload of a tenant, which may keep `most`.

        Raises:
            TooManyUploads
        """
        ms = self._run("reserve_upload", tenant, upload, most, keep_seconds * 1000)
        if ms:
            detail = f"At most {most} uploads of yours may be kept at a time (MAX_UPLOADS), each for a day."
            raise TooManyUploads(detail, retry_after=ceil(float(ms) / 1000))

    def find_by_idempotency_key(self, tenant: str, idempotency: IdempotencyKey) -> tuple[str, bool] | None:
        """The job of an idempotency key, and whether the request was the same. None: the key is new."""
        with reaching_redis():
            job_id, fingerprint = self.redis.hmget(f"{redis_keys.ONCE}{tenant}:{idempotency.key}", "job", "fingerprint")
            known = job_id and self.redis.exists(redis_keys.JOB + job_id)
        return (job_id, fingerprint == idempotency.fingerprint) if known else None

    def get(self, job_id: str, tenant: str) -> Job | None:
        """A tenant's job. None: there is none, or it is another tenant's."""
        with reaching_redis():
            record = self.redis.hgetall(redis_keys.JOB + job_id)
        return Job.from_record(record) if record.get("tenant") == tenant else None

    def read(self, job_id: str, tenant: str) -> tuple[Job, QueuePosition | None] | None:
        """As `get`, with the job's position if it is queued."""
        record, position = _read(self._run("read", job_id))
        return (Job.from_record(record), position) if record.get("tenant") == tenant else None

    def find_by_pixels(self, pixels_sha256: str) -> str | None:
        """The id of the job whose output has these pixels. None: no kept output has them."""
        with reaching_redis():
            return cast(str | None, self.redis.get(redis_keys.PIXELS + pixels_sha256))

    def page(self, tenant: str, *, status: Status | None, limit: int, after: str | None) -> list[Job]:
        """A tenant's jobs, newest first, starting after the id `after`."""
        index = redis_keys.INDEX + tenant + (f":{status}" if status else "")
        with reaching_redis():
            ids = self.redis.zrevrangebylex(index, f"({after}" if after else "+", "-", 0, limit)
            pipe = self.redis.pipeline(transaction=False)
            for job_id in ids:
                pipe.hgetall(redis_keys.JOB + job_id)
            return readable_jobs(pipe.execute())

    def count_by_status(self, tenant: str) -> dict[Status, int]:
        """How many jobs of a tenant are kept, by their status."""
        pipe = self.redis.pipeline(transaction=False)
        for status in Status:
            pipe.zcard(f"{redis_keys.INDEX}{tenant}:{status}")
        with reaching_redis():
            return dict(zip(Status, pipe.execute(), strict=True))

    def queue_positions(self, jobs: Sequence[Job]) -> dict[str, QueuePosition]:
        """The positions of those jobs that are queued, by id."""
        waiting = [job for job in jobs if job.status is Status.QUEUED]
        if not waiting:
            return {}
        found = zip(waiting, self._run("positions", *(job.id for job in waiting)), strict=True)
        return {job.id: QueuePosition.of(place) for job, place in found if place}

    def cancel(self, job_id: str, tenant: str) -> Status | None:
        """Ask a job to stop. Returns its status now. None: the tenant has no such job."""
        status = self._run("cancel", job_id, tenant)
        return Status(status) if status else None

    def delete(self, job_id: str, tenant: str) -> Literal["deleted", "active"] | None:
        """Remove an ended job; its folder in the bucket goes into the trash."""
        answer = UNFINISHED
        while answer == UNFINISHED:
            answer = self._run("delete", job_id, tenant)
        return cast(Literal["deleted", "active"] | None, answer)

    def preview(self, job_id: str, kind: PreviewKind = "predicted") -> bytes | None:
        """The latest preview of a running job, JPEG: the picture as predicted, or the latents with their noise."""
        with reaching_redis():
            text = self.redis.hget(redis_keys.PREVIEW + job_id, kind)
        return bytes.fromhex(text) if text else None


def _read(answer: Sequence[Any]) -> tuple[dict[str, str], QueuePosition | None]:
    """A job from a script's answer: its record and position."""
    pairs, place = answer
    return dict(zip(pairs[::2], pairs[1::2], strict=True)), QueuePosition.of(place) if place else None
