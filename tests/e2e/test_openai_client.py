"""OpenAI's own client against a running Darkroom. Only its base URL is changed."""

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
from openai import OpenAI
from PIL import Image

from tests.conftest import ROOT
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


def test_a_mask_is_transparent_where_the_photo_is_edited_and_nothing_else_changes(client):
    photo = Image.effect_noise((160, 96), 60).convert("RGB")
    mask = Image.new("RGBA", photo.size, "black")
    mask.paste((0, 0, 0, 0), (0, 0, 80, 96))
    answer = client.images.edit(image=as_png(photo), mask=as_png(mask), prompt="make it sepia", extra_body=STEPS)
    edited = picture(answer.data[0].b64_json).convert("RGB")
    assert edited.size == photo.size
    kept, changed = (96, 0, 160, 96), (0, 0, 64, 96)  # feathered between
    assert edited.crop(kept).tobytes() == photo.crop(kept).tobytes()
    assert edited.crop(changed).tobytes() != photo.crop(changed).tobytes()


def as_png(image: Image.Image) -> tuple[str, bytes, str]:
    file = io.BytesIO()
    image.save(file, "PNG")
    return "photo.png", file.getvalue(), "image/png"


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
    """The client retries by itself after its time-out, without an idempotency key."""
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


def batch_of(client: OpenAI, up: Up, lines: int) -> None:
    """A batch with two bad lines: one that the dialect refuses, and one without a picture."""
    photo = client.files.create(file=PHOTO.open("rb"), purpose="vision").id
    good = {
        "prompt": "make it sepia",
        "images": [{"file_id": photo}],
        "num_inference_steps": 2,
        "output_format": "jpeg",
    }
    bodies = [good] * (lines - 2) + [{**good, "size": "huge"}, {**good, "images": [{"file_id": "file-nothing"}]}]
    asked = [
        {"custom_id": f"line-{i}", "method": "POST", "url": "/v1/images/edits", "body": body}
        for i, body in enumerate(bodies)
    ]
    source = client.files.create(file=("lines.jsonl", "\n".join(map(json.dumps, asked)).encode()), purpose="batch")
    before = len(all_jobs(up))
    batch = client.batches.create(
        input_file_id=source.id, endpoint="/v1/images/edits", completion_window="24h", metadata={"a": "b"}
    )
    assert (batch.status, batch.request_counts.total, batch.metadata) == ("in_progress", lines, {"a": "b"})
    until(lambda: client.batches.retrieve(batch.id).status == "completed", 240, "the batch's end")
    batch = client.batches.retrieve(batch.id)
    counts = batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (lines, lines - 2, 2)
    results = [json.loads(line) for line in client.files.content(batch.output_file_id).text.splitlines()]
    assert [result["custom_id"] for result in results] == [f"line-{i}" for i in range(lines - 2)]
    assert {result["response"]["status_code"] for result in results} == {200}
    assert picture(results[0]["response"]["body"]["data"][0]["b64_json"]).format == "JPEG"
    errors = [json.loads(line) for line in client.files.content(batch.error_file_id).text.splitlines()]
    told = {error["custom_id"]: error["response"]["body"]["error"]["param"] for error in errors}
    assert told == {f"line-{lines - 2}": "size", f"line-{lines - 1}": "image"}
    assert {error["response"]["status_code"] for error in errors} == {400}
    assert len(all_jobs(up)) == before + lines - 2
    assert batch.id in [one.id for one in client.batches.list(limit=1)]


def all_jobs(up: Up) -> set[str]:
    found, after = set(), None
    while True:
        page = up.http.get("/v1/jobs", params={"limit": 100, **({"after": after} if after else {})}).json()
        found |= {job["id"] for job in page["data"]}
        after = page["next"]
        if not after:
            return found


def test_a_batch_with_two_bad_lines(client, up):
    batch_of(client, up, 8)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_batch_of_200_lines_with_two_bad_ones(client, up):
    batch_of(client, up, 200)


def test_a_batch_that_is_canceled(client, up):
    photo = client.files.create(file=PHOTO.open("rb"), purpose="vision").id
    body = {"prompt": "slow", "images": [{"file_id": photo}], "num_inference_steps": 50}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/images/edits", "body": body}
    source = client.files.create(file=json.dumps(line).encode(), purpose="batch").id
    batch = client.batches.create(input_file_id=source, endpoint="/v1/images/edits", completion_window="24h")
    assert client.batches.cancel(batch.id).status in ("cancelling", "cancelled")
    until(lambda: client.batches.retrieve(batch.id).status == "cancelled", 30, "the batch's end")
    batch = client.batches.retrieve(batch.id)
    (told,) = [json.loads(one) for one in client.files.content(batch.error_file_id).text.splitlines()]
    assert (told["custom_id"], told["response"], told["error"]["code"]) == ("a", None, "batch_cancelled")
    assert batch.output_file_id is None


def test_a_batch_that_cannot_be(client):
    source = client.files.create(file=b"{}", purpose="batch").id
    for wrong in ({"endpoint": "/v1/chat/completions"}, {"completion_window": "soon"}, {"input_file_id": source}):
        asked = {"input_file_id": "file-x", "endpoint": "/v1/images/edits", "completion_window": "24h", **wrong}
        with pytest.raises(openai.BadRequestError if "input_file_id" not in wrong else openai.APIStatusError):
            client.batches.create(**asked)
    with pytest.raises(openai.NotFoundError):
        client.batches.retrieve("batch_nothing")


def test_what_the_page_tells_works_as_it_stands(up, tmp_path, monkeypatch):
    page = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
    told = page.split("## OpenAI")[1].split("## Replicate")[0].replace("http://127.0.0.1:8000", up.url)
    blocks = re.findall(r"^```python\n(.*?)^```", told, re.MULTILINE | re.DOTALL)
    (shell,) = re.findall(r"^```sh\n(.*?)^```", told, re.MULTILINE | re.DOTALL)
    shutil.copy(PHOTO, tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    done = subprocess.run([sys.executable, "-c", "\n".join(blocks)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n") == ["make it night", "make it autumn", ""]
    assert {Image.open(path).size for path in (tmp_path / "winter-0.png", tmp_path / "winter-1.png")}
    (last,) = tmp_path.glob("sunset-*.png")
    assert Image.open(last).format == "PNG"
    answer = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True).stdout
    assert json.loads(answer)["object"] == "job"


@pytest.fixture(scope="module")
def javascript(up, tmp_path_factory) -> dict:
    """The results of OpenAI's JavaScript client for the same calls."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if not npm or not node:
        pytest.skip("no npm here, so no openai for JavaScript")
    folder = tmp_path_factory.mktemp("openai-js")
    install = [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), "openai@7"]
    done = subprocess.run(install, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"not installed: openai for JavaScript: {done.stderr.strip()[-200:]}")
    program = shutil.copy(Path(__file__).with_name("clients") / "openai.cjs", folder)
    ours = {"OPENAI_BASE_URL": f"{up.url}/openai/v1", "OPENAI_API_KEY": "any", "PHOTO": str(PHOTO)}
    ran = subprocess.run([node, program], capture_output=True, text=True, timeout=60, env={**os.environ, **ours})
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_openai_for_javascript(javascript):
    assert javascript["edit"].startswith("iVBOR"), "a PNG in base64"
    assert javascript["events"][-1] == "image_edit.completed"
    assert javascript["refused"] == {"class": "BadRequestError", "param": "size", "status": 400}
    assert "pix2pix-full" in javascript["models"]
    assert javascript["file"] == ["photo.jpg", "vision"]
