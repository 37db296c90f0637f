"""No script call does much, however many jobs and messages there are, because Redis runs nothing else meanwhile."""

from collections import defaultdict
from typing import Any
from uuid import uuid4

import pytest
import redis

from jobs import redis_keys
from jobs.job import Status
from jobs.operator import Operator
from jobs.outbox import MOST_ENDPOINTS, Event, Outbox
from jobs.scripts import CONSTANTS
from jobs.store import JobStore
from jobs.store.work import Renewal
from tests.jobs_of import WORKER, a_job

JOBS = 250
MOST = (
    5 * CONSTANTS["MAX_COMMANDS"]
)  #: commands in one call: the keeper's may be two shares, and what was begun is finished


class Meter:
    """A client of Redis that records the most commands in one call of each script."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.most: dict[str, int] = defaultdict(int)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def register_script(self, source: str) -> Any:
        script = self.client.register_script(source)
        name = source[-200:]  # its own lines

        def run(args: Any) -> Any:
            self.client.config_resetstat()
            answer = script(args=args)
            stats = self.client.info("commandstats").values()
            self.most[name] = max(self.most[name], sum(command["calls"] for command in stats))
            return answer

        return run


@pytest.fixture
def meter(store) -> Meter:
    return Meter(store.redis)


@pytest.fixture
def metered(meter) -> JobStore:
    return JobStore(meter)


def claim(store: JobStore):
    return store.claim(WORKER, lease_seconds=30, token=uuid4().hex, slots=1000)


def test_no_call_does_more_than_its_share(store, metered, meter):
    """Many jobs are parked, found, counted, taken back, ended, removed and pruned. In the end all of them are done."""
    jobs = [a_job(deadline_seconds=1000) for _ in range(JOBS)]
    for job in jobs:
        store.submit(job)
    running = [claim(store) for _ in range(JOBS // 2)]
    store.redis.hset(redis_keys.LIMITS + "default", "running", 0)
    assert claim(metered) is None
    assert store.redis.zcard(redis_keys.PARKED) == JOBS - len(running)

    store.redis.delete(redis_keys.INDEX + "default", redis_keys.CENSUS)
    assert metered.repair_indexes(lease_seconds=30) == JOBS
    assert metered.recount()
    assert sum(metered.census().values()) == JOBS
    metered.renew(WORKER, {}, [Renewal(job.id, job.fence, True, 1, 9) for job in running], lease_seconds=30)
    metered.queue_positions(metered.page("default", status=Status.QUEUED, limit=100, after=None))
    Operator(metered).broken_records()

    store.redis.zadd(redis_keys.RUNNING, {job.id: 1 for job in running})
    assert set(metered.reclaim(3)) == {job.id for job in running}
    store.redis.zadd(redis_keys.DEADLINES, {job.id: 1 for job in jobs})
    metered.expire("a-keeper")
    assert metered.count_by_status("default")[Status.FAILED] == JOBS
    store.redis.zadd(redis_keys.EXPIRY, {job.id: 1 for job in jobs[: JOBS // 2]})
    metered.expire("a-keeper")
    assert metered.count_by_status("default")[Status.FAILED] == JOBS // 2
    removed, more = Operator(metered).prune(status=None, tenant=None, older_than_seconds=-9)
    assert (removed, more) == (JOBS // 2, False)
    assert max(meter.most.values()) <= MOST


def test_a_job_that_many_webhooks_heard_of_is_deleted_in_portions(store, metered, meter):
    messages = Outbox(store)
    for number in range(MOST_ENDPOINTS):
        messages.register("default", f"https://example.com/{number}", tuple(Event))
    store.submit(a_job())
    job = claim(store)
    for step in range(1, 9):
        store.redis.hdel(redis_keys.JOB + job.id, "notified_ms")
        metered.renew(WORKER, {}, [Renewal(job.id, job.fence, True, step, 9)], lease_seconds=30)
        for key in store.redis.keys(redis_keys.LANE + "*"):  # under way, so that the next news does not replace them
            store.redis.zadd(
                key.replace(redis_keys.LANE, redis_keys.FLYING), dict(store.redis.zrange(key, 0, -1, withscores=True))
            )
    store.cancel(job.id, "default")
    store.canceled(job, 8)
    assert store.redis.scard(redis_keys.MESSAGES + job.id) > 8 * MOST_ENDPOINTS
    assert metered.delete(job.id, "default") == "deleted"
    assert not store.redis.keys(redis_keys.DELIVERY + "*")
    assert max(meter.most.values()) <= MOST


def test_a_keeper_gives_up_what_waits_for_deleted_webhooks_in_portions(store, meter):
    messages, metered = Outbox(store), Outbox(JobStore(meter))
    hooks = [messages.register("default", f"https://example.com/{number}", tuple(Event)) for number in range(8)]
    for hook in hooks:
        for _ in range(40):
            messages.test(hook)
        messages.unregister(hook.id, "default")
    assert metered.dispatch(9, 30_000) == []
    assert store.redis.zcard(redis_keys.LANES) == 0
    assert max(meter.most.values()) <= MOST
