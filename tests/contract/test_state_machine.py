"""Random sequences of calls and accidents on a real Valkey, compared with an oracle.

Every call may be made twice, as after a lost reply, by any present or past holder of a fence. `./dev test --slow
tests/contract/test_state_machine.py` tries 5,000 sequences.
"""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from darkroom.local.servers import Valkey
from jobs import redis_keys
from jobs.errors import JobError, RecordsUnavailable
from jobs.job import Job, Priority, Status
from jobs.outbox import Event, Outbox
from jobs.store import JobStore
from jobs.store.requests import IdempotencyKey
from jobs.store.work import Renewal
from tests.contract.oracle import ACTIVE, MAX_CRASHES, MAX_RUNNING, SLOTS, Model, Oracle
from tests.jobs_of import A_PICTURE, a_job

WORKERS = st.sampled_from(["w1", "w2"])
TENANTS = st.sampled_from(["a", "b"])
REPLIES = st.sampled_from([1, 1, 1, 2])  # how often a call is made until its reply arrives
MORE = {f"{redis_keys.MORE}{place}": place for place in ("queued", "running", "a:queued", "a:running", "b:running")}
MODEL_QUEUE = redis_keys.QUEUE + ":pix2pix-full"
INDEXES = (redis_keys.QUEUE, MODEL_QUEUE, redis_keys.RUNNING, redis_keys.DEADLINES, redis_keys.EXPIRY, *MORE)
ERROR = JobError("internal-error", "It broke", "Somehow.")
SOON, FAR = 1, 9e14  # times in milliseconds, long past and far ahead


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A Valkey of our own, which may be killed."""
    with Valkey(tmp_path_factory.mktemp("killed")) as server:
        yield server


def until_it_answers(store: JobStore) -> None:
    ends = time.monotonic() + 20
    while True:
        try:
            return store.ping()
        except RecordsUnavailable:
            assert time.monotonic() < ends
            time.sleep(0.05)


class Life(RuleBasedStateMachine):
    """The rules are the possible events. After each one, everything in Redis must be as the oracle says."""

    server: Valkey
    kills = 0

    def __init__(self) -> None:
        super().__init__()
        self.store = JobStore.connect(self.server.url, timeout=5)
        self.store.redis.flushall()
        self.endpoints = {t: Outbox(self.store).register(t, "https://x.example", (Event.COMPLETED,)) for t in "ab"}
        self.oracle = Oracle()
        self.ended: dict[str, Status] = {}
        self.deleted: set[str] = set()
        self.known: list[Job] = []  # every claim that anybody ever got

    def teardown(self) -> None:
        self.store.redis.close()

    def model(self, job: Job) -> Model | None:
        return self.oracle.jobs.get(job.id)

    # ---- clients

    @rule(
        tenant=TENANTS,
        priority=st.sampled_from(Priority),
        times=REPLIES,
        key=st.sampled_from(["", "k"]),
        n=st.sampled_from([1, 1, 1, 2, 3]),
    )
    def submit(self, tenant: str, priority: Priority, times: int, key: str, n: int) -> None:
        job = a_job(tenant=tenant, priority=priority, n=n)
        once = IdempotencyKey(key, "print") if key else None
        earlier = self.store.find_by_idempotency_key(tenant, once) if once else None
        for _ in range(times):
            assert self.store.submit(job, once).id == (earlier[0] if earlier else job.id)
        if not earlier:
            order = float(self.store.redis.hget(redis_keys.JOB + job.id, "order"))
            self.oracle.jobs[job.id] = Model(job.id, tenant, order, n)

    @precondition(lambda self: self.oracle.jobs)
    @rule(data=st.data(), times=REPLIES)
    def cancel(self, data: st.DataObject, times: int) -> None:
        job = self.oracle.jobs[data.draw(st.sampled_from(sorted(self.oracle.jobs)))]
        self.oracle.cancel(job)
        for _ in range(times):
            assert self.store.cancel(job.id, job.tenant) is job.status

    @precondition(lambda self: self.oracle.jobs)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        job = self.oracle.jobs[data.draw(st.sampled_from(sorted(self.oracle.jobs)))]
        over = job.status.is_over
        assert self.store.delete(job.id, job.tenant) == ("deleted" if over else "active")
        if over:
            del self.oracle.jobs[job.id], self.ended[job.id]
            self.deleted.add(job.id)

    # ---- workers

    @rule(worker=WORKERS)
    def say_hello(self, worker: str) -> None:
        self.store.renew(worker, {"slots": SLOTS, "checkpoint": {}}, [], lease_seconds=1000)
        self.oracle.alive.add(worker)

    @rule(worker=WORKERS, times=REPLIES)
    def claim(self, worker: str, times: int) -> None:
        expected, token = self.oracle.claim(worker), uuid4().hex
        limits = {"slots": SLOTS, "max_crashes": MAX_CRASHES, "max_running": MAX_RUNNING}
        got = [self.store.claim(worker, lease_seconds=1000, token=token, **limits) for _ in range(times)]
        assert {job.id if job else None for job in got} == {expected.id if expected else None}
        assert len({job.fence for job in got if job}) <= 1
        if expected and got[0]:
            assert int(got[0].fence.split("-")[0]) == expected.fences + 1, "fences only grow"
            self.oracle.claimed(expected, worker, got[0].fence)
            self.known.append(got[0])

    def any_claim(self, data: st.DataObject) -> Job:
        return data.draw(st.sampled_from(self.known), label="claim")

    @precondition(lambda self: self.known)
    @rule(data=st.data(), step=st.integers(0, 9))
    def renew(self, data: st.DataObject, step: int) -> None:
        job = self.any_claim(data)
        about = {"slots": SLOTS, "checkpoint": {}}
        worker = job.attempts[-1]["worker"]
        self.oracle.alive.add(worker)
        renewal = Renewal(job.id, job.fence, True, step, 9)
        answer = self.oracle.hold(self.model(job), job.fence, "renew")
        assert self.store.renew(worker, about, [renewal], lease_seconds=1000) == [answer]
        if answer != "lost" and (model := self.model(job)):
            model.lapsed = False

    @precondition(lambda self: self.known)
    @rule(data=st.data(), delayed=st.booleans(), times=REPLIES)
    def release(self, data: st.DataObject, delayed: bool, times: int) -> None:
        job = self.any_claim(data)
        model, answer = self.model(job), self.oracle.hold(self.model(job), job.fence, "release")
        for _ in range(times):
            released = self.store.release(job, "drained", wait_seconds=1e6 if delayed else 0)
            assert released == (answer != "lost")
        if model and answer == "canceling":
            self.oracle.end(model, Status.CANCELED, f"release {job.fence}")
        elif model and answer == "held":
            self.oracle.requeue(model, delayed=delayed, settled=f"release {job.fence}")

    @precondition(lambda self: self.known)
    @rule(data=st.data(), times=REPLIES)
    def finish(self, data: st.DataObject, times: int) -> None:
        job = self.any_claim(data)
        model, answer = self.model(job), self.oracle.hold(self.model(job), job.fence, "finish")
        expected = "finished" if answer in ("held", "again") else answer
        for _ in range(times):
            assert self.store.finish(job, A_PICTURE, {"run_ms": 1}, {}) == expected
        if model and answer == "held":
            self.oracle.end(model, Status.SUCCEEDED, f"finish {job.fence}")

    @precondition(lambda self: self.known)
    @rule(data=st.data(), times=REPLIES)
    def fail(self, data: st.DataObject, times: int) -> None:
        job = self.any_claim(data)
        model, answer = self.model(job), self.oracle.hold(self.model(job), job.fence, "fail")
        for _ in range(times):
            assert self.store.fail(job, ERROR) == (answer != "lost")
        if model and answer in ("held", "canceling"):
            status = Status.CANCELED if answer == "canceling" else Status.FAILED
            self.oracle.end(model, status, f"fail {job.fence}")

    @precondition(lambda self: self.known)
    @rule(data=st.data(), times=REPLIES)
    def stop(self, data: st.DataObject, times: int) -> None:
        job = self.any_claim(data)
        model, answer = self.model(job), self.oracle.hold(self.model(job), job.fence, "canceled")
        for _ in range(times):
            assert self.store.canceled(job, 3) == (answer in ("canceling", "again"))
        if model and answer == "canceling":
            self.oracle.end(model, Status.CANCELED, f"canceled {job.fence}")

    # ---- time, the keeper, bad luck

    @precondition(lambda self: self.oracle.running())
    @rule(data=st.data())
    def let_a_lease_run_out(self, data: st.DataObject) -> None:
        job = self.oracle.jobs[data.draw(st.sampled_from([job.id for job in self.oracle.running()]))]
        self.store.redis.zadd(redis_keys.RUNNING, {job.id: SOON})
        job.lapsed = True

    @precondition(lambda self: self.oracle.running())
    @rule(worker=WORKERS)
    def kill_a_worker(self, worker: str) -> None:
        for job in self.oracle.held_by(worker):
            self.store.redis.zadd(redis_keys.RUNNING, {job.id: SOON})
            job.lapsed = True

    @rule(times=REPLIES)
    def reclaim(self, times: int) -> None:
        expected = self.oracle.reclaim()
        got = [set(self.store.reclaim(MAX_CRASHES)) for _ in range(times)]
        assert got == [expected, set()][:times]

    @precondition(lambda self: any(job.where == "delayed" for job in self.oracle.jobs.values()))
    @rule()
    def let_all_delays_end(self) -> None:
        for job in self.oracle.jobs.values():
            if job.where == "delayed":
                self.store.redis.zadd(redis_keys.DELAYED, {job.id: SOON})
                job.due = True

    @rule(data=st.data())
    def let_deadlines_pass(self, data: st.DataObject) -> None:
        alive = [job for job in self.oracle.jobs.values() if not job.status.is_over]
        overdue = data.draw(st.lists(st.sampled_from(alive), max_size=1)) if alive else []
        for job in overdue:
            self.store.redis.zadd(redis_keys.DEADLINES, {job.id: SOON})
            self.oracle.end(job, Status.CANCELED if job.status is Status.CANCELING else Status.FAILED)
        self.oracle.recall_all()
        self.store.expire()

    @rule(index=st.sampled_from(INDEXES))
    def lose_an_index_and_rebuild_it(self, index: str) -> None:
        self.store.redis.delete(index)
        self.store.repair_indexes(lease_seconds=1000)
        if index == redis_keys.RUNNING:
            for job in self.oracle.running():
                job.lapsed = False  # it has a new lease

    @precondition(lambda self: self.known and Life.kills < 100)
    @rule(luck=st.integers(1, 20))
    def kill_redis(self, luck: int) -> None:
        if luck == 20:  # and not at 1, to which hypothesis comes back again and again
            Life.kills += 1
            self.server.kill()
            self.server.start()
            until_it_answers(self.store)

    # ---- what must hold after each of these

    @invariant()
    def redis_holds_what_the_oracle_says(self) -> None:
        pipe, jobs = self.store.redis.pipeline(transaction=False), list(self.oracle.jobs.values())
        for job in jobs:
            pipe.hmget(redis_keys.JOB + job.id, "status", "fence", "crashes", "version")
            pipe.xrange(redis_keys.EVENTS + job.id)
        for index in (
            redis_keys.QUEUE,
            MODEL_QUEUE,
            redis_keys.DELAYED,
            redis_keys.RUNNING,
            redis_keys.DEADLINES,
            redis_keys.EXPIRY,
        ):
            pipe.zrange(index, 0, -1)
        pipe.zrange(redis_keys.PARKED, 0, -1)
        pipe.hgetall(redis_keys.CENSUS)
        for worker in ("w1", "w2"):
            pipe.smembers(redis_keys.HELD_JOBS + worker)
        for key in MORE:
            pipe.smembers(key)
        *answers, first, second = (told := pipe.execute())[: -len(MORE)]
        *records, queue, of_model, delayed, running, deadlines, expiry, parked, census = answers

        for job, record, events in zip(jobs, records[::2], records[1::2], strict=True):
            status, fence, crashes, version = record
            assert (status, int(crashes)) == (job.status, job.crashes)
            assert (fence or "") == job.fence
            assert int(version) == len(events)
            assert [entry["type"] for _, entry in events].count("done") == job.status.is_over
        queued = {where: {job.id for job in jobs if job.where == where} for where in ("queue", "delayed", "parked")}
        active = {job.id for job in jobs if job.status in ACTIVE}
        assert queue == of_model == [job.id for job in self.oracle.queue()]
        assert (set(delayed), {name.split()[-1] for name in parked}) == (queued["delayed"], queued["parked"])
        assert set(running) == active
        assert set(deadlines) == {job.id for job in jobs if not job.status.is_over}
        assert set(expiry) == {job.id for job in jobs if job.status.is_over}
        assert first == {job.id for job in self.oracle.held_by("w1")}
        assert second == {job.id for job in self.oracle.held_by("w2")}
        for place, members in zip(MORE.values(), told[-len(MORE) :], strict=True):
            tenant, _, status = place.rpartition(":")
            statuses = ACTIVE if status == "running" else (Status.QUEUED,)
            here = [job for job in jobs if job.status in statuses and tenant in ("", job.tenant)]
            assert members == {f"{job.id}:{i}" for job in here for i in range(1, job.n)}, place
        counted: Counter[str] = Counter()
        for name, number in census.items():
            counted[name.split()[0]] += int(number)
        assert (counted["queued"], counted["running"]) == (len(jobs) - len(expiry) - len(active), len(active))

    @invariant()
    def an_ended_job_never_changes_and_is_told_of_once(self) -> None:
        for job in self.oracle.jobs.values():
            if job.status.is_over:
                assert self.ended.setdefault(job.id, job.status) is job.status
        pipe = self.store.redis.pipeline(transaction=False)
        for tenant, endpoint in self.endpoints.items():
            assert endpoint
            pipe.zrange(f"{redis_keys.DELIVERIES}{tenant}:{endpoint.id}", 0, -1)
        told = Counter(row.split("_")[1] for rows in pipe.execute() for row in rows)
        assert told == dict.fromkeys(self.ended, 1)


def test_no_sequence_of_calls_losses_and_crashes_surprises_the_oracle(server: Valkey, request) -> None:
    Life.server, Life.kills = server, 0
    examples = 5000 if request.config.getoption("--slow") else 25
    quick = settings(
        max_examples=examples,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    run_state_machine_as_test(Life, settings=quick)
    assert Life.kills or examples < 100, "Redis was never killed"
    assert Path(server.folder, "appendonlydir").exists(), "what was killed had its file"
