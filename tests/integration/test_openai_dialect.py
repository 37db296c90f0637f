"""How the OpenAI dialect translates requests into jobs, and refusals back."""

import io
import json

import httpx
import pytest
from PIL import Image

from api.dialects.openai import edits
from jobs.errors import JobError
from jobs.job import Job
from tests.integration.conftest import encoded
from tests.integration.test_events import serving
from tests.integration.test_tenants import locked, other, owner, tenant  # noqa: F401

BROKEN = JobError("internal-error", "It broke", "It broke here.")
LATER = {"Prefer": "respond-async"}


def edit(client, image: bytes, headers: dict | None = None, **fields) -> httpx.Response:
    data = {"prompt": "make it sepia", **fields}
    return client.post(
        "/openai/v1/images/edits", files={"image": image}, data=data, headers={**LATER, **(headers or {})}
    )


def job_of(store, answer: httpx.Response) -> Job:
    assert answer.status_code == 202, answer.text
    return store.get(answer.headers["x-job-id"], "default")


@pytest.fixture
def usual(client) -> dict:
    """The default model's parameters for an empty request."""
    (model,) = [model for model in client.get("/v1/models").json()["data"] if model["default"]]
    return {parameter["name"]: parameter["default"] for parameter in model["parameters"]}


@pytest.mark.parametrize(
    ("fields", "differing"),
    [
        ({}, lambda usual: {}),
        ({"model": "gpt-image-2", "quality": "auto", "background": "opaque"}, lambda usual: {}),
        ({"quality": "low"}, lambda usual: {"steps": max(2, round(usual["steps"] / 2))}),
        ({"quality": "high"}, lambda usual: {"steps": usual["steps"] * 2}),
        ({"quality": "high", "num_inference_steps": "9"}, lambda usual: {"steps": 9}),
        ({"input_fidelity": "high"}, lambda usual: {"image_cfg_scale": usual["image_cfg_scale"] + 0.5}),
        ({"size": "512x512"}, lambda usual: {"size": "512x512", "resolution": "model"}),
        ({"size": "1536x1024"}, lambda usual: {}),
        ({"true_cfg_scale": "3", "negative_prompt": "rain"}, lambda usual: {"cfg_scale": 3, "negative_prompt": "rain"}),
    ],
)
def test_a_field_is_the_native_parameter_that_it_means(client, store, jpeg, usual, fields, differing):
    job = job_of(store, edit(client, jpeg, seed="5", **fields))
    assert job.params == {**usual, "prompt": "make it sepia", "seed": 5} | differing(usual)
    assert job.model == "pix2pix-full"


def test_fields_that_are_not_heeded_are_named(client, jpeg):
    answer = edit(client, jpeg, user="u-1", output_compression="80", size="1024x1024", moderation="low")
    assert answer.headers["x-ignored-fields"] == "moderation, output_compression, size, user"


def test_jpg_is_jpeg(client, store, jpeg):
    assert job_of(store, edit(client, jpeg, output_format="jpg")).format == "jpeg"


def test_n_jobs_or_none(client, store, jpeg):
    answer = edit(client, jpeg, n="3", seed=str(2**53 - 2))
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "seed"
    jobs = store.page("default", status=None, limit=9, after=None)
    assert [job.status for job in jobs] == ["canceled"] * 2, "what was accepted before the refusal does not run"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": "11"}, "n"),
        ({"n": "many"}, "n"),
        ({"size": "large"}, "size"),
        ({"seed": "-1"}, "seed"),
        ({"stream": "maybe"}, "stream"),
        ({"partial_images": "4"}, "partial_images"),
        ({"response_format": "gif"}, "response_format"),
        ({"output_format": "gif"}, "output_format"),
        ({"background": "transparent"}, "background"),
        ({"num_inference_steps": "1"}, "num_inference_steps"),
        ({"guidance_scale": "x"}, "guidance_scale"),
        ({"prompt": ""}, "prompt"),
        ({"url": "https://example.com/a.png"}, "image"),
    ],
)
def test_a_wrong_field_is_named_as_it_was_sent(client, jpeg, fields, param):
    answer = edit(client, jpeg, **fields)
    assert answer.status_code == 400
    told = answer.json()
    assert told["error"]["param"] == param
    assert told["error"]["type"] == "invalid_request_error"
    assert told["type"] == "urn:darkroom:problem:invalid-request"
    assert told["errors"][0]["field"] == param
    assert told["status"] == 400


def test_json_that_is_none_and_bodies_of_other_types(client):
    url = "/openai/v1/images/edits"
    for body in (
        b"{",
        b"[1]",
        b'{"images": "x", "prompt": "sepia"}',
        b'{"images": [{"file_id": "../jobs"}], "prompt": "a"}',
    ):
        answer = client.post(url, content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["message"]
    assert client.post(url, content=b"x").status_code == 415


def test_a_mask_is_transparent_where_the_picture_is_edited(client, store, pictures, jpeg):
    mask = Image.new("RGBA", (96, 64), (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (0, 0, 48, 64))
    files = {"image": jpeg, "mask": encoded(mask)}
    answer = client.post("/openai/v1/images/edits", files=files, data={"prompt": "make it sepia"}, headers=LATER)
    job = job_of(store, answer)
    kept = Image.open(io.BytesIO(pictures.read(job.mask)))
    assert [kept.getpixel((x, 32)) for x in (0, 40, 56, 95)] == [255, 255, 0, 0]


def test_a_repeated_try_finds_the_job_of_the_last_first_one(client, jpeg):
    def ask(count: int, **fields) -> str:
        return edit(client, jpeg, {"x-stainless-retry-count": str(count)}, **fields).headers["x-job-id"]

    first, again, once_more = ask(0), ask(1), ask(2)
    assert first == again == once_more
    another = ask(0)
    assert another != first, "the same call on purpose"
    assert ask(1) == another
    assert ask(1, seed="3") not in (first, another), "another call"
    assert ask(0, n="2") == ask(1, n="2")


def test_a_key_of_the_clients_own_counts(client, jpeg):
    key = {"Idempotency-Key": "mine", "x-stainless-retry-count": "0"}
    assert len({edit(client, jpeg, key).headers["x-job-id"] for _ in range(2)}) == 1


def test_an_answer_that_takes_long_begins_before_its_job_is_over(settings, store, pictures, jpeg, monkeypatch):
    monkeypatch.setattr(edits, "FIRST_BYTE", 0.1)
    monkeypatch.setattr(edits, "HEARTBEAT", 0.1)
    with serving(settings) as http:
        url, form = "/openai/v1/images/edits", {"files": {"image": jpeg}, "data": {"prompt": "make it sepia"}}
        with http.stream("POST", url, **form) as answer:
            job_id = answer.headers["x-job-id"]
            body = answer.iter_raw()
            assert next(body) == b" "
            job = store.claim("w", lease_seconds=30, token="t")
            assert job.id == job_id
            store.finish(job, pictures.put_result(job, jpeg, "image/jpeg", (96, 64)), {}, {})
            told = json.loads(b"".join(body))
        assert told["data"][0]["job_id"] == job_id
        tries = {"headers": {"x-stainless-retry-count": "0"}}
        with http.stream("POST", url, **form, **tries) as answer:
            job = store.claim("w", lease_seconds=30, token="u")
            store.fail(job, BROKEN)
            with pytest.raises(httpx.RemoteProtocolError):
                answer.read()
        again = http.post(url, **form, headers={"x-stainless-retry-count": "1"})
        assert (again.status_code, again.headers["x-should-retry"]) == (500, "false")
        assert again.json()["error"]["message"] == "It broke here."
        assert again.headers["x-job-id"] == job.id


def test_a_stream_tells_of_a_failure_in_an_error(settings, store, jpeg):
    with serving(settings) as http:
        form = {"files": {"image": jpeg}, "data": {"prompt": "make it sepia", "stream": "true"}}
        with http.stream("POST", "/openai/v1/images/edits", **form) as answer:
            job = store.claim("w", lease_seconds=30, token="t")
            store.fail(job, BROKEN)
            lines = list(answer.iter_lines())
    assert not [line for line in lines if line.startswith(("id:", "retry:"))], "they break the client"
    assert lines[-3] == "event: error"
    assert json.loads(lines[-2].removeprefix("data: "))["error"]["message"] == "It broke here."


def test_a_foreign_file_looks_absent(owner, other, jpeg):  # noqa: F811
    file = owner.post("/openai/v1/files", files={"file": jpeg}, data={"purpose": "vision"}).json()["id"]
    absent = "file-" + "0" * 26
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        answers = [other.request(method, f"/openai/v1/files/{name}{path}") for name in (file, absent, "file-a%2f..")]
        assert [answer.status_code for answer in answers] == [404] * 3
        assert answers[0].text.replace(file, "") == answers[1].text.replace(absent, "")
    assert other.get("/openai/v1/files").json()["data"] == []
    assert other.get("/openai/v1/files", params={"after": file}).status_code == 404
    body = {"images": [{"file_id": file}], "prompt": "make it sepia"}
    assert other.post("/openai/v1/images/edits", json=body).status_code == 400
    assert owner.post("/openai/v1/images/edits", json=body, headers=LATER).status_code == 202


def test_limits_hold(settings, apps, store, jpeg):
    client = apps(settings.model_copy(update={"max_queued_jobs": 2}))
    assert edit(client, jpeg, n="2").status_code == 202
    refused = edit(client, jpeg)
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "too_many_jobs"
    assert int(refused.headers["retry-after"]) >= 1


def test_without_a_key_nobody_is_served(locked, apps, jpeg):  # noqa: F811
    answer = edit(apps(locked, headers={"Authorization": "Bearer sk-anything"}), jpeg)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")


def test_a_foreign_batch_looks_absent(owner, other, jpeg):  # noqa: F811
    photo = owner.post("/openai/v1/files", files={"file": jpeg}, data={"purpose": "vision"}).json()["id"]
    body = {"prompt": "make it sepia", "images": [{"file_id": photo}]}
    line = json.dumps({"custom_id": "a", "method": "POST", "url": "/v1/images/edits", "body": body}).encode()
    source = owner.post("/openai/v1/files", files={"file": line}, data={"purpose": "batch"}).json()["id"]
    asked = {"input_file_id": source, "endpoint": "/v1/images/edits", "completion_window": "24h"}
    assert other.post("/openai/v1/batches", json=asked).status_code == 404
    batch = owner.post("/openai/v1/batches", json=asked).json()["id"]
    absent, own = "0" * 26, batch.removeprefix("batch_")
    for method, path in (
        ("GET", "/batches/batch_{}"),
        ("POST", "/batches/batch_{}/cancel"),
        ("GET", "/files/file-out{}"),
        ("GET", "/files/file-err{}/content"),
    ):
        answers = [other.request(method, "/openai/v1" + path.format(name)) for name in (own, absent)]
        assert [answer.status_code for answer in answers] == [404] * 2
        assert answers[0].text.replace(own, "") == answers[1].text.replace(absent, "")
    assert other.get("/openai/v1/batches").json()["data"] == []
    assert owner.get(f"/openai/v1/batches/{batch}").json()["status"] == "in_progress"
    early = owner.get(f"/openai/v1/files/file-out{own}/content")
    assert (early.status_code, early.json()["error"]["code"]) == (404, "not_found")


def test_a_batch_that_is_asked_for_again_is_one(client, jpeg):
    photo = client.post("/openai/v1/files", files={"file": jpeg}, data={"purpose": "vision"}).json()["id"]
    body = {"prompt": "make it sepia", "images": [{"file_id": photo}]}
    lines = [{"custom_id": str(i), "method": "POST", "url": "/v1/images/edits", "body": body} for i in range(2)]
    lines.append({**lines[0], "custom_id": "bad", "body": {**body, "size": "huge"}})
    data = "\n".join(map(json.dumps, lines)).encode()
    source = client.post("/openai/v1/files", files={"file": data}, data={"purpose": "batch"}).json()["id"]
    asked = {"input_file_id": source, "endpoint": "/v1/images/edits", "completion_window": "24h"}
    first, again = (
        client.post("/openai/v1/batches", json=asked, headers={"x-stainless-retry-count": count}).json()
        for count in ("0", "1")
    )
    assert first["id"] == again["id"]
    assert first["request_counts"] == {"total": 3, "completed": 0, "failed": 1}
    assert len(client.get("/openai/v1/batches").json()["data"]) == 1


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"endpoint": "/v1/chat/completions"}, "endpoint"),
        ({"completion_window": "8d"}, "completion_window"),
        ({"completion_window": 24}, "completion_window"),
        ({"input_file_id": None}, "input_file_id"),
        ({"metadata": {"a": "b" * 5000}}, "metadata"),
    ],
)
def test_a_batch_with_a_wrong_field_names_it(client, jpeg, fields, param):
    body = {"prompt": "make it sepia", "images": [{"image_url": "https://example.com/a.png"}]}
    line = json.dumps({"custom_id": "a", "method": "POST", "url": "/v1/images/edits", "body": body}).encode()
    source = client.post("/openai/v1/files", files={"file": line}, data={"purpose": "batch"}).json()["id"]
    asked = {"input_file_id": source, "endpoint": "/v1/images/edits", "completion_window": "24h", **fields}
    answer = client.post("/openai/v1/batches", json=asked)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert client.get("/openai/v1/batches").json()["data"] == []
