"""Hostile requests to a dialect. Whatever is sent, the answer is a job, or a refusal that names what is wrong."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import strategies as st
from pydantic import SecretStr

from api import strict_json
from api.openapi import WHITE
from jobs.settings import Settings
from tests.integration.conftest import Apps
from tests.integration.test_fuzz import NAMES, TEXTS, VALUES, json_body, tried

FEW = 15  #: examples; with --slow, 1000
PREDICT = "/replicate/v1/predictions"
EDIT = "/openai/v1/images/edits"
OF_PREDICTIONS = "version input webhook webhook_completed webhook_events_filter stream".split()
OF_INPUTS = "image input_image mask prompt num_inference_steps guidance_scale seed size output_format model".split()
OF_EDITS = """image images image[] mask url prompt model n size quality output_format response_format background
input_fidelity stream partial_images seed num_inference_steps negative_prompt user metadata""".split()
OF_FORMS = "file purpose content metadata filename type expires_after[anchor] expires_after[seconds]".split()

INPUT = {"image": WHITE, "prompt": "make it sepia"}
INPUTS = st.dictionaries(st.sampled_from(OF_INPUTS) | TEXTS, VALUES, max_size=3)
PREDICTIONS = st.one_of(
    INPUTS.map(lambda given: {"version": "darkroom/pix2pix-full", "input": INPUT | given}),
    st.dictionaries(st.sampled_from(OF_PREDICTIONS) | TEXTS, VALUES, max_size=3).map(
        lambda fields: {"version": "darkroom/pix2pix-full", "input": INPUT, **fields}
    ),
    VALUES,
)
EDITED = {"image": [{"image_url": WHITE}], "prompt": "make it sepia"}
FIELDS = st.dictionaries(st.sampled_from(OF_EDITS) | TEXTS, VALUES, max_size=3)
EDITS = FIELDS.map(lambda fields: EDITED | fields) | VALUES
PREFERENCES = st.sampled_from(["respond-async", "respond-async, wait=0", "wait=0, respond-async"])


@st.composite
def form(draw: st.DrawFn, names: list[str], usual: dict[str, Any]) -> tuple[str, bytes]:
    """A form in which any field may be a file, or text, or repeated."""
    parts = []
    fields = [*usual.items(), *draw(st.lists(st.tuples(st.sampled_from(names) | TEXTS, TEXTS), max_size=3))]
    for name, value in fields:
        file = draw(st.sampled_from(["", '; filename="a.png"', '; filename=""', "; filename=../../a"]))
        kind = draw(st.sampled_from(["", "\r\nContent-Type: image/png", "\r\nContent-Type: text/html; charset=\xff"]))
        head = f'--b\r\nContent-Disposition: form-data; name="{name}"{file}{kind}\r\n\r\n'
        parts.append(head.encode("utf-8", "surrogatepass") + str(value).encode("utf-8", "surrogatepass") + b"\r\n")
    return "multipart/form-data; boundary=b", b"".join(parts) + b"--b--\r\n"


def answered(client: TestClient, path: str, body: tuple[str, bytes], headers: dict[str, Any]) -> bool:
    """Whether the request was accepted. If it was refused, the answer says why, in valid JSON."""
    answer = client.post(path, content=body[1], headers={"Content-Type": body[0], **headers})
    said = strict_json.loads(answer.content)
    if answer.status_code < 300:
        return True
    assert answer.status_code in (400, 404, 409, 413, 415, 422), answer.text
    assert said["detail"]
    assert said["type"].startswith("urn:darkroom:problem:")
    return False


def test_whatever_json_a_prediction_is_asked_for_with_it_is_answered(client, pytestconfig):
    accepted = []

    def sent(body: tuple[str, bytes], key: str | None) -> None:
        headers = {"Idempotency-Key": key.encode("latin-1")} if key is not None else {}
        accepted.append(answered(client, PREDICT, body, headers))

    tried(sent, pytestconfig, FEW, body=json_body(PREDICTIONS), key=NAMES)
    assert any(accepted)
    assert client.get(PREDICT).status_code == 200


def test_whatever_an_edit_is_asked_for_with_it_is_answered(client, pytestconfig):
    accepted = []

    def sent(body: tuple[str, bytes], key: str | None, prefer: str) -> None:
        headers = {"Idempotency-Key": key.encode("latin-1")} if key is not None else {}
        accepted.append(answered(client, EDIT, body, {"Prefer": prefer, **headers}))

    bodies = json_body(EDITS) | form(OF_EDITS, {"image": "x", "prompt": "y"})
    tried(sent, pytestconfig, FEW, body=bodies, key=NAMES, prefer=PREFERENCES)
    assert any(accepted)


@pytest.mark.parametrize(
    ("path", "usual"),
    [("/openai/v1/files", {"file": "x", "purpose": "y"}), ("/replicate/v1/files", {"content": "x"})],
)
def test_whatever_form_a_file_comes_in_it_is_answered(client, pytestconfig, path, usual):
    accepted = []

    def sent(body: tuple[str, bytes]) -> None:
        accepted.append(answered(client, path, body, {}))

    tried(sent, pytestconfig, FEW, body=form(OF_FORMS, usual))
    assert any(accepted)
    assert strict_json.loads(client.get(path).content)


OF_BATCHES = "input_file_id endpoint completion_window metadata output_expires_after".split()
OF_LINES = "custom_id method url body".split()
BATCH = {"endpoint": "/v1/images/edits", "completion_window": "24h"}
LINE = {"custom_id": "a", "method": "POST", "url": "/v1/images/edits", "body": EDITED}
LINES = st.lists(
    st.dictionaries(st.sampled_from(OF_LINES) | TEXTS, VALUES | EDITS, max_size=2).map(lambda fields: LINE | fields)
    | VALUES,
    max_size=4,
)


@pytest.mark.timeout(600)
def test_whatever_lines_a_batch_has_each_is_answered(client, pytestconfig):
    accepted = []

    def sent(lines: list[Any], fields: dict[str, Any], key: str | None) -> None:
        text = "\n".join(json.dumps(line) for line in lines)
        kept = client.post("/openai/v1/files", files={"file": text.encode() + b"\n"}, data={"purpose": "batch"}).json()
        body = json.dumps({**BATCH, "input_file_id": kept["id"], **fields}).encode()
        headers = {"Idempotency-Key": key.encode("latin-1")} if key is not None else {}
        accepted.append(answered(client, "/openai/v1/batches", ("application/json", body), headers))
        listed = client.get("/openai/v1/batches")
        assert listed.status_code == 200, listed.text
        for batch in listed.json()["data"][:1]:
            client.post(f"/openai/v1/batches/{batch['id']}/cancel")
            answer = client.get(f"/openai/v1/files/{batch['error_file_id']}/content")
            for line in answer.content.splitlines() if answer.status_code == 200 else ():
                strict_json.loads(line)

    fields = st.dictionaries(st.sampled_from(OF_BATCHES) | TEXTS, VALUES, max_size=1) | st.just({})
    tried(sent, pytestconfig, FEW, lines=LINES, fields=fields, key=NAMES)
    assert any(accepted)


@pytest.mark.parametrize("line", [b"\n", b"0\n", b'{"name":"","request":{}}\n'])
def test_a_file_of_very_many_lines_is_refused_before_they_are_read(client, line):
    kept = client.post("/v1/files", files={"file": line * 60_000}).json()
    native = client.post("/v1/batches", json={"lines": kept["image"]})
    openai = client.post("/openai/v1/batches", json={**BATCH, "input_file_id": "file-" + kept["id"]})
    for answer, status in ((native, 422), (openai, 400)):
        assert (answer.status_code, "at most 50000 lines" in answer.json()["detail"]) == (status, True), answer.text


def test_a_small_request_for_a_hundred_million_edits_is_refused_before_they_are_made(client):
    images = ["file:" + "0" * 26] * 10_000
    answer = client.post("/v1/batches", json={"images": images, "prompts": ["x"] * 100, "parameters": [{}] * 100})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "images")


# ---- what a client sends beside the body


@pytest.mark.parametrize("path", [EDIT, "/openai/v1/files", "/openai/v1/batches", PREDICT, "/replicate/v1/files"])
def test_a_strangers_body_is_not_read(settings: Settings, apps: Apps, path):
    client = apps(settings.model_copy(update={"auth": "on"}))
    for kind in ("application/json", "multipart/form-data; boundary=b", "text/plain"):
        assert client.post(path, content=b"{", headers={"Content-Type": kind}).status_code == 401


@pytest.mark.parametrize("path", [PREDICT, EDIT])
@pytest.mark.parametrize(
    "headers",
    [
        {"x-stainless-retry-count": "²".encode("latin-1")},
        {"x-stainless-retry-count": "9" * 400},
        {"x-stainless-retry-count": "-1"},
        {"idempotency-key": "é".encode("latin-1")},
        {"idempotency-key": "k" * 300},
        {"idempotency-key": ""},
        {"prefer": b"wait=\xff, respond-async"},
        {"prefer": "wait=0,,;; respond-async"},
        {"cancel-after": b"\xb2s"},
        {"authorization": b"Bearer \xff"},
        {"authorization": "Basic eDp5"},
        {"cookie": b"darkroom_session=\xff"},
        {"traceparent": "x" * 3000},
        {"x-request-id": "é".encode("latin-1")},
        {"content-type": "application/json; charset=utf-7"},
        {"content-encoding": "gzip"},
    ],
    ids=str,
)
def test_whatever_header_comes_it_is_answered(client, path, headers):
    body = json.dumps(EDITED if path == EDIT else {"version": "darkroom/pix2pix-full", "input": INPUT}).encode()
    answered(client, path, ("application/json", body), {"Prefer": "respond-async", **headers})


@pytest.mark.parametrize("host", ["[", "[::1", "a b", "localhost:x", "localhost:99999999", "é", "a/b?c#d", "@", ""])
@pytest.mark.parametrize("path", ["/replicate/v1/models", "/openai/v1/models", PREDICT, "/replicate/v1/files"])
def test_whatever_name_we_are_called_by_it_is_answered(settings: Settings, apps: Apps, host, path):
    client = apps(settings.model_copy(update={"auth": "on", "admin_key": SecretStr("k" * 40)}))
    answer = client.get(path, headers={"Host": host.encode("latin-1"), "Authorization": "Bearer " + "k" * 40})
    assert answer.status_code in (200, 400), answer.text


NO_IDS = [*"%2e%2e%2fx|x%3Fproxy=true|a%23b|%00|é|%ff|file-..|*".split("|"), "O" * 26, "0" * 5000]
NEVER = (400, 404, 422)
BELOW = "models/{0}/x models/darkroom/{0} models/darkroom/pix2pix-full/versions/{0} files/{0} deployments/{0}/x".split()


@pytest.mark.parametrize("name", NO_IDS, ids=lambda name: name[:20])
def test_no_id_leads_anywhere_else(client, name):
    for path in ("models/{}", "files/{}", "files/{}/content"):
        assert client.get(f"/openai/v1/{path.format(name)}").status_code in NEVER
    for path in BELOW:
        assert client.get(f"/replicate/v1/{path.format(name)}").status_code in NEVER
    assert client.delete(f"/openai/v1/files/{name}").status_code in NEVER
    assert client.delete(f"/replicate/v1/files/{name}").status_code in NEVER
