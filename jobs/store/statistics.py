"""How many jobs, workers and deliveries there are, for the API, the metrics and the wake-ups. Changes nothing."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from jobs import redis_keys
from jobs.scripts import ALIVE_MS, reaching_redis
from jobs.store.base import StoreBase


@dataclass(frozen=True)
class EtaAccuracy:
    """The errors of the estimated times of the last jobs, and how long the jobs took."""

    jobs: int
    median_error_seconds: float
    p90_error_seconds: float
    median_seconds: float


@dataclass(frozen=True)
class QueueSummary:
    """The queue at one moment; `oldest_seconds` is the age of the job that is next. None: nothing was measured yet.

    `edits` counts the edits of all queued and running jobs, because a job may have several.
    """

    queued: int
    running: int
    edits: int
    oldest_seconds: float
    estimated_wait_seconds: int | None
    workers: int
    slots: int
    paused: bool = False


class Statistics(StoreBase):
    """Numbers about the whole service."""

    def _alive(self, key: str) -> list[str]:
        seconds, micros = self.redis.time()
        return list(self.redis.zrangebyscore(key, seconds * 1000 + micros // 1000 - ALIVE_MS, "+inf"))

    def alive(self, kind: Literal["worker", "keeper"]) -> list[str]:
        """The names (`place-pid`) of the workers or keepers that are alive."""
        with reaching_redis():
            return self._alive(redis_keys.WORKERS if kind == "worker" else redis_keys.KEEPERS)

    def queue(self) -> QueueSummary:
        """The queue as it is now."""
        with reaching_redis():
            pipe = self.redis.pipeline(transaction=False)
            for key in (redis_keys.QUEUE, redis_keys.DELAYED, redis_keys.PARKED, redis_keys.RUNNING):
                pipe.zcard(key)
            for status in ("queued", "running"):
                pipe.scard(redis_keys.MORE + status)
            pipe.zrange(redis_keys.QUEUE, 0, 0)
            pipe.exists(redis_keys.PAUSED)
            pipe.hget(redis_keys.STATS, "interval_ms")
            pipe.zrange(redis_keys.WORKERS, 0, -1, withscores=True)
            pipe.smembers(redis_keys.DRAINING)
            pipe.hgetall(redis_keys.WORKER_INFO)
            pipe.time()
            *jobs, more_queued, more_running, oldest, paused, interval, heard, draining, said, time = pipe.execute()
            created = self.redis.hget(redis_keys.JOB + oldest[0], "created_ms") if oldest else None
        *queued, running = jobs
        now = time[0] * 1000 + time[1] // 1000
        alive = [worker for worker, at in heard if at >= now - ALIVE_MS]
        willing = [worker for worker in alive if worker in said and worker not in draining]
        slots = sum(json.loads(said[worker]).get("slots", 0) for worker in willing)
        age = max(0, now - int(created)) / 1000 if created else 0.0
        edits = sum(jobs) + more_queued + more_running
        wait = None if paused or interval is None or not alive else round(edits * float(interval) / 1000)
        return QueueSummary(sum(queued), running, edits, age, wait, len(alive), slots, bool(paused))

    def checkpoint(self) -> Mapping[str, Any] | None:
        """The card of the checkpoint that the workers serve or served last. None: there was no worker yet."""
        with reaching_redis():
            text = self.redis.get(redis_keys.CHECKPOINT)
        return json.loads(text).get("checkpoint") if text else None

    def eta_accuracy(self) -> EtaAccuracy | None:
        """The accuracy of the estimates that the last thousand finished jobs got at their acceptance."""
        with reaching_redis():
            pairs = [tuple(map(int, pair.split())) for pair in self.redis.lrange(redis_keys.PROMISES, 0, -1)]
        if not pairs:
            return None
        errors = sorted(abs(promised - actual) / 1000 for promised, actual in pairs)
        actual = sorted(actual / 1000 for _, actual in pairs)
        middle, ninth = len(pairs) // 2, len(pairs) * 9 // 10
        return EtaAccuracy(len(pairs), errors[middle], errors[ninth], actual[middle])

    def census(self) -> dict[tuple[str, str, str], int]:
        """How many jobs there are of each (`queued` or `running`, model, priority)."""
        with reaching_redis():
            said = self.redis.hgetall(redis_keys.CENSUS)
        return {cast(tuple[str, str, str], tuple(kind.split())): int(number) for kind, number in said.items()}

    def counts(self) -> dict[tuple[str, ...], int]:
        """All counters since the beginning, by name and labels (see `lua/counts.lua`)."""
        with reaching_redis():
            said = self.redis.hgetall(redis_keys.COUNTS)
        return {tuple(name.split()): int(number) for name, number in said.items()}

    def memory(self) -> tuple[int, int]:
        """The bytes that Redis uses, and its limit; 0 without a limit."""
        with reaching_redis():
            memory = self.redis.info("memory")
        return int(memory["used_memory"]), int(memory.get("maxmemory") or 0)

    def memory_used(self) -> float:
        """The share of Redis' memory limit that is used; 0 without a limit."""
        used, limit = self.memory()
        return used / limit if limit else 0.0

    def uptime_seconds(self) -> int:
        """How long this Redis has been up."""
        with reaching_redis():
            return int(self.redis.info("server")["uptime_in_seconds"])

    def backlogs(self) -> dict[str, float]:
        """What the keeper still has to do, and how many dead letters are kept."""
        pipe = self.redis.pipeline(transaction=False)
        for key in (redis_keys.DEAD, redis_keys.ENDED, redis_keys.TRASH, redis_keys.LANES):
            pipe.zcard(key)
        pipe.zrange(redis_keys.LANES, 0, 0, withscores=True)
        pipe.time()
        with reaching_redis():
            dead, unwritten_ends, trashed_folders, lanes, first, (seconds, micros) = pipe.execute()
        overdue = seconds + micros / 1e6 - first[0][1] / 1000 if first else 0.0
        return {
            "dead_letters": dead,
            "unwritten_ends": unwritten_ends,
            "unemptied_folders": trashed_folders,
            "webhook_receivers_waiting": lanes,
            "webhook_overdue_seconds": max(0.0, overdue),
        }
