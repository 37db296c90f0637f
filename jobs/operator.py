"""What an operator does: look at workers, pause and resume, drain, prune, handle dead letters and tenants."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from jobs import redis_keys
from jobs.job import Job, Status, is_id
from jobs.pages import page_of
from jobs.scripts import ALIVE_MS, reaching_redis, script_source
from jobs.store import JobStore
from jobs.store.base import readable_jobs

MOST_PRUNED = 10_000  #: in one request
LOOKED_AT_ONCE = 1000  #: records in one request
ASKED_AT_ONCE = 10  #: records in one call of a script


@dataclass(frozen=True)
class WorkerView:
    """A worker: when it last renewed its record, how many jobs it holds, and what it says about itself."""

    name: str
    alive: bool
    seen_ms: int
    holds: int
    draining: bool
    about: Mapping[str, Any]


@dataclass(frozen=True)
class BrokenRecord:
    """A damaged record of a job: the fields that are missing, that hold no number, and that cannot be read."""

    id: str
    tenant: str | None
    status: str | None
    absent: tuple[str, ...]
    no_numbers: tuple[str, ...]
    unreadable: str | None


@dataclass(frozen=True)
class Allowed:
    """One tenant's limits; None: the settings' limit for all tenants."""

    queued: int | None = None
    running: int | None = None
    reads_per_minute: int | None = None
    writes_per_minute: int | None = None


@dataclass(frozen=True)
class TenantView:
    """A tenant's waiting and running edits, its stored jobs, and its limits."""

    tenant: str
    queued: int
    running: int
    kept: int
    limits: Allowed


class Operator:
    """Reads and changes what belongs to no tenant.

    Raises:
        RecordsUnavailable: from any method, when Redis does not answer in time.
    """

    def __init__(self, store: JobStore) -> None:
        self.store = store
        self.redis = store.redis
        self._prune = self.redis.register_script(script_source("prune"))
        self._broken = self.redis.register_script(script_source("broken"))

    # ---- the queue

    def pause(self) -> None:
        """Let workers claim nothing until `resume`. Running jobs go on, and new ones are accepted."""
        with reaching_redis():
            self.redis.set(redis_keys.PAUSED, self._now_ms(), nx=True)

    def resume(self) -> None:
        """Let workers claim jobs again."""
        with reaching_redis():
            self.redis.delete(redis_keys.PAUSED)

    def prune(self, *, status: Status | None, tenant: str | None, older_than_seconds: int) -> tuple[int, bool]:
        """Remove ended jobs before their time. Returns how many, and whether there may be more."""
        removed, cursor = 0, None
        with reaching_redis("prune"):
            before = self._now_ms() - older_than_seconds * 1000
            while cursor != 0:
                if removed >= MOST_PRUNED:
                    return removed, True
                cursor, found = self.redis.zscan(redis_keys.EXPIRY, cursor or 0, count=100)
                ids = [job_id for job_id, _ in found]
                while ids:
                    some, looks = self._prune(args=(status or "", tenant or "", before, *ids))
                    removed, ids = removed + some, ids[looks:]
        return removed, False

    # ---- workers

    def workers(self) -> list[WorkerView]:
        """All workers that renewed their record in the last minute, by name."""
        with reaching_redis():
            seen = dict(self.redis.zrange(redis_keys.WORKERS, 0, -1, withscores=True))
            said = self.redis.hmget(redis_keys.WORKER_INFO, list(seen)) if seen else []
            draining = self.redis.smembers(redis_keys.DRAINING)
            holds = [self.redis.scard(redis_keys.HELD_JOBS + name) for name in seen]
            now = self._now_ms()
        return sorted(
            (
                WorkerView(name, now - at <= ALIVE_MS, int(at), held, name in draining, json.loads(about or "{}"))
                for (name, at), about, held in zip(seen.items(), said, holds, strict=True)
            ),
            key=lambda worker: worker.name,
        )

    def drain(self, worker: str, *, undo: bool = False) -> bool:
        """Let a worker finish the jobs that it holds and claim no more. False: there is no such worker."""
        with reaching_redis():
            if self.redis.zscore(redis_keys.WORKERS, worker) is None:
                return False
            (self.redis.srem if undo else self.redis.sadd)(redis_keys.DRAINING, worker)
        return True

    # ---- records

    def broken_records(self, after: int = 0) -> tuple[list[BrokenRecord], int]:
        """The damaged ones of some thousand records, and the `after` of the next page; 0: this was the last."""
        with reaching_redis("broken"):
            cursor, names = self.redis.scan(after, match=redis_keys.JOB + "*", count=LOOKED_AT_ONCE)
            ids = [name.removeprefix(redis_keys.JOB) for name in names]
            pipe = self.redis.pipeline(transaction=False)
            for name in names:
                pipe.hgetall(name)
            records = dict(zip(ids, pipe.execute(), strict=True))
            asked = [self._broken(args=ids[at : at + ASKED_AT_ONCE]) for at in range(0, len(ids), ASKED_AT_ONCE)]
        unwhole = {job_id: (absent, other) for answer in asked for job_id, absent, other in answer}
        found = [broken_record(job_id, record, *unwhole.get(job_id, ("", ""))) for job_id, record in records.items()]
        return [one for one in found if one.absent or one.no_numbers or one.unreadable], int(cursor)

    # ---- dead letters

    def dead_letters(self, limit: int, after: str | None = None) -> tuple[list[Job], str | None]:
        """Jobs that failed through no fault of their client, newest first, and the `after` of the next page."""
        with reaching_redis():
            ids, following = page_of(self.redis, redis_keys.DEAD, limit=limit, after=after, newest_first=True)
            pipe = self.redis.pipeline(transaction=False)
            for job_id in ids:
                pipe.hgetall(redis_keys.JOB + job_id)
            return readable_jobs(pipe.execute()), following

    def dead_letter(self, job_id: str) -> Job | None:
        """One of them."""
        if not is_id(job_id):
            return None
        with reaching_redis():
            known = self.redis.zscore(redis_keys.DEAD, job_id) is not None
        return self._job(job_id) if known else None

    def forget_dead_letter(self, job_id: str) -> None:
        """Remove a dead letter from the list."""
        with reaching_redis():
            self.redis.zrem(redis_keys.DEAD, job_id)

    # ---- tenants

    def tenants(
        self, limit: int, after: str | None = None, known: Iterable[str] = ()
    ) -> tuple[list[TenantView], str | None]:
        """A page of tenants by name, all that have submitted or are `known`, and the `after` of the next page."""
        with reaching_redis():
            all_names = {*known, *self.redis.sscan_iter(redis_keys.TENANTS, count=LOOKED_AT_ONCE)}
            behind = sorted(name for name in all_names if after is None or name > after)
            names = behind[:limit]
            pipe = self.redis.pipeline(transaction=False)
            for name in names:
                for suffix in (":queued", ":running", ":canceling", ""):
                    pipe.zcard(redis_keys.INDEX + name + suffix)
                for status in ("queued", "running"):
                    pipe.scard(f"{redis_keys.MORE}{name}:{status}")
                pipe.hgetall(redis_keys.LIMITS + name)
            told = pipe.execute()
        page = []
        for at, name in enumerate(names):
            queued, running, canceling, kept, more_queued, more_running, limits = told[7 * at : 7 * at + 7]
            edits = queued + more_queued, running + canceling + more_running
            page.append(TenantView(name, *edits, kept, _limits(limits)))
        return page, names[-1] if len(behind) > limit else None

    def limit(self, tenant: str, limits: Allowed) -> None:
        """Set a tenant's limits, also before its first job. Without any, the settings' limits hold."""
        given = {name: number for name, number in asdict(limits).items() if number is not None}
        with reaching_redis():
            pipe = self.redis.pipeline()
            pipe.delete(redis_keys.LIMITS + tenant)
            if given:
                pipe.hset(redis_keys.LIMITS + tenant, mapping=given)
                pipe.sadd(redis_keys.TENANTS, tenant)
            pipe.execute()

    def _job(self, job_id: str) -> Job | None:
        with reaching_redis():
            record = self.redis.hgetall(redis_keys.JOB + job_id)
        return Job.from_record(record) if record else None

    def _now_ms(self) -> int:
        seconds, micros = self.redis.time()
        return int(seconds * 1000 + micros // 1000)


def _limits(record: Mapping[str, str]) -> Allowed:
    return Allowed(**{name: int(number) for name, number in record.items()})


def broken_record(job_id: str, record: Mapping[str, str], absent: str, no_numbers: str) -> BrokenRecord:
    """What is damaged in a record; None if nothing is."""
    fields = tuple(absent.split()), tuple(no_numbers.split())
    unreadable = None
    try:
        Job.from_record(STAND_INS | {name: text for name, text in record.items() if name not in fields[1]})
    except KeyError as error:
        unreadable = f"it has no {error.args[0]}"
    except (TypeError, ValueError) as error:
        unreadable = str(error)
    return BrokenRecord(job_id, record.get("tenant"), record.get("status"), *fields, unreadable)


#: The fields that a repair adds, with a value that can be read.
STAND_INS = {"id": "", "tenant": "default", "model": "unknown", "priority": "normal", "status": "failed"}
