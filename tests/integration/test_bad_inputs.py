"""Every bad input gets a 4xx problem document that names the field and its limit, and leaves nothing behind."""

import base64
import json
import re
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
from tests.integration.test_access import ADMIN_KEY, bearer, locked  # noqa: F401 - a fixture

Call = Callable[[TestClient], httpx.Response]
GOOD = encoded(Image.radial_gradient("L").resize((96, 64)).convert("RGB"), "JPEG")
URI = "data:image/jpeg;base64," + base64.b64encode(GOOD).decode()
UNKNOWN = "0" * 26
LONG = "a" * 64_000


def form(image: bytes | None = GOOD, **fields: object) -> Call:
    data = {"prompt": "make it sepia", **fields}
    files = {"image": image} if image is not None else {"other": ("", b"")}
    return lambda client: client.post("/v1/jobs", files=files, data={k: v for k, v in data.items() if v is not None})


def body(content: bytes | str, kind: str = "application/json") -> Call:
    return lambda client: client.post("/v1/jobs", content=content, headers={"Content-Type": kind})


def document(**fields: object) -> Call:
    return body(json.dumps({"image": URI, "prompt": "make it sepia", **fields}))


def raw(text: str, kind: str = "application/json") -> Call:
    """A submission in JSON whose `...` is replaced by text that no JSON library would write."""
    return body('{"image": "' + URI + '", ' + text + "}", kind)


def parted(*parts: bytes) -> Call:
    """A form with a picture, a prompt, and parts that no library would write."""
    usual = [b'form-data; name="image"; filename="a.jpg"\r\n\r\n' + GOOD, b'form-data; name="prompt"\r\n\r\nx']
    whole = b"".join(b"--b\r\nContent-Disposition: " + part + b"\r\n" for part in [*usual, *parts])
    return body(whole + b"--b--\r\n", "multipart/form-data; boundary=b")


def headed(**headers: str | bytes) -> Call:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda client: client.post("/v1/jobs", files={"image": GOOD}, data={"prompt": "x"}, headers=named)


def hook(**fields: object) -> Call:
    return to("POST", "/v1/webhooks", json=fields)


def to(method: str, path: str, **options: object) -> Call:
    return lambda client: client.request(method, path, **options)


def a_png_that_says(width: int, height: int) -> bytes:
    """A few bytes that announce a huge picture."""

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
    "text": (form(b"hello, I am a picture"), 422, "image", "JPEG, PNG, WebP, HEIC"),
    "a ppm": (form(encoded(Image.new("L", (32, 32)), "PPM")), 422, "image", "JPEG, PNG, WebP, HEIC"),
    "an svg": (form(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), 422, "image", "JPEG, PNG, WebP, HEIC"),
    "a cut jpeg": (form(GOOD[: len(GOOD) // 2]), 422, "image", "broken"),
    "a jpeg's first bytes": (form(GOOD[:20]), 422, "image", "broken"),
    "a broken png": (form(encoded(Image.new("RGB", (64, 64)))[:60] + b"\xff" * 40), 422, "image", "broken"),
    "a webp in name only": (form(b"RIFF\x10\0\0\0WEBPVP8 "), 422, "image", "broken"),
    "a bomb": (form(a_png_that_says(13_000, 13_000)), 422, "image", "50000000 pixels"),
    "a larger bomb": (form(a_png_that_says(60_000, 60_000)), 422, "image", ""),
    "a picture too long": (form(sized(16_384, 2050)), 422, "image", "16383"),
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
    "another format": (form(format="gif"), 422, "format", "'png', 'jpeg', 'webp' or 'avif'"),
    "another priority": (form(priority="urgent"), 422, "priority", "'low', 'normal' or 'high'"),
    "no time": (form(deadline_seconds=0), 422, "deadline_seconds", "equal to 1"),
    "metadata that is no object": (document(metadata=[1]), 422, "metadata", "JSON object"),
    "much metadata": (document(metadata={"a": "b" * 5000}), 422, "metadata", "4096"),
    "metadata that is no JSON": (form(metadata="{"), 422, "metadata", "JSON object"),
    "an unknown field": (form(power=0.5), 422, "power", "not a parameter"),
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
TEXTS = {
    "a prompt twice in JSON": (raw('"prompt": "a", "prompt": "b"'), 422, "body", "only once"),
    "a prompt of astral characters, one too many": (document(prompt="\U0001f600" * 1001), 422, "prompt", "1 to 1000"),
    "a prompt of 64 kB": (document(prompt=LONG), 422, "prompt", "1 to 1000"),
    "a prompt of 64 kB in a form": (form(prompt="a" * 70_000), 400, "body", "64KB"),
    "a prompt of blanks that are none": (document(prompt="\u3000\u2003"), 422, "prompt", "1 to 1000"),
    "a prompt that is a list": (document(prompt=["make it sepia"]), 422, "prompt", "text"),
    "a prompt that is null": (document(prompt=None), 422, "prompt", "required"),
    "a prompt that is a file": (parted(b'form-data; name="prompt"; filename="p"\r\n\r\nx'), 422, "prompt", "text"),
    "a zero in a form": (form(prompt="a\0b"), 422, "prompt", "control"),
    "half of a character in bytes": (body(b'{"prompt": "\xed\xa0\x80"}'), 400, "body", "JSON"),
    "a field without a name": (parted(b'form-data; name=""\r\n\r\nx'), 422, "", "not a parameter"),
    "a part without a name": (parted(b"form-data\r\n\r\nx"), 400, "body", "form"),
    "a name of 64 kB": (document(**{LONG: 1}), 422, LONG, "not a parameter"),
    "a name with a zero": (document(**{"a\0": 1}), 422, "a\0", "not a parameter"),
    "a name of the model's own": (document(model_config={}), 422, "model_config", "not a parameter"),
    "the picture twice": (parted(b'form-data; name="image"; filename="b.jpg"\r\n\r\n' + GOOD), 422, "image", "once"),
    "three pictures": (parted(*[b'form-data; name="image"; filename="b"\r\n\r\nx'] * 2), 400, "body", "files"),
    "fifty fields": (form(**{f"a{number}": 1 for number in range(50)}), 400, "body", "fields"),
    "a file too many": (parted(b'form-data; name="other"; filename="b.jpg"\r\n\r\n' + GOOD), 422, "other", "image"),
    "a seed in hexadecimal": (form(seed="0x10"), 422, "seed", "whole number"),
    "a seed beyond JSON's whole numbers": (document(seed=2**53), 422, "seed", "0 to"),
    "a seed beyond all doubles": (raw('"prompt": "x", "seed": 1' + "0" * 400), 422, "body", "too large"),
    "a deadline of half a second": (document(deadline_seconds=0.5), 422, "deadline_seconds", "integer"),
    "a deadline that is true": (document(deadline_seconds=True), 422, "deadline_seconds", "integer"),
    "a deadline of eight days": (form(deadline_seconds=691_200), 422, "deadline_seconds", "604800"),
    "metadata as text in JSON": (document(metadata='{"a": 1}'), 422, "metadata", "JSON object"),
    "metadata that is no number": (form(metadata='{"a": NaN}'), 422, "metadata", "NaN"),
    "metadata 40 deep": (form(metadata='{"a":' * 40 + "1" + "}" * 40), 422, "metadata", "32"),
    "events of another name": (document(webhook_events=["job.done"]), 422, "webhook_events.0", "job.completed"),
    "no events": (document(webhook_events=[]), 422, "webhook_events", "at least 1"),
    "a webhook of 3,000 letters": (form(webhook="https://" + "a" * 3000), 422, "webhook", "2048"),
    "a webhook with a zero": (document(webhook="https://a\0.example/"), 422, "webhook", "https"),
    "a webhook with a password": (form(webhook="https://a:b@example.com/"), 422, "webhook", "password"),
    "two fields wrong at once": (document(format="gif", priority="now"), 422, "priority", "'low'"),
    "a job of another kind": (document(image="job:7"), 422, "image", "job:<id>"),
    "an upload that is not there": (document(image=f"upload:{UNKNOWN}"), 422, "image", "upload"),
}
TYPES = {
    "two documents": (body("{}{}"), 400, "body", "JSON"),
    "a comma at the end": (raw('"prompt": "x",'), 400, "body", "JSON"),
    "a comment": (raw('"prompt": "x" /* y */'), 400, "body", "JSON"),
    "a byte order mark": (body("\ufeff{}".encode()), 400, "body", "JSON"),
    "UTF-16": (body('{"prompt": "x"}'.encode("utf-16"), "application/json; charset=utf-16"), 400, "body", "JSON"),
    "null": (body("null"), 400, "body", "JSON object"),
    "a form as links send it": (
        body("prompt=x", "application/x-www-form-urlencoded"),
        415,
        "content-type",
        "multipart",
    ),
    "another multipart": (body(b"--b--", "multipart/mixed; boundary=b"), 415, "content-type", "multipart/form-data"),
    "a type of 64 kB": (body("{}", LONG), 415, "content-type", "multipart/form-data"),
    "a boundary that is never met": (body(b"--a\r\n", "multipart/form-data; boundary=b"), 400, "body", "form"),
    "a webhook as a form": (to("POST", "/v1/webhooks", data={"url": "x"}), 415, "content-type", "application/json"),
    "a webhook without a body": (to("POST", "/v1/webhooks"), 415, "content-type", "application/json"),
    "a webhook that is a list": (to("POST", "/v1/webhooks", json=[]), 422, "body", "JSON object"),
    "a webhook without an address": (hook(), 422, "url", "required"),
    "a webhook at a number": (hook(url=7), 422, "url", "string"),
    "a webhook with a field of ours": (hook(url="https://a.example/", secret="x"), 422, "secret", "not permitted"),
    "limits below zero": (to("PUT", "/v1/admin/tenants/a/limits", json={"queued": -1}), 422, "queued", "equal to 0"),
    "half a limit": (to("PUT", "/v1/admin/tenants/a/limits", json={"queued": 0.5}), 422, "queued", "integer"),
    "an empty idempotency key": (headed(idempotency_key=""), 422, "idempotency-key", "at least 1"),
    "an idempotency key of 256 letters": (headed(idempotency_key="a" * 256), 422, "idempotency-key", "255"),
}
QUERIES = {
    "no page": (to("GET", "/v1/jobs?limit=0"), 422, "limit", "equal to 1"),
    "a page in words": (to("GET", "/v1/jobs?limit=ten"), 422, "limit", "integer"),
    "a cursor that is a zero": (to("GET", "/v1/jobs?after=%00"), 422, "after", "next"),
    "a cursor that is half of a character": (to("GET", "/v1/jobs?after=%ed%a0%80"), 422, "after", "next"),
    "a wait that is no number": (to("GET", f"/v1/jobs/{UNKNOWN}?wait=nan"), 422, "wait", "60"),
    "a wait without end": (to("GET", f"/v1/jobs/{UNKNOWN}?wait=inf"), 422, "wait", "60"),
    "an id of 65 letters": (to("GET", "/v1/jobs/" + "a" * 65), 422, "job_id", "64"),
    "an id in capitals": (to("GET", "/v1/jobs/" + "A" * 26), 404, None, "no job"),
    "an id of zeros that are none": (to("GET", "/v1/jobs/" + "%00" * 26), 404, None, "no job"),
    "a tenant that is none": (to("PUT", "/v1/admin/tenants/%00/limits", json={}), 422, "tenant", "pattern"),
}
CASES = PICTURES | PARAMETERS | {f"body: {k}": v for k, v in BODIES.items()} | ADDRESSES | TEXTS | TYPES | QUERIES


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


TAKEN = {
    "every character of two halves": document(prompt="\U0001f600" * 1000),
    "a prompt that runs the other way": form(prompt="\u202emake it \u05d0\u05d1"),
    "a pile of accents": document(prompt="e" + "\u0301" * 999),
    "characters that mean nothing": document(prompt="\uffff\ufdd0\ue000", metadata={"\uffff": "\u2028"}),
    "a seed with a point": document(seed=1000.0, deadline_seconds=60.0),
    "numbers as text": document(seed="7", steps="4", temperature="1e-1", deadline_seconds=" 60 "),
    "null for what is left out": document(model=None, seed=None, metadata=None, webhook=None, webhook_events=None),
    "metadata that is null in a form": form(metadata="null"),
    "metadata 31 deep": form(metadata='{"a":' * 31 + "1" + "}" * 31),
    "events twice": document(webhook_events=["job.completed", "job.completed"]),
    "events between commas": form(webhook_events=" job.completed , job.started"),
    "no webhook": form(webhook=""),
    "a type in capitals": raw('"prompt": "x"', "APPLICATION/JSON; charset=UTF-8"),
    "a picture as text in a form": to("POST", "/v1/jobs", files={"image": (None, URI), "prompt": (None, "x")}),
    "a preference that is none": headed(prefer="wait=soon, wait=-1, respond-async"),
    "an idempotency key that is not ASCII": headed(idempotency_key=b"\xff\xfe\x80 a:b*{}"),
    "an idempotency key of 255 letters": headed(idempotency_key="a" * 255),
    "other headers of 8 kB": headed(x_request_id="a" * 8000, traceparent=b"\xff" * 55, if_none_match='"' * 99),
}


@pytest.mark.parametrize("name", TAKEN)
def test_odd_input_that_means_something_is_taken(client, name):
    answer = TAKEN[name](client)
    assert answer.status_code == 202, answer.text
    listed = client.get("/v1/jobs").json()["data"]
    assert [job["id"] for job in listed] == [answer.json()["id"]]


HOSTILE = ["%00", "%ed%a0%80", "%e2%80%ae*", "a" * 5000]
HEADERS = "idempotency-key prefer if-none-match last-event-id authorization cookie x-request-id origin".split()


def test_no_address_query_or_header_is_a_fault(locked, apps):  # noqa: F811
    """Whatever replaces an id, a query or a header, the service does not fail."""
    client = apps(locked, headers=bearer(ADMIN_KEY))
    paths = client.get("/openapi.json").json()["paths"].items()
    operations = [(method, path, one) for path, methods in paths for method, one in methods.items()]
    parameters = [(path, one) for _, path, about in operations for one in about.get("parameters", [])]
    queries = {(path, one["name"]) for path, one in parameters if one["in"] == "query"}
    for text in HOSTILE:
        for method, path, _ in operations:
            if "{" in path:
                answer = client.request(method, re.sub(r"{\w+}", text, path))
                assert 204 <= answer.status_code < 500, (method, path, text, answer.text)
        for path, name in queries:
            answer = client.get(f"{path.replace('{job_id}', UNKNOWN)}?{name}={text}")
            assert answer.status_code < 500, (path, name, text, answer.text)
    for name in HEADERS:
        for value in (b"\xed\xa0\x80", b"\x00", b"a" * 5000, b'"', b""):
            assert client.post(f"/v1/jobs/{UNKNOWN}/retry", headers={name: value}).status_code < 500, (name, value)
            assert client.get(f"/v1/jobs/{UNKNOWN}/events", headers={name: value}).status_code < 500, (name, value)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"])
def test_no_broken_picture_breaks_the_service(client, kind, pytestconfig):
    """A picture that is cut or changed anywhere is either read or refused."""
    good = encoded(Image.linear_gradient("L").convert("RGB"), kind)
    for part in range(1, 32, 1 if pytestconfig.getoption("--slow") else 3):
        at = len(good) * part // 32
        flipped = good[:at] + bytes([good[at] ^ 0xFF]) + good[at + 1 :]
        for broken in (good[:at], flipped):
            assert form(broken)(client).status_code in (202, 422), (part, len(broken))


@pytest.fixture
def silence() -> Iterator[int]:
    """The port of a server that accepts connections and never answers."""
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
