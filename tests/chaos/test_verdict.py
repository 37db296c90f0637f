"""The harness' verdict on jobs whose fate is known: it finds what is wrong with them, and nothing else."""

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from chaos import engine
from chaos.house import SEED, Accepted, right_picture
from chaos.verdict import Evidence, Hit, Verdict, had_claimed, judge
from jobs import redis_keys
from jobs.errors import internal_error
from jobs.job import Job, Output, Picture
from jobs.pictures import PictureStore
from jobs.store import JobStore
from tests.jobs_of import a_job

WORKER, OTHER = 77, 88  # process ids
LATER = 3600.0


class Scene:
    """Jobs and the traces that they leave: a record, a result, a line of the ledger."""

    def __init__(self, store: JobStore, pictures: PictureStore, ledger: Path) -> None:
        self.store, self.pictures, self.ledger = store, pictures, ledger
        self.accepted: list[Accepted] = []
        self.hits: list[Hit] = []

    def submit(self, meant: str = "succeeded") -> Accepted:
        number = len(self.accepted) + 1
        prompt = f"job {number}"
        job = a_job(params={"prompt": prompt, "seed": SEED, "steps": 4})
        self.store.submit(job)
        self.accepted.append(Accepted(number, job.id, prompt, time.time(), meant))
        return self.accepted[-1]

    def run(self, accepted: Accepted, pid: int = WORKER) -> Job:
        """A worker with this process id claims the next job and begins to edit."""
        job = self.store.claim(f"host-{pid}.ab12", lease_seconds=60, token=f"{pid} {time.time_ns()}", max_crashes=1000)
        assert job is not None
        assert job.id == accepted.id
        self.note("start", accepted, pid)
        return job

    def note(self, event: str, accepted: Accepted, pid: int) -> None:
        line = {"event": event, "number": accepted.number, "pid": pid, "at": time.time()}
        with self.ledger.open("a") as ledger:
            ledger.write(json.dumps(line) + "\n")

    def put(self, accepted: Accepted, job: Job, data: bytes | None = None) -> Picture:
        return self.pictures.put_result(job, data or right_picture(accepted), "image/png", (8, 8))

    def finish(self, accepted: Accepted, pid: int = WORKER) -> Job:
        job = self.run(accepted, pid)
        self.note("end", accepted, pid)
        assert self.store.finish(job, self.put(accepted, job), {}, {}) == "finished"
        return job

    def crash(self, accepted: Accepted, pid: int = WORKER, max_crashes: int = 1000) -> Job:
        """A run that never ends, until its lease has run out."""
        job = self.run(accepted, pid)
        self.store.redis.zadd(redis_keys.RUNNING, {job.id: 0})
        assert self.store.reclaim(max_crashes) == [job.id]
        return job

    def hit(self, pid: int = WORKER, since: float = 0.0, until: float = LATER) -> None:
        """That process was hit, by seconds from now."""
        self.hits.append(Hit(pid, time.time() + since, time.time() + until))

    def change(self, accepted: Accepted, **fields: Any) -> None:
        """Spoil a record, as a service with a bug could."""
        self.store.redis.hset(
            redis_keys.JOB + accepted.id, mapping={name: json.dumps(it) for name, it in fields.items()}
        )

    def judged(self, **others: Any) -> Verdict:
        runs = engine.read_ledger(self.ledger)
        return judge(Evidence(self.accepted, self.store.redis, self.pictures, runs, hits=self.hits, **others))


@pytest.fixture
def scene(store: JobStore, pictures: PictureStore, tmp_path: Path) -> Iterator[Scene]:
    return Scene(store, pictures, tmp_path / "ledger")


def the_one(sentences: list[str]) -> str:
    (sentence,) = sentences
    return sentence


def test_nothing_is_wrong_with_a_job_that_succeeded(scene):
    scene.finish(scene.submit())
    verdict = scene.judged()
    assert verdict.wrong == []
    assert (verdict.jobs, verdict.statuses, verdict.lost, verdict.runs) == (1, {"succeeded": 1}, 0, 1)


def test_a_job_that_never_ended_is_lost(scene):
    scene.finish(scene.submit())
    scene.submit()
    verdict = scene.judged()
    assert (verdict.lost, verdict.never_ended) == (1, 1)
    assert the_one(verdict.wrong) == "an accepted job did not end: 1 times"


def test_a_job_whose_record_is_gone_is_lost(scene):
    accepted = scene.submit()
    scene.finish(accepted)
    scene.store.delete(accepted.id, "default")
    verdict = scene.judged()
    assert (verdict.lost, verdict.statuses) == (1, {"gone": 1})


def test_jobs_that_failed_are_lost_all_of_them(scene):
    for _ in range(3):
        scene.store.fail(scene.run(scene.submit()), internal_error())
    verdict = scene.judged()
    assert (verdict.lost, verdict.statuses) == (3, {"failed": 3})
    expected = "a job did not end as it was meant to: 3 times, such as job 1, which is failed (internal-error) and not"
    assert the_one(verdict.wrong).startswith(expected)


@pytest.mark.parametrize("meant", ["failed", "canceled", "succeeded"])
def test_a_job_that_is_to_end_otherwise_has_to_end_just_so(scene, meant):
    scene.store.fail(scene.run(scene.submit(meant)), internal_error())
    assert (scene.judged().wrong == []) is (meant == "failed")


def test_a_canceled_job_that_nobody_meant_to_cancel_is_lost(scene):
    accepted = scene.submit()
    scene.store.cancel(accepted.id, "default")
    assert scene.judged().lost == 1


def test_a_job_with_two_results_is_found(scene):
    accepted = scene.submit()
    scene.finish(accepted)
    scene.store.redis.xadd(redis_keys.EVENTS + accepted.id, {"type": "done", "data": "{}", "feed": "0-1"})
    verdict = scene.judged()
    assert verdict.double_results == 1
    assert the_one(verdict.wrong) == "a job has two results: 1 times"


def test_a_job_with_two_attempts_that_succeeded_is_found(scene):
    accepted = scene.submit()
    scene.finish(accepted)
    (attempt,) = scene.store.get(accepted.id, "default").attempts
    scene.change(accepted, attempts=[attempt, {**attempt, "number": 2}])
    assert scene.judged().double_results == 1


def test_a_result_of_a_stale_fence_is_found(scene):
    accepted = scene.submit()
    stale = scene.put(accepted, scene.crash(accepted))
    scene.hit(since=-1)
    scene.store.finish(scene.run(accepted, OTHER), stale, {}, {})
    verdict = scene.judged()
    assert verdict.stale_results == 1
    assert the_one(verdict.wrong).startswith("a result came from a fence that was not the current one")


def test_a_wrong_picture_is_found(scene):
    accepted = scene.submit()
    job = scene.run(accepted)
    scene.store.finish(job, scene.put(accepted, job, b"another picture"), {}, {})
    assert the_one(scene.judged().wrong).startswith("a picture is not the one that was to be")


def test_a_webhook_has_to_be_told_of_under_one_id(scene):
    accepted = scene.submit()
    scene.finish(accepted)
    scene.store.redis.hset(redis_keys.JOB + accepted.id, "webhook", "http://receiver/")
    assert scene.judged(heard={accepted.id: {"one"}}).wrong == []
    for heard in ({}, {accepted.id: {"one", "two"}}):
        assert scene.judged(heard=heard).webhooks_missing == 1


# ---- runs


def test_an_extra_run_has_its_reason_in_a_hit_on_its_process(scene):
    accepted = scene.submit()
    scene.hit(since=-1)
    scene.crash(accepted)
    scene.finish(accepted, OTHER)
    verdict = scene.judged()
    assert (verdict.wrong, verdict.runs, verdict.extra_runs) == ([], 2, 1)


@pytest.mark.parametrize(
    "hit", [{"pid": OTHER}, {"pid": 7}, {"since": -LATER, "until": -LATER / 2}, {"since": LATER}], ids=str
)
def test_as_many_hits_as_extra_runs_are_no_reason_if_they_are_not_of_the_process_in_its_time(scene, hit):
    accepted = scene.submit()
    scene.hit(**{"since": -1, **hit})
    scene.crash(accepted)
    scene.finish(accepted, OTHER)
    verdict = scene.judged()
    assert (verdict.extra_runs, verdict.unexplained_runs) == (1, 1)
    assert the_one(verdict.wrong) == "a job ran again, and no hit on its worker explains it: 1 times"


def test_a_second_run_within_one_attempt_has_no_reason(scene):
    accepted = scene.submit()
    scene.hit(since=-1)
    scene.note("start", accepted, WORKER)
    scene.finish(accepted)
    assert scene.judged().unexplained_runs == 1


def test_a_run_that_was_given_back_has_no_reason(scene):
    accepted = scene.submit()
    scene.hit(since=-1)
    scene.store.release(scene.run(accepted), "drained")
    scene.finish(accepted, OTHER)
    assert scene.judged().unexplained_runs == 1


def test_a_job_may_fail_as_poison_when_as_many_of_its_workers_as_that_takes_were_hit(scene):
    accepted = scene.submit()
    for pid in (1, 2, 3):
        scene.hit(pid, since=-1)
        scene.crash(accepted, pid, max_crashes=3)
    verdict = scene.judged(max_crashes=3)
    assert (verdict.wrong, verdict.lost, verdict.poisoned_by_hits) == ([], 0, 1)
    assert scene.judged(max_crashes=4).lost == 1, "it failed too early"
    scene.hits.pop()
    assert scene.judged(max_crashes=3).lost == 1, "one of its crashes was nobody's doing"


def test_only_who_had_claimed_a_job_may_still_begin_it_after_its_end():
    """A worker frozen before its first step cannot know that the job ended. Claiming an ended job is an error."""
    frozen = {"worker": "host-77", "started_ms": 1000, "outcome": "crashed"}
    winner = {"worker": "host-8.ab12", "started_ms": 5000, "outcome": "succeeded"}
    job = a_job(attempts=(frozen, winner), finished_ms=6000)
    assert had_claimed(job, 77)
    assert had_claimed(job, 8)
    assert not had_claimed(job, 7)
    assert not had_claimed(a_job(attempts=({**frozen, "started_ms": 7000},), finished_ms=6000), 77)


def test_a_run_that_begins_after_the_end_of_its_job_is_told_from_one_that_woke_up_then(scene):
    accepted = scene.submit()
    scene.hit(since=-1)
    scene.finish(accepted)
    time.sleep(0.1)  # more than two clocks may differ
    scene.note("start", accepted, OTHER)
    scene.note("start", accepted, WORKER)
    verdict = scene.judged()
    assert (verdict.ran_after_the_end, verdict.woke_after_the_end) == (1, 1)


def two_edits(scene: Scene, seeds: Sequence[int] = (SEED, SEED + 1), pictures: int = 2) -> None:
    """A job of two edits that ran with these seeds and has this many outputs."""
    job = a_job(params={"prompt": "job 1", "seed": SEED, "steps": 4}, n=2)
    scene.store.submit(job)
    accepted = Accepted(1, job.id, "job 1", time.time(), n=2)
    scene.accepted.append(accepted)
    claimed = scene.store.claim(f"host-{WORKER}.ab12", lease_seconds=60, token="t", max_crashes=1000)
    with scene.ledger.open("a") as ledger:
        for event in ("start", "end"):
            for seed in seeds:
                line = {"event": event, "number": 1, "seed": seed, "pid": WORKER, "at": time.time()}
                ledger.write(json.dumps(line) + "\n")
    outputs = []
    for edit in range(pictures):
        data, name = right_picture(accepted, edit), "output" if edit == 0 else f"output-{edit}"
        outputs.append(Output(scene.pictures.put_result(claimed, data, "image/png", (8, 8), name), SEED + edit))
    scene.store.finish(claimed, outputs[0].picture, {}, {}, outputs=outputs)


def test_each_edit_of_a_job_runs_once_and_has_its_own_picture(scene):
    two_edits(scene)
    verdict = scene.judged()
    assert (verdict.wrong, verdict.jobs, verdict.edits, verdict.runs, verdict.extra_runs) == ([], 1, 2, 2, 0)


def test_an_edit_that_ran_twice_or_has_no_picture_is_told(scene):
    two_edits(scene, seeds=(SEED, SEED + 1, SEED + 1), pictures=1)
    verdict = scene.judged()
    assert (verdict.unexplained_runs, verdict.extra_runs, verdict.wrong_pictures) == (1, 1, 1)
