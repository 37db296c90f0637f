"""The outbox on a real Valkey: no message is lost, none is sent twice at once, and no receiver delays another."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from api.main import create_app
from jobs import redis_keys
from jobs.batches import Batch
from jobs.errors import JobError
from jobs.job import Job, new_id
from jobs.outbox import MOST_ENDPOINTS, Attempt, Delivery, Endpoint, Event, Outbox
from jobs.scripts import CONSTANTS, JOB_ENDPOINT
from jobs.settings import Settings
from jobs.store import JobStore
from jobs.store.work import Renewal
from tests.jobs_of import A_PICTURE, WORKER, a_job
from tests.waiting import until

HOOK = "https://hooks.example/darkroom?token=1"
ALL = tuple(Event)
OK = Attempt(1, 5, 200, "thanks")
BAD = Attempt(1, 5, 500, "no")


@pytest.fixture
def outbox(store: JobStore) -> Outbox:
    return Outbox(store)


def accepted(store: JobStore, **changes) -> Job:
    job = a_job(**{"webhook": HOOK, "webhook_events": ALL, **changes})
    store.submit(job)
    return job


def claimed(store: JobStore, **changes) -> Job:
    accepted(store, **changes)
    job = store.claim(WORKER, lease_seconds=30, token=str(time.monotonic_ns()), slots=1000)
    assert job is not None
    return job


def renew(store: JobStore, job: Job, step: int) -> None:
    store.renew(WORKER, {"slots": 1, "checkpoint": {}}, [Renewal(job.id, job.fence, True, step, 10)], lease_seconds=30)


def finish(store: JobStore, job: Job) -> None:
    assert store.finish(job, A_PICTURE, {"run_ms": 5}, {"seed": 1}) == "finished"


def take(outbox: Outbox, wanted: int = 100, lease_ms: int = 60_000) -> list[Delivery]:
    taken: list[Delivery] = []
    while more := outbox.dispatch(wanted - len(taken), lease_ms) if len(taken) < wanted else []:
        taken += more
    return taken


def deliver(outbox: Outbox, delivery: Delivery) -> str | None:
    return outbox.attempted(delivery, "delivered", OK, again_ms=None, pause_ms=0, rest_ms=60_000)


def fail(outbox: Outbox, delivery: Delivery, *, again_ms: int | None = 0, pause_ms: int = 0, rest_ms: int = 60_000):
    return outbox.attempted(delivery, "failed", BAD, again_ms=again_ms, pause_ms=pause_ms, rest_ms=rest_ms)


def registered(outbox: Outbox, *events: Event, tenant: str = "default", url: str = HOOK) -> Endpoint:
    endpoint = outbox.register(tenant, url, events or ALL)
    assert endpoint is not None
    return endpoint


def log_of(outbox: Outbox, endpoint: str = JOB_ENDPOINT, tenant: str = "default") -> list[Delivery]:
    return outbox.deliveries(Endpoint(endpoint, tenant, ""), 100)


def test_every_end_of_a_job_is_told_once(store, outbox):
    def cancel_queued(job):
        store.cancel(job.id, job.tenant)

    def cancel_running(job):
        store.cancel(job.id, job.tenant)
        store.canceled(job, 3)
        store.canceled(job, 3)

    def break_down(job):
        for _ in range(2):
            store.fail(job, JobError("internal-error", "It broke", "Somehow."))

    def succeed(job):
        finish(store, job), finish(store, job)

    told = {}
    cancel_queued(accepted(store, webhook_events=(Event.COMPLETED,)))
    for end in (cancel_running, break_down, succeed):
        end(claimed(store, webhook_events=(Event.COMPLETED,)))
    for delivery in log_of(outbox):
        told.setdefault(delivery.job_status, []).append(delivery)
    assert {status: len(of) for status, of in told.items()} == {"canceled": 2, "failed": 1, "succeeded": 1}


def test_an_overdue_job_and_a_poisonous_one_are_told_of_too(store, outbox):
    job = claimed(store, webhook_events=(Event.COMPLETED,))
    accepted(store, deadline_seconds=1, webhook_events=(Event.COMPLETED,))
    store.redis.zadd(redis_keys.RUNNING, {job.id: 1})
    store.reclaim(1)
    time.sleep(1.1)
    store.expire()
    assert [delivery.job_status for delivery in log_of(outbox)] == ["failed", "failed"]


def test_only_what_was_asked_for_is_told_and_only_of_ones_own_jobs(store, outbox):
    ends = registered(outbox, Event.COMPLETED)
    starts = registered(outbox, Event.STARTED)
    foreign = registered(outbox, tenant="somebody-else")
    finish(store, claimed(store, webhook=None))
    assert [one.type for one in log_of(outbox, ends.id)] == ["job.completed"]
    assert [one.type for one in log_of(outbox, starts.id)] == ["job.started"]
    assert log_of(outbox, foreign.id, "somebody-else") == []
    assert log_of(outbox) == []


def test_a_job_is_started_once_however_often_it_is_claimed(store, outbox):
    job = claimed(store)
    store.release(job, "drained")
    assert store.claim(WORKER, lease_seconds=30, token="again", slots=1000).id == job.id
    assert [one.type for one in log_of(outbox)] == ["job.started"]


def test_progress_comes_at_most_twice_a_second_and_old_news_is_dropped(store, outbox):
    job = claimed(store)
    began, told = time.monotonic(), set()
    for step in range(1, 200):
        renew(store, job, step)
        told |= {one.id for one in log_of(outbox) if one.type == Event.PROGRESS}
        assert sum(one.type == Event.PROGRESS for one in log_of(outbox)) <= 1
        time.sleep(0.005)
    assert 2 <= len(told) <= 2 * (time.monotonic() - began) + 1
    finish(store, job)
    assert [one.type for one in log_of(outbox)] == ["job.completed", "job.started"]


def test_progress_that_is_on_its_way_is_not_dropped(store, outbox):
    job = claimed(store)
    renew(store, job, 1)
    flying = take(outbox)
    finish(store, job)
    assert [deliver(outbox, one) for one in flying] == ["delivered", "delivered"]
    assert len(log_of(outbox)) == 3


def test_the_body_says_what_happened_then_and_is_the_same_for_ever(store, outbox):
    job = claimed(store, metadata={"order": [7, [], {}, "é"]})
    (started,) = take(outbox)
    finish(store, job)
    body = json.loads(started.body("https://api.example"))
    assert body["type"] == "job.started"
    assert body["data"]["status"] == "running"
    assert body["data"]["metadata"] == {"order": [7, [], {}, "é"]}
    assert body["data"]["urls"]["self"] == f"https://api.example/v1/jobs/{job.id}"
    (completed,) = take(outbox)
    assert json.loads(completed.body(""))["data"]["sequence"] > body["data"]["sequence"]
    assert len(completed.body("")) < 2000
    again = outbox.redeliver(started.id, Endpoint(JOB_ENDPOINT, "default", ""))
    assert again is not None
    assert again.body("https://api.example") == started.body("https://api.example")
    assert "." not in started.id


def test_every_message_has_the_fields_that_the_api_document_gives_it(store, outbox):
    def all_sent() -> list[Delivery]:
        taken = take(outbox)
        assert {deliver(outbox, one) for one in taken} == {"delivered"}
        return taken

    job = claimed(store)
    renew(store, job, 1)
    sent = all_sent()
    finish(store, job)
    sent += all_sent()
    outbox.tell_of_batch(Batch(new_id(), "default", 1, 1, 1, webhook=HOOK))
    sent += [*all_sent(), outbox.test(registered(outbox))]
    bodies = {body["type"]: body for body in (json.loads(one.body("https://api.example")) for one in sent)}
    described = create_app(Settings(_env_file=None)).webhooks.routes
    assert {route.path for route in described} == set(bodies)
    for route in described:
        message = route.dependant.body_params[0].field_info.annotation
        assert message.model_validate(bodies[route.path]).model_dump(mode="json").keys() == bodies[route.path].keys()
        news = message.model_fields["data"].annotation.model_fields
        assert set(news) == set(bodies[route.path]["data"]), route.path


def test_a_tenants_slow_receivers_take_no_more_than_its_share_of_the_senders(store, outbox):
    """Three hundred receivers of one tenant never answer; one receiver of another tenant does."""
    for number in range(300):
        accepted(store, tenant="slow", webhook=f"https://h{number}.example/")
    accepted(store, tenant="calm")
    for job_id in store.redis.zrange(redis_keys.QUEUE, 0, -1):
        store.cancel(job_id, store.redis.hget(redis_keys.JOB + job_id, "tenant"))
    flying = outbox.dispatch(64, 60_000, each=16)
    while more := outbox.dispatch(64 - len(flying), 60_000, each=16):
        flying += more
    assert [one.tenant for one in flying].count("slow") == 16
    assert [one.tenant for one in flying].count("calm") == 1


def test_what_a_tenant_had_to_keep_aside_is_all_delivered(store, outbox):
    """This also holds when its jobs are deleted meanwhile, and when a keeper dies with all its deliveries."""
    jobs = [
        accepted(store, webhook=f"https://h{number}.example/", webhook_events=(Event.COMPLETED,))
        for number in range(40)
    ]
    for job in jobs:
        store.cancel(job.id, "default")
    lost = outbox.dispatch(64, 1, each=3)
    assert len(lost) == 3
    store.delete(jobs[20].id, "default")
    delivered = set()

    def deliver_some() -> bool:
        for one in outbox.dispatch(64, 60_000, each=3):
            delivered.add(one.job)
            assert deliver(outbox, one) == "delivered"
        return len(delivered) == 39

    until(deliver_some, what="39 deliveries")
    assert delivered == {job.id for job in jobs} - {jobs[20].id}
    assert not [
        key
        for key in (redis_keys.LANES, redis_keys.ASIDE + "default", redis_keys.SENDING + "default")
        if store.redis.exists(key)
    ]


def test_racing_keepers_share_no_delivery(store, outbox):
    for number in range(100):
        store.cancel(accepted(store, webhook=f"https://h{number % 50}.example/").id, "default")
    with ThreadPoolExecutor(8) as pool:
        taken = [one.id for batch in pool.map(lambda _: take(outbox), range(16)) for one in batch]
    assert len(taken) == len(set(taken)) == 100


def test_a_receiver_has_two_deliveries_in_flight_and_others_do_not_wait_for_it(store, outbox):
    for _ in range(500):
        store.cancel(accepted(store, webhook="https://slow.example/a").id, "default")
    store.cancel(accepted(store, webhook="https://quick.example/b").id, "default")
    taken = take(outbox)
    assert sorted(one.url for one in taken) == ["https://quick.example/b", *["https://slow.example/a"] * 2]
    deliver(outbox, next(one for one in taken if "slow" in one.url))
    assert [one.url for one in take(outbox)] == ["https://slow.example/a"]


def test_what_a_dead_keeper_held_is_sent_by_another_under_the_same_id(store, outbox):
    store.cancel(accepted(store).id, "default")
    (lost,) = take(outbox, lease_ms=200)
    assert take(outbox) == []
    time.sleep(0.25)
    (again,) = take(outbox)
    assert again.id == lost.id
    assert deliver(outbox, lost) is None, "the lease is another's"
    assert deliver(outbox, again) == "delivered"
    assert take(outbox) == []


def test_a_failed_delivery_comes_again_when_it_is_due(store, outbox):
    store.cancel(accepted(store).id, "default")
    (delivery,) = take(outbox)
    assert fail(outbox, delivery, again_ms=300) == "pending"
    assert take(outbox) == []
    time.sleep(0.35)
    (again,) = take(outbox)
    assert (again.id, again.tries, again.attempts) == (delivery.id, 1, (BAD,))
    assert fail(outbox, again, again_ms=None) == "failed"
    assert take(outbox) == []


def test_a_receiver_that_keeps_failing_rests_and_is_then_tried_one_at_a_time(store, outbox):
    for _ in range(20):
        store.cancel(accepted(store).id, "default")
    for _ in range(CONSTANTS["CIRCUIT_FAILURES"]):
        fail(outbox, take(outbox, 1)[0], again_ms=60_000, rest_ms=300)
    assert take(outbox) == []
    time.sleep(0.35)
    (probe,) = take(outbox)
    deliver(outbox, probe)
    assert len(take(outbox)) == 2, "it works again"


def test_a_receiver_that_asks_for_a_pause_gets_it_for_all_its_deliveries(store, outbox):
    for _ in range(3):
        store.cancel(accepted(store).id, "default")
    fail(outbox, take(outbox, 1)[0], pause_ms=300)
    assert take(outbox) == []
    time.sleep(0.35)
    assert len(take(outbox)) == 2


def test_an_endpoint_that_is_gone_is_told_no_more(store, outbox):
    endpoint = registered(outbox, Event.COMPLETED)
    for _ in range(3):
        store.cancel(accepted(store, webhook=None).id, "default")
    outbox.attempted(take(outbox, 1)[0], "gone", BAD, again_ms=5, pause_ms=0, rest_ms=0)
    disabled = outbox.endpoint(endpoint.id, "default")
    assert (disabled.disabled_because, disabled.disabled_ms is not None) == ("gone", True)
    assert take(outbox) == []
    store.cancel(accepted(store, webhook=None).id, "default")
    assert [one.status for one in log_of(outbox, endpoint.id)] == ["failed"] * 3


def test_one_that_only_failed_for_five_days_is_disabled(store, outbox):
    endpoint = registered(outbox, Event.COMPLETED)
    store.cancel(accepted(store, webhook=None).id, "default")
    fail(outbox, take(outbox)[0])
    store.redis.hincrby(redis_keys.CIRCUIT + endpoint.id, "failing_ms", -CONSTANTS["DISABLE_MS"])
    fail(outbox, take(outbox)[0])
    assert outbox.endpoint(endpoint.id, "default").disabled_because == "failing"


def test_a_deleted_endpoint_is_told_nothing_more(store, outbox):
    endpoint = registered(outbox)
    store.cancel(accepted(store, webhook=None).id, "default")
    assert not outbox.unregister(endpoint.id, "somebody-else")
    assert outbox.unregister(endpoint.id, "default")
    assert take(outbox) == []
    assert not outbox.unregister(endpoint.id, "default")
    assert outbox.endpoints("default") == []


def test_nothing_more_is_said_of_a_deleted_job(store, outbox):
    job = claimed(store)
    (started,) = take(outbox)
    finish(store, job)
    assert store.delete(job.id, job.tenant) == "deleted"
    assert take(outbox) == []
    assert deliver(outbox, started) is None
    assert log_of(outbox) == []
    assert not store.redis.keys("*" + job.id + "*")


def test_a_job_that_was_kept_long_enough_is_still_told_of(store, outbox):
    finish(store, claimed(store, retention_seconds=1, webhook_events=(Event.COMPLETED,)))
    time.sleep(1.1)
    store.expire()
    assert [one.job_status for one in take(outbox)] == ["succeeded"]


def test_whatever_the_address_of_a_webhook_the_job_ends(store, outbox):
    for odd in ("nonsense", "", "https:", "é", "https://a b"):
        finish(store, claimed(store, webhook=odd))


def test_a_foreign_endpoint_looks_absent(outbox):
    endpoint = registered(outbox)
    assert outbox.endpoint(endpoint.id, "somebody-else") is None
    assert outbox.endpoint("default:default", "somebody-else") is None
    assert outbox.endpoint("default", "somebody-else").secret != outbox.endpoint("default", "default").secret


def test_a_tenant_has_so_many_endpoints_and_no_more(outbox):
    for _ in range(MOST_ENDPOINTS):
        registered(outbox)
    assert outbox.register("default", HOOK, ALL) is None
    assert outbox.register("somebody-else", HOOK, ALL) is not None


@pytest.mark.parametrize("which", ["default", "registered"])
def test_a_rotated_secret_signs_for_a_day_beside_the_new_one(outbox, which):
    endpoint = outbox.endpoint("default", "default") if which == "default" else registered(outbox)
    rotated = outbox.rotate(endpoint)
    now = time.time() * 1000
    assert rotated.secrets(now) == [rotated.secret, endpoint.secret]
    assert rotated.secrets(now + 86_500_000) == [rotated.secret]
    assert outbox.endpoint(endpoint.id, "default") == rotated
    assert endpoint.secret not in repr(rotated)


def test_the_signing_key_is_made_once(outbox):
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: outbox.signing_key().jwk()["x"], range(20)))) == 1


def test_the_log_keeps_the_last_thousand(store, outbox, monkeypatch):
    store.cancel(accepted(store).id, "default")
    (first,) = take(outbox)
    deliver(outbox, first)
    log = f"{redis_keys.DELIVERIES}default:{JOB_ENDPOINT}"
    store.redis.zadd(log, {f"filler-{number}": 2**52 for number in range(CONSTANTS["MAX_LOGGED"] - 1)})
    store.cancel(accepted(store).id, "default")
    assert store.redis.zcard(log) == CONSTANTS["MAX_LOGGED"]
    assert not store.redis.exists(redis_keys.DELIVERY + first.id)
