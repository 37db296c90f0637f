"""Renders: outputs of finished jobs in another strength, made by any worker without its model.

The web tier puts a token into a list, and answers its client when a worker has made the render and written it into the
job's record. If no worker does so in time, the client may ask again: a render is identified by its job, output,
strength and format, and made once.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast
from uuid import uuid4

from jobs import redis_keys
from jobs.job import Job, Render
from jobs.scripts import reaching_redis, script_source
from jobs.store.base import StoreBase

SECONDS = 30.0  #: seconds that a client waits for a render; no worker begins it later
MOST = 20  #: renders of one job
MOST_WAITING = 1000  #: of all jobs

Outcome = Literal["kept", "known", "full", "gone", "unavailable"]  #: `gone`: the job, or its pictures


@dataclass(frozen=True)
class Wanted:
    """A render that a client waits for."""

    token: str
    job: str
    tenant: str
    output: int
    strength: float
    format: str

    @classmethod
    def of(cls, job: Job, output: int, strength: float, kind: str) -> "Wanted":
        """A new request for a job's output in this strength and format."""
        return cls(uuid4().hex, job.id, job.tenant, output, strength, kind)

    def among(self, renders: tuple[Render, ...]) -> int | None:
        """The index of the wanted render among these; None if it is not there."""
        wanted = (self.output, self.strength, f"image/{self.format}")
        kept = [(one.output, one.strength, one.picture.content_type) for one in renders]
        return kept.index(wanted) if wanted in kept else None


class Renders:
    """The requests for renders, and their outcomes.

    Raises:
        RecordsUnavailable: from any method, when Redis does not answer in time.
    """

    def __init__(self, store: StoreBase) -> None:
        self._redis = store.redis
        self._keep = store.redis.register_script(script_source("render"))

    # ---- for the web tier

    def want(self, wanted: Wanted) -> None:
        """Have a worker make it, if one can soon.

        Raises:
            QueueFull: Redis has no room.
        """
        with reaching_redis():
            pipe = self._redis.pipeline()
            pipe.set(redis_keys.RENDER + wanted.token, json.dumps(asdict(wanted)), px=round(SECONDS * 1000))
            pipe.lpush(redis_keys.RENDERS, wanted.token)
            pipe.ltrim(redis_keys.RENDERS, 0, MOST_WAITING - 1)
            pipe.expire(redis_keys.RENDERS, round(SECONDS))
            pipe.execute()

    def outcome(self, token: str) -> Outcome | None:
        """The outcome; None: there is none yet."""
        with reaching_redis():
            return cast(Outcome | None, self._redis.get(redis_keys.RENDERED + token))

    # ---- for the worker

    def next(self, seconds: float) -> Wanted | None:
        """Take the oldest request; None: none came for so many seconds."""
        with reaching_redis():
            popped = self._redis.brpop([redis_keys.RENDERS], timeout=seconds)
            told = self._redis.getdel(redis_keys.RENDER + popped[1]) if popped else None
        return Wanted(**json.loads(told)) if told else None

    def keep(self, wanted: Wanted, render: Render) -> Outcome:
        """Write a render into its job's record, after its picture is stored."""
        with reaching_redis("render"):
            return cast(Outcome, self._keep(args=(wanted.job, wanted.tenant, MOST, json.dumps(asdict(render)))))

    def tell(self, wanted: Wanted, outcome: Outcome) -> None:
        """Tell the waiting client the outcome."""
        with reaching_redis():
            pipe: Any = self._redis.pipeline()
            pipe.set(redis_keys.RENDERED + wanted.token, outcome, px=round(SECONDS * 1000))
            pipe.publish(redis_keys.WAKE, f"{wanted.tenant} {wanted.job}")
            pipe.execute()
