"""Editing only a part of the photo, and with a chosen strength."""

import base64
import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.blending import blend
from tests.editors import Obedient
from tests.integration.conftest import encoded, submit
from worker.run import run_next

NOISE = Image.effect_noise((120, 80), 60).convert("RGB")
PHOTO = encoded(NOISE)
GRAY = Image.new("RGB", NOISE.size, "gray")
LEFT = [{"box": [0, 0, 0.5, 1]}]


def half(mode: str, inside: Any, outside: Any) -> bytes:
    """A mask whose left and right half differ."""
    mask = Image.new(mode, (60, 40), outside)
    mask.paste(inside, (0, 0, 30, 40))
    return encoded(mask)


def data_uri(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


MASKS = {
    "gray": {"files": {"mask": half("L", 255, 0)}},
    "opaque": {"files": {"mask": half("RGBA", (9, 9, 9, 255), (0, 0, 0, 0))}},
    "in text": {"data": {"mask": data_uri(half("1", 1, 0))}},
    "box": {"data": {"mask": json.dumps(LEFT)}},
    "polygon": {"data": {"mask": json.dumps([{"polygon": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}])}},
}


def edited(client, context, job: dict) -> np.ndarray:
    """The output of a job by an editor that paints everything gray."""
    assert run_next(context(Obedient()))
    assert (done := client.get(job["urls"]["self"]).json())["status"] == "succeeded", done["error"]
    data = client.get(job["urls"]["output"], params={"proxy": 1}).content
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize("name", MASKS)
def test_only_what_the_mask_says_is_edited(client, context, name):
    mask = MASKS[name]
    fields = {"prompt": "make it gray", "steps": "2", **mask.get("data", {})}
    answer = client.post("/v1/jobs", files={"image": PHOTO, **mask.get("files", {})}, data=fields)
    assert answer.status_code == 202, answer.text
    output = edited(client, context, answer.json())
    assert np.array_equal(output[:, 60:], np.asarray(NOISE)[:, 60:])
    assert np.array_equal(output[:, :55], np.asarray(GRAY)[:, :55])


def test_in_json_shapes_are_a_list_and_a_retry_has_them_too(client, context):
    body = {"image": data_uri(PHOTO), "prompt": "make it gray", "steps": 2, "mask": LEFT}
    job = client.post("/v1/jobs", json=body).json()
    client.post(job["urls"]["cancel"])
    again = client.post(f"/v1/jobs/{job['id']}/retry").json()
    assert np.array_equal(edited(client, context, again)[:, 60:], np.asarray(NOISE)[:, 60:])


@pytest.mark.parametrize(
    ("mask", "field"),
    [
        ([{"box": [0, 0, 2, 1]}], "mask.0.box.2"),
        ([{"box": [0, 0, 1]}], "mask.0.box.3"),
        ([{"polygon": [[0, 0], [1, 1]]}], "mask.0.polygon"),
        ([{"box": [0, 0, 1, 1], "polygon": [[0, 0], [1, 1], [0, 1]]}], "mask.0"),
        ([{}], "mask.0"),
        ([], "mask"),
        ([{"box": [0, 0, 1, 1]}] * 101, "mask"),
        ("everywhere", "mask"),
        ("job:00000000000000000000000000", "mask"),
        (data_uri(encoded(Image.new("L", (80, 80)))), "mask"),
        (data_uri(b"no picture"), "mask"),
        ({"box": [0, 0, 1, 1]}, "mask"),
        (7, "mask"),
    ],
)
def test_what_is_no_mask_is_refused_by_name(client, mask, field):
    answer = client.post("/v1/jobs", json={"image": data_uri(PHOTO), "prompt": "x", "mask": mask})
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]][:1] == [field]


def test_strength_lies_between_the_photo_and_the_edit(client, context):
    none, half_way, whole = (
        edited(client, context, submit(client, PHOTO, steps=2, strength=strength)).astype(int)
        for strength in (0, 0.5, 1)
    )
    assert np.array_equal(none, np.asarray(NOISE))
    assert np.array_equal(whole, np.asarray(GRAY))
    assert np.abs(2 * half_way - none - whole).max() <= 2


@given(st.integers(0, 2**32 - 1), st.integers(1, 90), st.integers(1, 90), st.floats(0, 1))
def test_what_is_black_in_a_mask_stays_as_it_was(seed, width, height, strength):
    random = np.random.default_rng(seed)
    photo, edit = (Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8)) for _ in range(2))
    mask = random.integers(0, 2, (height, width), dtype=np.uint8) * random.integers(0, 256, dtype=np.uint8)
    mixed = np.asarray(blend(photo, edit, strength, Image.fromarray(mask)))
    assert np.array_equal(mixed[mask == 0], np.asarray(photo)[mask == 0])
