"""The records of all jobs, in Redis. Each transition is one Lua script in `lua/`; this is their Python face."""

import json
import logging
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from importlib.resources import files
from math import ceil
from typing import Any, Literal, Self, cast
from uuid import uuid4

import redis
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError

from jobs import keys
from jobs.errors import JobError, QueueFull, RecordsUnavailable, ScriptFailed, TooManyJobs, TooManyUploads
from jobs.job import Frames, Job, Picture, Status
from jobs.retries import RedisRetry

log = logging.getLogger(__name__)

PASSED_ON = "passed on"  #: what a script says that has done its share of the work, with more to do
ROUNDS = 100  #: in which the keeper removes what is over, before it does something else
NO_WAKE_UPS = 0.85  #: of Redis' memory; Celery's workers do not survive a full one
ONCE_SECONDS = 86_400  #: how long an idempotency key is remembered
ALIVE_MS = 15_000  #: a worker heard of within this is alive
PAGE = 1000  #: jobs that the keeper tidies up after at a time
RECORD = 1  #: the format of a job's record: raised where a worker of the version before could not do such a job right

OWN = "default"  #: the endpoint that stands for the webhooks which jobs name themselves

#: What the scripts know besides the keys: numbers of webhooks (see `jobs/lua/outbox.lua`).
CONSTANTS = {
    "ALIVE_MS": ALIVE_MS,
    "RECORD": RECORD,
    "LOOKS": 100,  # that one call may take at jobs, deliveries or tenants, for others wait meanwhile
    "COMMANDS": 200,  # of Redis, after which one that works on many of them takes up no further one
    "TOLD_MS": 600_000,  # how long the tenant's feed tells of a removed job
    "OURS": " poison internal-error ",  # errors that are no fault of the client: dead letters
    "OWN": OWN,
    "CIRCUIT_FAILURES": 10,  # in a row; from then on a receiver rests between tries
    "DISABLE_MS": 5 * 86_400_000,  # an endpoint that did nothing but fail for so long is told no more
    "PENDING_SECONDS": 7 * 86_400,  # longer than any schedule
    "ENDED_SECONDS": 3 * 86_400,  # how long a delivery is kept in the log
    "PROGRESS_SECONDS": 600,  # and one of progress
    "LOGGED": 1000,  # deliveries of one endpoint in its log
}

#: What every script begins with, each part after those that it needs.
PARTS = "basics records counts turns prelude outbox estimate admission".split()
SCRIPTS = (
    "submit admit places claim renew preview release finish fail canceled cancel delete reclaim expire recount "
    "mend booked invite"
).split()


@cache
def script_source(name: str) -> str:
    """One whole script. All but `submit` run even when Redis is full: they free memory, or keep promises."""
    lua = files("jobs") / "lua"
    flags = "" if name == "submit" else " flags=allow-oom"
    parts = [
        keys.lua_locals(),
        *(f"local {name} = {value!r}" for name, value in CONSTANTS.items()),
        *((lua / f"{part}.lua").read_text() for part in PARTS),
        (lua / f"{name}.lua").read_text(),
    ]
    return "\n".join([f"#!lua{flags}", *parts])


@contextmanager
def reaching_redis(script: str = "") -> Iterator[None]:
    """Turns what redis-py raises into our own words; `script` names the script that runs."""
    try:
        yield
    except OutOfMemoryError as error:
        raise QueueFull("The record store is full; nothing was accepted.", retry_after=30) from error
    except ResponseError as error:
        if is_fault_of_script(error):
            log.exception("the script %s failed", script)
            raise ScriptFailed("It has been logged.") from error
        raise RecordsUnavailable("The job records (Redis) do not answer.") from error
    except (RedisError, OSError) as error:
        raise RecordsUnavailable("The job records (Redis) do not answer.") from error


def is_fault_of_script(error: ResponseError) -> bool:
    """Whether a script threw, rather than Redis refused to run it: such a refusal begins with its name in capitals."""
    return "user_script" in str(error) and re.match(r"[A-Z]{4,} ", str(error)) is None


@dataclass(frozen=True)
class Renewal:
    """What a worker says of a job in its hands; `vouched` asks for a new lease."""

    id: str
    fence: str
    vouched: bool
    step: int
    steps: int


@dataclass(frozen=True)
class Once:
    """A client's idempotency key, and a digest of everything that was asked for with it."""

    key: str
    fingerprint: str


@dataclass(frozen=True)
class Limits:
    """How much may wait: jobs of one tenant, jobs in all, and the seconds for which a new job would."""

    own: int = 10**9
    all: int = 10**9
    wait_seconds: float = 1e9

    def refuse(self, why: str, ms: int) -> None:
        """
        Raises:
            TooManyJobs: the tenant has its share.
            QueueFull: there is no room for anybody.
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


@lru_cache(10_000)
def tell_unreadable(job_id: str | None, error: str) -> None:
    """Log a record that cannot be read: once, however often it is listed."""
    log.error("the record of job %s cannot be read: %s", job_id, error)


def readable_jobs(records: Iterable[Mapping[str, str]]) -> list[Job]:
    """The jobs that the records hold. An unreadable one is logged and left out: it may not hide the others."""
    jobs = []
    for record in filter(None, records):
        try:
            jobs.append(Job.from_record(record))
        except (KeyError, TypeError, ValueError) as error:
            tell_unreadable(record.get("id"), repr(error))
    return jobs


Answer = Literal["held", "canceling", "lost"]
PreviewKind = Literal["predicted", "noisy"]


@dataclass(frozen=True)
class Place:
    """Where a queued job stands: how many go before it, and the seconds until its end, if that can be told."""

    position: int
    eta_seconds: int | None


@dataclass(frozen=True)
class Promises:
    """The last jobs whose time until their end was foretold: by how many seconds that was wrong, and what it was."""

    jobs: int
    median_error_seconds: float
    p90_error_seconds: float
    median_seconds: float


@dataclass(frozen=True)
class QueueView:
    """The queue at one moment; `oldest_seconds` is the age of the job that is next. None: nothing was measured yet."""

    queued: int
    running: int
    oldest_seconds: float
    estimated_wait_seconds: int | None
    workers: int
    slots: int
    paused: bool = False


class JobStore:
    """Every job's record and the transitions between its states.

    Raises:
        RecordsUnavailable: from any method, when Redis does not answer in time.
        QueueFull: from `submit` and `admit`, when there is no room for anybody's job.
    """

    def __init__(self, client: Any) -> None:
        self.redis = client  # redis.Redis with decoded answers; its own types are unions of str and bytes
        self._scripts = {name: client.register_script(script_source(name)) for name in SCRIPTS}

    @classmethod
    def connect(cls, url: str, *, timeout: float) -> Self:
        """A store on the Redis at `url`; connecting and each answer may take `timeout` seconds, tried twice."""
        client = redis.Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=RedisRetry(),
            health_check_interval=0,
        )
        return cls(client)

    def _run(self, script: str, *args: str | float) -> Any:
        with reaching_redis(script):
            return self._scripts[script](args=args)

    # ---- the web tier's side

    def admit(self, tenant: str, limits: Limits, once_key: str | None = None) -> None:
        """Whether a job of the tenant would be accepted now; one that was accepted already, under this key, always is.

        Raises:
            TooManyJobs, QueueFull
        """
        longest = round(limits.wait_seconds * 1000)
        refused = self._run("admit", tenant, once_key or "", limits.own, limits.all, longest)
        if refused:
            limits.refuse(*refused)

    def submit(
        self, job: Job, once: Once | None = None, limits: Limits = NO_LIMITS, *, at_ms: int | None = None
    ) -> str | None:
        """Accept a job: from here on it is ours to end. Submitting the same job again changes nothing.

        Returns its id; with an idempotency key that was used before, the id of that earlier job, or None if that one
        was asked for something else. `at_ms`: when it was accepted, if that was not now.

        Raises:
            TooManyJobs: the tenant has as many waiting jobs as it may have.
        """
        key = (once.key, once.fingerprint, ONCE_SECONDS) if once else ("", "", 0)
        fields = [part for pair in job.request().items() for part in pair]
        head = (job.id, job.tenant, job.priority.head_start_ms, job.deadline_seconds, at_ms or "")
        bounds = (limits.own, limits.all, round(limits.wait_seconds * 1000))
        answer, *rest = self._run("submit", *head, *key, *bounds, *fields)
        if answer not in ("accepted", "taken"):
            limits.refuse(answer, *rest)
        return rest[0] if answer == "accepted" else None

    def invite(self, tenant: str, upload: str, most: int, keep_seconds: int) -> None:
        """Count one more upload, of which a tenant may have so many kept.

        Raises:
            TooManyUploads
        """
        ms = self._run("invite", tenant, upload, most, keep_seconds * 1000)
        if ms:
            detail = f"At most {most} uploads of yours may be kept at a time (MAX_UPLOADS), each for a day."
            raise TooManyUploads(detail, retry_after=ceil(float(ms) / 1000))

    def recall(self, tenant: str, once: Once) -> tuple[str, bool] | None:
        """The job that an idempotency key stands for, and whether it was asked for the same; None: a new key."""
        with reaching_redis():
            job_id, fingerprint = self.redis.hmget(f"{keys.ONCE}{tenant}:{once.key}", "job", "fingerprint")
            known = job_id and self.redis.exists(keys.JOB + job_id)
        return (job_id, fingerprint == once.fingerprint) if known else None

    def get(self, job_id: str, tenant: str) -> Job | None:
        """A tenant's job, or None: an absent job and a foreign one look the same."""
        with reaching_redis():
            record = self.redis.hgetall(keys.JOB + job_id)
        return Job.from_record(record) if record.get("tenant") == tenant else None

    def made(self, pixels_sha256: str) -> str | None:
        """The id of the job whose output has these pixels; None: no output that is kept does."""
        with reaching_redis():
            return cast(str | None, self.redis.get(keys.PIXELS + pixels_sha256))

    def page(self, tenant: str, *, status: Status | None, limit: int, after: str | None) -> list[Job]:
        """A tenant's jobs, newest first, from the one behind `after` on."""
        index = keys.INDEX + tenant + (f":{status}" if status else "")
        with reaching_redis():
            ids = self.redis.zrevrangebylex(index, f"({after}" if after else "+", "-", 0, limit)
            pipe = self.redis.pipeline(transaction=False)
            for job_id in ids:
                pipe.hgetall(keys.JOB + job_id)
            return readable_jobs(pipe.execute())

    def tally(self, tenant: str) -> dict[Status, int]:
        """How many jobs of a tenant are kept, by their status."""
        pipe = self.redis.pipeline(transaction=False)
        for status in Status:
            pipe.zcard(f"{keys.INDEX}{tenant}:{status}")
        with reaching_redis():
            return dict(zip(Status, pipe.execute(), strict=True))

    def places(self, jobs: Sequence[Job]) -> dict[str, Place]:
        """Where those of the jobs that are queued stand, by their id."""
        waiting = [job for job in jobs if job.status is Status.QUEUED]
        if not waiting:
            return {}
        found = zip(waiting, self._run("places", *(job.id for job in waiting)), strict=True)
        return {
            job.id: Place(place[0], round(place[1] / 1000) if place[1] >= 0 else None) for job, place in found if place
        }

    def cancel(self, job_id: str, tenant: str) -> Status | None:
        """Ask a job to stop. Returns the status that it has now; None: no such job."""
        status = self._run("cancel", job_id, tenant)
        return Status(status) if status else None

    def delete(self, job_id: str, tenant: str) -> Literal["deleted", "active"] | None:
        """Remove an ended job; its folder in the bucket goes into the trash."""
        answer = PASSED_ON
        while answer == PASSED_ON:
            answer = self._run("delete", job_id, tenant)
        return cast(Literal["deleted", "active"] | None, answer)

    def preview(self, job_id: str, kind: PreviewKind = "predicted") -> bytes | None:
        """The latest preview of a running job, JPEG: the picture as predicted, or the latents with their noise."""
        with reaching_redis():
            text = self.redis.hget(keys.PREVIEW + job_id, kind)
        return bytes.fromhex(text) if text else None

    def _alive(self, key: str) -> list[str]:
        seconds, micros = self.redis.time()
        return list(self.redis.zrangebyscore(key, seconds * 1000 + micros // 1000 - ALIVE_MS, "+inf"))

    def alive(self, kind: Literal["worker", "keeper"]) -> list[str]:
        """The names of those that were heard of lately: `host-pid`."""
        with reaching_redis():
            return self._alive(keys.WORKERS if kind == "worker" else keys.KEEPERS)

    def queue(self) -> QueueView:
        """The queue as it is now."""
        with reaching_redis():
            pipe = self.redis.pipeline(transaction=False)
            for key in (keys.QUEUE, keys.DELAYED, keys.PARKED, keys.RUNNING):
                pipe.zcard(key)
            pipe.zrange(keys.QUEUE, 0, 0)
            pipe.exists(keys.PAUSED)
            pipe.hget(keys.STATS, "interval_ms")
            pipe.zrange(keys.WORKERS, 0, -1, withscores=True)
            pipe.smembers(keys.DRAINING)
            pipe.hgetall(keys.WORKER_INFO)
            pipe.time()
            *queued, running, oldest, paused, interval, heard, draining, said, (seconds, micros) = pipe.execute()
            created = self.redis.hget(keys.JOB + oldest[0], "created_ms") if oldest else None
        now = seconds * 1000 + micros // 1000
        alive = [worker for worker, at in heard if at >= now - ALIVE_MS]
        willing = [worker for worker in alive if worker in said and worker not in draining]
        slots = sum(json.loads(said[worker]).get("slots", 0) for worker in willing)
        age = max(0, now - int(created)) / 1000 if created else 0.0
        jobs = sum(queued) + running
        wait = None if paused or interval is None or not alive else round(jobs * float(interval) / 1000)
        return QueueView(sum(queued), running, age, wait, len(alive), slots, bool(paused))

    def promises(self) -> Promises | None:
        """How good the estimates of the last thousand finished jobs were, as told when they were accepted."""
        with reaching_redis():
            pairs = [tuple(map(int, pair.split())) for pair in self.redis.lrange(keys.PROMISES, 0, -1)]
        if not pairs:
            return None
        errors = sorted(abs(promised - actual) / 1000 for promised, actual in pairs)
        actual = sorted(actual / 1000 for _, actual in pairs)
        middle, ninth = len(pairs) // 2, len(pairs) * 9 // 10
        return Promises(len(pairs), errors[middle], errors[ninth], actual[middle])

    def census(self) -> dict[tuple[str, str, str], int]:
        """How many jobs there are of each (`queued` or `running`, model, priority)."""
        with reaching_redis():
            said = self.redis.hgetall(keys.CENSUS)
        return {cast(tuple[str, str, str], tuple(kind.split())): int(number) for kind, number in said.items()}

    def counts(self) -> dict[tuple[str, ...], int]:
        """What was counted since the beginning, by name and labels (see `lua/counts.lua`)."""
        with reaching_redis():
            said = self.redis.hgetall(keys.COUNTS)
        return {tuple(name.split()): int(number) for name, number in said.items()}

    def wanted_workers(self) -> int:
        """How many wake-ups would each find a job and a free slot; none when Redis has little memory left."""
        view = self.queue()
        wanted = 0 if view.paused else min(view.queued, view.slots - view.running)
        return wanted if wanted > 0 and self.memory_used() < NO_WAKE_UPS else 0

    def memory(self) -> tuple[int, int]:
        """The bytes that Redis uses, and its limit; 0 without a limit."""
        with reaching_redis():
            memory = self.redis.info("memory")
        return int(memory["used_memory"]), int(memory.get("maxmemory") or 0)

    def memory_used(self) -> float:
        """The share of Redis' memory limit that is used; 0 without a limit."""
        used, limit = self.memory()
        return used / limit if limit else 0.0

    def backlogs(self) -> dict[str, float]:
        """What the keeper and the courier have still to do, and how many dead letters are kept."""
        pipe = self.redis.pipeline(transaction=False)
        for key in (keys.DEAD, keys.ENDED, keys.TRASH, keys.LANES):
            pipe.zcard(key)
        pipe.zrange(keys.LANES, 0, 0, withscores=True)
        pipe.time()
        with reaching_redis():
            dead, ended, trash, lanes, first, (seconds, micros) = pipe.execute()
        overdue = seconds + micros / 1e6 - first[0][1] / 1000 if first else 0.0
        return {
            "dead_letters": dead,
            "unwritten_ends": ended,
            "unemptied_folders": trash,
            "webhook_receivers_waiting": lanes,
            "webhook_overdue_seconds": max(0.0, overdue),
        }

    # ---- the workers' side

    def claim(
        self,
        worker: str,
        *,
        lease_seconds: int,
        token: str,
        slots: int = 1,
        max_crashes: int = 3,
        max_running: int = 10**9,
    ) -> Job | None:
        """The next job, running and leased to `worker`. The same token always gets the same job and fence.

        None: there is no job for a worker of so many slots that holds what it holds. A job whose next crash would be
        its last (`max_crashes`) has the whole worker; at most `max_running` jobs of one tenant run at a time.
        """
        random_bits, alone_from = uuid4().hex[:16], max(1, max_crashes - 1)
        limits = (slots, RECORD, alone_from, max_running)
        pairs = PASSED_ON
        while pairs == PASSED_ON:
            pairs = self._run("claim", token, worker, lease_seconds * 1000, random_bits, *limits)
        return Job.from_record(dict(zip(pairs[::2], pairs[1::2], strict=True))) if pairs else None

    def renew(
        self, worker: str, about: Mapping[str, Any], jobs: Sequence[Renewal], *, lease_seconds: int
    ) -> list[Answer]:
        """Say that the worker is alive and what it holds; learn for each job whether to go on.

        `about` is what it says of itself: its `slots`, and the card of its `checkpoint`.
        """
        answers: list[Answer] = []
        while True:
            rest = jobs[len(answers) :]
            flat = (part for r in rest for part in (r.id, r.fence, int(r.vouched), r.step, r.steps))
            answers += self._run("renew", lease_seconds * 1000, worker, json.dumps(about), *flat)
            if len(answers) == len(jobs):
                return answers

    def release(self, job: Job, reason: str, *, wait_seconds: float = 0) -> bool:
        """Give a claimed job back, unpunished, to be claimed again after a while."""
        return bool(self._run("release", job.id, job.fence, round(wait_seconds * 1000), reason) == "released")

    def finish(
        self,
        job: Job,
        output: Picture,
        timing: Mapping[str, int],
        receipt: Mapping[str, Any],
        frames: Frames | None = None,
        warnings: Sequence[Mapping[str, Any]] = (),
    ) -> Literal["finished", "canceling", "lost"]:
        """End a job with its result. Refused when the fence is no longer the job's, or the client canceled first.

        `warnings` say how the result may not be what was asked for, each with a `code` and a `detail`.
        """
        documents: dict[str, Any] = {"output": asdict(output), "timing": timing, "receipt": receipt}
        documents |= {"frames": asdict(frames)} if frames else {}
        documents |= {"warnings": list(warnings)} if warnings else {}
        fields = [part for name, value in documents.items() for part in (name, json.dumps(value))]
        return cast(Literal["finished", "canceling", "lost"], self._run("finish", job.id, job.fence, *fields))

    def fail(self, job: Job, error: JobError) -> bool:
        """End a job without a result. False: it was no longer the caller's."""
        return bool(self._run("fail", job.id, job.fence, error.type, error.title, error.detail) == "failed")

    def canceled(self, job: Job, step: int) -> bool:
        """End a job that was asked to stop. False: it was no longer the caller's."""
        return bool(self._run("canceled", job.id, job.fence, step) == "canceled")

    def keep_preview(self, job: Job, predicted: bytes, noisy: bytes, step: int) -> bool:
        """Replace the preview of a running job by the one of a later step. False: it was no longer the caller's."""
        return bool(self._run("preview", job.id, job.fence or "", predicted.hex(), noisy.hex(), step))

    def checkpoint(self) -> Mapping[str, Any] | None:
        """The card of the checkpoint that the workers serve, or served last; None before the first worker."""
        with reaching_redis():
            text = self.redis.get(keys.CHECKPOINT)
        return json.loads(text).get("checkpoint") if text else None

    def retire(self, worker: str) -> None:
        """Forget a worker that says goodbye."""
        with reaching_redis():
            self.redis.zrem(keys.WORKERS, worker)
            self.redis.hdel(keys.WORKER_INFO, worker)
            self.redis.srem(keys.DRAINING, worker)
            self.redis.hdel(keys.ALONE, worker)

    # ---- the keeper's side

    def reclaim(self, max_crashes: int) -> list[str]:
        """Take back the jobs whose lease has run out. Returns their ids."""
        taken: list[str] = []
        more = True
        while more:
            ids, more = self._run("reclaim", max_crashes)
            taken += ids
        return taken

    def expire(self, keeper: str = "") -> None:
        """End what is overdue, remove what has been kept long enough; `keeper` is who says so."""
        for _ in range(ROUNDS):
            if self._run("expire", keeper) != PASSED_ON:
                return

    def recount(self) -> bool:
        """Put the census right. True: it was wrong."""
        answer = PASSED_ON
        while answer == PASSED_ON:
            answer = self._run("recount")
        return bool(answer)

    def ended(self) -> list[Job]:
        """Ended jobs that the bucket does not know of yet, oldest first."""
        with reaching_redis():
            pipe = self.redis.pipeline(transaction=False)
            for job_id in self.redis.zrange(keys.ENDED, 0, PAGE - 1):
                pipe.hgetall(keys.JOB + job_id)
            return readable_jobs(pipe.execute())

    def forget_ended(self, job_id: str) -> None:
        """The bucket knows that this job is over."""
        self._run("booked", job_id)

    def mend(self, *, lease_seconds: int) -> int:
        """Rebuild every index from the records. Returns how many jobs were not where they belong."""
        mended: int = 0
        cursor = 0
        while True:
            with reaching_redis():
                cursor, names = self.redis.scan(cursor, match=keys.JOB + "*", count=100)
            ids = [name.removeprefix(keys.JOB) for name in names]
            while ids:
                wrong, looks = self._run("mend", lease_seconds * 1000, *ids)
                mended, ids = mended + wrong, ids[looks:]
            if cursor == 0:
                return mended

    def marks(self, job_ids: Sequence[str]) -> dict[str, tuple[Status, str]]:
        """The status and the fence of each of these jobs that there is a record of."""
        pipe = self.redis.pipeline(transaction=False)
        for job_id in job_ids:
            pipe.hmget(keys.JOB + job_id, "status", "fence")
        with reaching_redis():
            found = zip(job_ids, pipe.execute(), strict=True)
        return {job_id: (Status(status), fence or "") for job_id, (status, fence) in found if status}

    def instance(self) -> str | None:
        """Which Redis this is; None for one that is new, or has lost everything."""
        with reaching_redis():
            return cast(str | None, self.redis.get(keys.INSTANCE))

    def become(self, instance: str) -> str:
        """Give this Redis its name, if it has none. Returns the one that it has now."""
        with reaching_redis():
            self.redis.set(keys.INSTANCE, instance, nx=True)
            return cast(str, self.redis.get(keys.INSTANCE))

    def trash(self) -> list[str]:
        """Folders of removed jobs that are still to be emptied."""
        with reaching_redis():
            return list(self.redis.zrange(keys.TRASH, 0, PAGE - 1))

    def forget_trash(self, folder: str) -> None:
        """The folder is empty."""
        with reaching_redis():
            self.redis.zrem(keys.TRASH, folder)

    def uptime_seconds(self) -> int:
        """How long this Redis has been up."""
        with reaching_redis():
            return int(self.redis.info("server")["uptime_in_seconds"])

    def ping(self) -> None:
        """Raises RecordsUnavailable when Redis does not answer."""
        with reaching_redis():
            self.redis.ping()
