"""A failed script has written nothing. Redis would keep what it wrote before the failure, so checks come first."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import redis
from redis.exceptions import ResponseError

from jobs import outbox, redis_keys, scripts
from jobs.batches import Batch
from jobs.errors import JobError
from jobs.job import Output, Picture, Render, Status, new_id
from jobs.operator import Operator
from jobs.outbox import Attempt, Event, Outbox
from jobs.renders import Renders, Wanted
from jobs.store import JobStore
from jobs.store.requests import IdempotencyKey, Limits
from jobs.store.work import Renewal
from jobs.throttle import Counted, Throttle
from tests.jobs_of import WORKER, a_job

SCRIPTS = [*scripts.SCRIPTS, *outbox.SCRIPTS, "prune", "broken", "throttle", "render"]
OUTPUT = Picture("default/x/1/output.png", "image/png", 64, 64, 100, "0" * 64)
BROKEN = ["", '{"half": ']
MOST_CALLS = 2  #: of one script that are tried; all with --slow


@dataclass(frozen=True)
class Call:
    """One call of a script, and all of Redis just before it."""

    script: str
    args: tuple[Any, ...]
    before: dict[bytes, bytes]


class Recorder:
    """A client of Redis that notes each call of a script."""

    def __init__(self, client: Any, raw: redis.Redis) -> None:
        self.client, self.raw = client, raw
        self.calls: list[Call] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def register_script(self, source: str) -> Any:
        script = self.client.register_script(source)
        name = next(name for name in SCRIPTS if scripts.script_source(name) == source)

        def run(args: Any) -> Any:
            self.calls.append(Call(name, tuple(args), snapshot(self.raw)))
            return script(args=args)

        return run


def snapshot(raw: redis.Redis) -> dict[bytes, bytes]:
    names = list(raw.scan_iter(count=1000))
    pipe = raw.pipeline(transaction=False)
    for name in names:
        pipe.dump(name)
    return dict(zip(names, pipe.execute(), strict=True))


def restore(raw: redis.Redis, kept: dict[bytes, bytes]) -> None:
    pipe = raw.pipeline(transaction=False)
    pipe.flushall()
    for name, dump in kept.items():
        pipe.restore(name, 0, dump)
    pipe.execute()


@pytest.fixture(scope="module")
def raw(valkey) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey.url) as client:
        client.flushall()
        yield client


@pytest.fixture(scope="module")
def calls(valkey, raw) -> list[Call]:
    """A story in which every script runs in the state in which it writes most."""
    client = redis.Redis.from_url(valkey.url, decode_responses=True)
    recorder = Recorder(client, raw)
    tell_story(JobStore(recorder))
    client.close()
    return recorder.calls


def tell_story(jobs: JobStore) -> None:
    messages, operator, throttle = Outbox(jobs), Operator(jobs), Throttle(jobs.redis)
    throttle.take("a caller", "reads", 60)
    endpoint = messages.register("default", "https://example.com/hook", tuple(Event))
    assert endpoint
    messages.rotate(endpoint)
    messages.test(endpoint)

    def submit(**changes: Any):
        job = a_job(webhook="https://example.org/own", webhook_events=tuple(Event), **changes)
        jobs.admit("default", Limits(9, 9, 900), f"key {job.id}")
        jobs.submit(job, IdempotencyKey(f"key {job.id}", "its print"), Limits(9, 9, 900))
        jobs.admit("default", Limits(9, 9, 900), f"key {job.id}", Counted("a caller", "writes", 60))
        jobs.wanted_wakeups()
        return job

    def claim():
        return jobs.claim(WORKER, lease_seconds=30, token=a_job().id, slots=8, max_running=8)

    jobs.renew(WORKER, {"slots": 8, "checkpoint": {}}, [], lease_seconds=30)
    waiting = submit()
    jobs.queue_positions([jobs.get(waiting.id, "default")])
    jobs.read(waiting.id, "default")
    jobs.cancel(waiting.id, "default")
    for n in (1, 3, 1, 1, 1, 1):
        submit(n=n)
    jobs.renew(WORKER, {"slots": 8, "checkpoint": {}}, [], lease_seconds=30)
    running = [claim() for _ in range(6)]
    held = [Renewal(job.id, job.fence, True, 2, 4) for job in running]
    jobs.renew(WORKER, {"slots": 8, "checkpoint": {}}, held, lease_seconds=30)
    jobs.reserve_upload("default", "an upload", 9, 60)
    jobs.keep_preview(running[0], b"predicted", b"noisy", 2)
    outputs = [Output(OUTPUT, 1, {"pixels_sha256": "1" * 64})]
    jobs.finish(running[0], OUTPUT, {"run_ms": 3}, {"seed": 1}, outputs=outputs)
    renders = Renders(jobs)
    for strength in (0.25, 0.5):
        render = Render(0, strength, OUTPUT, 1, {"pixels_sha256": f"{strength}"})
        renders.keep(Wanted.of(running[0], 0, strength, "png"), render)
    jobs.fail(running[1], JobError("internal-error", "A title", "A sentence."))
    jobs.release(running[2], "drained")
    jobs.cancel(running[3].id, "default")
    jobs.canceled(running[3], 3)
    jobs.redis.zadd(redis_keys.RUNNING, {running[4].id: 1})
    jobs.reclaim(3)
    jobs.redis.zadd(redis_keys.RUNNING, {running[5].id: 1})
    jobs.reclaim(1)
    (sent, *_) = messages.dispatch(9, 30_000)
    attempt = Attempt(1, 2, 500, "no")
    messages.attempted(sent, "failed", attempt, again_ms=1000, pause_ms=10, rest_ms=20)
    messages.redeliver(sent.id, endpoint)
    messages.tell_of_batch(Batch(new_id(), "default", 1, 1, 1, webhook="https://batch.example/end"))
    jobs.redis.hincrby(redis_keys.CENSUS, "queued pix2pix-full normal", 3)
    jobs.recount()
    jobs.redis.zrem(redis_keys.INDEX + "default", running[2].id)
    jobs.repair_indexes(lease_seconds=30)
    jobs.mark_end_written(running[0].id)
    jobs.delete(running[0].id, "default")
    operator.broken_records()
    operator.prune(status=Status.FAILED, tenant=None, older_than_seconds=-9)
    overdue = submit()
    jobs.redis.zadd(redis_keys.DEADLINES, {overdue.id: 1})
    jobs.redis.zadd(redis_keys.EXPIRY, {waiting.id: 1})
    jobs.expire("a-keeper")
    messages.unregister(endpoint.id, "default")


@pytest.fixture
def tried(calls, request) -> Callable[[str], list[Call]]:
    """Some calls of one script: the first does the least work, the last the most."""
    most = None if request.config.getoption("--slow") else MOST_CALLS
    return lambda name: [call for call in calls if call.script == name][::-1][:most]


def test_the_story_has_every_script(calls):
    assert {call.script for call in calls} == set(SCRIPTS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_arguments_that_break_a_script_change_nothing(name, tried, raw):
    for call in tried(name):
        for args in broken(call.args):
            assert_whole(raw, replace(call, args=args), f"with {args}")


def broken(args: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """The arguments with each of them broken in turn, and with fewer and fewer of them."""
    for number in range(len(args)):
        for value in BROKEN:
            yield (*args[:number], value, *args[number + 1 :])
        yield args[:number]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_record_that_lacks_a_field_or_holds_nonsense_breaks_no_script_half_way(name, tried, raw, request):
    most = None if request.config.getoption("--slow") else 1
    for call in tried(name)[:1]:
        changes = changed_by(raw, call)
        for kind in (redis_keys.JOB, redis_keys.DELIVERY):
            for key in sorted(key for key in changes if key.startswith(kind.encode()))[:most]:
                for field in fields_of(raw, call, key):
                    for value in (None, "nonsense", "1.5"):
                        assert_whole(raw, call, f"with {field!r} of {key!r} {value or 'absent'}", (key, field, value))


def changed_by(raw: redis.Redis, call: Call) -> set[bytes]:
    """What a call changes of what there was."""
    restore(raw, call.before)
    run(raw, call)
    after = snapshot(raw)
    return {key for key, dump in call.before.items() if after.get(key) != dump}


def fields_of(raw: redis.Redis, call: Call, key: bytes) -> list[bytes]:
    restore(raw, call.before)
    return list(raw.hkeys(key))


def run(raw: redis.Redis, call: Call) -> None:
    raw.eval(scripts.script_source(call.script), 0, *call.args)


def assert_whole(raw: redis.Redis, call: Call, how: str, change: tuple[bytes, bytes, str | None] | None = None) -> None:
    """Run a script after a field of a record was changed. If the script fails, it has changed nothing."""
    prepare(raw, call, change)
    try:
        run(raw, call)
    except ResponseError as error:
        thrown = error
    else:
        return
    after = snapshot(raw)
    prepare(raw, call, change)
    assert after == snapshot(raw), f"{call.script} stopped half-way {how}: {thrown}"


def prepare(raw: redis.Redis, call: Call, change: tuple[bytes, bytes, str | None] | None) -> None:
    restore(raw, call.before)
    match change:
        case (key, field, None):
            raw.hdel(key, field)
        case (key, field, value):
            raw.hset(key, field, value)
