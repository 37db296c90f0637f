"""Values that are valid JSON to some readers and break others. They are refused by name and leave nothing behind."""

import base64
import contextlib
import http.client as http_client
import json
from collections.abc import Iterator

import httpx
import pytest
from fastapi.testclient import TestClient

from jobs import redis_keys
from jobs.api_keys import ApiKeys, Scope
from jobs.errors import ScriptFailed
from jobs.job import Job, Picture, new_id
from jobs.settings import Settings
from jobs.store import JobStore
from tests.conftest import everything_in
from tests.integration.conftest import submit
from tests.integration.test_access import ADMIN_KEY, bearer, locked  # noqa: F401 - a fixture
from tests.integration.test_events import serving

VALUES = {
    "half of a character": '"\\ud800"',
    "the other half": '"caf\\u00e9 \\udfff"',
    "halves in the wrong order": '"\\udc00\\ud83d"',
    "not a number": "NaN",
    "infinity": "-Infinity",
    "a number beyond all doubles": "1e999",
    "a whole number beyond all doubles": "9" * 400,
    "a number of five thousand digits": "9" * 5000,
    "too deep": "[" * 40 + "]" * 40,
    "far too deep": "[" * 16_000 + "]" * 16_000,
    "a name twice": '{"a": 1, "a": 2}',
    "half of a character in a name": '{"\\ud800": 1}',
    "half of a character far inside": '{"a": [{"b": ["\\ud800"]}]}',
}
FIELDS = "prompt metadata image other".split()


def post(client: TestClient, path: str, body: str | bytes):
    return client.post(path, content=body, headers={"Content-Type": "application/json"})


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_no_field_of_a_submission_takes_it(client, store, jpeg, value):
    picture = base64.b64encode(jpeg).decode()
    others = f'"image": "data:image/jpeg;base64,{picture}", "prompt": "make it sepia"'
    for field in FIELDS:
        given = others.replace(f'"{field}"', '"steps"') if field in ("image", "prompt") else others
        refused = post(client, "/v1/jobs", f'{{{given}, "{field}": {value}}}')
        assert refused.status_code in (400, 422), (field, refused.text)
        assert refused.json()["errors"], "it names what is wrong"
    assert client.get("/v1/jobs").json()["data"] == []
    assert not [name for name in store.redis.scan_iter() if name.startswith(redis_keys.JOB)]
    accepted = submit(client, jpeg)
    assert [job["id"] for job in client.get("/v1/jobs").json()["data"]] == [accepted["id"]]


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_nor_does_the_metadata_of_a_form(client, jpeg, value):
    fields = {"prompt": "make it sepia", "metadata": f'{{"mine": {value}}}'}
    refused = client.post("/v1/jobs", files={"image": jpeg}, data=fields)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"].startswith("metadata")


def test_nor_a_forms_text_in_an_encoding_that_has_halves_of_characters(client, jpeg):
    boundary = "----------0123456789"
    head = f"--{boundary}\r\nContent-Disposition: form-data; name=".encode()
    parts = [
        head + b'"image"; filename="photo.jpg"\r\nContent-Type: image/jpeg\r\n\r\n' + jpeg,
        head + b'"prompt"\r\n\r\nmake it +2AA-',  # UTF-7 for U+D800
        f"--{boundary}--\r\n".encode(),
    ]
    kind = f"multipart/form-data; boundary={boundary}; charset=utf-7"
    refused = client.post("/v1/jobs", content=b"\r\n".join(parts), headers={"Content-Type": kind})
    assert refused.status_code in (400, 422)
    assert client.get("/v1/jobs").json()["data"] == []


SMALL_ROUTES = {
    "/v1/webhooks": '{"url": "https://example.com/hook", "events": %s}',
    "/v1/admin/keys": '{"tenant": "acme", "name": %s}',
    "/v1/admin/queue/prune": '{"older_than_seconds": 1, "tenant": %s}',
}


@pytest.fixture
def admin(locked, apps) -> TestClient:  # noqa: F811
    return apps(locked, headers=bearer(ADMIN_KEY))


@pytest.mark.parametrize("path", SMALL_ROUTES)
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_nor_do_the_other_routes(admin, store, path, value):
    assert post(admin, path, SMALL_ROUTES[path] % '"x"').status_code in (201, 200, 422)
    before = kept(store)
    refused = post(admin, path, SMALL_ROUTES[path] % value)
    assert refused.status_code in (400, 413, 422)
    assert refused.json()["errors"]
    assert kept(store) == before


def kept(store: JobStore) -> str:
    """All records except the counters of requests."""
    for name in store.redis.scan_iter(redis_keys.RATE + "*"):
        store.redis.delete(name)
    return everything_in(store.redis)


@pytest.mark.parametrize("body", [b"\xff\xfe", b'{"prompt": "\xed\xa0\x80"}', "{'prompt': 1}", "", "[]", "1", "nul"])
def test_what_is_no_json_object_is_said_to_be_none(client, body):
    refused = post(client, "/v1/jobs", body)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "body")


def test_a_submission_that_throws_leaves_nothing(store: JobStore):
    """Whatever field the job lacks, the script writes nothing."""
    picture = Picture("acme/x/input", "image/png", 1, 1, 1, "00")
    whole = Job(id=new_id(), tenant="acme", model="pix2pix-full", params={"steps": 2}, input=picture)
    arguments = whole.request()
    for missing in ("model", "priority", "params", "folder", "retention_seconds"):
        pairs = [part for name, value in arguments.items() if name != missing for part in (name, value)]
        refuse_whole(store, whole, pairs)
    refuse_whole(store, whole, [part for pair in arguments.items() for part in pair][:-1])


def refuse_whole(store: JobStore, job: Job, pairs: list[str]) -> None:
    before = everything_in(store.redis)
    with pytest.raises(ScriptFailed):
        store._run("submit", job.id, job.tenant, 0, 60, "", "a key", "its print", 60, 9, 9, 9000, *pairs)
    assert everything_in(store.redis) == before


def test_a_record_that_cannot_be_read_hides_no_other(client, store, jpeg):
    """Half of a surrogate pair in a record's parameters stops no script, and an incomplete record stops no list."""
    broken, whole = submit(client, jpeg), submit(client, jpeg)
    halved = submit(client, jpeg)
    store.redis.hset(redis_keys.JOB + broken["id"], "params", '{"prompt": "\\ud800", "steps": 2}')
    store.redis.hdel(redis_keys.JOB + halved["id"], "status")
    listed = client.get("/v1/jobs")
    assert listed.status_code == 200, listed.text
    assert [job["id"] for job in listed.json()["data"]] == [whole["id"], broken["id"]]
    assert listed.json()["data"][1]["params"]["prompt"] == "�"
    claimed = [store.claim("here-1", lease_seconds=9, token=f"token {turn}", slots=4) for turn in range(2)]
    assert [job and job.id for job in claimed] == [broken["id"], whole["id"]]


# ---- bodies of strangers, and large ones


MUCH = b"[" + b"{}," * 1_700_000  # of 5 MB and a bit that were announced, and the rest never comes


@pytest.fixture(scope="module")
def server(parts: Settings) -> Iterator[httpx.Client]:
    admin_key = Settings(admin_key=ADMIN_KEY).admin_key
    with serving(parts.model_copy(update={"auth": "on", "admin_key": admin_key})) as http:
        yield http


def answer_to_half(http: httpx.Client, method: str, path: str, **headers: str) -> tuple[int, dict]:
    """The status and problem of a request whose body is never finished. Other requests are served meanwhile."""
    line = http_client.HTTPConnection(http.base_url.host, http.base_url.port, timeout=10)
    line.putrequest(method, path)
    for name, value in {"Content-Length": str(len(MUCH) + 9), "Content-Type": "application/json", **headers}.items():
        line.putheader(name, value)
    line.endheaders()
    with contextlib.suppress(OSError):  # it may stop to listen
        line.sock.settimeout(0.5)
        line.sock.sendall(MUCH)
    line.sock.settimeout(10)
    assert http.get("/healthz").status_code == 200
    answer = line.getresponse()
    body = json.loads(answer.read())
    line.close()
    return answer.status, body


def bodies(http: httpx.Client) -> list[tuple[str, str]]:
    """The operations with a body."""
    paths = http.get("/openapi.json").json()["paths"].items()
    found = [(method, path) for path, one in paths for method in one if "requestBody" in one[method]]
    return [(method.upper(), path.replace("{tenant}", "acme")) for method, path in found]


def test_no_body_is_read_before_the_caller_is_known(store, server):
    assert len(bodies(server)) >= 5
    for method, path in bodies(server):
        status, body = answer_to_half(server, method, path)
        assert (status, body["type"]) == (401, "urn:darkroom:problem:unauthorized"), path
        scope = Scope.SUBMIT if path.startswith("/v1/credentials") else Scope.READ
        key = ApiKeys(store.redis).make("acme", frozenset({scope}))[1]
        assert answer_to_half(server, method, path, **bearer(key))[0] == 403, path


def test_no_more_of_a_small_body_is_read_than_it_may_have(settings, server):
    pictures = ("/v1/jobs", "/v1/credentials/check", "/v1/files")
    for method, path in (one for one in bodies(server) if one[1] not in pictures):
        status, body = answer_to_half(server, method, path, **bearer(ADMIN_KEY))
        most = 2_000_000 if path == "/v1/batches" else 16_384
        assert (status, body["errors"]) == (413, [{"field": "body", "detail": f"must be at most {most} bytes"}]), path


def test_no_body_is_read_where_there_is_no_room_for_a_job(settings, server):
    server.put("/v1/admin/tenants/default/limits", json={"queued": 0}, headers=bearer(ADMIN_KEY)).raise_for_status()
    status, body = answer_to_half(server, "POST", "/v1/jobs", **bearer(ADMIN_KEY))
    assert (status, body["type"]) == (429, "urn:darkroom:problem:too-many-jobs")


def test_a_submission_of_many_values_is_not_parsed(client):
    """A picture is one text. A value with many parts costs seconds to read, and cannot be a picture."""
    refused = post(client, "/v1/jobs", MUCH[:-1] + b"]")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "body")
    assert "16384" in refused.json()["detail"]
