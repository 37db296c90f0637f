"""The queue of each model: its queued and running jobs, and its workers. Changes nothing."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs import redis_keys
from jobs.models import built_in_ids
from jobs.scripts import ALIVE_MS, reaching_redis
from jobs.store.base import StoreBase

FULL = 0.85  #: share of Redis' memory above which no wake-up is sent: Celery's workers do not survive a full Redis


@dataclass(frozen=True)
class ModelQueue:
    """The jobs of one model, the living workers that serve it, and the slots of those that claim.

    Models of one `pool` share workers. `free` counts the free slots of the workers that serve the model, and
    `estimated_wait_seconds` is the time until all jobs of the pool are done; None: nothing was measured yet, or no
    worker is alive.
    """

    model: str
    pool: str
    queued: int
    running: int
    edits: int
    oldest_seconds: float
    estimated_wait_seconds: int | None
    workers: int
    slots: int
    free: int


@dataclass(frozen=True)
class Fleet:
    """The living workers: the models of each, and the slots of those that claim.

    Workers of an older version do not say what they serve. They serve the six built-in models.
    """

    models: Mapping[str, Sequence[str]]
    slots: Mapping[str, int]

    def of(self, model: str) -> list[str]:
        """The workers that serve a model."""
        return [worker for worker, models in self.models.items() if model in models]


class Queues(StoreBase):
    """The jobs of each model, and the workers that serve it."""

    def fleet(self) -> Fleet:
        """The living workers."""
        with reaching_redis():
            pipe = self.redis.pipeline(transaction=False)
            pipe.zrange(redis_keys.WORKERS, 0, -1, withscores=True)
            pipe.hgetall(redis_keys.WORKER_MODELS)
            pipe.hgetall(redis_keys.WORKER_INFO)
            pipe.smembers(redis_keys.DRAINING)
            pipe.time()
            heard, models, told, draining, (seconds, micros) = pipe.execute()
        now = seconds * 1000 + micros // 1000
        alive = [worker for worker, at in heard if at >= now - ALIVE_MS]
        serves = {worker: models[worker].split() if worker in models else built_in_ids() for worker in alive}
        claiming = [worker for worker in alive if worker in told and worker not in draining]
        slots = {worker: json.loads(told[worker]).get("slots", 0) for worker in claiming}
        return Fleet(serves, slots)

    def model_queues(self) -> dict[str, ModelQueue]:
        """The queue of each model that has jobs or workers, by its id."""
        fleet = self.fleet()
        with reaching_redis():
            pipe = self.redis.pipeline(transaction=False)
            for key in (redis_keys.CENSUS, redis_keys.POOLS, redis_keys.STATS):
                pipe.hgetall(key)
            pipe.exists(redis_keys.PAUSED)
            census, pools, stats, paused = pipe.execute()
        jobs: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for kind, number in census.items():
            status, model, _ = kind.split()
            jobs[model][status] += max(0, int(number))
        known = sorted({*jobs, *(model for models in fleet.models.values() for model in models)})
        more, oldest = self._details(known)
        pool_of = {model: pools.get(model, "built-in" if model in built_in_ids() else model) for model in known}
        edits = {model: jobs[model].total() + more[model] for model in known}
        beside = _sums(pool_of, edits)
        free = self._free(fleet, {model: jobs[model]["running"] for model in known})
        found = {}
        for model, pool in pool_of.items():
            workers = fleet.of(model)
            slots = sum(fleet.slots.get(worker, 0) for worker in workers)
            interval = stats.get(f"interval_ms {pool}") or stats.get("interval_ms")
            wait = round(beside[pool] * float(interval) / 1000) if interval and workers and not paused else None
            found[model] = ModelQueue(
                model,
                pool,
                jobs[model]["queued"],
                jobs[model]["running"],
                edits[model],
                oldest[model],
                wait,
                len(workers),
                slots,
                free[model] if not paused else 0,
            )
        return found

    def _free(self, fleet: Fleet, running: Mapping[str, int]) -> Mapping[str, int]:
        """The free slots of the workers of each model. If all workers serve the same models, none is asked in Redis."""
        if len(set(map(frozenset, fleet.models.values()))) < 2:
            left = max(0, sum(fleet.slots.values()) - sum(running.values()))
            return {model: left if fleet.of(model) else 0 for model in running}
        with reaching_redis():
            pipe: Any = self.redis.pipeline(transaction=False)
            for worker in fleet.slots:
                pipe.scard(redis_keys.HELD_JOBS + worker)
            held = dict(zip(fleet.slots, pipe.execute(), strict=True))
        free = {worker: max(0, slots - held[worker]) for worker, slots in fleet.slots.items()}
        return {model: sum(free.get(worker, 0) for worker in fleet.of(model)) for model in running}

    def _details(self, models: Iterable[str]) -> tuple[dict[str, int], dict[str, float]]:
        """By model: the edits beyond the first of each job, and the age in seconds of the job that is next."""
        more: dict[str, int] = {}
        oldest: dict[str, float] = {}
        with reaching_redis():
            pipe: Any = self.redis.pipeline(transaction=False)
            for model in models:
                pipe.scard(f"{redis_keys.MORE}model {model}:queued")
                pipe.scard(f"{redis_keys.MORE}model {model}:running")
                pipe.zrange(f"{redis_keys.QUEUE}:{model}", 0, 0)
            pipe.time()
            *answers, (seconds, micros) = pipe.execute()
            for first in answers[2::3]:
                pipe.hget(redis_keys.JOB + (first[0] if first else ""), "created_ms")
            created = pipe.execute()
        now = seconds + micros / 1e6
        for place, model in enumerate(models):
            more[model] = answers[3 * place] + answers[3 * place + 1]
            oldest[model] = max(0.0, now - int(created[place]) / 1000) if created[place] else 0.0
        return more, oldest

    def wanted_wakeups(self) -> dict[str, int]:
        """By model, how many wake-ups would find a job and a free slot. The key "" is for workers of older versions.

        None are wanted when Redis is nearly full. Models of one pool may each want the same slots.
        """
        found = self._run("wakeups", FULL)
        return dict(zip(found[::2], found[1::2], strict=True))


def _sums(pool_of: Mapping[str, str], numbers: Mapping[str, int]) -> Counter[str]:
    """The sum of the numbers of each pool's models."""
    sums: Counter[str] = Counter()
    for model, pool in pool_of.items():
        sums[pool] += numbers[model]
    return sums
