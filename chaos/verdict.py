"""What became of all jobs, told from the ledger, the records, the bucket and the webhook log; nobody is asked."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from chaos.house import Accepted, House
from jobs import keys
from jobs.job import Job, Status

CLOCK_SLACK = 0.05  #: seconds by which two clocks of one machine may seem to differ


@dataclass
class Verdict:
    """Numbers, and `wrong`: a sentence for each broken promise."""

    jobs: int = 0
    lost: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    double_results: int = 0
    stale_results: int = 0
    wrong_pictures: int = 0
    ran_after_the_end: int = 0  #: claimed when it was over
    woke_after_the_end: int = 0  #: claimed before, by a worker that was frozen until it was over; its result is refused
    runs: int = 0
    extra_runs: int = 0
    orphans: int = 0
    webhooks: int = 0
    webhooks_missing: int = 0
    left_in_redis: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def judge(self, promise: str, broken: int, example: str = "") -> None:
        """Note a promise that was broken so many times."""
        if broken:
            self.wrong.append(f"{promise}: {broken} times{', such as ' + example if example else ''}")


def judge(house: House, *, exact: bool = True, heard: Mapping[str, set[str]] | None = None) -> Verdict:
    """The verdict on a house whose jobs have had the time to end.

    `exact`: the fake engine's pictures are known to the byte. `heard`: for each job the webhook ids that were received.
    """
    verdict = Verdict(jobs=len(house.accepted))
    bucket = objects(house)
    ended: dict[int, Job] = {}
    for accepted in house.accepted:
        record = house.redis.hgetall(keys.JOB + accepted.id)
        job = Job.from_record(record) if record else None
        status = job.status.value if job else "gone"
        verdict.statuses[status] = verdict.statuses.get(status, 0) + 1
        if job is None or not job.status.is_over:
            verdict.lost += 1
            continue
        ended[accepted.number] = job
        look_at(house, accepted, job, bucket.get(job.folder, {}), verdict, exact)
        if heard is not None and job.webhook:
            verdict.webhooks += 1
            verdict.webhooks_missing += len(heard.get(job.id, ())) != 1
    count_runs(house, ended, verdict)
    verdict.left_in_redis = left(house)
    verdict.judge("an accepted job did not end", verdict.lost)
    verdict.judge("a job has two results", verdict.double_results)
    verdict.judge("a result came from a fence that was not the current one", verdict.stale_results)
    verdict.judge("a picture is not the one that was to be", verdict.wrong_pictures)
    verdict.judge("a job ran after its end", verdict.ran_after_the_end)
    verdict.judge("a webhook was not told of, or under two ids", verdict.webhooks_missing)
    if not verdict.lost:
        verdict.judge("something is left in the indexes", sum(verdict.left_in_redis.values()))
    return verdict


def look_at(
    house: House, accepted: Accepted, job: Job, folder: Mapping[str, str], verdict: Verdict, exact: bool
) -> None:
    """One job that is over: its result, and what lies in its folder."""
    winners = [attempt for attempt in job.attempts if attempt.get("outcome") == "succeeded"]
    done = [event for _, event in house.redis.xrange(keys.EVENTS + job.id) if event["type"] == "done"]
    verdict.double_results += len(winners) > 1 or len(done) != 1
    outputs = {key for key in folder if "/output." in key}
    if job.status is Status.SUCCEEDED and job.output:
        verdict.stale_results += f"/{job.fence}/" not in job.output.key
        verdict.orphans += len(outputs - {job.output.key})
        expected = house.expected(accepted) if exact else None
        kept = folder.get(job.output.key)
        if expected is None:
            verdict.wrong_pictures += kept is None
        else:
            right = (hashlib.sha256(expected).hexdigest(), hashlib.md5(expected, usedforsecurity=False).hexdigest())
            verdict.wrong_pictures += (job.output.sha256, kept) != right
    else:
        verdict.orphans += len(outputs)


def count_runs(house: House, ended: Mapping[int, Job], verdict: Verdict) -> None:
    """How often each job ran, and whether any ran after its end."""
    runs = [run for run in house.runs() if run.number]  # 0: sent to see what is answered
    verdict.runs = len(runs)
    verdict.extra_runs = len(runs) - len({run.number for run in runs})
    for run in runs:
        job = ended.get(run.number)
        if job and run.started > (job.finished_ms or 0) / 1000 + CLOCK_SLACK:
            verdict.woke_after_the_end += had_claimed(job, run.pid)
            verdict.ran_after_the_end += not had_claimed(job, run.pid)


def had_claimed(job: Job, pid: int) -> bool:
    """Whether a worker of this process id had claimed the job before it ended."""
    of_the_process = re.compile(rf"-{pid}(\.|$)")
    return any(
        of_the_process.search(attempt["worker"]) and attempt["started_ms"] <= (job.finished_ms or 0)
        for attempt in job.attempts
    )


def objects(house: House) -> dict[str, dict[str, str]]:
    """The bucket: for each job's folder the MD5 of each object by its key."""
    found: dict[str, dict[str, str]] = {}
    for entry in listed(house):
        key = entry["Key"]
        found.setdefault("/".join(key.split("/")[:2]), {})[key] = entry["ETag"].strip('"')
    return found


def listed(house: House) -> Iterator[Any]:
    """All entries of the bucket."""
    pages = house.pictures._s3.get_paginator("list_objects_v2").paginate(Bucket=house.pictures.bucket)
    for page in pages:
        yield from page.get("Contents", [])


def left(house: House) -> dict[str, int]:
    """What is still in the places of jobs that are not over."""
    places = {name: house.redis.zcard(key) for name, key in PLACES.items()}
    hands = sum(house.redis.scard(key) for key in house.redis.scan_iter(keys.HANDS + "*", count=1000))
    return {**places, "hands": hands}


PLACES = {
    "queue": keys.QUEUE,
    "delayed": keys.DELAYED,
    "parked": keys.PARKED,
    "running": keys.RUNNING,
    "deadlines": keys.DEADLINES,
}
