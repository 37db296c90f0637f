"""The outcome of all jobs, from the ledger, the records, the bucket and the webhook log, without asking the service."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from chaos.engine import Run
from chaos.house import Accepted, House, right_picture
from jobs import redis_keys
from jobs.job import Job, Picture, Status
from jobs.pictures import PictureStore

CLOCK_SLACK = 0.05  #: seconds by which timestamps of two processes may differ

Attempt = Mapping[str, Any]


@dataclass(frozen=True)
class Hit:
    """A process that was killed or frozen in this interval; times are seconds since 1970."""

    pid: int
    since: float
    until: float


@dataclass(frozen=True)
class Evidence:
    """The evidence for a verdict.

    `exact`: the pictures are the fake engine's, known to the byte. `heard`: for each job the webhook ids that were
    received. `hits`: all that was done to workers; None means that nobody kept count, so extra runs have no culprit.
    `max_crashes`: the crashes after which the service fails a job as poison.
    """

    accepted: Sequence[Accepted]
    redis: Any
    pictures: PictureStore
    runs: Sequence[Run]
    exact: bool = True
    heard: Mapping[str, set[str]] | None = None
    hits: Sequence[Hit] | None = None
    max_crashes: int = 3

    @classmethod
    def of(cls, house: House, **also: Any) -> Self:
        """Collect the evidence from a house."""
        runs = [run for run in house.runs() if run.number]  # 0: sent to see what is answered
        return cls(house.accepted, house.redis, house.pictures, runs, max_crashes=house.plan.max_crashes, **also)


@dataclass
class Verdict:
    """Numbers, and `wrong`: a sentence for each broken promise."""

    jobs: int = 0
    edits: int = 0  #: of all jobs
    lost: int = 0  #: never ended, or ended otherwise than they were meant to
    never_ended: int = 0
    ended_otherwise: int = 0
    poisoned_by_hits: int = 0  #: failed as poison, because as many of their workers as that takes were hit
    statuses: dict[str, int] = field(default_factory=dict)
    double_results: int = 0
    stale_results: int = 0
    wrong_pictures: int = 0
    ran_after_the_end: int = 0  #: claimed when it was over
    woke_after_the_end: int = 0  #: claimed before, by a worker that was frozen until it was over; its result is refused
    runs: int = 0
    extra_runs: int = 0
    unexplained_runs: int = 0  #: neither the one that ended its job, nor cut short by a hit on its process
    orphans: int = 0
    webhooks: int = 0
    webhooks_missing: int = 0
    left_in_redis: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def judge(self, promise: str, broken: int, example: str = "") -> None:
        """Note a promise that was broken so many times."""
        if broken:
            self.wrong.append(f"{promise}: {broken} times{', such as ' + example if example else ''}")


def judge(evidence: Evidence) -> Verdict:
    """The verdict on jobs that have had the time to end."""
    verdict = Verdict(jobs=len(evidence.accepted), edits=sum(accepted.n for accepted in evidence.accepted))
    bucket = objects(evidence.pictures)
    ended: dict[int, Job] = {}
    differences: list[str] = []
    for accepted in evidence.accepted:
        record = evidence.redis.hgetall(redis_keys.JOB + accepted.id)
        job = Job.from_record(record) if record else None
        status = job.status.value if job else "gone"
        verdict.statuses[status] = verdict.statuses.get(status, 0) + 1
        if job is None or not job.status.is_over:
            verdict.never_ended += 1
            continue
        ended[accepted.number] = job
        look_at_end(evidence, accepted, job, verdict, differences)
        look_at_result(evidence, accepted, job, bucket.get(job.folder, {}), verdict)
        if evidence.heard is not None and job.webhook:
            verdict.webhooks += 1
            verdict.webhooks_missing += len(evidence.heard.get(job.id, ())) != 1
    look_at_runs(evidence, ended, verdict)
    verdict.ended_otherwise = len(differences)
    verdict.lost = verdict.never_ended + verdict.ended_otherwise
    verdict.left_in_redis = left(evidence.redis)
    pronounce(verdict, differences)
    return verdict


def pronounce(verdict: Verdict, differences: Sequence[str]) -> None:
    """Say which promises the numbers break."""
    verdict.judge("an accepted job did not end", verdict.never_ended)
    verdict.judge("a job did not end as it was meant to", verdict.ended_otherwise, *differences[:1])
    verdict.judge("a job has two results", verdict.double_results)
    verdict.judge("a result came from a fence that was not the current one", verdict.stale_results)
    verdict.judge("a picture is not the one that was to be", verdict.wrong_pictures)
    verdict.judge("a job ran after its end", verdict.ran_after_the_end)
    verdict.judge("a job ran again, and no hit on its worker explains it", verdict.unexplained_runs)
    verdict.judge("a webhook was not told of, or under two ids", verdict.webhooks_missing)
    if not verdict.never_ended:
        verdict.judge("something is left in the indexes", sum(verdict.left_in_redis.values()))


def look_at_end(evidence: Evidence, accepted: Accepted, job: Job, verdict: Verdict, differences: list[str]) -> None:
    """Whether a job that is over ended as it was meant to."""
    if job.status.value == accepted.meant:
        return
    if was_poisoned_by_hits(evidence, job):
        verdict.poisoned_by_hits += 1
        return
    why = f" ({job.error['type']})" if job.error else ""
    differences.append(f"job {accepted.number}, which is {job.status.value}{why} and not {accepted.meant}")


def was_poisoned_by_hits(evidence: Evidence, job: Job) -> bool:
    """Whether a job failed as poison by our doing alone: each of its crashed attempts was in a process that was hit."""
    crashed = [attempt for attempt in job.attempts if attempt.get("outcome") == "crashed"]
    is_poison = job.status is Status.FAILED and (job.error or {}).get("type") == "poison"
    hits = evidence.hits or ()
    return is_poison and len(crashed) >= evidence.max_crashes and all(was_hit(attempt, hits) for attempt in crashed)


def look_at_result(
    evidence: Evidence, accepted: Accepted, job: Job, folder: Mapping[str, str], verdict: Verdict
) -> None:
    """One job that is over: its result, and what lies in its folder."""
    winners = [attempt for attempt in job.attempts if attempt.get("outcome") == "succeeded"]
    done = [event for _, event in evidence.redis.xrange(redis_keys.EVENTS + job.id) if event["type"] == "done"]
    verdict.double_results += len(winners) != int(job.status is Status.SUCCEEDED) or len(done) != 1
    outputs = {key for key in folder if "/output" in key}
    if job.status is not Status.SUCCEEDED:
        verdict.orphans += len(outputs)
        return
    verdict.orphans += len(outputs - {output.picture.key for output in job.outputs})
    verdict.wrong_pictures += abs(accepted.n - len(job.outputs))
    for edit, output in enumerate(job.outputs):
        look_at_picture(evidence, accepted, edit, output.picture, folder.get(output.picture.key), verdict)
        verdict.stale_results += f"/{job.fence}/" not in output.picture.key


def look_at_picture(
    evidence: Evidence, accepted: Accepted, edit: int, picture: Picture, kept: str | None, verdict: Verdict
) -> None:
    """One of a job's pictures: whether the storage has it, by its MD5, and it is the one that was to be."""
    if not evidence.exact:
        verdict.wrong_pictures += kept is None
        return
    expected = right_picture(accepted, edit)
    right = (hashlib.sha256(expected).hexdigest(), hashlib.md5(expected, usedforsecurity=False).hexdigest())
    verdict.wrong_pictures += (picture.sha256, kept) != right


def look_at_runs(evidence: Evidence, ended: Mapping[int, Job], verdict: Verdict) -> None:
    """How often each job ran, whether any ran after its end, and whether each extra run has its reason."""
    verdict.runs = len(evidence.runs)
    verdict.extra_runs = len(evidence.runs) - len({(run.number, run.seed) for run in evidence.runs})
    runs_of: dict[int, list[Run]] = {}
    for run in evidence.runs:
        runs_of.setdefault(run.number, []).append(run)
    for number, job in ended.items():
        runs = runs_of.get(number, [])
        late = [run for run in runs if run.started > (job.finished_ms or 0) / 1000 + CLOCK_SLACK]
        knew_no_better = sum(had_claimed(job, run.pid) for run in late)
        verdict.woke_after_the_end += knew_no_better
        verdict.ran_after_the_end += len(late) - knew_no_better
        if evidence.hits is not None:
            for seed in {run.seed for run in runs}:
                own = [run for run in runs if run.seed == seed]
                verdict.unexplained_runs += unexplained(job, own, evidence.hits)


def unexplained(job: Job, runs: Sequence[Run], hits: Sequence[Hit]) -> int:
    """How many runs of one of a job's edits have no reason: neither its last attempt's nor one that was hit.

    Each attempt accounts for one run, so that a second one within it has no reason either.
    """
    free = list(job.attempts)
    count = 0
    for run in sorted(runs, key=lambda run: run.started):
        own = [attempt for attempt in free if began(attempt, run)]
        if own:
            free.remove(own[-1])
        count += not own or not has_a_reason(own[-1], job, hits)
    return count


def began(attempt: Attempt, run: Run) -> bool:
    """Whether a run may be this attempt's: it is of the same process, and not older."""
    return is_of(attempt, run.pid) and attempt["started_ms"] / 1000 <= run.started + CLOCK_SLACK


def has_a_reason(attempt: Attempt, job: Job, hits: Sequence[Hit]) -> bool:
    """Whether a run of this attempt had to be."""
    if attempt.get("outcome") == "crashed":
        return was_hit(attempt, hits)
    return attempt == job.attempts[-1]


def was_hit(attempt: Attempt, hits: Sequence[Hit]) -> bool:
    """Whether the process of an attempt was hit between the attempt's start and its end."""
    started, ended = attempt["started_ms"] / 1000, attempt["ended_ms"] / 1000
    return any(
        is_of(attempt, hit.pid) and started <= hit.until + CLOCK_SLACK and hit.since <= ended + CLOCK_SLACK
        for hit in hits
    )


def is_of(attempt: Attempt, pid: int) -> bool:
    """Whether an attempt is of the worker with this process id."""
    return re.search(rf"-{pid}(\.|$)", attempt["worker"]) is not None


def had_claimed(job: Job, pid: int) -> bool:
    """Whether a worker of this process id had claimed the job before it ended."""
    return any(is_of(attempt, pid) and attempt["started_ms"] <= (job.finished_ms or 0) for attempt in job.attempts)


def objects(pictures: PictureStore) -> dict[str, dict[str, str]]:
    """The bucket: for each job's folder the MD5 of each object by its key."""
    found: dict[str, dict[str, str]] = {}
    for entry in listed(pictures):
        key = entry["Key"]
        found.setdefault("/".join(key.split("/")[:2]), {})[key] = entry["ETag"].strip('"')
    return found


def listed(pictures: PictureStore) -> Iterator[Any]:
    """All entries of the bucket."""
    pages = pictures._s3.get_paginator("list_objects_v2").paginate(Bucket=pictures.bucket)
    for page in pages:
        yield from page.get("Contents", [])


def left(redis: Any) -> dict[str, int]:
    """What is still in the places of jobs that are not over."""
    places = {name: redis.zcard(key) for name, key in PLACES.items()}
    hands = sum(redis.scard(key) for key in redis.scan_iter(redis_keys.HELD_JOBS + "*", count=1000))
    return {**places, "hands": hands}


PLACES = {
    "queue": redis_keys.QUEUE,
    "delayed": redis_keys.DELAYED,
    "parked": redis_keys.PARKED,
    "running": redis_keys.RUNNING,
    "deadlines": redis_keys.DEADLINES,
}
