"""Webhooks from end to end: the API, a real keeper, and receivers of every behavior on loopback."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import redis
from standardwebhooks import Webhook

from darkroom.webhooks import verify
from jobs import redis_keys
from jobs.fetch import Answer
from jobs.outbox import Delivery, Outbox
from jobs.settings import Settings
from jobs.store import JobStore
from jobs.store.work import Renewal
from tests.conftest import ROOT
from tests.integration.conftest import submit
from tests.integration.test_events import serving
from tests.jobs_of import A_PICTURE, a_job
from tests.receivers import Receiver, Request, receiving
from tests.waiting import until
from worker.keeper.webhook_delivery import verdict_of

WARNING = {"code": "prompt-truncated", "detail": "Not read: “a kite”"}
SCHEDULE = Settings(_env_file=None).webhook_delays


@contextmanager
def keeper(settings: Settings, log: Path = Path(os.devnull)) -> Iterator[subprocess.Popen]:
    """The real process, ready to deliver."""
    given = settings.model_dump(exclude={"s3_secret_access_key"}, exclude_none=True)
    environment = {name.upper(): str(value) for name, value in given.items()}
    environment["S3_SECRET_ACCESS_KEY"] = settings.s3_secret_access_key.get_secret_value()
    records = redis.Redis.from_url(settings.redis_url)
    listeners = records.pubsub_numsub(redis_keys.OUTBOX_WAKE)[0][1]
    process = subprocess.Popen(
        [sys.executable, "-m", "worker.keeper"],
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        stderr=log.open("w"),
    )
    try:
        until(lambda: records.pubsub_numsub(redis_keys.OUTBOX_WAKE)[0][1] > listeners, 60)
        yield process
    finally:
        process.kill()
        process.wait()


def check(request: Request, secret: str, key: dict) -> dict:
    """The message, if both its signatures are valid."""
    message = Webhook(secret).verify(request.body, dict(request.headers))
    assert verify(request.body, request.headers, jwks={"keys": [key]}) == message
    return message


def test_a_jobs_own_webhook_is_told_and_its_signatures_hold(hooks, jpeg, store, tmp_path):
    with receiving() as receiver:
        settings = hooks(receiver, public_url="https://darkroom.example", webhook_timeout_seconds=10)
        with serving(settings) as http, keeper(settings, tmp_path / "log"):
            address = f"{receiver.url}/told?token=secret"
            fields = {"webhook": address, "webhook_events": "job.started,job.completed", "metadata": '{"order": 7}'}
            job = submit(http, jpeg, **fields)
            claimed = store.claim("w", lease_seconds=30, token="t", slots=9)
            until(lambda: len(receiver.requests) == 1)
            store.finish(claimed, A_PICTURE, {}, {}, warnings=[WARNING])
            until(lambda: len(receiver.requests) == 2)
            secret = http.get("/v1/webhooks/default/secret").json()["secret"]
            (key,) = http.get("/.well-known/jwks.json").json()["keys"]
            started, completed = (check(request, secret, key) for request in receiver.requests)
            until(lambda: http.get("/v1/webhooks/default/deliveries").json()["data"][0]["status"] == "delivered")
            told = http.get("/v1/webhooks/default/deliveries").json()["data"]
    assert {request.path for request in receiver.requests} == {"/told?token=secret"}
    assert (started["type"], started["data"]["status"]) == ("job.started", "running")
    assert (completed["type"], completed["data"]["status"]) == ("job.completed", "succeeded")
    assert completed["data"]["id"] == job["id"]
    assert completed["data"]["metadata"] == {"order": 7}
    assert completed["data"]["warnings"] == [WARNING]
    assert "warnings" not in started["data"]
    assert completed["data"]["urls"]["self"] == f"https://darkroom.example/v1/jobs/{job['id']}"
    assert completed["data"]["sequence"] > started["data"]["sequence"]
    assert [one["id"] for one in told] == [r.headers["webhook-id"] for r in reversed(receiver.requests)]
    assert told[0]["attempts"][0]["status"] == 200
    log = (tmp_path / "log").read_text()
    assert told[0]["id"] in log
    assert not [one for one in (secret, "token=", "v1,", str(receiver.port)) if one in log], "no secret in a log"


def test_a_registered_webhook_lives_its_life(hooks, jpeg):
    with receiving(lambda _: (200, {}, b"y" * 1000)) as receiver:
        settings = hooks(receiver, webhook_timeout_seconds=10)
        with serving(settings) as http, keeper(settings):
            made = http.post("/v1/webhooks", json={"url": receiver.url})
            assert made.status_code == 201, made.text
            hook = made.json()
            path = f"/v1/webhooks/{hook['id']}"
            assert http.get("/v1/webhooks").json()["data"] == [http.get(path).json()]
            assert "secret" not in http.get(path).json()
            (key,) = http.get("/.well-known/jwks.json").json()["keys"]
            sent = http.post(f"{path}/test").json()
            until(lambda: len(receiver.requests) == 1)
            assert check(receiver.requests[0], hook["secret"], key)["type"] == "webhook.test"
            rotated = http.post(f"{path}/rotate").json()
            assert rotated["old_valid_until"]
            http.post(submit(http, jpeg)["urls"]["cancel"])
            until(lambda: len(receiver.requests) == 2)
            for secret in (hook["secret"], rotated["secret"]):
                assert check(receiver.requests[1], secret, key)["data"]["status"] == "canceled"
            until(lambda: {one["status"] for one in http.get(f"{path}/deliveries").json()["data"]} == {"delivered"})
            told = http.get(f"{path}/deliveries").json()["data"]
            assert [one["type"] for one in told] == ["job.completed", "webhook.test"]
            assert told[1]["attempts"][0]["answer"] == "y" * 200
            assert http.post(f"{path}/deliveries/{sent['id']}/redeliver").status_code == 202
            until(lambda: len(receiver.requests) == 3)
            assert receiver.requests[2].headers["webhook-id"] == receiver.requests[0].headers["webhook-id"]
            assert http.delete(path).status_code == 204
            assert http.get(path).status_code == http.get(f"{path}/deliveries").status_code == 404


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "https://user:pw@example.com/",
        "https://example.com:22/",
        "nonsense",
        "https://",
        "x" * 3000,
    ],
)
def test_an_address_that_could_not_be_told_is_refused_by_name(client, jpeg, url):
    answer = client.post("/v1/webhooks", json={"url": url})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "url")
    answer = client.post("/v1/jobs", files={"image": jpeg}, data={"prompt": "x", "webhook": url})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "webhook")


@pytest.mark.parametrize("events", ["job.done", "job.completed,", "[]"])
def test_an_unknown_event_is_refused_by_name(client, jpeg, events):
    data = {"prompt": "x", "webhook": "https://example.com/", "webhook_events": events}
    answer = client.post("/v1/jobs", files={"image": jpeg}, data=data)
    assert (answer.status_code, answer.json()["errors"][0]["field"].split(".")[0]) == (422, "webhook_events")


HASTEN = """
local freed = 0
for _, lane in ipairs(redis.call('ZRANGE', ARGV[1], 0, -1)) do
  for _, row in ipairs(redis.call('ZRANGE', ARGV[2] .. lane, 0, -1)) do
    local flying = redis.call('ZSCORE', ARGV[3] .. lane, row)
    if not flying or ARGV[6] == '1' then
      freed = freed + redis.call('ZREM', ARGV[3] .. lane, row)
      redis.call('ZREM', ARGV[4], row)
      redis.call('ZADD', ARGV[2] .. lane, 1, row)
    end
  end
  if redis.call('EXISTS', ARGV[3] .. lane) == 0 then redis.call('ZADD', ARGV[1], 1, lane) end
end
redis.call('PUBLISH', ARGV[5], '')
return freed
"""


def hasten(store: JobStore, flying: bool = False) -> int:
    """Make all waiting deliveries due now. `flying`: also let all leases run out. Returns how many these were."""
    names = (
        redis_keys.LANES,
        redis_keys.LANE,
        redis_keys.FLYING,
        f"{redis_keys.SENDING}default",
        redis_keys.OUTBOX_WAKE,
    )
    return int(store.redis.eval(HASTEN, 0, *names, int(flying)))


def test_attempts_follow_the_schedule(hooks, store):
    """There are ten attempts. After each, the next one is due when the schedule says, plus or minus a fifth."""
    outbox, delays = Outbox(store), []
    with receiving(lambda _: (500, {}, b"")) as receiver, keeper(hooks(receiver, scale=1, webhook_timeout_seconds=5)):
        store.submit(job := a_job(webhook=receiver.url, webhook_events=("job.completed",)))
        store.cancel(job.id, job.tenant)
        own = outbox.endpoint("default", "default")

        def told(tries: int) -> Delivery | None:
            (delivery,) = outbox.deliveries(own, 10)
            return delivery if delivery.tries == tries else None

        for tries in range(1, len(SCHEDULE) + 1):
            until(lambda tries=tries: told(tries))
            ((_, due),) = store.redis.zrange(f"{redis_keys.LANE}default {receiver.url}", 0, -1, withscores=True)
            delays.append(due / 1000 - time.time())
            hasten(store)
        until(lambda: told(len(SCHEDULE) + 1))
        (delivery,) = outbox.deliveries(own, 10)
        hasten(store)
        time.sleep(0.3)
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    assert (len(receiver.requests), delivery.status, len(delivery.attempts)) == (10, "failed", 10)
    assert len(SCHEDULE) == 9
    for wanted, delay in zip(SCHEDULE, delays, strict=True):
        assert 0.8 * wanted - 2 <= delay <= 1.2 * wanted


@pytest.mark.timeout(240)
def test_every_end_is_told_though_receivers_misbehave_and_keepers_are_killed(hooks, store, pytestconfig):
    """Receivers fail in 70 % of cases, hang, redirect, or are gone. Keepers are killed at work; one is left."""
    chance, kills = random.Random(6), 10 if pytestconfig.getoption("--slow") else 3
    outbox = Outbox(store)
    ended, arrived = set(), set()
    with ExitStack() as stack:

        def arrive(request: Request):
            arrived.add(json.loads(request.body)["data"]["id"])
            return 200, {}, b""

        good = stack.enter_context(receiving(arrive))
        flaky = stack.enter_context(receiving(lambda _: (500 if chance.random() < 0.7 else 204, {}, b"")))
        hanging = stack.enter_context(receiving(lambda _: (time.sleep(600), (200, {}, b""))[1]))
        moving = stack.enter_context(receiving(lambda _: (302, {"Location": f"{good.url}/moved"}, b"")))
        gone = stack.enter_context(receiving(lambda _: (410, {}, b"")))
        endpoint = outbox.register("default", gone.url, ("job.completed",))

        def end_jobs() -> None:
            for bad in (flaky, hanging, moving):
                for receiver in (bad, good):
                    job = a_job(webhook=receiver.url, webhook_events=("job.completed",))
                    store.submit(job)
                    store.cancel(job.id, job.tenant)
                    ended.add(job.id)

        def to(receiver: Receiver) -> list:
            own = outbox.endpoint("default", "default")
            return [one for one in outbox.deliveries(own, 1000) if one.url == receiver.url]

        receivers = (good, flaky, hanging, moving, gone)
        patient = hooks(*receivers, scale=1, webhook_timeout_seconds=60)  # what hangs is in flight until the kill
        for _ in range(kills):
            hung = len(hanging.requests)
            with keeper(patient) as victim:
                end_jobs()
                until(lambda hung=hung: len(hanging.requests) > hung)
                time.sleep(chance.uniform(0, 0.2))
                victim.kill()
                victim.wait()
            assert hasten(store, flying=True) > 0, "the killed held nothing"

        def all_told() -> bool:
            hasten(store)
            return len(arrived) == 3 * (kills + 3) and all(one.status != "pending" for one in to(flaky))

        with keeper(hooks(*receivers, scale=1)):
            for _ in range(3):
                end_jobs()
            until(all_told, 120)
        assert set(arrived) <= set(ended)
        assert len({request.headers["webhook-id"] for request in good.requests}) == len(arrived)
        assert not any(request.path == "/moved" for request in good.requests)
        assert moving.requests
        assert outbox.endpoint(endpoint.id, "default").disabled_because == "gone"
        for one in to(flaky):
            assert one.status == "delivered" or len(one.attempts) == 10, "given up only after all of its attempts"


def test_progress_is_told_while_the_job_runs(hooks, store):
    """At most twice a second, however many steps there are. The sequence shows which message is older."""
    with receiving() as receiver, keeper(hooks(receiver, webhook_timeout_seconds=10)):
        store.submit(a_job(webhook=receiver.url, webhook_events=("job.progress", "job.completed")))
        job = store.claim("w", lease_seconds=30, token="t", slots=9)
        began, step = time.monotonic(), 0
        while len(receiver.requests) < 3:
            step += 1
            about = {"slots": 1, "checkpoint": {}}
            store.renew("w", about, [Renewal(job.id, job.fence, True, step, 1000)], lease_seconds=30)
            time.sleep(0.05)
        seconds = time.monotonic() - began
        store.finish(job, A_PICTURE, {}, {})
        until(lambda: any(b"job.completed" in request.body for request in receiver.requests))
    told = sorted((json.loads(request.body)["data"] for request in receiver.requests), key=lambda one: one["sequence"])
    *steps, end = [one.get("progress", {}).get("step") for one in told]
    assert end is None
    assert 3 <= len(steps) <= 1 + seconds / 0.5
    assert steps == sorted(set(steps))


@pytest.mark.parametrize(
    ("status", "retry_after", "outcome", "pause"),
    [
        (204, "", "delivered", 0),
        (302, "", "failed", 0),
        (410, "9", "gone", 0),
        (429, "120", "failed", 120),
        (503, "999999999", "failed", 86_400),
        (503, "soon", "failed", 0),
        (503, "-5", "failed", 0),
    ],
)
def test_what_an_answer_means(status, retry_after, outcome, pause):
    verdict = verdict_of(Answer(status, {"retry-after": retry_after}, b""))
    assert (verdict.outcome, verdict.pause_seconds) == (outcome, pause)
