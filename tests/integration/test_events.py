"""Live events over a real server: every event once and in order, however often the connection breaks."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest
import uvicorn

from api.http_limits import BoundedHttp
from api.main import create_app
from jobs import redis_keys
from jobs.api_keys import ApiKeys, Scope
from jobs.settings import Settings
from jobs.store.work import Renewal
from tests.integration.conftest import submit


class Server(uvicorn.Server):
    """The web tier on a free port, in a thread."""

    def install_signal_handlers(self) -> None:
        pass

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.servers[0].sockets[0].getsockname()[1]}"


@contextmanager
def serving(settings: Settings) -> Iterator[httpx.Client]:
    options = {"port": 0, "log_level": "warning", "timeout_graceful_shutdown": 1}
    config = uvicorn.Config(create_app(settings), http=BoundedHttp, **options)
    server = Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        with httpx.Client(base_url=server.url, timeout=20, trust_env=False) as http:
            yield http
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def server(parts: Settings) -> Iterator[str]:
    """The address of a web tier that runs on from test to test."""
    with serving(parts) as http:
        yield str(http.base_url)


@pytest.fixture
def http(settings: Settings, server: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server, timeout=20, trust_env=False) as http:
        yield http


def events(http: httpx.Client, path: str, last: str | None = None) -> Iterator[dict]:
    """The events of one connection with their ids, until the server ends it."""
    headers = {"Last-Event-ID": last} if last else {}
    with http.stream("GET", path, headers=headers) as stream:
        assert stream.status_code == 200, stream.read()
        assert stream.headers["content-type"].startswith("text/event-stream")
        event: dict = {}
        for line in stream.iter_lines():
            name, _, value = line.partition(": ")
            if not line and "data" in event:
                yield event
                event = {}
            elif name in ("event", "id"):
                event[name] = value
            elif name == "data":
                event["data"] = json.loads(value)


@pytest.fixture
def advance(store) -> Callable[[int], None]:
    """Claim the next job as soon as there is one, and take it to this many steps. Cancels it at the end."""

    def run(steps: int, pause: float = 0.0) -> None:
        while not (job := store.claim("w", lease_seconds=30, token="t")):
            time.sleep(0.01)
        for step in range(1, steps + 1):
            renewal = Renewal(job.id, job.fence, True, step, steps)
            store.renew("w", {"slots": 1, "checkpoint": {}}, [renewal], lease_seconds=30)
            time.sleep(pause)
        store.keep_preview(job, b"jpeg", b"noise", steps)
        store.cancel(job.id, job.tenant)
        store.canceled(job, steps)

    return run


def test_a_job_is_told_from_its_first_event_to_its_last(http, jpeg, advance):
    job = submit(http, jpeg)
    threading.Timer(0.2, advance, (3,)).start()
    told = list(events(http, job["urls"]["events"]))
    assert [event["event"] for event in told] == (
        ["status", "status", "progress", "progress", "progress", "preview", "status", "done"]
    )
    assert [event["data"]["step"] for event in told if event["event"] == "progress"] == [1, 2, 3]
    assert told[-1]["data"]["status"] == "canceled"
    assert {event["data"]["job"] for event in told} == {job["id"]}
    assert told[5]["data"]["url"].startswith(f"/v1/jobs/{job['id']}/preview")
    assert list(events(http, job["urls"]["events"])) == told, "all of it can be read again"


def test_a_client_that_loses_its_connection_a_hundred_times_misses_nothing(http, jpeg, advance):
    job = submit(http, jpeg)
    threading.Timer(0.1, advance, (120, 0.01)).start()
    got, last, connections = [], None, 0
    while not got or got[-1]["event"] != "done":
        stream = events(http, job["urls"]["events"], last)
        event = next(stream)  # one event, then the line is cut
        stream.close()
        got.append(event)
        last, connections = event["id"], connections + 1
    assert connections > 100
    assert [(event["id"], event["data"]) for event in got] == [
        (event["id"], event["data"]) for event in events(http, job["urls"]["events"])
    ]


def test_all_jobs_are_told_on_one_stream(http, jpeg, advance, store):
    first = submit(http, jpeg)
    latest = store.redis.xinfo_stream(redis_keys.FEED + "default")["last-generated-id"]
    second = submit(http, jpeg)
    advance(1)
    stream = events(http, "/v1/events", latest)
    told = [next(stream) for _ in range(6)]
    assert {event["data"]["job"] for event in told} == {first["id"], second["id"]}
    assert [event["id"] for event in told] == sorted(event["id"] for event in told)
    stream.close()


@pytest.mark.parametrize("last", ["1-0", "99999999999999-0", "nonsense"])
def test_what_is_no_longer_kept_is_told_by_a_reset_with_a_snapshot(http, jpeg, advance, store, last):
    job = submit(http, jpeg)
    advance(5)
    store.redis.xtrim(redis_keys.EVENTS + job["id"], maxlen=1, approximate=False)
    with http.stream("GET", job["urls"]["events"], headers={"Last-Event-ID": last}) as stream:
        lines = stream.iter_lines()
        assert next(lines) == "event: reset"
        snapshot = json.loads(next(lines).removeprefix("data: "))
        assert snapshot["jobs"][0]["status"] == "canceled"


def test_a_deleted_job_is_told_to_whoever_follows_all_jobs(http, jpeg, store):
    submit(http, jpeg)  # whose events stay, so that the feed still begins before `latest`
    job = submit(http, jpeg)
    http.post(job["urls"]["cancel"])
    latest = store.redis.xinfo_stream(redis_keys.FEED + "default")["last-generated-id"]
    http.delete(job["urls"]["self"])
    stream = events(http, "/v1/events", latest)
    told = next(stream)
    assert (told["event"], told["data"]["job"]) == ("deleted", job["id"])
    stream.close()


def test_there_is_room_for_so_many_streams_and_no_more(settings, jpeg):
    with serving(settings.model_copy(update={"max_streams": 2})) as http:
        streams = [http.stream("GET", "/v1/events") for _ in range(2)]
        for stream in streams:
            assert stream.__enter__().status_code == 200
        refused = http.get("/v1/events")
        assert (refused.status_code, refused.headers["content-type"]) == (429, "application/problem+json")
        assert int(refused.headers["retry-after"]) > 0
        for stream in streams:
            stream.__exit__(None, None, None)
        time.sleep(0.3)
        with http.stream("GET", "/v1/events") as stream:
            assert stream.status_code == 200


def test_one_tenant_cannot_take_the_places_of_the_others(settings, store):
    caps = {"auth": "on", "max_streams": 3, "max_streams_per_tenant": 2}
    api_keys = ApiKeys(store.redis, None)
    greedy, other = (
        {"Authorization": f"Bearer {api_keys.make(tenant, frozenset({Scope.READ}))[1]}"}
        for tenant in ("greedy", "other")
    )
    with serving(settings.model_copy(update=caps)) as http, ExitStack() as open_streams:
        for _ in range(2):
            stream = http.stream("GET", "/v1/events", headers=greedy)
            assert open_streams.enter_context(stream).status_code == 200
        assert http.get("/v1/events", headers=greedy).status_code == 429
        with http.stream("GET", "/v1/events", headers=other) as stream:
            assert stream.status_code == 200


def test_a_request_that_waits_takes_a_place_and_a_submission_without_one_is_answered_at_once(settings, jpeg):
    with serving(settings.model_copy(update={"max_streams": 1})) as http:
        with http.stream("GET", "/v1/events"):
            job = submit(http, jpeg)
            refused = http.get(job["urls"]["self"], params={"wait": 5})
            assert (refused.status_code, refused.json()["type"]) == (429, "urn:darkroom:problem:too-many-streams")
            assert http.get(job["urls"]["self"]).status_code == 200
            files, data = {"image": jpeg}, {"prompt": "make it sepia"}
            answer = http.post("/v1/jobs", files=files, data=data, headers={"Prefer": "wait=10"})
            assert answer.status_code == 202
            assert "preference-applied" not in answer.headers
        time.sleep(0.3)
        assert http.get(job["urls"]["self"], params={"wait": 0.1}).status_code == 200


def test_a_stream_has_a_longest_life(http, monkeypatch):
    monkeypatch.setattr("api.routes.events.LONGEST_LIFE", 0.3)
    started = time.monotonic()
    assert list(events(http, "/v1/events")) == []
    assert time.monotonic() - started < 5


def test_an_unknown_job_has_no_events(http):
    assert http.get("/v1/jobs/" + "0" * 26 + "/events").status_code == 404


def test_a_submission_can_wait_for_its_end(http, jpeg, advance):
    threading.Timer(0.4, advance, (2,)).start()
    files, data = {"image": jpeg}, {"prompt": "make it sepia"}
    started = time.monotonic()
    answer = http.post("/v1/jobs", files=files, data=data, headers={"Prefer": "respond-async, wait=10"})
    assert time.monotonic() - started < 5
    assert (answer.status_code, answer.json()["status"]) == (200, "canceled")
    assert answer.headers["preference-applied"] == "wait=10"
