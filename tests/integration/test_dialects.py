"""What all dialects rely on: the native API called in process, with the rights of the dialect's caller."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import APIRouter, Request
from fastapi.testclient import TestClient

from api.dialects.native import Service, dialect_app
from api.main import create_app
from jobs.api_keys import ApiKeys, Scope
from jobs.settings import Settings
from jobs.store import JobStore
from tests.integration.conftest import client_of

router = APIRouter()


@router.post("/edits")
async def create(native: Service, request: Request) -> dict[str, Any]:
    accepted = await native.submit(
        {"image": await request.body(), "prompt": "make it sepia", "metadata": {"a": [1]}, "seed": None},
        key=request.headers.get("idempotency-key"),
    )
    native.tell_job(accepted.job["id"])
    native.ignore(["quality", "bad\nname", "image[]"])
    return {"job": accepted.job, "replayed": accepted.replayed}


@router.get("/edits/{job_id}/story")
async def story(native: Service, job_id: str) -> list[str]:
    async with native.events(job_id) as events:
        return [event.type async for event in events if event]


@router.get("/edits/{job_id}/first-event")
async def first_event(native: Service, job_id: str) -> str:
    async with native.events(job_id) as events:
        return (await anext(events)).data["status"]


@router.get("/edits/{job_id}")
async def wait(native: Service, job_id: str) -> Any:
    return await native.wait_for(job_id, 0.1)


@pytest.fixture
def calls(settings: Settings) -> Iterator[TestClient]:
    app = create_app(settings)
    app.mount("/parrot/v1", dialect_app("A dialect", router, app))
    with client_of(app) as client:
        yield client


def test_a_dialect_submits_with_a_form_and_names_the_job(calls, jpeg):
    answer = calls.post("/parrot/v1/edits", content=jpeg)
    assert answer.status_code == 200, answer.text
    job = answer.json()["job"]
    assert job["metadata"] == {"a": [1]}
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert answer.headers["x-job-id"] == job["id"]
    assert answer.headers["x-ignored-fields"] == "image[], quality"
    assert calls.get(f"/parrot/v1/edits/{job['id']}").json()["status"] == "queued"


def test_the_same_key_is_the_same_job(calls, jpeg):
    first, again = (calls.post("/parrot/v1/edits", content=jpeg, headers={"idempotency-key": "k"}) for _ in range(2))
    assert first.json()["job"]["id"] == again.json()["job"]["id"]
    assert (first.json()["replayed"], again.json()["replayed"]) == (False, True)


def test_events_come_while_the_job_goes_on_and_a_stream_left_early_is_closed(calls, jpeg):
    job_id = calls.post("/parrot/v1/edits", content=jpeg).json()["job"]["id"]
    for _ in range(3):
        assert calls.get(f"/parrot/v1/edits/{job_id}/first-event").json() == "queued"
    assert calls.app.state.services.connections.taken.total() == 0
    calls.post(f"/v1/jobs/{job_id}/cancel")
    assert calls.get(f"/parrot/v1/edits/{job_id}/story").json() == ["status", "done"]


def test_a_refusal_is_passed_on_in_its_own_words(calls):
    answer = calls.post("/parrot/v1/edits", content=b"no picture")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["field"] == "image"
    assert answer.json()["instance"] == "/parrot/v1/edits"


def test_whoever_calls_the_dialect_is_who_calls_the_api(settings, store: JobStore, jpeg):
    app = create_app(settings.model_copy(update={"auth": "on"}))
    app.mount("/parrot/v1", dialect_app("A dialect", router, app))
    _, key = ApiKeys(store.redis).make("anna", frozenset({Scope.SUBMIT, Scope.READ}), "hers")
    with client_of(app) as calls:
        refused = calls.post("/parrot/v1/edits", content=jpeg)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        accepted = calls.post("/parrot/v1/edits", content=jpeg, headers={"Authorization": f"Bearer {key}"})
        assert accepted.status_code == 200, accepted.text
        assert "ratelimit" in accepted.headers
    assert [job.id for job in store.page("anna", status=None, limit=9, after=None)] == [accepted.json()["job"]["id"]]


def test_without_keys_any_token_is_taken_and_other_sites_are_not(calls, jpeg):
    sent = calls.post("/parrot/v1/edits", content=jpeg, headers={"Authorization": "Bearer sk-anything"})
    assert sent.status_code == 200, sent.text
    foreign = calls.post("/parrot/v1/edits", content=jpeg, headers={"Origin": "http://evil.example"})
    assert foreign.status_code == 403


def test_a_dialects_errors_have_its_shape(client):
    answer = client.get("/openai/v1/nothing")
    assert answer.status_code == 404
    assert answer.json()["error"] == {
        "message": "Not Found",
        "type": "invalid_request_error",
        "param": None,
        "code": "not_found",
    }
    assert answer.json()["type"] == "urn:darkroom:problem:not-found"
    assert client.get("/openai/v1/files/a%0Ab").json()["error"]["code"] == "not_found"
    wrong_method = client.post("/openai/v1/models/")
    assert (wrong_method.status_code, wrong_method.headers["allow"]) == (405, "GET, HEAD")
