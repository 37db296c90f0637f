"""Refusals for lack of room are early and cheap, and say when to come back."""

import contextlib
import http.client
import socket

import pytest

from jobs.pictures import PictureStore
from tests.integration.conftest import calling, submit
from tests.integration.test_events import serving

FORM = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": "9000000"}


@pytest.mark.parametrize(("bound", "status"), [("max_queue", 503), ("max_queued_jobs", 429)])
def test_a_full_queue_is_said_before_the_body_is_sent(settings, client, jpeg, bound, status):
    job = submit(client, jpeg)
    with serving(settings.model_copy(update={bound: 1})) as reader:
        connection = http.client.HTTPConnection("127.0.0.1", reader.base_url.port, timeout=5)
        connection.putrequest("POST", "/v1/jobs")
        for name, value in FORM.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        assert answer.status == status
        assert int(answer.headers["Retry-After"]) >= 1
        assert answer.headers["Content-Type"] == "application/problem+json"
        connection.close()
        assert reader.get(job["urls"]["self"]).status_code == 200, "reading goes on"


def test_a_repeated_submission_is_answered_when_there_is_no_room(settings, jpeg):
    with calling(settings.model_copy(update={"max_queue": 1})) as client:
        client.headers["Idempotency-Key"] = "once"
        job = submit(client, jpeg)
        again = submit(client, jpeg)
        assert again["id"] == job["id"]
        refused = client.post("/v1/jobs", files={"image": jpeg}, data={"prompt": "x"}, headers={"Idempotency-Key": "b"})
        assert refused.status_code == 503


def test_nothing_is_kept_of_a_job_that_is_refused_at_the_last_moment(settings, jpeg, pictures, monkeypatch):
    """Two requests pass the first check of a queue with room for one."""
    monkeypatch.setattr("jobs.store.JobStore.admit", lambda *_: None)
    before = folders_of(pictures)
    with calling(settings.model_copy(update={"max_queue": 1})) as client:
        job = submit(client, jpeg)
        assert client.post("/v1/jobs", files={"image": jpeg}, data={"prompt": "x"}).status_code == 503
    assert folders_of(pictures) - before == {job["id"]}


def folders_of(pictures: PictureStore) -> set[str]:
    """The jobs that have objects in the bucket."""
    return {folder.job_id for folder in pictures.folders()}


def test_a_storage_that_was_away_a_moment_ago_is_not_asked_again(settings, jpeg):
    """A storage that hangs delays the first request. The next ones are refused without calling it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(0)
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        away = settings.model_copy(update={"s3_endpoint_url": endpoint, "s3_timeout_seconds": 0.6})
        calls = []
        with calling(away) as client:
            for _ in range(2):
                answer = client.post("/v1/jobs", files={"image": jpeg}, data={"prompt": "x"})
                assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
                calls.append(calls_at(silent))
    assert calls[0] > 0
    assert calls[1] == 0


def calls_at(server: socket.socket) -> int:
    """The number of calls since the last look."""
    calls = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            server.accept()[0].close()
            calls += 1
    return calls
