"""A hundred thousand jobs: what the keeper does with them neither holds Redis up nor forgets one."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from jobs import keys
from jobs.job import Job, new_id
from jobs.pictures import Folder
from jobs.store import JobStore
from tests.jobs_of import a_job
from worker.housekeeper import _batches
from worker.rebuild import rebuild

JOBS = 100_000
LONGEST_MS = 1500  #: that one script may hold up everybody else, on a machine that does other things too

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def submit_many(store: JobStore, jobs: list[Job]) -> None:
    """Accept them all: as `JobStore.submit` does, but many in one trip."""
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
    """A store whose Redis was never held up for longer than that."""
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
    while watched.redis.zcard(keys.DEADLINES) or watched.redis.zcard(keys.EXPIRY):
        watched.expire("k")
        rounds += 1
        assert rounds < JOBS, "each round gets on"
    assert not watched.redis.exists(*(keys.JOB + job.id for job in jobs[::100]))
    assert watched.redis.zcard(keys.QUEUE) == 0
    assert {kind: number for kind, number in watched.census().items() if number} == {}


def test_lost_indexes_are_repaired_and_a_second_look_finds_nothing(watched):
    jobs = many()
    submit_many(watched, jobs)
    order = watched.redis.zrange(keys.QUEUE, 0, 99)
    watched.redis.delete(keys.QUEUE, keys.DEADLINES, *(f"{keys.INDEX}t{number}" for number in range(10)))
    assert watched.mend(lease_seconds=30) == JOBS
    assert watched.mend(lease_seconds=30) == 0
    assert watched.redis.zrange(keys.QUEUE, 0, 99) == order
    assert watched.redis.zcard(keys.DEADLINES) == JOBS
    assert watched.recount() is False


class Shelf:
    """A bucket of so many unfinished jobs, of which nothing is kept: the real one would take minutes to fill."""

    def __init__(self) -> None:
        self.ids = [new_id() for _ in range(JOBS)]

    def folders(self) -> Iterator[Folder]:
        at = time.time()
        for job_id in self.ids:
            yield Folder("default", job_id, {f"default/{job_id}/job.json": at})

    def document(self, folder: str, name: str) -> dict[str, Any] | None:
        if name != "job.json":
            return None
        job = a_job(id=folder.split("/")[1])
        return {"id": job.id, "tenant": job.tenant, **job.request()}

    def put_document(self, folder: str, name: str, document: dict[str, Any]) -> None:
        pass


def test_all_are_rebuilt_in_their_order(watched):
    shelf = Shelf()
    assert rebuild(watched, shelf, None).jobs == JOBS
    assert watched.redis.zcard(keys.QUEUE) == JOBS
    assert watched.redis.zrange(keys.QUEUE, 0, 99) == shelf.ids[:100]
