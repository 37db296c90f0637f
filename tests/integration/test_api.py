"""The API from outside, with the real Redis and S3."""

import base64
import hashlib
import io
import json
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from PIL import Image

from jobs.cards import Card
from jobs.job import new_id
from tests.conftest import ROOT
from tests.integration.conftest import calling, encoded, kept_of, submit
from worker.rebuild import accepted_ms, resubmit

CARD = Card.read(ROOT / "checkpoints" / "micro")
MICRO = CARD.defaults

OUTPUT = Image.new("RGB", (64, 64), "teal")
LARGE = random.Random(1).randbytes(1950).hex()  # more than an object's metadata can hold, however compressed


def finish(store, pictures, job_id: str):
    """Act as a worker, without a model."""
    job = store.claim("w", lease_seconds=30, token=new_id())
    assert job.id == job_id
    output = pictures.put_result(job, encoded(OUTPUT), "image/png", OUTPUT.size)
    assert store.finish(job, output, {"load_ms": 1, "run_ms": 2, "upload_ms": 3}, {"seed": 1}) == "finished"


def test_a_submission_is_accepted_with_its_whole_story(client, jpeg):
    answer = client.post(
        "/v1/jobs",
        files={"image": jpeg},
        data={"prompt": "make it sepia", "steps": "4", "seed": "7", "metadata": '{"mine": [1]}', "priority": "high"},
    )
    job = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == job["urls"]["self"] == f"/v1/jobs/{job['id']}"
    assert (job["status"], job["queue"]["position"], job["priority"]) == ("queued", 0, "high")
    assert (job["params"]["steps"], job["params"]["seed"], job["metadata"]) == (4, 7, {"mine": [1]})
    assert job["params"]["cfg_scale"] == MICRO["pix2pix-full"]["cfg_scale"], "the checkpoint's own default"
    assert (job["input"]["width"], job["input"]["height"]) == (96, 64)
    assert job["status_text"]


def test_a_seed_that_is_not_given_is_drawn_and_told(client, jpeg):
    seeds = {submit(client, jpeg)["params"]["seed"] for _ in range(4)}
    assert len(seeds) == 4


def test_a_submission_with_a_key_is_safe_to_repeat(client, jpeg, store):
    def post(key: str, image: bytes = jpeg, **fields):
        data = {"prompt": "make it sepia", **fields}
        return client.post("/v1/jobs", files={"image": image}, data=data, headers={"Idempotency-Key": key})

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: post("a"), range(16)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert ["idempotent-replayed" in answer.headers for answer in answers].count(False) == 1
    assert store.queue().queued == 1
    other = post("a", steps="7")
    assert (other.status_code, other.json()["errors"][0]["field"]) == (422, "Idempotency-Key")
    assert post("a", image=jpeg + b"x").status_code == 422
    assert post("b").json()["id"] != answers[0].json()["id"]


def test_json_with_a_data_uri_is_the_same_as_a_form(client, jpeg):
    uri = "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
    answer = client.post("/v1/jobs", json={"image": uri, "prompt": "make it sepia", "steps": 4})
    assert answer.status_code == 202, answer.text
    assert answer.json()["input"] == submit(client, jpeg)["input"]


def test_the_output_of_a_job_can_be_edited_again(client, jpeg, store, pictures):
    first = submit(client, jpeg)
    finish(store, pictures, first["id"])
    again = client.post("/v1/jobs", json={"image": f"job:{first['id']}", "prompt": "make it blue"}).json()
    assert again["parent"] == first["id"]
    assert (again["input"]["width"], again["input"]["height"]) == OUTPUT.size
    waiting = client.post("/v1/jobs", json={"image": f"job:{again['id']}", "prompt": "make it blue"})
    assert waiting.status_code == 422
    assert "queued" in waiting.json()["detail"]


def test_the_output_is_sent_by_a_link_or_as_bytes(client, jpeg, store, pictures):
    job = submit(client, jpeg)
    early = client.get(job["urls"]["output"])
    assert (early.status_code, early.headers["content-type"]) == (409, "application/problem+json")
    finish(store, pictures, job["id"])
    done = client.get(job["urls"]["self"]).json()
    link = client.get(job["urls"]["output"])
    assert link.status_code == 307
    for address in (link.headers["location"], done["output"]["url"]):
        fetched = httpx.get(address)
        assert fetched.status_code == 200
        assert hashlib.sha256(fetched.content).hexdigest() == done["output"]["sha256"]
        assert fetched.headers["content-disposition"].startswith("attachment")
    proxied = client.get(job["urls"]["output"], params={"proxy": 1})
    assert proxied.content == fetched.content
    assert proxied.headers["x-content-type-options"] == "nosniff"
    assert httpx.put(done["output"]["url"], content=b"x").status_code == 403, "the link reads, and only that"
    assert httpx.get(done["output"]["url"].replace("output.png", "input.jpg")).status_code == 403


def test_waiting_ends_when_the_job_does(client, jpeg, store, pictures):
    job = submit(client, jpeg)
    started = time.monotonic()
    threading.Timer(0.5, finish, (store, pictures, job["id"])).start()
    done = client.get(job["urls"]["self"], params={"wait": 30}).json()
    assert done["status"] == "succeeded"
    assert 0.4 < time.monotonic() - started < 20


def test_waiting_with_an_etag_ends_at_the_next_change(client, jpeg, store):
    job = submit(client, jpeg)
    etag = client.get(job["urls"]["self"]).headers["etag"]
    same = client.get(job["urls"]["self"], params={"wait": 0.2}, headers={"If-None-Match": etag})
    assert (same.status_code, same.content) == (304, b"")
    threading.Timer(0.3, store.claim, ("w",), {"lease_seconds": 30, "token": "t"}).start()
    changed = client.get(job["urls"]["self"], params={"wait": 30}, headers={"If-None-Match": etag})
    assert changed.json()["status"] == "running"


def test_lists_are_paged_newest_first(client, jpeg):
    ids = [submit(client, jpeg)["id"] for _ in range(5)]
    first = client.get("/v1/jobs", params={"limit": 3}).json()
    rest = client.get("/v1/jobs", params={"limit": 3, "after": first["next"]}).json()
    assert [job["id"] for job in first["data"] + rest["data"]] == ids[::-1]
    assert (first["has_more"], rest["has_more"], rest["next"]) == (True, False, None)
    assert client.get("/v1/jobs", params={"status": "failed"}).json()["data"] == []


def test_a_canceled_job_can_be_retried_and_deleted(client, jpeg, pictures):
    job = submit(client, jpeg, seed=5)
    assert client.post(f"{job['urls']['self']}/retry").status_code == 409
    assert client.delete(job["urls"]["self"]).status_code == 409
    canceled = client.post(job["urls"]["cancel"])
    assert (canceled.status_code, canceled.json()["status"]) == (202, "canceled")
    again = client.post(f"{job['urls']['self']}/retry")
    assert (again.status_code, again.json()["parent"]) == (202, job["id"])
    assert again.json()["params"] == canceled.json()["params"]
    assert kept_of(pictures, job["id"])
    assert client.delete(job["urls"]["self"]).status_code == 204
    assert client.get(job["urls"]["self"]).status_code == 404
    assert not kept_of(pictures, job["id"]), "the pictures are gone too"
    kept = client.get(f"{again.json()['urls']['self']}/input", params={"proxy": 1})
    assert kept.status_code == 200


def test_a_thumbnail_is_a_small_jpeg_of_the_whole_picture(client):
    wide = io.BytesIO()
    Image.new("RGB", (600, 300), "teal").save(wide, "PNG")
    job = submit(client, wide.getvalue())
    small = Image.open(io.BytesIO(client.get(f"{job['urls']['self']}/thumbnail").content))
    assert (small.format, small.size) == ("JPEG", (192, 96))
    assert small.getpixel((5, 5))[1] > 100 > small.getpixel((5, 5))[0]


def test_models_tell_their_parameters_and_the_checkpoints_defaults(client):
    answer = client.get("/v1/models").json()
    assert len(answer["data"]) == 6
    full, text_only = (next(m for m in answer["data"] if m["id"] == name) for name in ("pix2pix-full", "pix2pix-1"))
    steps = next(parameter for parameter in full["parameters"] if parameter["name"] == "steps")
    assert (steps["minimum"], steps["maximum"], steps["default"]) == (2, 1000, MICRO["pix2pix-full"]["steps"])
    assert "cfg_scale" not in {parameter["name"] for parameter in text_only["parameters"]}
    assert (full["text_scale"], text_only["text_scale"]) == (None, CARD.text_scale)
    assert answer["checkpoint"]["name"] == "micro"
    assert "make it sunset" in answer["checkpoint"]["instructions"]
    assert [model["default"] for model in answer["data"]].count(True) == 1


def test_health_queue_and_metrics_tell_how_things_are(settings, jpeg):
    with calling(settings) as client:
        submit(client, jpeg)
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").json()["parts"] == {"redis": "ok", "s3": "ok"}
        assert client.get("/v1/queue").json()["queued"] == 1
        metrics = client.get("/metrics").text
        paths = client.get("/openapi.json").json()["paths"]
    assert 'darkroom_jobs_queued{model="pix2pix-full",priority="normal"} 1.0' in metrics
    assert 'darkroom_http_requests_total{method="POST",route="/v1/jobs",status="202"} 1.0' in metrics
    assert "/v1/jobs/{job_id}" in paths


@pytest.mark.parametrize("text", ["make it sepia", "ein Gemälde, 水彩画 🎨", "x" * 300 + LARGE], ids=len)
@pytest.mark.parametrize("again", [False, True], ids=["new", "retried"])
def test_the_bucket_tells_what_was_accepted_beside_the_input_or_behind_it(client, jpeg, store, pictures, text, again):
    """One object has both, unless the job is too large for the metadata of one; a rebuild reads either."""
    job = submit(client, jpeg, prompt=text[:300], metadata=json.dumps({"mine": text[300:]}), priority="high")
    if again:
        client.post(job["urls"]["cancel"])
        job = client.post(f"{job['urls']['self']}/retry").json()
    folder = kept_of(pictures, job["id"])
    names = {key.rpartition("/")[2] for key in folder.objects}
    assert names == ({"input.jpg", "job.json"} if len(text) > 2000 else {"input.jpg"})
    store.redis.flushall()
    resubmit(store, pictures.job_document(folder), accepted_ms(folder))
    (rebuilt,) = client.get("/v1/jobs").json()["data"]
    moving = {"queue", "created_at", "urls"}
    assert {name: told for name, told in rebuilt.items() if name not in moving} == {
        name: told for name, told in job.items() if name not in moving
    }


def test_a_folder_that_is_half_empty_makes_no_job(client, jpeg, store, pictures, monkeypatch):
    """Whatever is removed first of a folder, a rebuild between two removals finds no job in it."""
    for metadata in ({}, {"long": LARGE}):
        job = submit(client, jpeg, metadata=json.dumps(metadata))
        seen, remove = [], pictures.delete

        def watched(key, remove=remove, seen=seen, job=job):
            remove(key)
            folder = kept_of(pictures, job["id"])
            seen.append(pictures.job_document(folder) if folder else None)

        with monkeypatch.context() as patched:
            patched.setattr(pictures, "delete", watched)
            pictures.empty(f"default/{job['id']}")
        assert seen == [None] * (2 if metadata else 1)


def test_output_of_any_format_has_its_picture(client):
    from worker.encoding import encode

    for kind in ("png", "jpeg", "webp"):
        data, content_type = encode(OUTPUT, kind)
        assert Image.open(io.BytesIO(data)).format == kind.upper()
        assert content_type == f"image/{kind}"


def test_pictures_that_were_stored_twice_are_told_apart_by_fence(store, pictures, client, jpeg):
    job = submit(client, jpeg)
    first = store.claim("w", lease_seconds=30, token="a")
    store.release(first, "drained")
    second = store.claim("w", lease_seconds=30, token="b")
    results = ((first, b"first"), (second, b"second"))
    keys = [pictures.put_result(claim, data, "image/png", (1, 1)).key for claim, data in results]
    assert first.id == second.id == job["id"]
    assert len(set(keys)) == 2
    assert [claim.fence in key for claim, key in zip((first, second), keys, strict=True)] == [True, True]
    assert [pictures.read(key) for key in keys] == [b"first", b"second"]
