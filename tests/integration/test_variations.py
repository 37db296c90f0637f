"""`n`: one job with several edits, each with its own seed. It has one record and one end. Limits count each edit."""

import io
import threading
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jobs.job import MAX_EDITS, Job, Status
from jobs.pictures import NoSuchPicture
from jobs.provenance import pixels_sha256
from jobs.store import JobStore
from pipeline.catalogue import LARGEST_SEED
from pipeline.edit import Pipeline
from pipeline.errors import PipelineError
from pipeline.notes import Notes
from tests.conftest import ROOT
from tests.editors import Done
from tests.integration.conftest import encoded, kept_of, submit
from tests.integration.test_worker import PHOTO
from worker.keeper.maintenance import Maintenance
from worker.renders import Renderer
from worker.run import run_next

SMALL = encoded(Image.new("RGB", (32, 24), "white"))


def color_of(seed: int) -> tuple[int, int, int]:
    return seed % 256, seed // 256 % 256, 77


class Painter:
    """Paints the color of the seed once all edits of a job have come, so they must run at the same time."""

    def __init__(self, edits: int) -> None:
        self.all_here = threading.Barrier(edits)

    def edit(
        self, photo: Image.Image, prompt: str, *, on_step: Any, seed: int, steps: int, notes: Notes, **_: Any
    ) -> Image.Image:
        self.all_here.wait(20)
        notes.warn("prompt-truncated", "All edits say the same.")
        for step in range(1, steps + 1):
            on_step(Done(step, steps))
        return Image.new("RGB", photo.size, color_of(seed))

    def receipt(self) -> dict[str, str]:
        return {"checkpoint": "paint"}


def get(client, path: str) -> Image.Image:
    answer = client.get(path, params={"proxy": 1})
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content)).convert("RGB")


def test_a_job_has_an_output_for_each_seed_under_one_fence_and_one_end(client, context, store, pictures, settings):
    job = submit(client, SMALL, steps="2", seed="300", n="3", strength="0.5")
    assert job["params"]["n"] == 3
    working = context(Painter(3))
    assert run_next(working)
    done = client.get(job["urls"]["self"]).json()
    assert [output["seed"] for output in done["outputs"]] == [300, 301, 302]
    for place, output in enumerate(done["outputs"]):
        assert output["path"] == f"/v1/jobs/{job['id']}/outputs/{place}"
        picture = get(client, output["path"])
        halfway = [(255 + level) / 2 for level in color_of(300 + place)]
        assert np.abs(np.asarray(picture, float) - halfway).max() <= 0.5
        assert pixels_sha256(picture) == output["receipt"]["pixels_sha256"]
        assert store.find_by_pixels(output["receipt"]["pixels_sha256"]) == job["id"]
    assert done["output"]["sha256"] == done["outputs"][0]["sha256"]
    assert done["receipt"]["pixels_sha256"] == done["outputs"][0]["receipt"]["pixels_sha256"]
    assert len(done["warnings"]) == 1, "what all edits say is said once"
    assert client.get(f"/v1/jobs/{job['id']}/outputs/3").status_code == 404
    record = store.get(job["id"], "default")
    assert all(f"/{record.fence}/" in output.picture.key for output in record.outputs)

    renderer = threading.Thread(target=Renderer(working).make_next, args=(20,))
    renderer.start()
    render = client.post(f"/v1/jobs/{job['id']}/render", json={"strength": 1, "output": 2}).json()
    renderer.join()
    assert get(client, render["path"]).getpixel((0, 0)) == color_of(302)

    Maintenance(store, pictures, settings).run_once()
    end = pictures.document(record.folder, "end.json")
    assert [output["key"] for output in end["outputs"]] == [output.picture.key for output in record.outputs]
    client.delete(job["urls"]["self"])
    for output in record.outputs:
        for key in (output.picture.key, output.whole.key):
            with pytest.raises(NoSuchPicture):
                pictures.read(key)
        assert store.find_by_pixels(output.receipt["pixels_sha256"]) is None


def test_the_engine_makes_the_edits_of_a_job_as_it_makes_them_alone(client, context, store):
    """In batches of another size the last bit of a sum may differ."""
    working = context(Pipeline.load(ROOT / "checkpoints" / "micro"))
    asked = {"prompt": "make it sepia", "steps": "2", "size": "256x256"}
    several = submit(client, PHOTO, seed="5", n="2", **asked)
    alone = submit(client, PHOTO, seed="6", **asked)
    while run_next(working):
        pass
    one, other = (np.asarray(get(client, f"/v1/jobs/{several['id']}/outputs/{place}"), int) for place in (0, 1))
    assert np.abs(other - np.asarray(get(client, f"/v1/jobs/{alone['id']}/outputs/0"), int)).max() <= 1
    assert np.abs(other - one).mean() > 1
    assert len(store.get(several["id"], "default").frames.steps) == 2, "the way of the first"


class Stubborn(Painter):
    """The edit with the second seed fails at once. The others go on until they are told to stop."""

    def __init__(self) -> None:
        super().__init__(3)
        self.stopped: list[int] = []

    def edit(self, photo: Image.Image, prompt: str, *, on_step: Any, seed: int, **_: Any) -> Image.Image:
        self.all_here.wait(20)
        if seed == 2:
            raise PipelineError("too wide", field="size")
        try:
            for step in range(1, 1_000_000):
                on_step(Done(step, 1_000_000))
        except Exception:
            self.stopped.append(seed)
            raise
        raise AssertionError("nobody told it to stop")


def test_a_job_fails_as_a_whole_and_its_other_edits_stop(client, context, store):
    job, editor = submit(client, SMALL, steps="2", seed="1", n="3"), Stubborn()
    assert run_next(context(editor))
    ended = store.get(job["id"], "default")
    assert (ended.status, ended.outputs, ended.error["detail"]) == (Status.FAILED, (), "size: too wide")
    assert sorted(editor.stopped) == [1, 3]


def test_a_canceled_job_stops_all_its_edits(client, context, store):
    job = submit(client, SMALL, steps="1000", seed="1", n="2")

    class Canceling(Painter):
        def edit(self, photo: Image.Image, prompt: str, *, on_step: Any, seed: int, **_: Any) -> Image.Image:
            self.all_here.wait(20)
            for step in range(1, 1_000_000):
                if (seed, step) == (1, 5):
                    client.post(job["urls"]["cancel"])
                    working.leases.renew(working.leases.in_hand())
                on_step(Done(step, 1_000_000))
            raise AssertionError("nobody told it to stop")

    working = context(Canceling(2))
    assert run_next(working)
    assert store.get(job["id"], "default").status is Status.CANCELED


@pytest.mark.parametrize("bound", ["max_queued_jobs", "max_queue"])
def test_every_edit_counts_against_what_may_wait(settings, apps, store, bound):
    client = apps(settings.model_copy(update={bound: 4}))
    first = submit(client, SMALL, n="3")
    refused = client.post("/v1/jobs", files={"image": SMALL}, data={"prompt": "x", "n": "2"})
    assert refused.status_code == (429 if bound == "max_queued_jobs" else 503)
    submit(client, SMALL)
    assert client.post("/v1/jobs", files={"image": SMALL}, data={"prompt": "x"}).status_code in (429, 503)
    assert client.get("/v1/queue").json()["edits"] == client.get("/v1/queue/scale").json()["jobs"] == 4
    (tenant,) = client.get("/v1/admin/tenants").json()["data"]
    assert (tenant["queued"], tenant["running"], tenant["kept"]) == (4, 0, 2)
    client.post(first["urls"]["cancel"])
    assert client.get("/v1/queue").json()["edits"] == 1
    submit(client, SMALL, n="3")


def test_a_tenant_with_several_edits_in_a_job_takes_as_many_turns(client, store):
    """Its next job comes after four jobs of another tenant."""
    submit(client, SMALL, n="4")
    mine = submit(client, SMALL)
    others = [
        Job(**{**vars(store.get(mine["id"], "default")), "id": "0" * 25 + str(i), "tenant": "b"}) for i in range(5)
    ]
    for other in others:
        store.submit(other)
    queue = store.redis.zrange("dk:queue", 0, -1)
    assert [name in {one.id for one in others} for name in queue].index(False) == 0
    assert 4 <= queue.index(mine["id"]) <= 5


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"n": "0"}, "n"), ({"n": "9"}, "n"), ({"n": "two"}, "n"), ({"n": "3", "seed": str(LARGEST_SEED - 1)}, "seed")],
)
def test_a_number_of_edits_that_cannot_be_is_named(client, fields, field):
    answer = client.post("/v1/jobs", files={"image": SMALL}, data={"prompt": "x", **fields})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
    assert submit(client, SMALL, n=str(MAX_EDITS), seed=str(LARGEST_SEED - MAX_EDITS + 1))["params"]["n"] == MAX_EDITS


def test_a_retry_and_a_rebuilt_job_have_as_many_edits(client, store, pictures):
    job = submit(client, SMALL, n="3")
    client.post(job["urls"]["cancel"])
    again = client.post(f"/v1/jobs/{job['id']}/retry").json()
    assert again["params"]["n"] == 3
    document = pictures.job_document(kept_of(pictures, again["id"]))
    assert Job.from_record({**document, "status": "queued"}).n == 3


def test_a_worker_of_a_version_that_knows_one_edit_is_given_no_other(client, store: JobStore):
    submit(client, SMALL, n="2")
    single = submit(client, SMALL)
    claimed = [store._run("claim", str(i), "old", 5, "0" * 16, 100, 1, 10**6, 10**6) for i in range(2)]
    assert [dict(zip(pairs[::2], pairs[1::2], strict=True))["id"] if pairs else None for pairs in claimed] == [
        single["id"],
        None,
    ]
