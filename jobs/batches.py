"""Batches: many edits in one request, which are submitted gradually and reported together.

The requests are in the bucket in `_batches/{tenant}/{batch}/lines.jsonl`, one on each line; the results of the lines
are in Redis. Every step of feeding is safe to repeat, because each line's job has an idempotency key of its own.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any, Literal, Self

from jobs import redis_keys
from jobs.errors import TooManyBatches
from jobs.job import born_ms, is_id
from jobs.pages import page_of
from jobs.pictures import PictureStore
from jobs.scripts import reaching_redis

MOST_LINES = 50_000
MOST_OPEN = 100  #: batches of one tenant that are not over
LEASE_MS = 10_000  #: for which one process feeds a batch, unless it renews the lease
PORTION = 1000  #: lines that are written or read at a time
LONGEST_SECONDS = 7 * 86_400  #: of a batch's time

LineStatus = Literal["waiting", "running", "succeeded", "failed", "canceled", "refused"]
OVER: tuple[LineStatus, ...] = ("succeeded", "failed", "canceled", "refused")


class BatchStatus(StrEnum):
    """The state of a batch."""

    IN_PROGRESS = "in_progress"
    CANCELING = "canceling"
    COMPLETED = "completed"
    CANCELED = "canceled"
    EXPIRED = "expired"


@dataclass(frozen=True)
class Line:
    """One edit of a batch: its owner's name for it, its job once there is one, and the reason if it has no picture."""

    name: str
    status: LineStatus = "waiting"
    job: str | None = None
    problem: Mapping[str, Any] | None = None

    @property
    def is_over(self) -> bool:
        return self.status in OVER

    @classmethod
    def from_text(cls, text: str) -> Self:
        return cls(**json.loads(text))

    def text(self) -> str:
        """Its entry in Redis."""
        return json.dumps({name: value for name, value in asdict(self).items() if value is not None})


@dataclass(frozen=True)
class Batch:
    """A batch. After `expires_ms` no more of its edits are submitted; its record is kept until `forgotten_ms`."""

    id: str
    tenant: str
    total: int
    expires_ms: int
    forgotten_ms: int
    columns: int = 0  #: pictures on its contact sheet; 0: no sheet
    priority: str = "low"
    webhook: str = ""
    metadata: str = "{}"
    status: BatchStatus = BatchStatus.IN_PROGRESS
    completed: int = 0
    failed: int = 0
    ended_ms: int = 0

    @property
    def created_ms(self) -> int:
        return born_ms(self.id)

    @property
    def is_over(self) -> bool:
        return self.status not in (BatchStatus.IN_PROGRESS, BatchStatus.CANCELING)

    @property
    def folder(self) -> str:
        """The folder of its documents in the bucket."""
        return f"_batches/{self.tenant}/{self.id}"

    @classmethod
    def from_record(cls, record: Mapping[str, str]) -> Self:
        kinds = {one.name: one.type for one in fields(cls)}
        given = {name: int(text) if kinds[name] is int else text for name, text in record.items() if name in kinds}
        status = BatchStatus(record["status"])
        if status is BatchStatus.IN_PROGRESS and "cancel_asked" in record:
            status = BatchStatus.CANCELING
        return cls(**{**given, "status": status})  # type: ignore[arg-type]


class BatchStore:
    """The batches of all tenants.

    Raises:
        RecordsUnavailable, StorageUnavailable: from any method.
    """

    def __init__(self, client: Any, pictures: PictureStore) -> None:
        self.redis = client
        self.pictures = pictures

    # ---- for the web tier's routes

    def create(
        self, batch: Batch, requests: Sequence[Mapping[str, Any]], once: tuple[str, str] | None = None
    ) -> str | None:
        """Create a batch; each request has a `name` and the fields of a submission as `request`.

        `once`: an idempotency key and a digest of all that is asked for. Returns the batch's id, which is an earlier
        one's if the key was used before; None if that was for something else.
        """
        if once and (known := self._known(batch.tenant, *once)) != "":
            return known
        lines = "\n".join(json.dumps(request) for request in requests).encode()
        self.pictures.put_lines(batch.folder, lines)
        with reaching_redis():
            self._write(batch, requests)
            if once and not self.redis.set(
                self._once(batch.tenant, once[0]), f"{batch.id} {once[1]}", nx=True, ex=86_400
            ):
                return self._known(
                    batch.tenant, *once
                )  # another request with this key was faster; this one's records are dropped
            with self.redis.pipeline() as pipe:
                pipe.zadd(redis_keys.BATCHES + batch.tenant, {batch.id: batch.created_ms})
                pipe.pexpireat(redis_keys.BATCHES + batch.tenant, batch.forgotten_ms, gt=True)
                pipe.pexpireat(redis_keys.BATCHES + batch.tenant, batch.forgotten_ms, nx=True)
                pipe.sadd(redis_keys.OPEN_BATCHES, batch.id)
                pipe.execute()
        return batch.id

    def _write(self, batch: Batch, requests: Sequence[Mapping[str, Any]]) -> None:
        with self.redis.pipeline() as pipe:
            for start in range(0, len(requests), PORTION):
                portion = enumerate(requests[start : start + PORTION], start)
                pipe.hset(
                    redis_keys.BATCH_LINES + batch.id, mapping={n: Line(one["name"]).text() for n, one in portion}
                )
            pipe.hset(redis_keys.BATCH + batch.id, mapping=asdict(batch))
            pipe.pexpireat(redis_keys.BATCH_LINES + batch.id, batch.forgotten_ms)
            pipe.pexpireat(redis_keys.BATCH + batch.id, batch.forgotten_ms)
            pipe.execute()

    def _once(self, tenant: str, key: str) -> str:
        return f"{redis_keys.ONCE}{tenant}:batch:{key}"

    def _known(self, tenant: str, key: str, fingerprint: str) -> str | None:
        """The batch of an idempotency key; None if the key was used for another request, "" if it is new."""
        with reaching_redis():
            batch, _, asked = (self.redis.get(self._once(tenant, key)) or "").partition(" ")
        return batch if asked == fingerprint or not batch else None

    def get(self, batch_id: str, tenant: str | None = None) -> Batch | None:
        """A tenant's batch, or any tenant's; None if it is absent or another tenant's."""
        if not is_id(batch_id):
            return None
        with reaching_redis():
            record = self.redis.hgetall(redis_keys.BATCH + batch_id)
        return Batch.from_record(record) if record and tenant in (None, record["tenant"]) else None

    def page(self, tenant: str, *, limit: int, after: str | None) -> tuple[list[Batch], str | None]:
        """A page of a tenant's batches, newest first, and where the next page begins."""
        with reaching_redis():
            ids, place = page_of(self.redis, redis_keys.BATCHES + tenant, limit=limit, after=after, newest_first=True)
        return [batch for one in ids if (batch := self.get(one, tenant))], place

    def lines(self, batch: Batch, start: int, count: int) -> dict[int, Line]:
        """Some lines by number, counted from 0."""
        numbers = range(start, min(start + count, batch.total))
        with reaching_redis():
            texts = self.redis.hmget(redis_keys.BATCH_LINES + batch.id, [*numbers]) if numbers else []
        return {number: Line.from_text(text) for number, text in zip(numbers, texts, strict=True) if text}

    def cancel(self, batch: Batch) -> None:
        """Cancel a batch. Edits that are done stay."""
        with reaching_redis():  # a field of its own, so that an end that comes at this moment is not undone
            self.redis.hset(redis_keys.BATCH + batch.id, "cancel_asked", 1)

    def sheet(self, batch: Batch) -> bytes:
        """The contact sheet, a JPEG.

        Raises:
            NoSuchPicture: there is none.
        """
        return self.pictures.read(f"{batch.folder}/sheet.jpg")

    # ---- for the feeder

    def refuse_more_than(self, most: int, tenant: str) -> None:
        """
        Raises:
            TooManyBatches: the tenant has this many unfinished batches.
        """
        with reaching_redis(), self.redis.pipeline(transaction=False) as pipe:
            for batch_id in self.redis.smembers(redis_keys.OPEN_BATCHES):
                pipe.hget(redis_keys.BATCH + batch_id, "tenant")
            own = pipe.execute().count(tenant)
        if own >= most:
            detail = f"At most {most} batches of yours may be open at a time; wait for one of them, or cancel it."
            raise TooManyBatches(detail, retry_after=60)

    def room(self, tenant: str, most: int) -> int:
        """How many jobs of the tenant may wait at a time: `most`, unless an operator has set a limit for it."""
        with reaching_redis():
            return int(self.redis.hget(redis_keys.LIMITS + tenant, "queued") or most)

    def open(self) -> list[str]:
        """The ids of the batches that are not over."""
        with reaching_redis():
            return sorted(self.redis.smembers(redis_keys.OPEN_BATCHES))

    def forget(self, batch_id: str) -> None:
        """Remove a batch that is over, or whose record is gone, from the open ones."""
        with reaching_redis():
            self.redis.srem(redis_keys.OPEN_BATCHES, batch_id)

    def lease(self, batch_id: str, holder: str) -> bool:
        """Lease the batch to one feeder for some seconds; False: another has it. Two at once only do double work."""
        name = redis_keys.BATCH_LEASE + batch_id
        with reaching_redis():
            if self.redis.set(name, holder, nx=True, px=LEASE_MS):
                return True
            return self.redis.get(name) == holder and bool(self.redis.pexpire(name, LEASE_MS))

    def release(self, batch_id: str, holder: str) -> None:
        """Let others feed a batch."""
        with reaching_redis():
            if self.redis.get(redis_keys.BATCH_LEASE + batch_id) == holder:
                self.redis.delete(redis_keys.BATCH_LEASE + batch_id)

    def requests(self, batch: Batch) -> list[bytes]:
        """Its requests, a JSON object a line."""
        return self.pictures.read(f"{batch.folder}/lines.jsonl").splitlines()

    def note(self, batch: Batch, lines: Mapping[int, Line]) -> None:
        """Record the results of some lines, and how many lines are over."""
        counts = {"completed": batch.completed, "failed": batch.failed}
        with reaching_redis(), self.redis.pipeline() as pipe:
            if lines:
                texts = {number: line.text() for number, line in lines.items()}
                pipe.hset(redis_keys.BATCH_LINES + batch.id, mapping=texts)
            pipe.hset(redis_keys.BATCH + batch.id, mapping=counts)
            pipe.execute()

    def statuses(self, jobs: Iterable[str]) -> list[tuple[str | None, str | None]]:
        """The status of each job, None if it is gone, and its error, JSON."""
        with reaching_redis(), self.redis.pipeline(transaction=False) as pipe:
            for job in jobs:
                pipe.hmget(redis_keys.JOB + job, "status", "error")
            return [(status, error) for status, error in pipe.execute()]

    def put_sheet(self, batch: Batch, jpeg: bytes) -> None:
        """Store its contact sheet."""
        self.pictures.put_sheet(batch.folder, jpeg)

    def end(self, batch: Batch, status: BatchStatus, at_ms: int) -> Batch:
        """Record that the batch is over."""
        ended = replace(batch, status=status, ended_ms=at_ms)
        with reaching_redis(), self.redis.pipeline() as pipe:
            facts = {"status": status, "ended_ms": at_ms, "completed": batch.completed, "failed": batch.failed}
            pipe.hset(redis_keys.BATCH + batch.id, mapping=facts)
            pipe.srem(redis_keys.OPEN_BATCHES, batch.id)
            pipe.execute()
        return ended
