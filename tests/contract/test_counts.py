"""What the transitions count on a real Valkey: each event once, and the census is always right."""

import random
from collections import Counter
from uuid import uuid4

import pytest

from jobs import redis_keys
from jobs.errors import JobError
from jobs.job import Job, Priority, Status
from jobs.scripts import UNFINISHED
from jobs.store import JobStore
from tests.jobs_of import A_PICTURE, WORKER, a_job

BROKE = JobError("internal-error", "It broke", "Somehow.")
MODELS = ("a", "b", "pix2pix-full")
UNUSABLE = JobError("invalid-input", "It cannot be used", "Too wide.")


def submit(store: JobStore, **changes) -> Job:
    job = a_job(**changes)
    store.submit(job)
    return job


def claim(store: JobStore) -> Job:
    job = store.claim(WORKER, lease_seconds=30, token=uuid4().hex, slots=1000, models=MODELS)
    assert job is not None
    return job


def finish(store: JobStore, job: Job) -> None:
    store.finish(job, A_PICTURE, {"load_ms": 20, "run_ms": 1800, "upload_ms": 90}, {"seed": 1})


def crash(store: JobStore, job: Job, allowed: int = 9) -> None:
    store.redis.zadd(redis_keys.RUNNING, {job.id: 1})
    store.reclaim(allowed)


def test_each_end_is_counted_once_however_often_it_is_said(store):
    submit(store)
    job = claim(store)
    for _ in range(3):
        store.submit(job)
        finish(store, job)
        store.fail(job, BROKE)
    counts = store.counts()
    assert counts["submitted", "pix2pix-full", "normal"] == 1
    assert counts["ended", "succeeded", "pix2pix-full"] == 1
    assert counts["attempts", "succeeded"] == 1
    assert not [name for name in counts if name[0] == "failed"]


def test_durations_fall_into_their_buckets(store):
    submit(store)
    finish(store, claim(store))
    counts = store.counts()
    assert counts["phase", "load", "0.1"] == counts["phase", "run", "2.5"] == counts["phase", "upload", "0.1"] == 1
    assert counts["phase", "queued", "0.1"] == counts["phase", "total", "0.1"] == 1
    assert counts["phase_ms", "run"] == 1800


def test_crashes_and_errors_are_counted_by_their_kind(store):
    submit(store)
    crash(store, claim(store))
    crash(store, claim(store), allowed=2)
    submit(store)
    store.fail(claim(store), UNUSABLE)
    counts = store.counts()
    assert (counts["attempts", "crashed"], counts["attempts", "failed"]) == (2, 1)
    assert (counts["failed", "poison"], counts["failed", "invalid-input"]) == (1, 1)


def true_census(store: JobStore, jobs: list[Job]) -> Counter:
    """The census, counted by reading every job."""
    active = {Status.QUEUED: "queued", Status.RUNNING: "running", Status.CANCELING: "running"}
    found = [one for job in jobs if (one := store.get(job.id, job.tenant))]
    return Counter((active[one.status], one.model, one.priority.value) for one in found if one.status in active)


@pytest.mark.parametrize("seed", range(3))
def test_the_census_is_what_a_count_would_find_after_any_transitions(store, seed):
    dice = random.Random(seed)
    jobs: list[Job] = []
    held: list[Job] = []
    for _ in range(120):
        match dice.randrange(8):
            case 0 | 1 | 2:
                jobs.append(submit(store, model=dice.choice("ab"), priority=dice.choice(list(Priority))))
            case 3 | 4:
                if job := store.claim(WORKER, lease_seconds=30, token=uuid4().hex, slots=1000, models=MODELS):
                    held.append(job)
            case 5 if jobs:
                store.cancel(dice.choice(jobs).id, "default")
            case 6 if held:
                dice.choice([finish, crash, lambda s, j: s.release(j, "drained"), lambda s, j: s.fail(j, BROKE)])(
                    store, held.pop(dice.randrange(len(held)))
                )
            case 7 if jobs:
                store.delete(dice.choice(jobs).id, "default")
    assert Counter(store.census()) == true_census(store, jobs)
    assert not store.recount()


def test_a_census_that_lost_count_is_put_right(store):
    """The state is that after an older version, which does not count, ran beside this one."""
    jobs = [submit(store, model=model) for model in "aab"]
    claim(store)
    store.redis.delete(redis_keys.CENSUS)
    assert store.recount()
    assert Counter(store.census()) == true_census(store, jobs)
    assert not store.recount()


@pytest.mark.parametrize("seed", range(3))
def test_a_recount_in_portions_is_right_whatever_jobs_do_meanwhile(store, seed):
    dice = random.Random(seed)
    jobs = [submit(store, model=dice.choice("ab")) for _ in range(400)]
    held = [claim(store) for _ in range(100)]
    store.redis.delete(redis_keys.CENSUS)
    recount, answer, portions = store._scripts["recount"], UNFINISHED, 0
    while answer == UNFINISHED:
        answer, portions = recount(args=()), portions + 1
        for _ in range(20):
            match dice.randrange(4):
                case 0:
                    jobs.append(submit(store, model=dice.choice("ab")))
                case 1:
                    if job := store.claim(WORKER, lease_seconds=30, token=uuid4().hex, slots=1000, models=MODELS):
                        held.append(job)
                case 2:
                    store.cancel(dice.choice(jobs).id, "default")
                case 3:
                    end = dice.choice([finish, crash, lambda s, j: s.release(j, "drained")])
                    end(store, held.pop(dice.randrange(len(held))))
    assert portions > 2
    assert +Counter(store.census()) == true_census(store, jobs)
    assert not store.recount()


def test_dead_letters_are_the_failures_that_are_ours(store):
    submit(store)
    broken = claim(store)
    store.fail(broken, BROKE)
    submit(store)
    store.fail(claim(store), UNUSABLE)
    assert store.backlogs()["dead_letters"] == 1
    store.delete(broken.id, "default")
    assert store.backlogs()["dead_letters"] == 0
