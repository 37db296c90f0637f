"""OpenAI's own client, unchanged, against a running Darkroom: only its base URL is another."""

import base64
import io
import threading
import time
from collections.abc import Iterator

import httpx
import openai
import pytest
from openai import OpenAI
from PIL import Image

from tests.local_stack import DEAD_PROXY, OBEDIENT, PHOTO, Up
from tests.waiting import until


@pytest.fixture(scope="module")
def up(tmp_path_factory) -> Iterator[Up]:
    with Up(tmp_path_factory.mktemp("openai") / "data", **OBEDIENT, **DEAD_PROXY) as up:
        yield up


@pytest.fixture
def client(up: Up) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{up.url}/openai/v1", api_key="sk-anything", http_client=httpx.Client(trust_env=False)) as it:
        yield it


def picture(encoded: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(encoded)))


def jobs(up: Up) -> list[dict]:
    return up.http.get("/v1/jobs", params={"limit": 100}).json()["data"]


STEPS = {"num_inference_steps": 4}


def test_an_edit(client):
    answer = client.images.edit(image=PHOTO.open("rb"), prompt="make it sepia", output_format="webp", extra_body=STEPS)
    assert picture(answer.data[0].b64_json).format == "WEBP"
    assert answer.output_format == "webp"
    assert time.time() - answer.created < 60


def test_three_edits_have_three_seeds(client, up):
    answer = client.images.edit(
        image=[PHOTO.read_bytes()], prompt="make it sepia", n=3, response_format="url", extra_body={**STEPS, "seed": 7}
    )
    assert [one.seed for one in answer.data] == [7, 8, 9]
    assert len({one.job_id for one in answer.data}) == 3
    assert httpx.get(answer.data[2].url, trust_env=False).content[:4] == b"\x89PNG"


def test_a_stream_has_real_previews_and_then_the_picture(client):
    stream = client.images.edit(
        image=PHOTO.open("rb"), prompt="slow", stream=True, partial_images=3, extra_body={"num_inference_steps": 10}
    )
    *partials, completed = list(stream)
    assert len(partials) >= 2
    assert [one.type for one in partials] == ["image_edit.partial_image"] * len(partials)
    assert [one.partial_image_index for one in partials] == list(range(len(partials)))
    assert [picture(one.b64_json).size for one in partials] == [(8, 8)] * len(partials)
    assert completed.type == "image_edit.completed"
    assert picture(completed.b64_json).format == "PNG"
    assert completed.usage.total_tokens == 0


def test_without_partials_a_stream_is_one_event_for_each_picture(client):
    stream = client.images.edit(image=PHOTO.open("rb"), prompt="sepia", stream=True, n=2, extra_body=STEPS)
    assert [event.type for event in stream] == ["image_edit.completed"] * 2


def test_the_jobs_id_comes_with_the_first_byte(client, up):
    raw = client.images.with_streaming_response.edit(
        image=PHOTO.open("rb"), prompt="slow", stream=True, extra_body={"num_inference_steps": 10}
    )
    with raw as answer:
        job_id = answer.headers["x-job-id"]
        assert answer.headers["location"] == f"/v1/jobs/{job_id}"
        assert up.job(job_id)["status"] in ("queued", "running")
    assert up.until_over(job_id)["status"] == "succeeded", "a client that hangs up loses nothing"


def test_respond_async(client, up):
    answer = client.images.with_raw_response.edit(
        image=PHOTO.open("rb"), prompt="sepia", extra_headers={"Prefer": "respond-async"}, extra_body=STEPS
    )
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"
    assert up.until_over(answer.headers["x-job-id"])["status"] == "succeeded"


def test_what_goes_wrong_has_the_class_that_it_has_there(client, up):
    photo = PHOTO.read_bytes()
    with pytest.raises(openai.BadRequestError) as refused:
        client.images.edit(image=photo, prompt="sepia", extra_body={"guidance_scale": 99})
    assert refused.value.param == "guidance_scale"
    assert refused.value.body["message"].startswith("guidance_scale") or "guidance" in str(refused.value.body)
    with pytest.raises(openai.BadRequestError) as refused:
        client.images.edit(image=photo, prompt="sepia", background="transparent")
    assert refused.value.param == "background"
    with pytest.raises(openai.NotFoundError) as refused:
        client.images.edit(image=photo, prompt="sepia", model="midjourney")
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        client.images.edit(image=b"no picture", prompt="sepia")
    assert (refused.value.code, refused.value.param) == ("invalid_picture", "image")
    before = len(jobs(up))
    with pytest.raises(openai.InternalServerError) as failed:
        client.images.edit(image=photo, prompt="fail", extra_body=STEPS)
    assert failed.value.request_id
    assert len(jobs(up)) == before + 1
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve("file-nothing")


def test_a_canceled_job_is_a_conflict_and_not_asked_for_again(client, up):
    before, caught = {job["id"] for job in jobs(up)}, []

    def call() -> None:
        with pytest.raises(openai.ConflictError) as refused:
            client.images.edit(image=PHOTO.read_bytes(), prompt="slow", extra_body={"num_inference_steps": 100})
        caught.append(refused.value)

    thread = threading.Thread(target=call)
    thread.start()
    until(lambda: {job["id"] for job in jobs(up)} - before)
    (job_id,) = {job["id"] for job in jobs(up)} - before
    up.http.post(f"/v1/jobs/{job_id}/cancel")
    thread.join(20)
    assert caught[0].code == "job_canceled"
    assert caught[0].body["message"]
    assert len(jobs(up)) == len(before) + 1


def test_a_call_that_breaks_off_and_is_repeated_is_one_job(up):
    """The client's own retry after its time-out, without an idempotency key."""
    before = len(jobs(up))
    impatient = OpenAI(
        base_url=f"{up.url}/openai/v1",
        api_key="k",
        timeout=1.0,
        max_retries=8,
        http_client=httpx.Client(trust_env=False),
    )
    answer = impatient.images.edit(image=PHOTO.read_bytes(), prompt="slow", extra_body={"num_inference_steps": 8})
    assert answer.data[0].b64_json
    assert len(jobs(up)) == before + 1
    again = impatient.images.edit(image=PHOTO.read_bytes(), prompt="slow", extra_body={"num_inference_steps": 8})
    assert again.data[0].job_id != answer.data[0].job_id, "another call of the same kind is another edit"


def test_models(client):
    names = [model.id for model in client.models.list()]
    assert "pix2pix-full" in names
    assert client.models.retrieve("pix2pix-base").owned_by == "darkroom"
    assert client.models.retrieve("gpt-image-1").id == "gpt-image-1"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nothing")


def test_files(client):
    file = client.files.create(file=("lines.jsonl", b"{}\n"), purpose="batch")
    assert (file.bytes, file.filename, file.purpose, file.status) == (3, "lines.jsonl", "batch", "processed")
    assert client.files.retrieve(file.id) == file
    assert client.files.content(file.id).content == b"{}\n"
    others = [client.files.create(file=b"x", purpose="vision", expires_after={"anchor": "created_at", "seconds": 3600})]
    assert others[0].expires_at - others[0].created_at == 3600
    listed = list(client.files.list(limit=1))
    assert [one.id for one in listed][:2] == [others[0].id, file.id]
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.content(file.id)


def test_a_picture_by_its_file_id_and_by_data_in_json(client, up):
    file = client.files.create(file=PHOTO.open("rb"), purpose="vision")
    data = "data:image/jpeg;base64," + base64.b64encode(PHOTO.read_bytes()).decode()
    for image in ({"file_id": file.id}, {"image_url": data}):
        body = {"images": [image], "prompt": "sepia", "num_inference_steps": 4, "stream": False, "n": 1}
        answer = client.post("/images/edits", cast_to=openai.types.ImagesResponse, body=body)
        assert picture(answer.data[0].b64_json).format == "PNG"


def test_provenance(client):
    answer = client.images.edit(image=PHOTO.open("rb"), prompt="make it sepia", extra_body=STEPS)
    edited = base64.b64decode(answer.data[0].b64_json)
    made = client.content_provenance_checks.create(file=edited).results[0]
    assert (made.type, made.outcome, made.issuer is None) == ("c2pa", "detected", False)
    nothing = client.content_provenance_checks.create(file=PHOTO.read_bytes()).results[0]
    assert (nothing.outcome, nothing.validation_state) == ("not_detected", "not_present")
