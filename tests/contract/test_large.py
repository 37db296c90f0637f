"""A hundred thousand jobs: the keeper's work on them neither blocks Redis nor forgets a job."""

import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from statistics import mean, median
from typing import Any

import pytest

from jobs import outbox, redis_keys, scripts
from jobs.batches import Batch
from jobs.errors import JobError
from jobs.job import Job, Status, new_id
from jobs.operator import Operator
from jobs.outbox import Attempt, Endpoint, Event, Outbox
from jobs.pictures import Folder
from jobs.scripts import script_source
from jobs.store import JobStore
from jobs.store.requests import NO_LIMITS
from jobs.store.work import Renewal
from tests.jobs_of import A_PICTURE, a_job
from worker.keeper.maintenance import _batches
from worker.rebuild import rebuild

JOBS = 100_000
LONGEST_MS = 1500  #: that one script may hold up everybody else, on a machine that does other things too

SOME = 5000  #: of them, which end, or go
FEW = 10  #: calls, of which a mean says little
BOUND_MS = 5  #: of Redis' processor, that a script takes on the average
SCRIPTS = [*scripts.SCRIPTS, *outbox.SCRIPTS, "prune", "broken"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def submit_many(store: JobStore, jobs: list[Job]) -> None:
    """Accept all of them, as `JobStore.submit` does, but many in one round trip."""
    script = store._scripts["submit"]
    for batch in _batches(jobs, 1000):
        pipe = store.redis.pipeline(transaction=False)
        for job in batch:
            fields = [part for pair in job.request().items() for part in pair]
            head = (job.id, job.tenant, job.priority.head_start_ms, job.deadline_seconds, "")
            script(args=(*head, "", "", 0, 10**9, 10**9, 10**12, *fields), client=pipe)
        pipe.execute()


def many(**changes: Any) -> list[Job]:
    return [a_job(tenant=f"t{number % 10}", **changes) for number in range(JOBS)]


@pytest.fixture
def watched(store: JobStore) -> Iterator[JobStore]:
    """A store, with the check that its Redis was never blocked for longer than this."""
    store.redis.config_set("slowlog-log-slower-than", LONGEST_MS * 1000)
    store.redis.slowlog_reset()
    yield store
    assert store.redis.slowlog_get() == []
    store.redis.config_set("slowlog-log-slower-than", 10_000)
    store.redis.flushall()


def test_overdue_jobs_all_fail_and_old_ones_all_go(watched):
    jobs = many(deadline_seconds=0, retention_seconds=0)
    submit_many(watched, jobs)
    rounds = 0
    while watched.redis.zcard(redis_keys.DEADLINES) or watched.redis.zcard(redis_keys.EXPIRY):
        watched.expire("k")
        rounds += 1
        assert rounds < JOBS, "each round gets on"
    assert not watched.redis.exists(*(redis_keys.JOB + job.id for job in jobs[::100]))
    assert watched.redis.zcard(redis_keys.QUEUE) == 0
    assert {kind: number for kind, number in watched.census().items() if number} == {}


def test_lost_indexes_are_repaired_and_a_second_look_finds_nothing(watched):
    jobs = many()
    submit_many(watched, jobs)
    order = watched.redis.zrange(redis_keys.QUEUE, 0, 99)
    watched.redis.delete(
        redis_keys.QUEUE, redis_keys.DEADLINES, *(f"{redis_keys.INDEX}t{number}" for number in range(10))
    )
    assert watched.repair_indexes(lease_seconds=30) == JOBS
    assert watched.repair_indexes(lease_seconds=30) == 0
    assert watched.redis.zrange(redis_keys.QUEUE, 0, 99) == order
    assert watched.redis.zcard(redis_keys.DEADLINES) == JOBS
    assert watched.recount() is False


class Shelf:
    """A bucket of so many unfinished jobs, which stores nothing, because filling a real one would take minutes."""

    def __init__(self) -> None:
        self.ids = [new_id() for _ in range(JOBS)]

    def folders(self) -> Iterator[Folder]:
        at = time.time()
        for job_id in self.ids:
            yield Folder("default", job_id, {f"default/{job_id}/input.png": at})

    def job_document(self, folder: Folder) -> dict[str, Any]:
        job = a_job(id=folder.job_id)
        return {"id": job.id, "tenant": job.tenant, **job.request()}

    def document(self, folder: str, name: str) -> None:
        pass

    def put_document(self, folder: str, name: str, document: dict[str, Any]) -> None:
        pass


def test_all_are_rebuilt_in_their_order(watched):
    shelf = Shelf()
    assert rebuild(watched, shelf, None).jobs == JOBS
    assert watched.redis.zcard(redis_keys.QUEUE) == JOBS
    assert watched.redis.zrange(redis_keys.QUEUE, 0, 99) == shelf.ids[:100]


class Counted:
    """A script that records the processor time of Redis for each of its calls."""

    def __init__(self, script: Any, client: Any) -> None:
        self.script, self.client = script, client
        self.spent_ms: list[float] = []
        readings = [self.processor_ms() for _ in range(100)]
        self.reading_ms = median(later - earlier for earlier, later in pairwise(readings))

    def __call__(self, args: Any, client: Any = None) -> Any:
        if client is not None:  # a pipeline
            return self.script(args=args, client=client)
        before = self.processor_ms()
        answer = self.script(args=args)
        self.spent_ms.append(self.processor_ms() - before - self.reading_ms)
        return answer

    def processor_ms(self) -> float:
        said = self.client.info("cpu")
        return 1000 * (said["used_cpu_user_main_thread"] + said["used_cpu_sys_main_thread"])


class Scripts:
    """A client of Redis that records how long the calls of each script take."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.known: dict[str, Counted] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def register_script(self, source: str) -> Counted:
        name = next(name for name in SCRIPTS if script_source(name) == source)
        return self.known.setdefault(name, Counted(self.client.register_script(source), self.client))

    def table(self) -> list[tuple[str, int, int, float, float]]:
        """For each script: its name, calls outside pipelines, calls above 5 ms, and the mean and longest time in ms."""
        rows = [
            (name, len(spent), sum(ms > BOUND_MS for ms in spent), mean(spent), max(spent))
            for name, counted in self.known.items()
            if (spent := counted.spent_ms)
        ]
        return sorted(rows, key=lambda row: -row[-1])


def test_at_a_hundred_thousand_jobs_of_one_tenant_at_its_limit_no_script_takes_long(store):
    """Measured in processor time, because on a busy machine any call can take long by the clock."""
    records = store.redis
    scripts = Scripts(records)
    live_at_its_limit(JobStore(scripts))
    table = scripts.table()
    records.flushall()
    sys.stdout.write(f"\n{'script':14}{'calls':>8}{'> 5 ms':>8}{'mean, ms':>10}{'longest, ms':>13}\n")
    for name, calls, above, middle, longest in table:
        sys.stdout.write(f"{name:14}{calls:8}{above:8}{middle:10.2f}{longest:13.1f}\n")
    assert set(scripts.known) - {"submit"} <= {name for name, *_ in table}, "each script was called"
    assert max(middle for _, calls, _, middle, _ in table if calls >= FEW) < BOUND_MS


def live_at_its_limit(store: JobStore) -> None:
    """Run every script on a hundred thousand queued jobs of a tenant of which four may run."""
    submit_many(store, [a_job(tenant="one") for _ in range(JOBS)])
    for number in range(20):
        store.renew(f"w{number}", {"slots": 64}, [], lease_seconds=300)
    held = [claim(store, number) for number in range(4)]
    assert claim(store, 4) is None
    assert store.redis.zcard(redis_keys.PARKED) == JOBS - 4
    messages = Outbox(store)
    hook = messages.register("one", "https://example.com/hook", tuple(Event))
    for number in range(4, 104):
        live_one_life(store, held.pop(0), number)
        held.append(claim(store, number))
        deliver(messages, hook)
    messages.rotate(hook)
    messages.test(hook)
    messages.tell_of_batch(Batch(new_id(), "one", 1, 1, 1, webhook="https://example.com/end"))
    messages.unregister(hook.id, "one")
    look_at_all(store)
    end_some(store)


def claim(store: JobStore, number: int) -> Job | None:
    return store.claim(f"w{number % 20}", lease_seconds=30, token=new_id(), slots=64, max_running=4)


def live_one_life(store: JobStore, job: Job, number: int) -> None:
    """Submit one more job and end it, in one of four ways."""
    store.admit("one", NO_LIMITS)
    store.reserve_upload("one", f"upload {number}", 1000, 60)
    store.submit(a_job(tenant="one"))
    store.renew("w1", {"slots": 64}, [Renewal(job.id, job.fence, True, 1, 2)], lease_seconds=30)
    store.keep_preview(job, b"small" * 1000, b"small" * 1000, 1)
    match number % 4:
        case 0:
            store.finish(job, A_PICTURE, {"run_ms": 100}, {"seed": 1})
        case 1:
            store.fail(job, JobError("internal-error", "A title", "A sentence."))
        case 2:
            store.release(job, "drained")
        case 3:
            store.cancel(job.id, "one")
            store.canceled(job, 1)
    store.mark_end_written(job.id)
    store.delete(job.id, "one")
    store.queue_positions(store.page("one", status=Status.QUEUED, limit=100, after=None))


def deliver(messages: Outbox, hook: Endpoint) -> None:
    for sent in messages.dispatch(5, 30_000):
        attempt = Attempt(1, 2, 200, "yes")
        messages.attempted(sent, "delivered", attempt, again_ms=None, pause_ms=0, rest_ms=0)
        messages.redeliver(sent.id, hook)


def look_at_all(store: JobStore) -> None:
    store.redis.hincrby(redis_keys.CENSUS, "queued a normal", 1)
    assert store.recount()
    assert store.repair_indexes(lease_seconds=30) == 0
    after = -1
    while after:
        _, after = Operator(store).broken_records(max(0, after))


def end_some(store: JobStore) -> None:
    """Start some jobs and take them back, let others fail as overdue, expire or be pruned."""
    records = store.redis
    some = store.page("one", status=Status.QUEUED, limit=SOME, after=None)
    records.hset(redis_keys.LIMITS + "one", "running", 10**9)
    for number in range(1000):
        store.expire("k")  # calls one job of the tenant back
        claim(store, number)
    records.zadd(redis_keys.RUNNING, dict.fromkeys(records.zrange(redis_keys.RUNNING, 0, -1), 1))
    store.reclaim(3)
    records.zadd(redis_keys.DEADLINES, {job.id: 1 for job in some})
    while records.zcount(redis_keys.DEADLINES, "-inf", 1):
        store.expire("k")
    records.zadd(redis_keys.EXPIRY, {job.id: 1 for job in some[::2]})
    while records.zcount(redis_keys.EXPIRY, "-inf", 1):
        store.expire("k")
    Operator(store).prune(status=None, tenant=None, older_than_seconds=-9)
