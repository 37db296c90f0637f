"""Replicate's dialect, request by request. Its own clients are tested in `tests/e2e/test_replicate_clients.py`."""

import json
import threading
import time
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from api.openapi import WHITE
from jobs.api_keys import ApiKeys, Scope
from jobs.errors import JobError
from jobs.job import new_id
from jobs.links import Links
from jobs.settings import Settings
from tests.integration.conftest import Apps, calling
from tests.jobs_of import a_job

V1 = "/replicate/v1"
MODEL = f"{V1}/models/darkroom/pix2pix-full"
USER = frozenset({Scope.SUBMIT, Scope.READ})


def predict(client: TestClient, path: str = f"{MODEL}/predictions", headers: dict | None = None, **body) -> dict:
    given = {"image": WHITE, "prompt": "make it sepia", **body.pop("input", {})}
    answer = client.post(path, json={"input": given, **body}, headers=headers)
    assert answer.status_code == 201, answer.text
    return {**answer.json(), "headers": answer.headers}


def refused(client: TestClient, body: object, path: str = f"{MODEL}/predictions", **headers: str) -> tuple[int, str]:
    answer = client.post(path, json=body, headers=headers)
    return answer.status_code, answer.json()["errors"][0]["field"]


def finish(store, pictures, jpeg: bytes) -> str:
    job = store.claim("w", lease_seconds=30, token=new_id())
    store.finish(job, pictures.put_result(job, jpeg, "image/jpeg", (96, 64)), {}, {})
    return job.id


# ---- what is asked for


def test_inputs_have_their_own_names_and_what_is_unknown_is_named_and_ignored(client):
    asked = {"num_inference_steps": 3, "guidance_scale": 2, "image_guidance_scale": 1.2, "output_format": "jpg"}
    made = predict(client, input={**asked, "num_outputs": 4}, stream=True, nonsense=1)
    job = client.get(f"/v1/jobs/{made['id']}").json()
    assert {name: job["params"][name] for name in ("steps", "cfg_scale", "image_cfg_scale", "format")} == {
        "steps": 3,
        "cfg_scale": 2,
        "image_cfg_scale": 1.2,
        "format": "jpeg",
    }
    assert asked.items() <= made["input"].items()
    assert made["headers"]["x-ignored-fields"] == "input.num_outputs, nonsense"
    assert made["headers"]["x-job-id"] == made["id"]


def test_a_version_is_an_id_or_a_name_or_both(client):
    version = client.get(MODEL).json()["latest_version"]
    assert client.get(f"{MODEL}/versions/{version['id']}").json() == version
    assert client.get(f"{MODEL}/versions").json()["results"] == [version]
    assert client.get(f"{MODEL}/versions/{'0' * 64}").status_code == 404
    for text in (version["id"], "darkroom/pix2pix-full", f"darkroom/pix2pix-full:{version['id']}"):
        made = predict(client, f"{V1}/predictions", version=text)
        assert (made["model"], made["version"]) == ("darkroom/pix2pix-full", version["id"])
    for text in (
        "",
        ":",
        "0" * 64,
        "pix2pix-full",
        f"darkroom/pix2pix-1:{version['id']}",
        f":{version['id']}",
        "a:b:c",
    ):
        assert refused(client, {"version": text, "input": {}}, f"{V1}/predictions") == (422, "version")
    assert client.post(f"{V1}/models/acme/pix2pix-full/predictions", json={"input": {}}).status_code == 404
    assert predict(client, f"{V1}/deployments/darkroom/pix2pix-1/predictions")["model"] == "darkroom/pix2pix-1"


def test_a_schema_says_of_each_input_what_the_service_takes(client):
    for model in client.get(f"{V1}/models").json()["results"]:
        schema = model["latest_version"]["openapi_schema"]["components"]["schemas"]["Input"]
        assert schema["required"] == ["image", "prompt"]
        defaults = {name: one["default"] for name, one in schema["properties"].items() if "default" in one}
        path = f"{V1}/models/darkroom/{model['name']}/predictions"
        made = predict(client, path, input=defaults)
        assert "x-ignored-fields" not in made["headers"]
        assert defaults.items() <= made["input"].items()


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"prompt": "x"}, "input.image"),
        ({"image": WHITE}, "input.prompt"),
        ({"image": WHITE, "prompt": "x", "num_inference_steps": 1001}, "input.num_inference_steps"),
        ({"image": WHITE, "prompt": "x", "guidance_scale": "much"}, "input.guidance_scale"),
        ({"image": WHITE, "prompt": "x", "output_format": "gif"}, "input.output_format"),
        ({"image": [WHITE], "prompt": "x"}, "input.image"),
        ({"image": "data:text/plain;base64,aGVsbG8=", "prompt": "x"}, "input.image"),
        ({"image": "ftp://example.com/x.png", "prompt": "x"}, "input.image"),
    ],
)
def test_a_refusal_names_the_field_as_it_was_sent(client, given, field):
    assert refused(client, {"input": given}) == (422, field)


def test_a_key_that_was_used_for_another_request_is_named(client):
    predict(client, headers={"Idempotency-Key": "k"})
    other = {"input": {"image": WHITE, "prompt": "another"}}
    assert refused(client, other, **{"Idempotency-Key": "k"}) == (422, "Idempotency-Key")
    assert refused(client, other, **{"Idempotency-Key": "k" * 300}) == (422, "Idempotency-Key")


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("5m", 300), ("1h", 3600), ("1h30m45s", 5445), (" 2m ", 120)]
)
def test_cancel_after_is_the_deadline(client, text, seconds):
    made = predict(client, headers={"Cancel-After": text})
    assert client.get(f"/v1/jobs/{made['id']}").json()["deadline_seconds"] == seconds


@pytest.mark.parametrize("text", ["", "0s", "5", "s", "5d", "-5s", "1.5h", "30s5m", "9999999s", "٣s"])
def test_a_time_that_is_none_is_refused(client, text):
    body = {"input": {"image": WHITE, "prompt": "x"}}
    assert refused(client, body, **{"Cancel-After": text.encode()}) == (422, "Cancel-After")


@pytest.mark.parametrize(
    ("filter_", "events"),
    [
        (None, ["job.completed"]),
        (["start"], ["job.started"]),
        (["output"], ["job.completed"]),
        (["logs", "completed", "output"], ["job.progress", "job.completed"]),
    ],
)
def test_a_webhook_is_told_of_what_its_filter_names(client, store, filter_, events):
    made = predict(client, webhook="https://example.com/told", webhook_events_filter=filter_)
    job = store.get(made["id"], "default")
    assert (job.webhook, list(job.webhook_events)) == ("https://example.com/told", events)
    assert store.get(predict(client, webhook_completed="https://example.com/")["id"], "default").webhook_events
    assert refused(client, {"input": {}, "webhook_events_filter": ["done"]})[0] == 422


def test_a_picture_may_be_at_an_address_of_ours(client, store, pictures, jpeg):
    made = predict(client)
    finish(store, pictures, jpeg)
    done = client.get(f"{V1}/predictions").json()["results"][0]
    again = predict(client, input={"image": done["output"]})
    assert client.get(f"/v1/jobs/{again['id']}").json()["parent"] == made["id"]
    same = predict(client, input={"image": done["input"]["image"]})
    assert [client.get(f"/v1/jobs/{one['id']}").json()["input"]["width"] for one in (again, same)] == [96, 16]
    elsewhere = done["output"].replace("localhost", "example.com")
    assert refused(client, {"input": {"image": elsewhere, "prompt": "x"}}) == (422, "input.image")
    absent = done["output"].replace(made["id"], new_id())
    assert client.post(f"{MODEL}/predictions", json={"input": {"image": absent, "prompt": "x"}}).status_code == 404


def test_a_clients_own_retry_finds_the_job_and_a_second_call_makes_another(client):
    tries = [predict(client, headers={"x-stainless-retry-count": str(count)})["id"] for count in (0, 1, 2, 0)]
    assert len(set(tries[:3])) == 1
    assert tries[3] != tries[0]
    assert predict(client, input={"prompt": "x"}, headers={"x-stainless-retry-count": "1"})["id"] not in tries


# ---- waiting


@pytest.mark.parametrize("prefer", ["wait", "wait=5", "respond-async, wait=5", "handling=lenient; wait"])
def test_a_wait_ends_with_the_job(client, store, pictures, jpeg, prefer):
    def work() -> None:
        while not store.queue().queued:
            time.sleep(0.01)
        finish(store, pictures, jpeg)

    worker = threading.Thread(target=work)
    worker.start()
    made = predict(client, headers={"Prefer": prefer})
    worker.join()
    assert made["status"] == "succeeded"
    assert made["output"].startswith("data:image/jpeg;base64,")


def test_a_wait_that_runs_out_says_starting_whatever_the_job_does(client, store):
    """`run` takes any other status for the end."""
    made: list[dict] = []
    asking = threading.Thread(target=lambda: made.append(predict(client, headers={"Prefer": "wait=1"})))
    asking.start()
    while not store.claim("w", lease_seconds=30, token=new_id()):
        time.sleep(0.01)
    asking.join()
    assert (made[0]["status"], made[0]["job_status"]) == ("starting", "running")
    assert client.get(f"{V1}/predictions/{made[0]['id']}").json()["status"] == "processing"


# ---- what is told


def test_pages_follow_one_another_by_address(client, store):
    for _ in range(205):
        store.submit(a_job())
    seen, following = [], f"{V1}/predictions"
    while following:
        page = client.get(following).json()
        seen += [one["id"] for one in page["results"]]
        following = page["next"]
    assert len(seen) == len(set(seen)) == 205
    assert seen == sorted(seen, reverse=True)


def test_cancel_stops_what_goes_on_and_leaves_what_is_over(client, store, pictures, jpeg):
    made = predict(client)
    assert client.post(f"{V1}/predictions/{made['id']}/cancel").json()["status"] == "canceled"
    assert client.post(f"{V1}/predictions/{made['id']}/cancel").json()["status"] == "canceled"
    done = predict(client)
    finish(store, pictures, jpeg)
    kept = client.post(f"{V1}/predictions/{done['id']}/cancel")
    assert (kept.status_code, kept.json()["status"]) == (200, "succeeded")


def stream(client: TestClient, address: str) -> list[dict[str, str]]:
    blocks = client.get(address).text.strip().split("\n\n")
    return [dict(line.split(": ", 1) for line in block.splitlines() if ": " in line) for block in blocks]


def test_a_stream_ends_by_its_outcome_and_every_event_has_an_id(client, store, pictures, jpeg):
    succeeded, failed, canceled = (predict(client) for _ in range(3))
    finish(store, pictures, jpeg)
    job = store.claim("w", lease_seconds=30, token=new_id())
    assert job.id == failed["id"]
    store.fail(job, JobError("broken", "It broke", "It broke in two."))
    client.post(canceled["urls"]["cancel"])
    ends = [stream(client, made["urls"]["stream"])[-2:] for made in (succeeded, failed, canceled)]
    assert [[event["event"] for event in end] for end in ends] == [["output", "done"], ["error", "done"], ["done"]]
    assert all(event["id"] for end in ends for event in end)
    assert ends[1][0]["data"] == "It broke in two."
    assert json.loads(ends[2][0]["data"]) == {"reason": "canceled"}


def test_an_output_is_a_data_uri_over_http_and_an_address_over_https(client, store, pictures, jpeg, settings, apps):
    made = predict(client)
    finish(store, pictures, jpeg)
    assert client.get(f"{V1}/predictions/{made['id']}").json()["output"].startswith("data:image/jpeg;base64,")
    secure = apps(settings, base_url="https://localhost")
    output = secure.get(f"{V1}/predictions/{made['id']}").json()["output"]
    assert output.startswith(f"https://localhost{V1}/predictions/{made['id']}/output.png?access=")
    picture = secure.get(output)
    assert (picture.status_code, picture.headers["content-type"], picture.content) == (200, "image/jpeg", jpeg)


def test_requests_are_counted_by_the_dialects_own_routes(settings):
    with calling(settings) as client:
        for path in ("models/darkroom/pix2pix-full", "models/darkroom/pix2pix-1", "nothing", "nothing-else"):
            client.get(f"{V1}/{path}")
        lines = client.get("/metrics").text.splitlines()
    named = [line.partition('route="')[2].partition('"')[0] for line in lines if "http_requests_total{" in line]
    assert f"{V1}/models/{{owner}}/{{name}}" in named
    assert not [route for route in named if "nothing" in route]


# ---- whose is what


@pytest.fixture
def tenant(settings: Settings, store, apps: Apps) -> Callable[[str], TestClient]:
    locked = settings.model_copy(update={"auth": "on"})

    def make(name: str) -> TestClient:
        _, key = ApiKeys(store.redis).make(name, USER)
        return apps(locked, headers={"Authorization": f"Bearer {key}"})

    return make


OF_ONE = [
    ("GET", "predictions/{id}"),
    ("POST", "predictions/{id}/cancel"),
    ("GET", "predictions/{id}/stream"),
    ("GET", "predictions/{id}/input"),
    ("GET", "predictions/{id}/output.png"),
]


@pytest.mark.parametrize(("method", "path"), OF_ONE)
def test_foreign_looks_like_absent(tenant, store, pictures, jpeg, method, path):
    owner, other = tenant("acme"), tenant("umbrella")
    made = predict(owner)
    finish(store, pictures, jpeg)

    def ask(client: TestClient, prediction_id: str, **options) -> tuple[int, str]:
        answer = client.request(method, f"{V1}/{path.replace('{id}', prediction_id)}", **options)
        return answer.status_code, answer.text.replace(prediction_id, "ID")

    absent = ask(other, new_id())
    assert absent[0] == 404
    assert ask(other, made["id"]) == absent
    links = Links(Settings(_env_file=None))
    for access in (links.access("umbrella", made["id"]), "nonsense", links.access("acme", new_id())):
        assert ask(other, made["id"], params={"access": access}) == absent
    assert ask(owner, made["id"])[0] == 200
    assert other.get(f"{V1}/predictions").json()["results"] == []
    nobody = tenant("nobody")
    del nobody.headers["Authorization"]
    assert ask(nobody, made["id"])[0] == 401


def test_a_link_shows_its_own_job_without_a_key_and_changes_nothing(tenant, store, pictures, jpeg):
    owner, nobody = tenant("acme"), tenant("nobody")
    del nobody.headers["Authorization"]
    made, another = predict(owner), predict(owner)
    finish(store, pictures, jpeg)
    access = made["urls"]["stream"].partition("access=")[2]
    for path in ("stream", "input", "output.png"):
        at = f"{V1}/predictions/{{}}/{path}"
        assert nobody.get(at.format(made["id"]), params={"access": access}).status_code == 200
        assert nobody.get(at.format(another["id"]), params={"access": access}).status_code == 401
    for method, path in (("GET", ""), ("POST", "/cancel")):
        answer = nobody.request(method, f"{V1}/predictions/{made['id']}{path}", params={"access": access})
        assert answer.status_code == 401
    assert nobody.get(f"/v1/jobs/{made['id']}", params={"access": access}).status_code == 401


@pytest.mark.parametrize("path", ["account", "hardware", "models", "deployments", "search", "webhooks/default/secret"])
def test_without_a_key_nothing_is_told(tenant, path):
    nobody = tenant("nobody")
    assert nobody.get(f"{V1}/{path}").status_code == 200
    del nobody.headers["Authorization"]
    assert nobody.get(f"{V1}/{path}").status_code == 401


@pytest.mark.parametrize("prediction_id", ["..", "%2e%2e", "x%3Fwait=60", "a%23b", "%00", "é", "O" * 26, "0" * 64, "7"])
def test_an_id_that_is_none_is_not_found(client, prediction_id):
    for method, path in OF_ONE:
        answer = client.request(method, f"{V1}/{path.replace('{id}', prediction_id)}")
        assert answer.status_code == 404, answer.text


# ---- files


def keep(client: TestClient, content: object, **fields: object) -> dict:
    answer = client.post(f"{V1}/files", files={"content": content, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_files_name_type_and_metadata_may_come_in_each_clients_way(client, jpeg):
    by_part = keep(client, ("a.jpg", jpeg, "image/jpeg"), metadata=(None, '{"a": 1}'))
    by_file = keep(client, ("b.jpg", jpeg, "image/jpeg"), metadata=("blob", b'{"a": 1}', "application/json"))
    by_fields = keep(client, ("upload", jpeg), filename=(None, "c.jpg"), type=(None, "image/jpeg"))
    assert [kept["name"] for kept in (by_part, by_file, by_fields)] == ["a.jpg", "b.jpg", "c.jpg"]
    assert [kept["metadata"] for kept in (by_part, by_file, by_fields)] == [{"a": 1}, {"a": 1}, {}]
    assert {kept["content_type"] for kept in (by_part, by_file, by_fields)} == {"image/jpeg"}
    assert client.get(f"{V1}/files").json()["results"] == [by_fields, by_file, by_part]
    assert predict(client, input={"image": by_part["urls"]["get"]})["status"] == "starting"


def test_a_file_that_is_none_is_refused(client, jpeg):
    def sent(**parts: object) -> tuple[int, str]:
        answer = client.post(f"{V1}/files", files=parts)
        return answer.status_code, answer.json()["errors"][0]["field"]

    assert sent(other=("a", b"x")) == (422, "content")
    assert sent(content=("a", jpeg), metadata=(None, "[1]")) == (422, "metadata")
    assert sent(content=("a", jpeg), metadata=("blob", b"\xff{")) == (422, "metadata")
    assert client.post(f"{V1}/files", content=b"x", headers={"Content-Type": "text/plain"}).status_code == 415


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_foreign_file_looks_absent(tenant, jpeg, method):
    owner, other = tenant("acme"), tenant("umbrella")
    kept = keep(owner, ("a.jpg", jpeg, "image/jpeg"))

    def ask(client: TestClient, file_id: str) -> tuple[int, str]:
        answer = client.request(method, f"{V1}/files/{file_id}")
        return answer.status_code, answer.text.replace(file_id, "ID")

    absent = ask(other, new_id())
    assert absent[0] == 404
    assert ask(other, kept["id"]) == absent
    assert refused(other, {"input": {"image": kept["urls"]["get"], "prompt": "x"}}) == (422, "input.image")
    assert other.get(f"{V1}/files").json()["results"] == []
    assert ask(owner, kept["id"])[0] < 300
