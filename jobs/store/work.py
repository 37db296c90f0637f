"""The calls of a worker: claim, renew, release and end jobs. Every change is refused for a stale fence."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast
from uuid import uuid4

from jobs import redis_keys
from jobs.errors import JobError
from jobs.job import Frames, Job, Output, Picture
from jobs.models import built_in_ids
from jobs.scripts import RECORD_FORMAT, UNFINISHED, reaching_redis
from jobs.store.base import StoreBase

Answer = Literal["held", "canceling", "lost"]


@dataclass(frozen=True)
class Renewal:
    """What a worker reports about a job that it holds. `vouched`: the job makes progress, so renew its lease.

    `phase`: `loading` while the job's model is being loaded, else nothing.
    """

    id: str
    fence: str
    vouched: bool
    step: int
    steps: int
    phase: Literal["", "loading"] = ""


class Work(StoreBase):
    """Jobs as a worker sees them. Each change names the job's fence."""

    def claim(
        self,
        worker: str,
        *,
        lease_seconds: int,
        token: str,
        slots: int = 1,
        max_crashes: int = 3,
        max_running: int = 10**9,
        models: Sequence[str] = (),
    ) -> Job | None:
        """Claim the next job for a worker. The same token always gets the same job and fence.

        Returns None if there is no job for a worker with these slots and jobs. A job whose next crash would be its last
        (`max_crashes`) gets a worker to itself. At most `max_running` jobs of one tenant run at a time. Only jobs of
        `models` are claimed; by default, of the six of this project.
        """
        random_bits, alone_from = uuid4().hex[:16], max(1, max_crashes - 1)
        limits = (slots, RECORD_FORMAT, alone_from, max_running, " ".join(models or built_in_ids()))
        pairs = UNFINISHED
        while pairs == UNFINISHED:
            pairs = self._run("claim", token, worker, lease_seconds * 1000, random_bits, *limits)
        return Job.from_record(dict(zip(pairs[::2], pairs[1::2], strict=True))) if pairs else None

    def renew(
        self, worker: str, about: Mapping[str, Any], jobs: Sequence[Renewal], *, lease_seconds: int
    ) -> list[Answer]:
        """Report that the worker is alive, and the progress of its jobs. Returns for each job whether to go on.

        `about` is what the worker says of itself, such as its `slots`, its `models`, and the card of its `checkpoint`.
        """
        answers: list[Answer] = []
        models = " ".join(one["id"] for one in about.get("models", ()))
        while True:
            rest = jobs[len(answers) :]
            flat = (part for r in rest for part in (r.id, r.fence, int(r.vouched), r.step, r.steps, r.phase))
            answers += self._run("renew", lease_seconds * 1000, worker, json.dumps(about), models, *flat)
            if len(answers) == len(jobs):
                return answers

    def release(self, job: Job, reason: str, *, wait_seconds: float = 0) -> bool:
        """Give a claimed job back without counting a crash. It can be claimed again after `wait_seconds`."""
        return bool(self._run("release", job.id, job.fence, round(wait_seconds * 1000), reason) == "released")

    def finish(
        self,
        job: Job,
        output: Picture,
        timing: Mapping[str, int],
        receipt: Mapping[str, Any],
        frames: Frames | None = None,
        warnings: Sequence[Mapping[str, Any]] = (),
        outputs: Sequence[Output] = (),
    ) -> Literal["finished", "canceling", "lost"]:
        """End a job with its result. Refused when the fence is no longer the job's, or the client canceled first.

        `outputs` describe all pictures of the result; `output` is the first. `warnings` tell how the result may differ
        from the request, each with a `code` and a `detail`.
        """
        documents: dict[str, Any] = {"output": asdict(output), "timing": timing, "receipt": receipt}
        documents |= {"outputs": [asdict(one) for one in outputs]} if outputs else {}
        documents |= {"frames": asdict(frames)} if frames else {}
        documents |= {"warnings": list(warnings)} if warnings else {}
        fields = [part for name, value in documents.items() for part in (name, json.dumps(value))]
        return cast(Literal["finished", "canceling", "lost"], self._run("finish", job.id, job.fence, *fields))

    def fail(self, job: Job, error: JobError) -> bool:
        """End a job with an error. False: the job was no longer the caller's."""
        return bool(self._run("fail", job.id, job.fence, error.type, error.title, error.detail) == "failed")

    def canceled(self, job: Job, step: int) -> bool:
        """End a job that was asked to stop. False: the job was no longer the caller's."""
        return bool(self._run("canceled", job.id, job.fence, step) == "canceled")

    def keep_preview(self, job: Job, predicted: bytes, noisy: bytes, step: int) -> bool:
        """Replace the preview of a running job. False: the job was no longer the caller's."""
        return bool(self._run("preview", job.id, job.fence or "", predicted.hex(), noisy.hex(), step))

    def retire(self, worker: str) -> None:
        """Forget a worker that exits."""
        with reaching_redis():
            self.redis.zrem(redis_keys.WORKERS, worker)
            self.redis.hdel(redis_keys.WORKER_INFO, worker)
            self.redis.hdel(redis_keys.WORKER_MODELS, worker)
            self.redis.srem(redis_keys.DRAINING, worker)
            self.redis.hdel(redis_keys.ALONE, worker)
