"""Every bad input gets a 4xx problem document that names the field and its limit, and leaves nothing behind."""

import base64
import json
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator

import httpx
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tests.integration.conftest import calling, encoded

Call = Callable[[TestClient], httpx.Response]
GOOD = encoded(Image.radial_gradient("L").resize((96, 64)).convert("RGB"), "JPEG")
UNKNOWN = "0" * 26


def form(image: bytes | None = GOOD, **fields: object) -> Call:
    data = {"prompt": "make it sepia", **fields}
    files = {"image": image} if image is not None else {"other": ("", b"")}
    return lambda client: client.post("/v1/jobs", files=files, data={k: v for k, v in data.items() if v is not None})


def body(content: bytes | str, kind: str = "application/json") -> Call:
    return lambda client: client.post("/v1/jobs", content=content, headers={"Content-Type": kind})


def document(**fields: object) -> Call:
    image = "data:image/jpeg;base64," + base64.b64encode(GOOD).decode()
    return body(json.dumps({"image": image, "prompt": "make it sepia", **fields}))


def to(method: str, path: str, **options: object) -> Call:
    return lambda client: client.request(method, path, **options)


def a_png_that_says(width: int, height: int) -> bytes:
    """A few bytes that promise a huge picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def sized(*size: int) -> bytes:
    return encoded(Image.new("L", size))


PICTURES = {
    "no picture": (form(None), 422, "image", "required"),
    "an empty picture": (form(b""), 422, "image", "empty"),
    "text": (form(b"hello, I am a picture"), 422, "image", "JPEG, PNG or WebP"),
    "a gif": (form(encoded(Image.new("L", (32, 32)), "GIF")), 422, "image", "JPEG, PNG or WebP"),
    "an svg": (form(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), 422, "image", "JPEG, PNG or WebP"),
    "a cut jpeg": (form(GOOD[: len(GOOD) // 2]), 422, "image", "broken"),
    "a jpeg's first bytes": (form(GOOD[:20]), 422, "image", "broken"),
    "a broken png": (form(encoded(Image.new("RGB", (64, 64)))[:60] + b"\xff" * 40), 422, "image", "broken"),
    "a webp in name only": (form(b"RIFF\x10\0\0\0WEBPVP8 "), 422, "image", "broken"),
    "a bomb": (form(a_png_that_says(13_000, 13_000)), 422, "image", "40000000 pixels"),
    "a larger bomb": (form(a_png_that_says(60_000, 60_000)), 422, "image", ""),
    "a picture too long": (form(sized(12_001, 1600)), 422, "image", "12000"),
    "a picture too small": (form(sized(15, 15)), 422, "image", "at least 16"),
    "a ribbon": (form(sized(900, 100)), 422, "image", "8 times"),
    "too many bytes": (form(b"\xff\xd8\xff" + b"0" * 21_000_000), 413, "image", "20971520"),
    "far too many bytes": (form(b"\xff\xd8\xff" + b"0" * 40_000_000), 413, "body", "29425664"),
    "base64 that is cut": (document(image="data:image/png;base64,abc"), 422, "image", "base64"),
    "our own address as the picture": (document(image="http://127.0.0.1/a.png"), 422, "image", "public https address"),
    "a file of ours as the picture": (document(image="file:///etc/passwd"), 422, "image", "data URI"),
    "a number as the picture": (document(image=7), 422, "image", "data URI"),
    "a job that is not there": (document(image=f"job:{UNKNOWN}"), 404, None, "no job"),
}
PARAMETERS = {
    "no prompt": (form(prompt=None), 422, "prompt", "required"),
    "a blank prompt": (form(prompt="   "), 422, "prompt", "1 to 1000"),
    "a long prompt": (form(prompt="a" * 1001), 422, "prompt", "1 to 1000"),
    "a control character": (document(prompt="a\0b"), 422, "prompt", "control"),
    "a long negative prompt": (form(negative_prompt="a" * 1001), 422, "negative_prompt", "0 to 1000"),
    "one step": (form(steps=1), 422, "steps", "2 to 1000"),
    "too many steps": (form(steps=1001), 422, "steps", "2 to 1000"),
    "steps in words": (form(steps="ten"), 422, "steps", "whole number"),
    "half a step": (document(steps=10.5), 422, "steps", "whole number"),
    "steps true": (document(steps=True), 422, "steps", "whole number"),
    "no temperature": (form(temperature=0), 422, "temperature", "0.1 to 1"),
    "hot": (form(temperature=1.01), 422, "temperature", "0.1 to 1"),
    "cfg too low": (form(cfg_scale=0.9), 422, "cfg_scale", "1 to 14"),
    "cfg too high": (form(cfg_scale=14.1), 422, "cfg_scale", "1 to 14"),
    "cfg not a number": (form(cfg_scale="nan"), 422, "cfg_scale", "1 to 14"),
    "image cfg too high": (form(image_cfg_scale="inf"), 422, "image_cfg_scale", "1 to 5"),
    "scales that cancel out": (
        form(model="pix2pix-base", cfg_scale=1, image_cfg_scale=2),
        422,
        "image_cfg_scale",
        "no effect",
    ),
    "a negative seed": (form(seed=-1), 422, "seed", "0 to"),
    "a huge seed": (form(seed=10**40), 422, "seed", "0 to"),
    "another size": (form(size="1024x1024"), 422, "size", "512x512"),
    "another format": (form(format="gif"), 422, "format", "'png', 'jpeg' or 'webp'"),
    "another priority": (form(priority="urgent"), 422, "priority", "'low', 'normal' or 'high'"),
    "no time": (form(deadline_seconds=0), 422, "deadline_seconds", "equal to 1"),
    "metadata that is no object": (document(metadata=[1]), 422, "metadata", "JSON object"),
    "much metadata": (document(metadata={"a": "b" * 5000}), 422, "metadata", "4096"),
    "metadata that is no JSON": (form(metadata="{"), 422, "metadata", "JSON object"),
    "an unknown field": (form(strength=0.5), 422, "strength", "not a parameter"),
    "an unknown model": (form(model="pix2pix-9"), 422, "model", "pix2pix-base"),
    "a model of another type": (document(model=["pix2pix-base"]), 422, "model", "must be one of"),
    "a field given twice": (form(steps=["4", "5"]), 422, "steps", "once"),
}
BODIES = {
    "broken JSON": (body("{"), 400, "body", "JSON"),
    "a JSON list": (body("[]"), 400, "body", "JSON object"),
    "JSON without end": (body("[" * 10_000), 400, "body", "JSON"),
    "JSON without sense": (body("[" * 100_000), 422, "body", "16384"),
    "JSON that is not text": (body(b"\xff\xfe\x00"), 400, "body", "JSON"),
    "a form without boundary": (body(b"x", "multipart/form-data"), 400, "body", ""),
    "a form that ends early": (
        body(b"--b\r\nContent-Dis", "multipart/form-data; boundary=b"),
        422,
        "image",
        "required",
    ),
    "text": (body("hello", "text/plain"), 415, "content-type", "multipart/form-data"),
    "nothing": (to("POST", "/v1/jobs"), 415, "content-type", "multipart/form-data"),
}
ADDRESSES = {
    "a wrong method": (to("PUT", "/v1/jobs"), 405, None, ""),
    "no such page": (to("GET", "/v1/nothing"), 404, None, ""),
    "an unknown job": (to("GET", f"/v1/jobs/{UNKNOWN}"), 404, None, "no job"),
    "a malformed id": (to("GET", "/v1/jobs/..%2f..%2fetc"), 404, None, ""),
    "an id of another kind": (to("GET", "/v1/jobs/7"), 404, None, "no job"),
    "cancel an unknown job": (to("POST", f"/v1/jobs/{UNKNOWN}/cancel"), 404, None, "no job"),
    "retry an unknown job": (to("POST", f"/v1/jobs/{UNKNOWN}/retry"), 404, None, "no job"),
    "delete an unknown job": (to("DELETE", f"/v1/jobs/{UNKNOWN}"), 404, None, "no job"),
    "the output of an unknown job": (to("GET", f"/v1/jobs/{UNKNOWN}/output"), 404, None, "no job"),
    "a page too large": (to("GET", "/v1/jobs?limit=101"), 422, "limit", "100"),
    "a status that is none": (to("GET", "/v1/jobs?status=done"), 422, "status", "queued"),
    "a cursor that is none": (to("GET", "/v1/jobs?after=x"), 422, "after", "next"),
    "a wait too long": (to("GET", f"/v1/jobs/{UNKNOWN}?wait=61"), 422, "wait", "60"),
}
CASES = PICTURES | PARAMETERS | {f"body: {k}": v for k, v in BODIES.items()} | ADDRESSES


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_refused_by_name(client, store, pictures, name):
    call, status, field, words = CASES[name]
    answer = call(client)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["type"].startswith("urn:darkroom:problem:")
    assert words in json.dumps(problem)
    assert field is None or field in [error["field"] for error in problem["errors"]]
    assert store.queue().queued == 0
    assert form()(client).status_code == 202, "it works on"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_no_broken_picture_breaks_the_service(client, kind, pytestconfig):
    """Cut or flipped anywhere, a picture is either read or refused."""
    good = encoded(Image.linear_gradient("L").convert("RGB"), kind)
    for part in range(1, 32, 1 if pytestconfig.getoption("--slow") else 3):
        at = len(good) * part // 32
        flipped = good[:at] + bytes([good[at] ^ 0xFF]) + good[at + 1 :]
        for broken in (good[:at], flipped):
            assert form(broken)(client).status_code in (202, 422), (part, len(broken))


@pytest.fixture
def silence() -> Iterator[int]:
    """The port of a server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("part", ["redis", "s3"])
@pytest.mark.parametrize("silent", [False, True])
def test_a_part_that_is_dead_or_silent_is_a_503_within_two_seconds(settings, silence, part, silent):
    port = silence if silent else 1
    down = {
        "redis": {"redis_url": f"redis://127.0.0.1:{port}/0"},
        "s3": {"s3_endpoint_url": f"http://127.0.0.1:{port}"},
    }
    with calling(settings.model_copy(update=down[part])) as client:
        assert client.get("/healthz").status_code == 200
        started = time.monotonic()
        answer = form()(client)
        assert time.monotonic() - started < 2
        assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
        assert int(answer.headers["retry-after"]) > 0
        ready = client.get("/readyz")
        assert ready.status_code == 503
        assert [error["field"] for error in ready.json()["errors"]] == [part]
        assert client.get("/healthz").status_code == 200, "it lives"
