"""HTTP as clients expect it: HEAD, conditions, preferences, retries, encodings, ends of streams, and slashes."""

import base64
import gzip
import json
import os
import time
from collections.abc import Iterator

import httpx
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from darkroom.local.servers import Valkey
from jobs import redis_keys
from jobs.api_keys import ApiKeys, Scope
from jobs.errors import NotFound, QueueFull, RecordsUnavailable
from jobs.settings import Settings
from jobs.store import JobStore
from tests.integration.conftest import calling, encoded, submit
from tests.integration.test_api import finish
from tests.integration.test_events import events, serving
from tests.waiting import until

ELSEWHERE = "https://studio.example"


@pytest.fixture(scope="module")
def server(parts: Settings) -> Iterator[str]:
    """The address of a web tier that runs on from test to test."""
    with serving(parts) as http:
        yield str(http.base_url)


@pytest.fixture
def http(settings: Settings, server: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server, timeout=20, trust_env=False) as http:
        yield http


def canceled(client: TestClient | httpx.Client, jpeg: bytes) -> dict:
    job = submit(client, jpeg)
    return client.post(job["urls"]["cancel"]).raise_for_status().json()


# ---- HEAD


def test_head_answers_what_get_does_without_the_body(client, jpeg, store, pictures):
    job = submit(client, jpeg)
    finish(store, pictures, job["id"])
    self = job["urls"]["self"]
    plain = {"Accept-Encoding": "identity"}  # two links of two seconds are as long, but do not pack alike
    for path in ("/", "/v1/jobs", "/healthz", "/v1/models", self, f"{self}/thumbnail", f"{self}/output?proxy=1"):
        got, head = client.get(path, headers=plain), client.head(path, headers=plain)
        assert (head.status_code, head.content) == (got.status_code, b""), path
        assert head.headers["content-length"] == got.headers["content-length"], path
        assert head.headers["content-type"] == got.headers["content-type"], path
    assert client.head(self).headers["etag"] == client.get(self).headers["etag"]
    assert client.head(f"{self}/output").status_code == 307
    assert client.head("/v1/jobs/" + "0" * 26).status_code == 404
    refused = client.head("/v1/uploads")
    assert (refused.status_code, refused.headers["allow"], refused.content) == (405, "POST", b"")
    assert client.put("/v1/jobs").headers["allow"] == "GET, HEAD, POST"


def test_head_of_a_stream_ends_after_the_headers(settings, jpeg):
    with serving(settings.model_copy(update={"max_streams": 1})) as http:
        job = submit(http, jpeg)
        for path in ("/v1/events", job["urls"]["events"], "/v1/events"):
            head = http.head(path, timeout=5)
            assert (head.status_code, head.content) == (200, b""), path
            assert head.headers["content-type"].startswith("text/event-stream")


# ---- conditions


def test_an_etag_is_known_by_a_weak_name_in_a_list_and_by_a_star(client, jpeg):
    path = submit(client, jpeg)["urls"]["self"]
    etag = client.get(path).headers["etag"]

    def status(known: str) -> int:
        return client.get(path, headers={"If-None-Match": known}).status_code

    assert [status(known) for known in (etag, f"W/{etag}", f'"a", W/{etag} ,"b"', "*")] == [304] * 4
    assert [status(known) for known in ('"a"', etag.strip('"'), f'"a{etag[1:]}', "")] == [200] * 4
    started = time.monotonic()
    same = client.get(path, params={"wait": 0.4}, headers={"If-None-Match": f"W/{etag}"})
    assert (same.status_code, time.monotonic() - started > 0.3) == (304, True)


def test_the_site_knows_its_etags_by_the_same_rules(client):
    answer = client.get("/docs/", headers={"Accept": "text/html"})
    if answer.status_code != 200:
        pytest.skip("the site is not built here")
    for known in ("*", f'"a", {answer.headers["etag"]}'):
        assert client.get("/docs/", headers={"Accept": "text/html", "If-None-Match": known}).status_code == 304


def test_the_etag_of_an_ended_job_changes_before_its_link_is_dead(settings, jpeg, store, pictures, monkeypatch):
    with calling(settings.model_copy(update={"presign_seconds": 600})) as client:
        job = submit(client, jpeg)
        finish(store, pictures, job["id"])
        now = 1_900_000_200.0  # a whole number of steps of 300 s
        assert now % 300 == 0
        monkeypatch.setattr("api.views.time.time", lambda: now)
        first = client.get(job["urls"]["self"])
        known = {"If-None-Match": first.headers["etag"]}
        now += 299
        assert client.get(job["urls"]["self"], headers=known).status_code == 304, "the link works still"
        now += 1
        second = client.get(job["urls"]["self"], headers=known)
        assert second.status_code == 200
        assert second.json()["output"]["expires_at"] > first.json()["output"]["expires_at"]
        assert "X-Amz-Expires=600" in second.json()["output"]["url"]


# ---- submissions


def test_a_submission_and_a_retry_have_the_etag_that_get_gives(client, jpeg):
    answer = client.post("/v1/jobs", files={"image": jpeg}, data={"prompt": "make it sepia"})
    assert answer.headers["etag"] == client.get(answer.headers["location"]).headers["etag"]
    stopped = client.post(answer.json()["urls"]["cancel"])
    assert stopped.headers["etag"] == client.get(answer.headers["location"]).headers["etag"]
    again = client.post(f"{answer.headers['location']}/retry")
    assert again.headers["etag"] == client.get(again.headers["location"]).headers["etag"]


def test_a_submission_that_waited_in_vain_is_accepted_and_one_that_is_over_is_done(client, jpeg):
    def post(prefer: str) -> httpx.Response:
        headers = {"Prefer": prefer, "Idempotency-Key": "a"}
        return client.post("/v1/jobs", files={"image": jpeg}, data={"prompt": "make it sepia"}, headers=headers)

    early = post("wait=1")
    assert (early.status_code, early.headers["preference-applied"]) == (202, "wait=1")
    assert early.headers["etag"]
    client.post(early.json()["urls"]["cancel"])
    done = post("wait=1")
    assert (done.status_code, done.json()["status"], done.json()["id"]) == (200, "canceled", early.json()["id"])
    assert post("respond-async").status_code == 202


def test_a_retry_with_a_key_is_safe_to_repeat(client, jpeg, store):
    job, other = canceled(client, jpeg), canceled(client, jpeg)

    def retry(job: dict, key: str) -> httpx.Response:
        return client.post(f"{job['urls']['self']}/retry", headers={"Idempotency-Key": key})

    first, second = retry(job, "a"), retry(job, "a")
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] == second.json()["id"]
    assert ("idempotent-replayed" in first.headers, second.headers["idempotent-replayed"]) == (False, "true")
    assert second.headers["location"] == first.headers["location"]
    assert retry(job, "b").json()["id"] != first.json()["id"]
    assert retry(other, "a").json()["errors"][0]["field"] == "Idempotency-Key"
    assert store.queue().queued == 2
    client.delete(job["urls"]["self"])
    assert retry(job, "a").json()["id"] == first.json()["id"], "also when the first try is gone"


def away(*_: object) -> None:
    raise RecordsUnavailable("The job records (Redis) do not answer.")


@pytest.mark.parametrize("method", ["get", "queue_positions"])
@pytest.mark.parametrize("headers", [{}, {"Prefer": "wait=5"}])
def test_an_accepted_job_is_told_of_even_where_its_record_cannot_be_read(
    client, jpeg, store, monkeypatch, method, headers
):
    monkeypatch.setattr(JobStore, method, away)
    answer = client.post("/v1/jobs", files={"image": jpeg}, data={"prompt": "make it sepia"}, headers=headers)
    monkeypatch.undo()
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    assert answer.headers["location"] == answer.json()["urls"]["self"]
    assert client.get(answer.headers["location"]).json()["created_at"][:16] == answer.json()["created_at"][:16]
    assert store.queue().queued == 1


@pytest.mark.parametrize("headers", [{}, {"Prefer": "wait=5"}])
def test_a_job_is_accepted_though_redis_dies_just_then(settings, tmp_path, jpeg, monkeypatch, headers):
    """No client is told that a job was refused if its record exists when Redis is back."""
    submit = JobStore.submit

    def submit_and_die(store: JobStore, *words: object) -> str | None:
        answer = submit(store, *words)
        valkey.kill()
        return answer

    with Valkey(tmp_path) as valkey, calling(settings.model_copy(update={"redis_url": valkey.url})) as client:
        monkeypatch.setattr(JobStore, "submit", submit_and_die)
        answer = client.post("/v1/jobs", files={"image": jpeg}, data={"prompt": "make it sepia"}, headers=headers)
        assert (answer.status_code, answer.json()["status"]) == (202, "queued"), answer.text
        valkey.start()
        assert until_answered(client, answer.headers["location"])["id"] == answer.json()["id"]


def until_answered(client: TestClient, path: str) -> dict:
    until(lambda: client.get(path).status_code != 503)
    return client.get(path).raise_for_status().json()


@pytest.mark.parametrize("error", [KeyError("status"), ValueError("no JSON"), NotFound("gone")])
def test_nor_does_a_record_that_cannot_be_read_undo_it(client, jpeg, monkeypatch, error):
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(JobStore, "get", broken)
    for headers in ({}, {"Prefer": "wait=5"}):
        answer = client.post("/v1/jobs", files={"image": jpeg}, data={"prompt": "make it sepia"}, headers=headers)
        assert (answer.status_code, answer.json()["status"]) == (202, "queued"), answer.text


# ---- bodies


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_without_a_file_name_is_taken(client, kind):
    noise = Image.frombytes("RGB", (200, 200), os.urandom(120_000))  # more than a text field may have
    for picture in (encoded(noise, kind), encoded(Image.new("RGB", (32, 32), "teal"), kind)):
        data = {"prompt": "make it sepia"}
        answer = client.post("/v1/jobs", files={"image": (None, picture)}, data=data)
        assert answer.status_code == 202, answer.text
        assert answer.json()["input"] == submit(client, picture)["input"]


def test_text_without_a_file_name_still_names_a_picture(client, jpeg):
    uri = "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
    assert client.post("/v1/jobs", files={"image": (None, uri)}, data={"prompt": "x"}).status_code == 202
    for text, word in (("photo.jpg", "must be a file, or text"), ("", "required")):
        refused = client.post("/v1/jobs", files={"image": (None, text)}, data={"prompt": "x"})
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "image")
        assert word in refused.json()["detail"]


def test_base64_may_have_line_breaks_and_the_alphabet_of_urls(client, jpeg):
    jpeg += b"\xff\xfe\xfb"  # behind its end, for letters that differ
    lines = base64.encodebytes(jpeg).decode()
    for text in (lines, lines.replace("\n", "\r\n"), base64.urlsafe_b64encode(jpeg).decode()):
        answer = client.post("/v1/jobs", json={"image": f"data:image/jpeg;base64,{text}", "prompt": "x"})
        assert answer.status_code == 202, answer.text
    cut = client.post("/v1/jobs", json={"image": "data:image/jpeg;base64,abc", "prompt": "x"})
    assert (cut.status_code, "base64" in cut.json()["detail"]) == (422, True)


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/webhooks"])
def test_a_compressed_body_is_refused_by_the_name_of_the_header(client, path):
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = client.post(path, content=gzip.compress(json.dumps({"prompt": "x"}).encode()), headers=headers)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (415, "content-encoding")
    assert "Content-Encoding" in answer.json()["detail"]
    assert client.post(path, json={}, headers={"Content-Encoding": "identity"}).status_code == 422


# ---- streams


def test_a_stream_of_an_ended_job_ends_and_is_not_begun_again(http, jpeg):
    job = canceled(http, jpeg)
    told = list(events(http, job["urls"]["events"]))
    assert told[-1]["event"] == "done"
    again = http.get(job["urls"]["events"], headers={"Last-Event-ID": told[-1]["id"]}, timeout=5)
    assert (again.status_code, again.content) == (204, b"")
    assert list(events(http, job["urls"]["events"], told[-2]["id"])) == told[-1:]


@pytest.mark.parametrize("last", ["1-0", "nonsense", None])
def test_a_reset_is_the_last_event_of_an_ended_job(http, jpeg, store, last):
    job = canceled(http, jpeg)
    if last is None:  # such as a job whose record was mended
        store.redis.delete(redis_keys.EVENTS + job["id"])
    else:
        store.redis.xtrim(redis_keys.EVENTS + job["id"], maxlen=1, approximate=False)
    (reset,) = events(http, job["urls"]["events"], last)
    assert (reset["event"], reset["data"]["jobs"][0]["status"]) == ("reset", "canceled")
    again = http.get(job["urls"]["events"], headers={"Last-Event-ID": reset["id"]}, timeout=5)
    assert again.status_code == 204


def test_a_stream_of_an_ended_job_takes_no_seat(settings, jpeg):
    with serving(settings.model_copy(update={"max_streams": 1})) as http:
        job, waiting = canceled(http, jpeg), submit(http, jpeg)
        with http.stream("GET", "/v1/events") as seated:
            assert seated.status_code == 200
            assert list(events(http, job["urls"]["events"]))[-1]["event"] == "done"
            assert http.get(waiting["urls"]["events"]).status_code == 429


def test_a_stream_ends_when_its_key_is_revoked(settings, store, monkeypatch):
    monkeypatch.setattr("api.routes.events.HEARTBEAT", 0.2)
    api_keys = ApiKeys(store.redis, None)
    key, secret = api_keys.make("studio", frozenset({Scope.READ}))
    with (
        serving(settings.model_copy(update={"auth": "on"})) as http,
        http.stream("GET", "/v1/events", headers={"Authorization": f"Bearer {secret}"}, timeout=5) as stream,
    ):
        assert stream.status_code == 200
        time.sleep(0.5)
        api_keys.revoke(key.id)
        assert list(stream.iter_lines()) == []


# ---- browsers, and the way there


def test_a_page_of_an_allowed_site_may_send_the_headers_that_libraries_add(settings):
    wanted = "accept, authorization, content-type, prefer, traceparent, tracestate, x-requested-with"
    with calling(settings.model_copy(update={"cors_origins": ELSEWHERE})) as client:

        def preflight(origin: str) -> httpx.Response:
            asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": wanted}
            return client.options("/v1/jobs", headers={"Origin": origin, **asked})

        allowed = preflight(ELSEWHERE)
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, ELSEWHERE)
        told = allowed.headers["access-control-allow-headers"].lower().replace(" ", "").split(",")
        assert set(wanted.replace(" ", "").split(",")) <= set(told)
        assert "access-control-allow-credentials" not in allowed.headers
        assert preflight("https://other.example").status_code == 400


def test_nobody_is_asked_to_wait_for_longer_than_two_minutes(client, jpeg, monkeypatch):
    def full(*_: object) -> None:
        raise QueueFull("A new job would wait.", retry_after=3600)

    monkeypatch.setattr(JobStore, "admit", full)
    pauses = []
    for _ in range(8):
        refused = client.post("/v1/jobs", files={"image": jpeg}, data={"prompt": "make it sepia"})
        assert refused.status_code == 503
        pauses.append(int(refused.headers["retry-after"]))
    assert max(pauses) <= 120
    assert min(pauses) >= 60
    assert len(set(pauses)) > 1, "not all of them are to come back at once"


def test_a_slash_at_the_end_of_an_address_changes_nothing(client, jpeg):
    job = submit(client, jpeg)
    assert client.get(job["urls"]["self"] + "/").json()["id"] == job["id"]
    assert client.get("/healthz/").status_code == 200
    answer = client.post("/v1/jobs/", files={"image": jpeg}, data={"prompt": "make it sepia"})
    assert answer.status_code == 202
    assert client.get("/v1/nothing/").status_code == 404
    assert client.delete("/v1/jobs/").status_code == 405


def test_what_is_answered_can_be_told_apart_in_the_metrics(settings):
    with calling(settings) as client:
        client.head("/v1/models")
        until(lambda: 'method="HEAD",route="/v1/models",status="200"' in client.get("/metrics").text, 5)
