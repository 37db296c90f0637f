"""Each worker gets jobs of its own models, in a fair order over all of them, however many wait for other workers."""

from collections import Counter
from uuid import uuid4

import pytest

from jobs import redis_keys
from jobs.errors import QueueFull
from jobs.job import Job, Priority
from jobs.store import JobStore
from jobs.store.requests import Limits
from tests.contract.test_store import commands, finish
from tests.jobs_of import a_job


def serve(store: JobStore, worker: str, models: str, slots: int = 1) -> None:
    """A worker's heartbeat."""
    about = {"slots": slots, "models": [{"id": model, "digest": ""} for model in models.split()]}
    store.renew(worker, about, [], lease_seconds=30)


def submit(store: JobStore, model: str, **changes) -> Job:
    job = a_job(model=model, **changes)
    store.submit(job)
    return job


def claim(store: JobStore, worker: str, models: str, slots: int = 100) -> Job | None:
    return store.claim(worker, lease_seconds=30, token=uuid4().hex, slots=slots, models=models.split())


def place(store: JobStore, job: Job) -> int:
    return store.queue_positions([job])[job.id].position


def test_a_worker_claims_only_what_it_serves(store):
    jobs = [submit(store, model) for model in "abcab"]
    assert [claim(store, "w", "b c").id for _ in range(3)] == [jobs[1].id, jobs[2].id, jobs[4].id]
    assert claim(store, "w", "b c") is None
    assert store.redis.zcard(redis_keys.QUEUE) == store.redis.zcard(f"{redis_keys.QUEUE}:a") == 2


def test_jobs_of_several_models_are_claimed_in_the_order_of_their_arrival_and_priority(store):
    jobs = [*(submit(store, model) for model in "abca"), submit(store, "b", priority=Priority.HIGH)]
    serve(store, "w", "a b c", slots=9)
    order = [jobs[4], *jobs[:4]]
    assert [place(store, job) for job in order] == [0, 1, 2, 3, 4]
    assert [claim(store, "w", "a b c").id for _ in order] == [job.id for job in order]


def test_what_nobody_serves_costs_a_claim_nothing_and_moves_no_position(store):
    serve(store, "w", "a", slots=9)
    submit(store, "a")
    few = commands(store, lambda: claim(store, "w", "a"))
    for _ in range(300):
        submit(store, "nobody's")
    own = submit(store, "a")
    assert place(store, own) == 0
    assert commands(store, lambda: claim(store, "w", "a")) <= few + 3, "for it holds one"


def test_two_workers_of_different_models_share_no_work_and_each_takes_all_of_its_own(store):
    serve(store, "w1", "a", slots=8)
    serve(store, "w2", "b", slots=8)
    for _ in range(8):
        submit(store, "a")
    assert all(claim(store, "w1", "a", slots=9) for _ in range(8)), "none is kept for a worker of another model"
    serve(store, "w3", "a", slots=8)
    for _ in range(8):
        submit(store, "a")
    assert claim(store, "w1", "a", slots=16) is None, "the others are for the second worker of the model"
    assert all(claim(store, "w3", "a", slots=9) for _ in range(8))


def test_a_tenant_gets_no_more_by_asking_for_several_models(store):
    serve(store, "w", "a b c", slots=99)
    for number in range(30):
        submit(store, "abc"[number % 3], tenant="wide")
    for _ in range(10):
        submit(store, "a", tenant="narrow")
    first = Counter(claim(store, "w", "a b c").tenant for _ in range(20))
    assert first == {"wide": 10, "narrow": 10}


def test_jobs_that_wait_for_a_model_which_nobody_serves_are_not_held_against_their_tenant(store):
    serve(store, "w", "a", slots=99)
    for _ in range(50):
        submit(store, "nobody's", tenant="x")
    for _ in range(5):
        submit(store, "a", tenant="y")
        submit(store, "a", tenant="x")
    assert Counter(claim(store, "w", "a").tenant for _ in range(4)) == {"x": 2, "y": 2}


def test_who_comes_to_one_queue_does_not_stand_behind_what_was_claimed_from_another(store):
    """The workers serve `a`, `a` and `b`, and `b`. A job of `b` that is claimed early must not move the turn of `a`."""
    for worker, models in (("w1", "a"), ("w2", "a b"), ("w3", "b")):
        serve(store, worker, models, slots=99)
    flood = [submit(store, "a", tenant="flood") for _ in range(50)]
    submit(store, "b", tenant="flood")
    assert claim(store, "w3", "b") is not None
    late = submit(store, "a", tenant="late")
    assert place(store, late) <= 1
    assert place(store, flood[-1]) == 50


def test_shares_are_kept_while_workers_restart_and_models_leave_their_pool_after_a_while(store):
    serve(store, "w", "a b", slots=9)
    for _ in range(10):
        submit(store, "a", tenant="x")
    pool = store.redis.hget(redis_keys.POOLS, "b")
    store.retire("w")
    serve(store, "again", "a b", slots=9)
    assert store.redis.hget(redis_keys.POOLS, "a") == store.redis.hget(redis_keys.POOLS, "b") == pool
    submit(store, "a", tenant="y")
    assert place(store, submit(store, "a", tenant="x")) == 11, "behind its own"
    store.retire("again")
    serve(store, "smaller", "a", slots=9)
    store.redis.zadd(redis_keys.SERVED, {"b": 1})
    store.expire("k")
    assert store.redis.hget(redis_keys.POOLS, "b") is None
    assert store.redis.hget(redis_keys.POOLS, "a") == "a"


def test_estimates_and_limits_are_those_of_the_models_workers(store):
    serve(store, "w", "a", slots=1)
    job = submit(store, "a")
    claimed = claim(store, "w", "a")
    store.redis.hset(redis_keys.JOB + job.id, "claimed_ms", claimed.claimed_ms - 10_000)  # it took ten seconds
    finish(store, claimed)
    for _ in range(20):
        submit(store, "nobody's")
    mine, other = submit(store, "a"), submit(store, "nobody's")
    places = store.queue_positions([mine, other])
    assert (places[mine.id].position, places[other.id].position) == (0, 20)
    assert places[mine.id].eta_seconds <= 15
    assert places[other.id].eta_seconds is None
    limits = Limits(all=20, wait_seconds=60)
    store.admit("default", limits)
    store.submit(a_job(model="a"), None, limits)
    with pytest.raises(QueueFull):
        store.submit(a_job(model="nobody's"), None, limits)
    queues = store.model_queues()
    assert (queues["a"].queued, queues["a"].workers, queues["a"].free) == (2, 1, 1)
    assert (queues["nobody's"].queued, queues["nobody's"].workers) == (21, 0)
    assert queues["a"].estimated_wait_seconds == 20
    assert queues["nobody's"].estimated_wait_seconds is None
    assert store.wanted_wakeups() == {"a": 1}


def test_an_idle_worker_is_woken_for_its_model_while_another_of_its_pool_is_full(store):
    serve(store, "w1", "a b", slots=1)
    serve(store, "w2", "b c", slots=1)
    for model in "aac":
        submit(store, model)
    assert claim(store, "w1", "a b", slots=1) is not None
    assert store.wanted_wakeups() == {"c": 1}, "the second of `a` has to wait for its only worker"
    assert claim(store, "w2", "b c", slots=1) is not None
    assert store.wanted_wakeups() == {}


def test_several_edits_count_for_their_model(store):
    serve(store, "w", "a", slots=9)
    submit(store, "a", n=3)
    submit(store, "b", n=2)
    assert claim(store, "w", "a") is not None
    assert {model: one.edits for model, one in store.model_queues().items()} == {"a": 3, "b": 2}


def test_jobs_of_an_older_version_are_found_by_the_queues_of_their_models(store):
    """An older version only uses the common queue."""
    jobs = [submit(store, model) for model in "ab"]
    store.redis.delete(f"{redis_keys.QUEUE}:a")
    assert claim(store, "w", "a") is None
    store.expire("k")
    assert claim(store, "w", "a").id == jobs[0].id
    store.redis.zrem(redis_keys.QUEUE, jobs[1].id)  # claimed by an older worker
    store.redis.hset(redis_keys.JOB + jobs[1].id, "status", "running")
    assert claim(store, "v", "b") is None
    assert store.redis.zcard(f"{redis_keys.QUEUE}:b") == 0
