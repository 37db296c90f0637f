"""Batches: every line once, whatever fails; counts, limits, ends, and no access for other tenants."""

import io
import json
from collections.abc import Callable, Iterator

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from api import feeder
from api.routes import batches
from jobs.batches import BatchStore
from jobs.job import new_id
from jobs.store import JobStore
from tests.integration.conftest import Apps, calling
from tests.integration.test_kept_files import keep
from tests.integration.test_tenants import locked, other, owner, tenant  # noqa: F401
from tests.integration.test_webhooks import keeper
from tests.receivers import receiving
from tests.waiting import until

PROMPTS = ["make it sepia", "make it look like night"]


@pytest.fixture(autouse=True)
def hasty(monkeypatch) -> None:
    monkeypatch.setattr(feeder, "ROUND", 0.05)
    monkeypatch.setattr(feeder, "LOOK", 0.2)
    monkeypatch.setattr(feeder, "PAUSE", 0.1)


@pytest.fixture
def alone(monkeypatch, store) -> Iterator[Callable[[TestClient], TestClient]]:
    """Let only one of the running apps feed batches.

    A test ends when its batches are over, because a batch that is still being fed would write into the next test's
    Redis.
    """
    look, fed = BatchStore.open, []

    def only(client: TestClient) -> TestClient:
        own = client.app.state.services.batches
        monkeypatch.setattr(BatchStore, "open", lambda store: look(store) if store is own else [])
        fed.append(client.app.state.feeder)
        return client

    yield only
    store.redis.delete("dk:open-batches")
    until(lambda: not any(one._held for one in fed))


@pytest.fixture
def client(settings, apps: Apps, alone) -> TestClient:
    return alone(apps(settings))


def ask(client, **fields) -> dict:
    answer = client.post("/v1/batches", json=fields)
    assert answer.status_code == 202, answer.text
    return answer.json()


def grid(client, jpeg: bytes, photos: int = 2, **fields) -> dict:
    images = [keep(client, jpeg)["image"] for _ in range(photos)]
    return ask(client, images=images, prompts=PROMPTS, parameters=[{"seed": 1}, {"seed": 2}], **fields)


def lines(client, batch: dict) -> list[dict]:
    return client.get(batch["urls"]["lines"]).json()["data"]


def batch_now(client, batch: dict) -> dict:
    return client.get(batch["urls"]["self"]).json()


def work(store: JobStore, pictures, jpeg: bytes, most: int = 1000) -> int:
    """Run the queued jobs. Jobs whose instruction says so fail."""
    done = 0
    while done < most and (job := store.claim("w", lease_seconds=30, token=new_id())):
        store.finish(job, pictures.put_result(job, jpeg, "image/jpeg", (96, 64)), {}, {})
        done += 1
    return done


@pytest.fixture
def finish(client, store, pictures, jpeg) -> Callable[[dict], dict]:
    """Run jobs until a batch is over."""

    def over(batch: dict) -> dict:
        def is_over() -> bool:
            work(store, pictures, jpeg)
            return batch_now(client, batch)["ended_at"] is not None

        until(is_over, 20, "the batch's end")
        return batch_now(client, batch)

    return over


def test_a_grid_is_every_photo_with_every_instruction_and_all_parameters(client, store, jpeg, finish):
    batch = grid(client, jpeg, metadata={"a": 1})
    assert (batch["status"], batch["counts"]["total"], batch["metadata"]) == ("in_progress", 8, {"a": 1})
    assert client.get(f"{batch['urls']['self']}/contact-sheet").status_code == 409
    over = finish(batch)
    assert over["status"] == "completed"
    assert over["counts"] == {"total": 8, "completed": 8, "failed": 0}
    told = lines(client, batch)
    assert [line["status"] for line in told] == ["succeeded"] * 8
    jobs = [store.get(line["job"], "default") for line in told]
    assert [(job.params["prompt"], job.params["seed"]) for job in jobs[:4]] == [(p, s) for p in PROMPTS for s in (1, 2)]
    assert {job.priority for job in jobs} == {"low"}
    assert [job.metadata["line"] for job in jobs] == list(range(8))
    assert client.get(told[0]["output"], params={"proxy": 1}).content == jpeg
    sheet = Image.open(io.BytesIO(client.get(over["urls"]["contact_sheet"]).content))
    assert (sheet.width > 4 * 192, 2 * 192 < sheet.height < 3 * 192) == (True, True), "a row for each photo"


def test_lines_of_a_file_and_bad_ones_among_them(client, jpeg, finish):
    image = keep(client, jpeg)["image"]
    good = {"image": image, "prompt": "make it sepia", "format": "jpeg"}
    bad = [{"prompt": "no picture"}, {"image": f"file:{new_id()}", "prompt": "gone"}, {**good, "steps": 1}]
    requests = [good, *bad, good]
    file = keep(
        client, b"\n".join(json.dumps({"name": f"l{i}", "request": one}).encode() for i, one in enumerate(requests))
    )
    batch = finish(ask(client, lines=file["image"]))
    assert batch["counts"] == {"total": 5, "completed": 2, "failed": 3}
    told = lines(client, batch)
    assert [line["name"] for line in told] == ["l0", "l1", "l2", "l3", "l4"]
    assert [line["status"] for line in told] == ["succeeded", "refused", "refused", "refused", "succeeded"]
    assert [line["problem"]["errors"][0]["field"] for line in told[1:4]] == ["image", "image", "steps"]


def test_the_queue_is_never_filled_and_its_fullness_is_waited_out(settings, apps, alone, store, pictures, jpeg):
    client = alone(apps(settings.model_copy(update={"max_queued_jobs": 4})))
    batch = grid(client, jpeg, photos=3)
    until(lambda: store.count_by_status("default")["queued"] == 2, what="half of what may wait")
    for _ in range(2):
        assert client.post("/v1/jobs", json={"image": keep(client, jpeg)["image"], "prompt": "x y"}).status_code == 202
    assert store.count_by_status("default")["queued"] == 4

    def is_over() -> bool:
        assert store.count_by_status("default")["queued"] <= 4
        work(store, pictures, jpeg, 1)
        return batch_now(client, batch)["ended_at"] is not None

    until(is_over)
    assert batch_now(client, batch)["counts"]["completed"] == 12


def test_a_limit_of_the_tenants_own_counts(client, store, pictures, jpeg, finish):
    store.redis.hset("dk:limits:default", "queued", 3)
    batch = grid(client, jpeg)
    until(lambda: store.count_by_status("default")["queued"] == 1, what="half of what may wait")
    assert finish(batch)["counts"]["completed"] == 8


def test_so_many_batches_may_be_open(client, jpeg, monkeypatch, finish):
    monkeypatch.setattr(batches, "MOST_OPEN", 2)
    first, second = grid(client, jpeg, photos=1), grid(client, jpeg, photos=1)
    asked = {"images": [keep(client, jpeg)["image"]], "prompts": ["make it sepia"]}
    refused = client.post("/v1/batches", json=asked)
    assert refused.status_code == 429
    assert refused.json()["type"] == "urn:darkroom:problem:too-many-batches"
    finish(first)
    finish(second)
    finish(ask(client, **asked))


def test_a_canceled_batch_keeps_what_is_done(client, store, pictures, jpeg):
    batch = grid(client, jpeg, contact_sheet=False)
    until(lambda: store.count_by_status("default")["queued"] == 8)
    work(store, pictures, jpeg, 3)
    until(lambda: batch_now(client, batch)["counts"]["completed"] == 3)
    assert client.post(batch["urls"]["cancel"]).json()["status"] == "canceling"
    until(lambda: batch_now(client, batch)["status"] == "canceled")
    statuses = [line["status"] for line in lines(client, batch)]
    assert sorted(statuses) == ["canceled"] * 5 + ["succeeded"] * 3
    assert store.count_by_status("default")["queued"] == 0
    assert client.post(batch["urls"]["cancel"]).status_code == 202
    assert client.get(f"{batch['urls']['self']}/contact-sheet").status_code == 404


def test_what_is_not_begun_when_the_time_is_over_is_not_begun(client, store, pictures, jpeg):
    batch = grid(client, jpeg)
    until(lambda: store.count_by_status("default")["queued"] == 8)
    work(store, pictures, jpeg, 1)
    store.redis.hset(f"dk:batch:{batch['id']}", "expires_ms", 1)
    until(lambda: batch_now(client, batch)["status"] == "expired")
    assert batch_now(client, batch)["counts"] == {"total": 8, "completed": 1, "failed": 0}


def test_a_line_is_one_job_though_it_was_submitted_and_not_written_down(client, store, jpeg, finish):
    """The process dies in between, and another one goes on."""
    batch = grid(client, jpeg)
    until(lambda: all(line["job"] for line in lines(client, batch)))
    known = {line["number"]: line["job"] for line in lines(client, batch)}
    with calling(client.app.state.services.settings):
        store.redis.delete(f"dk:batch-lease:{batch['id']}")
        for number in (2, 5):
            store.redis.hset(f"dk:batch-lines:{batch['id']}", str(number), json.dumps({"name": str(number)}))
        client.app.state.feeder._held.clear()
        over = finish(batch)
    assert over["counts"]["completed"] == 8
    assert {line["number"]: line["job"] for line in lines(client, batch)} == known
    assert sum(store.count_by_status("default").values()) == 8


def test_one_webhook_at_the_end(hooks, apps, alone, jpeg, store, pictures):
    with receiving() as receiver:
        settings = hooks(receiver)
        client = alone(apps(settings))
        batch = grid(client, jpeg, photos=1, webhook=receiver.url)
        until(lambda: work(store, pictures, jpeg) == 0 and batch_now(client, batch)["ended_at"])
        with keeper(settings):
            until(lambda: receiver.requests)
        (request,) = receiver.requests
        message = json.loads(request.body)
    assert message["type"] == "batch.completed"
    assert message["data"]["id"] == batch["id"]
    assert message["data"]["counts"] == {"total": 4, "completed": 4, "failed": 0}


def test_the_same_key_is_the_same_batch(client, jpeg, finish):
    images = [keep(client, jpeg)["image"]]

    def post(prompt: str):
        return client.post(
            "/v1/batches", json={"images": images, "prompts": [prompt]}, headers={"Idempotency-Key": "k"}
        )

    first, again = post("make it sepia"), post("make it sepia")
    assert first.json()["id"] == again.json()["id"]
    assert post("make it blue").status_code == 422
    finish(first.json())
    assert len(client.get("/v1/batches").json()["data"]) == 1


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "body"),
        ({"images": ["file:x"], "prompts": ["a"]}, "images.0"),
        ({"images": ["https://example.com/a.png", "no"], "prompts": ["a"]}, "images.1"),
        ({"images": ["https://example.com/a.png"], "prompts": [""]}, "prompt"),
        ({"images": ["https://example.com/a.png"], "prompts": ["a"], "parameters": [{"steps": 1}]}, "steps"),
        ({"images": ["https://example.com/a.png"], "prompts": ["a"], "parameters": [{"color": 1}]}, "color"),
        ({"images": ["https://example.com/a.png"], "prompts": ["a"], "expires_in_seconds": 1}, "expires_in_seconds"),
        ({"lines": "file:" + "0" * 26, "prompts": ["a"]}, "body"),
        ({"images": ["https://e.com/a.png"] * 1000, "prompts": ["a"] * 51}, "images"),
    ],
)
def test_a_wrong_field_is_named_before_anything_is_accepted(client, store, fields, field):
    answer = client.post("/v1/batches", json=fields)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"] == field
    assert store.redis.scard("dk:open-batches") == 0


def test_a_file_of_lines_that_cannot_be_read_names_the_line(client):
    for bad in (b"{", b"[]", b'{"name": 1, "request": {}}', b'{"name": "a"}'):
        file = keep(client, b'{"name": "a", "request": {}}\n' + bad)
        answer = client.post("/v1/batches", json={"lines": file["image"]})
        assert "line 2" in answer.json()["errors"][0]["detail"]
    assert client.post("/v1/batches", json={"lines": keep(client, b"\n")["image"]}).status_code == 422
    assert client.post("/v1/batches", json={"lines": f"file:{new_id()}"}).status_code == 404


def test_a_foreign_batch_looks_absent(owner, other, jpeg):  # noqa: F811
    batch = grid(owner, jpeg, photos=1)["id"]
    absent = new_id()
    for method, path in (("GET", ""), ("GET", "/lines"), ("GET", "/contact-sheet"), ("POST", "/cancel")):
        answers = [other.request(method, f"/v1/batches/{name}{path}") for name in (batch, absent, "nonsense")]
        assert [answer.status_code for answer in answers] == [404] * 3
        assert answers[0].text.replace(batch, "") == answers[1].text.replace(absent, "")
    assert other.get("/v1/batches").json()["data"] == []
    assert owner.get(f"/v1/batches/{batch}").json()["status"] == "in_progress"
    foreign = keep(owner, b"{}")["image"]
    assert other.post("/v1/batches", json={"lines": foreign}).status_code == 404
