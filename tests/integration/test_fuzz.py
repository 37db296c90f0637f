"""Generated requests.

schemathesis reads the OpenAPI document and tries what it allows, what it forbids, and sequences of it. Hypothesis sends
any JSON, any form and any text.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import pytest
from fastapi.testclient import TestClient
from hypothesis import strategies as st

from api import strict_json
from api.openapi import WHITE
from jobs.api_keys import ApiKeys, Scope
from jobs.job import new_id
from jobs.outbox import Endpoint, Event, Outbox
from jobs.settings import Settings
from tests.integration.conftest import submit
from tests.integration.test_access import ADMIN_KEY, locked  # noqa: F401 - a fixture
from tests.integration.test_events import serving
from worker.leases import Leases
from worker.renders import Renderer
from worker.run import WorkerContext

CONFIG, HOSTILE_WORDS = (Path(__file__).with_name(name) for name in ("schemathesis.toml", "hostile.toml"))
USER = frozenset({Scope.SUBMIT, Scope.READ})
PATIENT = {"reads_per_minute": 1_000_000, "writes_per_minute": 1_000_000}


@contextmanager
def working(store, pictures, picture: bytes) -> Iterator[None]:
    """Every job succeeds a moment after it was accepted, so that no request waits long."""
    over = threading.Event()
    leases = Leases(store, "w", {"slots": 1, "checkpoint": {}}, lease_seconds=30, engine_worked_at=lambda: 0.0)
    renderer = Renderer(WorkerContext(store, pictures, leases, {}, 30))

    def work() -> None:
        while not over.is_set():
            renderer.make_next(0.02)
            while job := store.claim("w", lease_seconds=30, token=new_id()):
                store.finish(job, pictures.put_result(job, picture, "image/jpeg", (96, 64)), {}, {})

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        over.set()
        worker.join()


# An admin's key opens all that a user's does; that a user reaches nobody else's is in test_tenants.py, too.
@pytest.mark.parametrize(
    "who", ["admin", *(pytest.param(who, marks=pytest.mark.slow) for who in ("user", "a hostile admin"))]
)
@pytest.mark.timeout(600)
def test_the_api_does_what_its_document_says(locked: Settings, store, pictures, jpeg, tmp_path, pytestconfig, who):  # noqa: F811
    words = HOSTILE_WORDS.read_text().replace("$LONG", "a" * 60_000) if who.startswith("a hostile") else ""
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG.read_text() + words)
    foreign, users = (ApiKeys(store.redis).make(name, USER)[1] for name in ("acme", "umbrella"))
    key = users if who == "user" else ADMIN_KEY
    with serving(locked.model_copy(update=PATIENT)) as http:
        http.headers["Authorization"] = f"Bearer {foreign}"
        theirs = submit(http, jpeg)["urls"]["self"]
        with working(store, pictures, jpeg):
            run = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "schemathesis.cli",
                    "--no-color",
                    "--config-file",
                    str(config),
                    "run",
                    *([] if pytestconfig.getoption("--slow") else ["--max-examples", "4"]),
                    str(http.base_url.join("/openapi.json")),
                ],
                env={**os.environ, "DARKROOM_KEY": key},
                cwd=tmp_path,
                capture_output=True,
                text=True,
            )
        if who == "user":  # an operator may prune anybody's ended jobs
            assert http.get(theirs).status_code == 200, "the other tenant's job was not touched"
    assert run.returncode == 0, run.stdout + run.stderr


# ---- any JSON, any form, any text

HOSTILE = [
    "\ud800", "\udc00\ud83d", "\0", "\u202eabc", "e" + "\u0301" * 40, "\U0001f600" * 9, "\uffff", "\ufeff",
    "\x7f\x1b[2J", "NaN", "1e999", "null", "", " ", "\r\n", "../..", "%00", "{}", "[[", "__proto__", "self",
    "model_dump",
]  # fmt: skip
DEEP = st.integers(1, 40).map(lambda depth: json.loads("[" * depth + "]" * depth))


def values_of(texts: st.SearchStrategy, **floats: bool) -> st.SearchStrategy:
    """Anything that Python writes as JSON."""
    return st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(**floats) | texts,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
        max_leaves=12,
    )


WHOLE = st.text(max_size=40)  # of characters alone
HALVES = st.sampled_from(["\ud800", "caf\u00e9 \udfff", "\udc00\ud83d"])  # of surrogate pairs
TEXTS = WHOLE | HALVES | st.sampled_from(HOSTILE)
VALUES = values_of(TEXTS) | DEEP
MEANT = values_of(WHOLE, allow_nan=False, allow_infinity=False)
FIELDS = (
    "image model prompt negative_prompt steps temperature seed size cfg_scale image_cfg_scale sampler format priority "
    "deadline_seconds webhook webhook_events metadata"
).split()
PLAIN = {"image": WHITE, "prompt": "make it sepia", "webhook": "https://example.com/"}
SUBMISSIONS = st.one_of(
    st.dictionaries(WHOLE, MEANT, max_size=3).map(lambda metadata: PLAIN | {"metadata": metadata}),
    st.text(st.characters(min_codepoint=32), min_size=1, max_size=40).map(lambda prompt: PLAIN | {"prompt": prompt}),
    (HALVES | TEXTS).map(lambda prompt: PLAIN | {"prompt": prompt}),
    st.dictionaries(TEXTS, VALUES, min_size=1, max_size=3).map(lambda metadata: PLAIN | {"metadata": metadata}),
    st.dictionaries(st.sampled_from(FIELDS) | TEXTS, VALUES, max_size=2).map(lambda any_fields: PLAIN | any_fields),
)


@st.composite
def json_body(draw: st.DrawFn, values: st.SearchStrategy = SUBMISSIONS) -> tuple[str, bytes]:
    """The type and bytes of a JSON text, plain or escaped, complete or cut."""
    body = json.dumps(draw(values), ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    return "application/json", body[: -draw(st.sampled_from([0, 0, 0, 1, 7])) or None]


@st.composite
def form_body(draw: st.DrawFn) -> tuple[str, bytes]:
    """The type and bytes of a form, with or without file names, with repeated fields, any bytes, complete or cut."""
    fields = {**draw(SUBMISSIONS), **draw(st.dictionaries(TEXTS, TEXTS, max_size=1))}
    again = draw(st.lists(st.sampled_from(sorted(fields)), max_size=1))
    parts = []
    for name in [*fields, *again]:
        value = fields[name] if isinstance(fields[name], str) else json.dumps(fields[name])
        file = draw(st.sampled_from([None, None, None, None, "", "a.png"]) | TEXTS) if name == "image" else None
        head = f'Content-Disposition: form-data; name="{name}"' + (f'; filename="{file}"' if file is not None else "")
        parts.append(f"--b\r\n{head}\r\n\r\n{value}\r\n".encode("utf-8", "surrogatepass"))
    body = b"".join(parts) + b"--b--\r\n"
    return "multipart/form-data; boundary=b", body[: -draw(st.sampled_from([0, 0, 0, 4, 20])) or None]


NAMES = st.none() | st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=300)


def tried(test, config: pytest.Config, examples: int = 50, **given: st.SearchStrategy) -> None:
    """Run a function with the same few examples each time. With --slow, with many others."""
    slow = config.getoption("--slow")
    options = hypothesis.settings(
        max_examples=1000 if slow else examples,
        derandomize=not slow,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    options(hypothesis.given(**given)(test))()


def test_whatever_is_submitted_it_is_answered_and_what_is_accepted_lives_and_goes(client, store, pytestconfig):
    outbox = Outbox(store)
    told = outbox.register("default", "https://example.com/", tuple(Event))
    accepted = []

    def submitted(body: tuple[str, bytes], name: str | None) -> None:
        headers = {"Content-Type": body[0]} | ({"Idempotency-Key": name.encode("latin-1")} if name is not None else {})
        answer = client.post("/v1/jobs", content=body[1], headers=headers)
        if answer.status_code == 202:
            accepted.append(answer.content)
            lives_and_goes(client, outbox, told, strict_json.loads(answer.content))
        else:
            assert answer.status_code in (400, 404, 422), answer.text
            assert strict_json.loads(answer.content)["errors"], answer.text
        assert strict_json.loads(client.get("/v1/jobs").content)["data"] == []

    tried(submitted, pytestconfig, body=json_body() | form_body(), name=NAMES)
    assert len(accepted) >= 5, "most was refused: nothing is shown"


def lives_and_goes(client: TestClient, outbox: Outbox, told: Endpoint, job: dict) -> None:
    """Every request about a job is answered in valid JSON."""
    self, events, cancel = (job["urls"][name] for name in ("self", "events", "cancel"))
    assert strict_json.loads(client.get("/v1/jobs").content)["data"] == [job]
    assert strict_json.loads(client.post(cancel).content)["status"] == "canceled"
    lines = [line.removeprefix("data: ") for line in client.get(events).text.splitlines() if line.startswith("data: ")]
    assert strict_json.loads(lines[-1])["status"] == "canceled"
    (delivery,) = (one for one in outbox.deliveries(told, 5) if one.job == job["id"])
    assert strict_json.loads(delivery.body(""))["data"]["metadata"] == job["metadata"]
    assert client.get(f"/v1/webhooks/{told.id}/deliveries").status_code == 200
    assert client.delete(self).status_code == 204


OTHERS = [("POST", "/v1/webhooks"), ("POST", "/v1/admin/queue/prune"), ("PUT", "/v1/admin/tenants/acme/limits")]
OF_OTHERS = "url events status tenant older_than_seconds queued running reads_per_minute writes_per_minute".split()


def test_whatever_the_other_routes_are_sent_they_answer(client, pytestconfig):
    def sent(where: tuple[str, str], body: tuple[str, bytes]) -> None:
        answer = client.request(*where, content=body[1], headers={"Content-Type": body[0]})
        assert answer.status_code < 500, answer.text
        strict_json.loads(answer.content)
        for hook in client.get("/v1/webhooks").raise_for_status().json()["data"]:
            assert client.delete(f"/v1/webhooks/{hook['id']}").status_code == 204

    good = st.sampled_from(["https://example.com/", "succeeded", "acme", 3, 3.0, ["job.completed"], None])
    fields = st.dictionaries(st.sampled_from(OF_OTHERS) | TEXTS, good | VALUES, max_size=3) | VALUES
    tried(sent, pytestconfig, where=st.sampled_from(OTHERS), body=json_body(fields))
    assert client.get("/v1/admin/tenants").status_code == 200
