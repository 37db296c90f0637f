"""Every transition on a real Valkey: what it allows and refuses, and that repeating it changes nothing."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from uuid import uuid4

import pytest

from jobs import redis_keys
from jobs.errors import JobError, QueueFull, RecordsUnavailable, TooManyJobs
from jobs.job import Job, Priority, Status
from jobs.scripts import RECORD_FORMAT
from jobs.store import JobStore
from jobs.store.requests import IdempotencyKey, Limits
from jobs.store.work import Renewal
from tests.jobs_of import A_PICTURE, WORKER, a_job

ERROR = JobError("internal-error", "It broke", "Somehow.")


def submit(store: JobStore, **changes) -> Job:
    job = a_job(**changes)
    store.submit(job)
    return job


def claim(
    store: JobStore, *, worker: str = WORKER, slots: int = 1000, token: str | None = None, max_running: int = 1000
) -> Job | None:
    return store.claim(worker, lease_seconds=30, token=token or uuid4().hex, slots=slots, max_running=max_running)


def claimed(store: JobStore, **changes) -> Job:
    submit(store, **changes)
    job = claim(store)
    assert job is not None
    return job


def read(store: JobStore, job: Job) -> Job:
    found = store.get(job.id, job.tenant)
    assert found is not None
    return found


def place(store: JobStore, job: Job) -> int:
    return store.queue_positions([read(store, job)])[job.id].position


def renew(store: JobStore, job: Job, *, step: int = 0, vouched: bool = True, lease_seconds: int = 30) -> str:
    about = {"slots": 1, "checkpoint": {}}
    renewal = Renewal(job.id, job.fence, vouched, step, 10)
    return store.renew(WORKER, about, [renewal], lease_seconds=lease_seconds)[0]


def finish(store: JobStore, job: Job) -> str:
    return store.finish(job, A_PICTURE, {"run_ms": 5}, {"seed": 1})


def test_a_submitted_job_is_read_back_as_it_was_asked_for(store):
    job = submit(store, metadata={"a": [1, None, "é"]}, priority=Priority.HIGH)
    found = read(store, job)
    assert (found.params, found.input, found.metadata) == (job.params, job.input, job.metadata)
    assert (found.status, found.priority) == (Status.QUEUED, Priority.HIGH)
    assert found.deadline_ms - found.created_ms == job.deadline_seconds * 1000


def test_submitting_twice_is_submitting_once(store):
    job = submit(store)
    store.submit(job)
    assert store.queue().queued == 1


def test_a_foreign_job_looks_absent(store):
    job = submit(store)
    assert store.get(job.id, "somebody-else") is None
    assert store.cancel(job.id, "somebody-else") is None
    assert store.delete(job.id, "somebody-else") is None


def test_jobs_are_claimed_in_the_order_of_their_age(store):
    jobs = [submit(store) for _ in range(5)]
    assert [claim(store).id for _ in jobs] == [job.id for job in jobs]
    assert claim(store) is None


def test_a_higher_priority_goes_first_and_positions_say_so(store):
    low, normal, high = (submit(store, priority=p) for p in (Priority.LOW, Priority.NORMAL, Priority.HIGH))
    assert [place(store, job) for job in (low, normal, high)] == [2, 1, 0]
    assert [claim(store).id for _ in range(3)] == [high.id, normal.id, low.id]


def put_at(store: JobStore, job: Job, order: float) -> None:
    """Give a queued job another place."""
    for queue in (redis_keys.QUEUE, f"{redis_keys.QUEUE}:{job.model}"):
        store.redis.zadd(queue, {job.id: order})


def test_an_old_job_overtakes_a_young_one_of_higher_priority(store):
    """Aging: ten minutes of waiting outweigh one priority class, so that no job waits forever."""
    old = submit(store)
    put_at(store, old, store.redis.zscore(redis_keys.QUEUE, old.id) - 600_001_000)  # as if it had come so much earlier
    submit(store, priority=Priority.HIGH)
    assert claim(store).id == old.id


def test_a_worker_holds_no_more_than_its_slots(store):
    for _ in range(5):
        submit(store)
    held = [claim(store, slots=2) for _ in range(3)]
    assert [job is not None for job in held] == [True, True, False]
    finish(store, held[0])
    assert claim(store, slots=2) is not None


def test_two_workers_share_what_there_is(store):
    """There are forty jobs and two workers with room for all of them. Neither takes more than its share."""
    for worker in ("w1", "w2"):
        store.renew(worker, {"slots": 40, "checkpoint": {}}, [], lease_seconds=30)
    for _ in range(40):
        submit(store)
    hoarded = [claim(store, worker="w1", slots=40) for _ in range(40)]
    assert sum(job is not None for job in hoarded) == 20
    assert all(claim(store, worker="w2", slots=40) for _ in range(20))


def test_one_slot_in_eight_waits_for_urgent_jobs(store):
    for _ in range(10):
        submit(store)
    assert sum(claim(store, slots=8) is not None for _ in range(10)) == 7
    urgent = submit(store, priority=Priority.HIGH)
    assert claim(store, slots=8).id == urgent.id
    assert claim(store, slots=8) is None


def test_one_token_gets_one_job_however_often_it_asks(store):
    submit(store), submit(store)
    first, again = claim(store, token="t"), claim(store, token="t")
    assert (first.id, first.fence) == (again.id, again.fence)
    assert claim(store).id != first.id


def test_racing_workers_share_no_job(store):
    jobs = {submit(store).id for _ in range(200)}
    with ThreadPoolExecutor(8) as pool:
        got = [job.id for job in pool.map(lambda _: claim(store), range(220)) if job]
    assert len(got) == 200
    assert set(got) == jobs


def test_finishing_gives_the_job_its_result_and_saying_it_again_changes_nothing(store):
    job = claimed(store)
    assert finish(store, job) == "finished"
    ended = read(store, job)
    assert finish(store, job) == "finished"
    assert read(store, job) == ended
    assert (ended.status, ended.output, ended.receipt) == (Status.SUCCEEDED, A_PICTURE, {"seed": 1})
    assert ended.attempts[0]["outcome"] == "succeeded"


@pytest.mark.parametrize("end", ["finish", "fail", "cancel"])
def test_an_ended_job_never_changes(store, end):
    job = claimed(store)
    if end == "finish":
        finish(store, job)
    elif end == "fail":
        store.fail(job, ERROR)
    else:
        store.cancel(job.id, job.tenant)
        store.canceled(job, 3)
    ended = read(store, job)
    assert ended.status.is_over
    finish(store, job)
    store.fail(job, ERROR)
    store.canceled(job, 9)
    store.release(job, "late")
    store.cancel(job.id, job.tenant)
    store.redis.zadd(redis_keys.DEADLINES, {job.id: 1})
    renewed = renew(store, job, step=7)
    store.reclaim(3)
    assert renewed == "lost"
    assert read(store, job).status == ended.status
    assert claim(store) is None


def test_a_worker_that_lost_its_lease_can_change_nothing(store):
    """A frozen worker wakes up after its job was given to another."""
    zombie = claimed(store)
    store.redis.zadd(redis_keys.RUNNING, {zombie.id: 1})
    assert store.reclaim(3) == [zombie.id]
    heir = claim(store)
    assert heir.id == zombie.id
    assert heir.fence != zombie.fence
    assert renew(store, zombie, step=5) == "lost"
    assert finish(store, zombie) == "lost"
    assert not store.fail(zombie, ERROR)
    assert not store.release(zombie, "late")
    assert read(store, heir).step is None
    assert finish(store, heir) == "finished"
    assert [attempt["outcome"] for attempt in read(store, heir).attempts] == ["crashed", "succeeded"]


def test_leases_that_run_out_all_the_time_never_make_two_results(store):
    """Eight workers with leases of 5 ms run 100 jobs. Each job is finished once, by the holder of its last fence."""
    jobs = [submit(store) for _ in range(100)]
    finished: list[str] = []

    def work(_: int) -> None:
        for _ in range(400):
            token = uuid4().hex
            pairs = store._run("claim", token, WORKER, 5, uuid4().hex[:16], 1000, RECORD_FORMAT, 10**6, 10**6)
            if pairs:
                job = Job.from_record(dict(zip(pairs[::2], pairs[1::2], strict=True)))
                time.sleep(0.004)
                if finish(store, job) == "finished":
                    finished.append(job.id)
            store.reclaim(10_000)
            if len(finished) == 100:
                return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert sorted(finished) == sorted(job.id for job in jobs)
    assert all(read(store, job).status is Status.SUCCEEDED for job in jobs)


def test_a_job_that_keeps_killing_its_worker_is_poison(store):
    job = submit(store)
    for crash in range(1, 4):
        assert claim(store) is not None
        store.redis.zadd(redis_keys.RUNNING, {job.id: 1})
        store.reclaim(3)
        assert read(store, job).crashes == crash
    ended = read(store, job)
    assert (ended.status, ended.error["type"]) == (Status.FAILED, "poison")


def test_a_released_job_keeps_its_place_and_its_attempts_do_not_count(store):
    first, second = submit(store), submit(store)
    for _ in range(5):
        job = claim(store)
        assert job.id == first.id
        assert store.release(job, "drained")
        assert store.release(job, "drained"), "said twice"
    assert read(store, first).crashes == 0
    assert [claim(store).id, claim(store).id] == [first.id, second.id]


def test_a_release_can_be_told_to_wait(store):
    job = claimed(store)
    store.release(job, "storage-trouble", wait_seconds=0.3)
    assert store.queue().queued == 1
    assert place(store, job) == 0
    assert claim(store) is None
    time.sleep(0.35)
    assert claim(store).id == job.id


def test_canceling_a_queued_job_ends_it_at_once(store):
    job = submit(store)
    assert store.cancel(job.id, job.tenant) is Status.CANCELED
    assert claim(store) is None


def test_canceling_a_running_job_is_told_to_its_worker(store):
    job = claimed(store)
    assert renew(store, job, step=2) == "held"
    assert store.cancel(job.id, job.tenant) is Status.CANCELING
    assert store.cancel(job.id, job.tenant) is Status.CANCELING
    time.sleep(0.02)
    assert renew(store, job, step=3) == "canceling"
    assert finish(store, job) == "canceling"
    assert store.canceled(job, 3)
    ended = read(store, job)
    assert ended.status is Status.CANCELED
    assert ended.cancellation["step"] == 3
    assert 20 <= ended.cancellation["ms"] < 20_000


@pytest.mark.parametrize("way", ["release", "fail", "crash", "deadline"])
def test_a_canceling_job_can_only_become_canceled(store, way):
    job = claimed(store)
    store.cancel(job.id, job.tenant)
    match way:
        case "release":
            store.release(job, "drained")
        case "fail":
            store.fail(job, ERROR)
        case "crash":
            store.redis.zadd(redis_keys.RUNNING, {job.id: 1})
            store.reclaim(3)
        case "deadline":
            store.redis.zadd(redis_keys.DEADLINES, {job.id: 1})
            store.expire()
    assert read(store, job).status is Status.CANCELED


def test_cancel_and_finish_race_to_exactly_one_end(store, request):
    """A hundred times; 10,000 with --slow."""
    ends: Counter[Status] = Counter()
    with ThreadPoolExecutor(2) as pool:
        for round_ in range(10_000 if request.config.getoption("--slow") else 100):
            job = claimed(store)
            calls = [(store.cancel, job.id, job.tenant), (finish, store, job)]
            first, second = (pool.submit(*call) for call in calls[:: -1 if round_ % 2 else 1])
            answer = (first if round_ % 2 else second).result()
            wait([first, second])
            if answer == "canceling":
                store.canceled(job, 1)
            expected = Status.SUCCEEDED if answer == "finished" else Status.CANCELED
            ended = read(store, job)
            events = [fields["type"] for _, fields in store.redis.xrange(redis_keys.EVENTS + job.id)]
            assert ended.status is expected
            assert (ended.output is None, events.count("done")) == (expected is Status.CANCELED, 1)
            ends[ended.status] += 1
            store.delete(job.id, job.tenant)
    assert len(ends) == 2, f"both ends are met: {ends}"


def test_a_deadline_ends_a_job_wherever_it_is(store):
    queued, running = submit(store, deadline_seconds=0), None
    assert claim(store) is None, "an overdue job is not started"
    running = claimed(store)
    store.redis.zadd(redis_keys.DEADLINES, {running.id: 1})
    store.expire()
    for job in (queued, running):
        ended = read(store, job)
        assert (ended.status, ended.error["type"]) == (Status.FAILED, "deadline-exceeded")
    assert renew(store, running) == "lost"


def test_a_lease_is_only_renewed_for_a_job_that_is_vouched_for(store):
    job = claimed(store)
    before = store.redis.zscore(redis_keys.RUNNING, job.id)
    renew(store, job, vouched=False, lease_seconds=600)
    assert store.redis.zscore(redis_keys.RUNNING, job.id) == before
    renew(store, job, vouched=True, lease_seconds=600)
    assert store.redis.zscore(redis_keys.RUNNING, job.id) > before


def test_no_preview_comes_after_the_end_or_from_who_has_lost_the_job(store):
    job = claimed(store)
    assert store.keep_preview(job, b"jpeg", b"noise", 1)
    assert not store.keep_preview(replace(job, fence="1-stale"), b"stale", b"stale", 2)
    assert store.preview(job.id) == b"jpeg"
    finish(store, job)
    assert not store.keep_preview(job, b"late", b"late", 3)
    kinds = [fields["type"] for _, fields in store.redis.xrange(redis_keys.EVENTS + job.id)]
    assert (kinds.count("preview"), kinds[-1]) == (1, "done")
    store.delete(job.id, job.tenant)
    assert not store.keep_preview(job, b"late", b"late", 3)
    assert store.preview(job.id) is None


def commands(store: JobStore, call: Callable[[], object]) -> int:
    """How many commands Redis ran for a call, those of scripts included."""
    store.redis.config_resetstat()
    call()
    return sum(stats["calls"] for stats in store.redis.info("commandstats").values())


def test_a_claim_looks_at_no_more_jobs_however_many_wait(store):
    """All jobs are of a tenant that may have none running. Each call parks some of them."""
    store.redis.hset(redis_keys.LIMITS + "default", "running", 0)
    for _ in range(450):
        submit(store)
    script = store._scripts["claim"]
    costs = [commands(store, lambda: script(args=(uuid4().hex, WORKER, 30_000, "0", 32, 1, 2, 1000))) for _ in range(2)]
    assert store.redis.zcard(redis_keys.PARKED) == 200
    assert max(costs) < 150
    submit(store, tenant="other")
    assert store.claim(WORKER, lease_seconds=30, token=uuid4().hex, slots=32).tenant == "other"


def test_positions_cost_one_look_at_the_fleet_however_many_are_asked(store):
    for number in range(40):
        store.renew(f"w{number}", {"slots": 1, "checkpoint": {}}, [], lease_seconds=30)
    jobs = [submit(store) for _ in range(41)]
    one, all_of_them = (
        commands(store, lambda: store.queue_positions(jobs[:1])),
        commands(store, lambda: store.queue_positions(jobs)),
    )
    assert all_of_them - one <= 40 * 4


def test_a_record_that_cannot_be_read_is_logged_once(store, caplog):
    job = submit(store)
    store.redis.hset(redis_keys.JOB + job.id, "params", "no JSON")
    for _ in range(3):
        assert store.page("default", status=None, limit=10, after=None) == []
    assert [job.id in record.message for record in caplog.records].count(True) == 1


def test_deleting_leaves_nothing_but_an_order_to_empty_the_folder(store):
    job = claimed(store)
    assert store.delete(job.id, job.tenant) == "active"
    store.keep_preview(job, b"jpeg", b"noise", 1)
    finish(store, job)
    assert store.delete(job.id, job.tenant) == "deleted"
    assert store.get(job.id, job.tenant) is None
    assert store.trashed_folders() == [job.folder]
    left = [key for key in store.redis.keys("*") if job.id in key]
    held = [key for key in store.redis.keys("*") if store.redis.type(key) == "zset" and store.redis.zscore(key, job.id)]
    assert (left, held) == ([], [])
    assert store.delete(job.id, job.tenant) is None


def test_what_has_been_kept_long_enough_is_removed(store):
    job = claimed(store, retention_seconds=0)
    finish(store, job)
    store.expire()
    assert store.get(job.id, job.tenant) is None
    assert store.trashed_folders() == [job.folder]


def test_pages_follow_each_other_newest_first(store):
    jobs = [submit(store) for _ in range(7)]
    first = store.page("default", status=None, limit=4, after=None)
    rest = store.page("default", status=None, limit=4, after=first[-1].id)
    assert [job.id for job in first + rest] == [job.id for job in reversed(jobs)]
    claim(store)
    running = store.page("default", status=Status.RUNNING, limit=4, after=None)
    assert [job.id for job in running] == [jobs[0].id]


def test_every_transition_is_an_event(store):
    job = claimed(store)
    renew(store, job, step=1)
    renew(store, job, step=1)
    finish(store, job)
    kinds = [fields["type"] for _, fields in store.redis.xrange(redis_keys.EVENTS + job.id)]
    assert kinds == ["status", "status", "progress", "done"]
    assert read(store, job).version == 4


def test_the_fleet_is_who_has_been_heard_of(store):
    assert store.queue().slots == 0
    store.renew("w1", {"slots": 2, "checkpoint": {"name": "micro"}}, [], lease_seconds=30)
    store.renew("w2", {"slots": 3, "checkpoint": {"name": "micro"}}, [], lease_seconds=30)
    assert (store.queue().workers, store.queue().slots) == (2, 5)
    for _ in range(4):
        submit(store)
    claim(store)
    assert store.wanted_wakeups() == {"": 3}, "these do not say what they serve"
    store.redis.zadd(redis_keys.WORKERS, {"w1": 1})
    store.expire()
    store.retire("w2")
    assert store.queue().workers == 0
    assert store.checkpoint() == {"name": "micro"}, "known also while no worker is alive"


@pytest.fixture
def redis_memory(store) -> Iterator[Callable[[float], None]]:
    """Sets Redis' limit so that the given share of it is used."""
    limit = store.redis.config_get("maxmemory")["maxmemory"]
    yield lambda share: store.redis.config_set("maxmemory", int(store.redis.info("memory")["used_memory"] / share))
    store.redis.config_set("maxmemory", limit)


@pytest.mark.parametrize("share", [0.83, 1.5])
def test_a_full_redis_refuses_jobs_and_lets_running_ones_end(store, redis_memory, share):
    """The last fifth of the memory is kept for running jobs. They also end when that is full."""
    job = claimed(store)
    redis_memory(share)
    with pytest.raises(QueueFull):
        submit(store)
    assert renew(store, job, step=1) == "held"
    assert finish(store, job) == "finished"


def test_no_wake_ups_are_sent_into_a_full_redis(store, redis_memory):
    store.renew(WORKER, {"slots": 2, "checkpoint": {}}, [], lease_seconds=30)
    submit(store)
    assert sum(store.wanted_wakeups().values()) == 1
    redis_memory(0.9)
    assert not store.wanted_wakeups()


def test_a_redis_that_is_not_there_is_said_within_two_seconds():
    store = JobStore.connect("redis://127.0.0.1:1/0", timeout=0.8)
    started = time.monotonic()
    with pytest.raises(RecordsUnavailable):
        store.ping()
    assert time.monotonic() - started < 2


def test_a_tenant_may_have_so_many_jobs_waiting_and_another_is_not_touched(store):
    once, two = IdempotencyKey("key", "print"), Limits(own=2)
    first = a_job()
    assert store.submit(first, once, two).id == first.id
    assert store.submit(a_job(), None, two)
    with pytest.raises(TooManyJobs):
        store.submit(a_job(), IdempotencyKey("refused", "print"), two)
    assert store.find_by_idempotency_key("default", IdempotencyKey("refused", "print")) is None
    assert store.submit(a_job(), once, two).id == first.id, "a repeated one is no other one"
    assert store.submit(a_job(tenant="acme"), None, two)
    claim(store)
    assert store.submit(a_job(), None, two), "a running one no longer waits"


def test_a_tenant_that_comes_late_stands_beside_the_first_of_those_who_wait(store):
    """Many jobs of one tenant cost another tenant one turn, not the wait for all of them."""
    flood = [submit(store, tenant="flood").id for _ in range(50)]
    late = [submit(store, tenant="late").id for _ in range(3)]
    claims = [claim(store).id for _ in range(8)]
    assert claims[0] == flood[0]
    assert [claims.index(job) for job in late] == [1, 3, 5]


def test_tenants_share_evenly_and_places_tell_exactly_who_goes_first(store):
    chance = random.Random(5)
    jobs = [submit(store, tenant=chance.choice("aaaab"), priority=chance.choice(list(Priority))) for _ in range(60)]
    for _ in range(10):
        claim(store)
        jobs.append(submit(store, tenant=chance.choice("abc")))
    estimated = {
        job.id: found.position for job in jobs if (found := store.queue_positions([read(store, job)]).get(job.id))
    }
    claims = [claim(store).id for _ in estimated]
    assert {job: claims.index(job) for job in estimated} == estimated
    assert claim(store) is None


def test_turns_of_canceled_jobs_are_not_held_against_a_tenant(store):
    for job in [submit(store, tenant="fickle") for _ in range(50)]:
        store.cancel(job.id, "fickle")
    steady = [submit(store, tenant="steady") for _ in range(3)]
    fickle = submit(store, tenant="fickle")
    assert place(store, fickle) <= 2
    assert place(store, steady[2]) >= 2


def test_a_tenant_runs_no_more_jobs_than_it_may_and_the_others_go_on(store):
    greedy = [submit(store, tenant="greedy") for _ in range(6)]
    modest = submit(store, tenant="modest")
    first = [claim(store, max_running=2).id for _ in range(3)]
    assert sorted(first) == sorted([greedy[0].id, greedy[1].id, modest.id])
    assert claim(store, max_running=2) is None
    assert store.queue().queued == 4
    finish(store, read(store, greedy[0]))
    assert claim(store, max_running=2).id == greedy[2].id, "at once, and in order"
    store.cancel(greedy[3].id, "greedy")
    finish(store, read(store, greedy[1]))
    assert claim(store, max_running=2).id == greedy[4].id
    store.expire()
    assert claim(store, max_running=3).id == greedy[5].id, "a raised limit is noticed"


def crash(store: JobStore, job: Job) -> None:
    store.redis.zadd(redis_keys.RUNNING, {job.id: 1})
    assert job.id in store.reclaim(3)


def test_a_job_on_its_last_chance_has_a_whole_worker(store):
    """A job that was in two crashed workers takes no other job down with it, and none takes it down."""
    store.renew("w2", {"slots": 9, "checkpoint": {}}, [], lease_seconds=30)
    store.renew(WORKER, {"slots": 9, "checkpoint": {}}, [], lease_seconds=30)
    suspect = submit(store)
    for _ in range(2):
        crash(store, claim(store))
    others = [submit(store) for _ in range(4)]
    put_at(store, others[0], 1)
    held = claim(store)
    assert held.id == others[0].id
    assert claim(store) is None, "the worker empties itself"
    assert claim(store, worker="w2").id == suspect.id, "unless an empty one takes it"
    assert claim(store, worker="w2") is None, "nothing beside it"
    assert claim(store).id == others[1].id, "and the first goes on"
    crash(store, read(store, suspect))
    assert read(store, suspect).error["type"] == "poison"
    assert claim(store, worker="w2").id == others[2].id


def test_a_worker_empties_itself_for_a_job_that_no_other_has_room_for(store):
    suspect = submit(store)
    for _ in range(2):
        crash(store, claim(store))
    put_at(store, suspect, 4e15)
    held = [submit(store) for _ in range(2)]
    assert {claim(store).id for _ in held} == {job.id for job in held}
    assert [claim(store), claim(store)] == [None, None]
    submit(store)
    finish(store, read(store, held[0]))
    assert claim(store) is None
    finish(store, read(store, held[1]))
    assert claim(store).id == suspect.id
    assert claim(store) is None
    finish(store, read(store, suspect))
    assert claim(store) is not None


def test_the_queue_is_bounded_and_says_when_to_come_back(store):
    store.renew(WORKER, {"slots": 1, "checkpoint": {}}, [], lease_seconds=30)
    job = claimed(store)
    store.redis.hset(redis_keys.JOB + job.id, "claimed_ms", read(store, job).claimed_ms - 10_000)  # it took ten seconds
    finish(store, job)
    store.admit("default", Limits(all=1))
    for _ in range(5):
        submit(store)
    for limits in (Limits(all=5), Limits(wait_seconds=30)):
        with pytest.raises(QueueFull) as full:
            store.admit("default", limits)
        assert full.value.retry_after > 1
        with pytest.raises(QueueFull):
            store.submit(a_job(), None, limits)
    store.admit("default", Limits(all=6, wait_seconds=90))
    once = IdempotencyKey("key", "print")
    store.submit(a_job(), once)
    store.admit("default", Limits(all=0), once.key)


def test_what_was_estimated_is_compared_with_what_happened(store):
    assert store.eta_accuracy() is None
    store.renew(WORKER, {"slots": 1, "checkpoint": {}}, [], lease_seconds=30)
    for _ in range(3):
        job = claimed(store)
        time.sleep(0.2)
        finish(store, job)
    told = store.eta_accuracy()
    assert told.jobs == 2, "before the first end nothing was estimated"
    assert told.median_error_seconds < 0.2 <= told.median_seconds
