"""Another strength of a finished job, made by a worker's renderer without the model."""

import io
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jobs.pictures import NoSuchPicture
from jobs.provenance import pixels_sha256
from jobs.renders import MOST, Renders, Wanted
from tests.integration.conftest import encoded, submit
from worker.renders import Renderer
from worker.run import WorkerContext, run_next

PHOTO = Image.linear_gradient("L").resize((96, 64)).convert("RGB")


class Negative:
    """Inverts a picture."""

    edits = 0

    def edit(self, photo: Image.Image, prompt: str, *, on_step: Any, **params: Any) -> Image.Image:
        self.edits += 1
        return photo.convert("RGB").point(lambda level: 255 - level)

    def receipt(self) -> dict[str, str]:
        return {"checkpoint": "negative"}


@pytest.fixture
def working(context) -> WorkerContext:
    return context(Negative())


@pytest.fixture
def rendering(working) -> Iterator[None]:
    over = threading.Event()
    thread = threading.Thread(target=Renderer(working).work, args=(over.is_set,), daemon=True)
    thread.start()
    yield
    over.set()
    thread.join()


def done(client, working, **fields) -> dict:
    job = submit(client, encoded(PHOTO), steps="2", **fields)
    assert run_next(working)
    return job


def render(client, job: dict, status: int = 201, **asked) -> dict:
    answer = client.post(f"/v1/jobs/{job['id']}/render", json=asked)
    assert answer.status_code == status, answer.text
    return answer.json()


def picture(client, path: str) -> Image.Image:
    answer = client.get(path, params={"proxy": 1})
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content)).convert("RGB")


def as_numbers(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"), float)


@pytest.mark.parametrize("strength", [1, 0.25, 0])
@pytest.mark.usefixtures("rendering")
def test_a_render_lies_between_the_photo_and_the_whole_edit(client, working, strength):
    """This includes jobs of lower strength, even 0, and edits of a part of the photo. The model is not run again."""
    mask = Image.new("L", PHOTO.size)
    mask.paste(255, (0, 0, 48, 64))
    job = submit(client, encoded(PHOTO), steps="2", strength=str(strength), mask=json.dumps([{"box": [0, 0, 0.5, 1]}]))
    run_next(working)
    made = [as_numbers(picture(client, render(client, job, strength=part)["path"])) for part in (0, 0.5, 1)]
    photo = as_numbers(PHOTO)
    assert np.array_equal(made[0], photo)
    assert np.array_equal(made[1][:, 48:], photo[:, 48:])
    assert np.abs(made[2][:, :40] - (255 - photo[:, :40])).max() == 0
    assert np.abs(made[1] - (made[0] + made[2]) / 2).max() <= 1
    assert working.editors["pix2pix-full"].edits == 1


@pytest.mark.usefixtures("rendering")
def test_a_render_is_made_once_listed_and_deleted_with_its_job(client, working, store, pictures):
    job = done(client, working)
    before = client.get(f"/v1/jobs/{job['id']}")
    first = render(client, job, strength=0.5)
    assert render(client, job, 200, strength=0.5)["sha256"] == first["sha256"]
    jpeg = render(client, job, strength=0.5, format="jpeg")
    after = client.get(f"/v1/jobs/{job['id']}", headers={"If-None-Match": before.headers["etag"]})
    listed = after.json()["renders"]
    assert [(one["strength"], one["content_type"]) for one in listed] == [(0.5, "image/png"), (0.5, "image/jpeg")]
    assert [one["path"] for one in listed] == [first["path"], jpeg["path"]]
    assert pixels_sha256(picture(client, first["path"])) == first["receipt"]["pixels_sha256"]
    assert store.find_by_pixels(first["receipt"]["pixels_sha256"]) == job["id"]
    assert after.json()["output"]["sha256"] == before.json()["output"]["sha256"]
    kept = store.get(job["id"], "default").renders
    client.delete(f"/v1/jobs/{job['id']}")
    for one in kept:
        with pytest.raises(NoSuchPicture):
            pictures.read(one.picture.key)
    assert store.find_by_pixels(first["receipt"]["pixels_sha256"]) is None
    assert render(client, job, 404, strength=0.5)["type"].endswith("not-found")


def test_what_cannot_be_rendered_is_refused_at_once(client, working, store, pictures):
    """No renderer runs here, so a request that waited for one would get 503."""
    waiting = submit(client, encoded(PHOTO), steps="2")
    assert "this one is queued" in render(client, waiting, 409, strength=0.5)["detail"]
    assert run_next(working)
    for asked in ({"strength": 1.5}, {"strength": "0.5"}, {"strength": True}, {}, {"strength": 0.5, "format": "gif"}):
        assert render(client, waiting, 422, **asked)["errors"][0]["field"] in ("strength", "format")
    assert "less than 1" in render(client, waiting, 422, strength=0.5, output=1)["errors"][0]["detail"]
    assert client.post(f"/v1/jobs/{'0' * 26}/render", json={"strength": 0.5}).status_code == 404
    assert client.get(f"/v1/jobs/{waiting['id']}/renders/0").status_code == 404


@pytest.mark.usefixtures("rendering")
def test_a_job_whose_pictures_are_gone_is_told_so(client, working, store, pictures):
    job = done(client, working)
    pictures.delete(store.get(job["id"], "default").output.key)
    assert "no longer kept" in render(client, job, 409, strength=0.5)["detail"]
    assert store.get(job["id"], "default").renders == ()


@pytest.mark.usefixtures("rendering")
def test_a_job_keeps_so_many_renders_and_no_more(client, working, store, pictures):
    job = done(client, working)
    kept = store.get(job["id"], "default")
    render(client, job, strength=0.5)
    (one,) = store.get(job["id"], "default").renders
    more = [replace(one, strength=place / 100) for place in range(MOST - 2)]
    renders = Renders(store)
    for other in more:
        assert renders.keep(Wanted.of(kept, 0, other.strength, "png"), other) == "kept"
    render(client, job, strength=0.9)
    assert "At most 20" in render(client, job, 409, strength=0.91)["detail"]
    assert renders.keep(Wanted.of(kept, 0, 0.92, "png"), replace(one, strength=0.92)) == "full"
    render(client, job, 200, strength=0.9)


def test_nobody_makes_what_nobody_waits_for_any_more(client, working, store):
    job = done(client, working)
    renders, wanted = Renders(store), Wanted.of(store.get(job["id"], "default"), 0, 0.5, "png")
    renders.want(wanted)
    store.redis.delete(f"dk:render:{wanted.token}")  # as it is when its time has passed
    assert Renderer(working).make_next(0.1) is False
    renders.want(wanted)
    assert Renderer(working).make_next(0.1) is True
    assert renders.outcome(wanted.token) == "kept"


def test_a_render_of_a_job_that_is_deleted_meanwhile_is_kept_nowhere(client, working, store, pictures):
    job = done(client, working)
    renders, wanted = Renders(store), Wanted.of(store.get(job["id"], "default"), 0, 0.5, "png")
    put, stored = pictures.put_result, []

    def put_and_delete(*args: Any) -> Any:
        stored.append(put(*args))
        client.delete(f"/v1/jobs/{job['id']}")
        return stored[0]

    pictures.put_result = put_and_delete
    renders.want(wanted)
    assert Renderer(replace(working, pictures=pictures)).make_next(0.1)
    assert renders.outcome(wanted.token) == "gone"
    with pytest.raises(NoSuchPicture):
        pictures.read(stored[0].key)
