"""The tenant matrix, made from the OpenAPI document: for every route with an id, a foreign id looks like an absent one.

A route that is missing here fails `test_the_matrix_has_every_route`: put its parameters into OWN, or the route into
COMMON.
"""

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from jobs.api_keys import ApiKeys, Scope
from jobs.job import Job, new_id
from jobs.outbox import Event, Outbox
from jobs.settings import Settings
from tests.integration.conftest import Apps, submit

HTTP = ("get", "put", "post", "delete", "patch", "options", "head", "trace")
BOTH = frozenset({Scope.SUBMIT, Scope.READ})
MALFORMED = ("7", "0" * 25, "..%2f..", "%00", "a b", "é", "O" * 26, "0" * 64)

OF_OURSELVES = {"info", "config|resetstat", "ping", "smembers"}  # commands of the tests, subscriptions and the feeder
STREAM = ("get", "/v1/events")  # without end, so it has a test of its own
# Routes that name no record: what they answer is the caller's own, or the same for all who have a key.
COMMON = {
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
    ("get", "/v1/models"),
    ("get", "/v1/queue"),
    ("get", "/v1/queue/scale"),
    ("get", "/v1/jobs"),
    ("post", "/v1/jobs"),
    STREAM,
    ("get", "/v1/session"),
    ("post", "/v1/session"),
    ("delete", "/v1/session"),
    ("get", "/v1/admin/keys"),
    ("post", "/v1/admin/keys"),
    ("get", "/v1/admin/queue"),
    ("post", "/v1/admin/queue/pause"),
    ("post", "/v1/admin/queue/resume"),
    ("post", "/v1/admin/queue/prune"),
    ("get", "/v1/admin/workers"),
    ("get", "/v1/admin/dead-letters"),
    ("get", "/v1/admin/broken-records"),
    ("get", "/v1/admin/tenants"),
    ("get", "/v1/webhooks"),
    ("post", "/v1/webhooks"),
    ("post", "/v1/uploads"),
    ("get", "/v1/batches"),
    ("post", "/v1/batches"),
    ("get", "/v1/files"),
    ("post", "/v1/files"),
    ("post", "/v1/credentials/check"),
    ("get", "/.well-known/jwks.json"),
}
# Routes of admins, who see all tenants: refused to every other key, whatever the id.
ADMINS = {
    ("delete", "/v1/admin/keys/{key_id}"),
    ("post", "/v1/admin/workers/{worker}/drain"),
    ("delete", "/v1/admin/workers/{worker}/drain"),
    ("get", "/v1/admin/dead-letters/{job_id}"),
    ("post", "/v1/admin/dead-letters/{job_id}/retry"),
    ("put", "/v1/admin/tenants/{tenant}/limits"),
    ("delete", "/v1/admin/tenants/{tenant}/limits"),
}
# What its owner is answered on each route that takes a job's id: one that succeeded, and one that was canceled.
OWN = {
    ("get", "/v1/jobs/{job_id}"): (200, 200),
    ("delete", "/v1/jobs/{job_id}"): (204, 204),
    ("post", "/v1/jobs/{job_id}/cancel"): (409, 202),
    ("post", "/v1/jobs/{job_id}/retry"): (409, 202),
    ("get", "/v1/jobs/{job_id}/events"): (200, 200),
    ("get", "/v1/jobs/{job_id}/output"): (307, 409),
    ("get", "/v1/jobs/{job_id}/input"): (200, 200),
    ("get", "/v1/jobs/{job_id}/preview"): (200, 404),
    ("get", "/v1/jobs/{job_id}/thumbnail"): (200, 200),
    ("get", "/v1/jobs/{job_id}/steps"): (409, 409),
    ("get", "/v1/jobs/{job_id}/outputs/{place}"): (307, 409),
    ("get", "/v1/jobs/{job_id}/renders/{place}"): (404, 404),
}
RENDER = ("post", "/v1/jobs/{job_id}/render")
# What its owner is answered on each route that takes a webhook's id.
WEBHOOKS = {
    ("get", "/v1/webhooks/{webhook_id}"): 200,
    ("delete", "/v1/webhooks/{webhook_id}"): 204,
    ("get", "/v1/webhooks/{webhook_id}/secret"): 200,
    ("post", "/v1/webhooks/{webhook_id}/rotate"): 200,
    ("post", "/v1/webhooks/{webhook_id}/test"): 202,
    ("get", "/v1/webhooks/{webhook_id}/deliveries"): 200,
    ("post", "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver"): 202,
}
FILES_AND_BATCHES = {  # of which test_kept_files.py and test_batches.py show that a foreign one looks absent
    ("get", "/v1/batches/{batch_id}"),
    ("get", "/v1/batches/{batch_id}/lines"),
    ("get", "/v1/batches/{batch_id}/contact-sheet"),
    ("post", "/v1/batches/{batch_id}/cancel"),
    ("get", "/v1/files/{file_id}"),
    ("get", "/v1/files/{file_id}/content"),
    ("delete", "/v1/files/{file_id}"),
}
ROUTES = [
    (method, path)
    for path, operations in create_app(Settings(_env_file=None)).openapi()["paths"].items()
    for method in operations
    if method in HTTP
]


def test_the_matrix_has_every_route():
    assert set(ROUTES) == COMMON | ADMINS | FILES_AND_BATCHES | set(OWN) | set(WEBHOOKS) | {RENDER}
    assert not [path for _, path in COMMON if "{" in path]


@pytest.fixture
def locked(settings: Settings) -> Settings:
    return settings.model_copy(update={"auth": "on"})


@pytest.fixture
def tenant(locked, store, apps: Apps) -> Callable[[str], TestClient]:
    """A client with a key of its own tenant."""

    def make(name: str) -> TestClient:
        _, key = ApiKeys(store.redis).make(name, BOTH)
        return apps(locked, headers={"Authorization": f"Bearer {key}"})

    return make


@pytest.fixture
def owner(tenant) -> TestClient:
    return tenant("acme")


@pytest.fixture
def other(tenant) -> TestClient:
    return tenant("umbrella")


@pytest.fixture
def jobs(owner, jpeg, store, pictures) -> list[str]:
    """The owner's jobs: one that succeeded, with a preview, and one that was canceled."""
    done, canceled = (submit(owner, jpeg)["id"] for _ in range(2))
    job: Job = store.claim("w", lease_seconds=30, token=new_id())
    assert job.id == done
    store.keep_preview(job, b"jpeg", b"noise", 1)
    store.finish(job, pictures.put_result(job, jpeg, "image/jpeg", (96, 64)), {}, {})
    store.cancel(canceled, "acme")
    return [done, canceled]


def ask(client: TestClient, method: str, path: str, job_id: str, **options) -> tuple[int, bytes]:
    """The status and body of an answer, with the requested id removed."""
    answer = client.request(method.upper(), path.replace("{job_id}", job_id).replace("{place}", "0"), **options)
    return answer.status_code, answer.content.replace(job_id.encode(), b"ID")


@pytest.mark.parametrize("route", OWN, ids=" ".join)
def test_foreign_looks_like_absent(owner, other, jobs, route):
    absent = ask(other, *route, new_id())
    assert absent[0] == 404
    assert b"There is no job with this id." in absent[1]
    for job_id in jobs:
        assert ask(other, *route, job_id) == absent
        assert ask(other, *route, job_id, params={"proxy": 1, "wait": 1}) == absent
    path = route[1].replace("{job_id}", jobs[0]).replace("{place}", "0")
    foreign = other.request(route[0].upper(), path)
    assert tuple(ask(owner, *route, job_id)[0] for job_id in jobs) == OWN[route], "the owner's is untouched"
    owner.delete(f"/v1/jobs/{jobs[0]}")
    gone = other.request(route[0].upper(), path)
    assert (foreign.status_code, foreign.content) == (gone.status_code, gone.content), "byte for byte"
    different = {
        name
        for name in foreign.headers.keys() | gone.headers.keys()
        if foreign.headers.get(name) != gone.headers.get(name)
    }
    assert different <= {"ratelimit", "x-request-id"}


def test_a_foreign_job_is_rendered_no_more_than_an_absent_one(other, jobs):
    asked = {"json": {"strength": 0.5}}
    absent = ask(other, *RENDER, new_id(), **asked)
    assert absent[0] == 404
    assert [ask(other, *RENDER, job_id, **asked) for job_id in jobs] == [absent] * 2


@pytest.mark.parametrize("route", OWN, ids=" ".join)
def test_foreign_is_looked_up_as_absent_is(other, jobs, store, route):
    """The same commands reach Redis, so that no timing shows the difference."""

    def commands(job_id: str) -> dict[str, int]:
        store.redis.config_resetstat()
        ask(other, *route, job_id)
        counts = {name: about["calls"] for name, about in store.redis.info("commandstats").items()}
        return {name: count for name, count in counts.items() if name.removeprefix("cmdstat_") not in OF_OURSELVES}

    commands(new_id())  # by which the scripts are loaded
    absent = commands(new_id())
    assert absent
    assert [commands(job_id) for job_id in jobs] == [absent] * len(jobs)


@pytest.mark.parametrize("route", WEBHOOKS, ids=" ".join)
def test_a_foreign_webhook_looks_absent(owner, other, store, route):
    outbox = Outbox(store)
    endpoint = outbox.register("acme", "https://acme.example/", (Event.COMPLETED,))
    delivery = outbox.test(endpoint)

    def at(client: TestClient, webhook_id: str) -> tuple[int, bytes]:
        path = route[1].replace("{webhook_id}", webhook_id).replace("{delivery_id}", delivery.id)
        answer = client.request(route[0].upper(), path)
        return answer.status_code, answer.content.replace(delivery.id.encode(), b"").replace(webhook_id.encode(), b"ID")

    absent = at(other, new_id())
    assert absent[0] == 404
    assert at(other, endpoint.id) == at(other, "nonsense") == absent
    assert at(owner, endpoint.id)[0] == WEBHOOKS[route], "the owner's is untouched"


@pytest.mark.parametrize("route", OWN, ids=" ".join)
def test_an_id_that_is_none_is_not_found(owner, route):
    assert [ask(owner, *route, job_id)[0] for job_id in MALFORMED] == [404] * len(MALFORMED)


@pytest.mark.parametrize("route", OWN, ids=" ".join)
def test_without_a_key_every_id_is_refused_alike(locked, apps, jobs, route):
    answers = {ask(apps(locked), *route, job_id) for job_id in (*jobs, new_id(), "7")}
    assert [status for status, _ in answers] == [401]


@pytest.mark.parametrize("route", sorted((COMMON | ADMINS) - {STREAM}), ids=" ".join)
def test_what_names_no_record_tells_nothing_of_other_tenants(owner, other, jobs, store, route):
    before = {job_id: store.get(job_id, "acme") for job_id in jobs}
    key_id = store.redis.zrange("dk:keys", 0, 0)[0]
    path = route[1].replace("{key_id}", key_id).replace("{job_id}", jobs[0])
    answer = other.request(route[0].upper(), path)
    assert answer.status_code < 500
    said = answer.text.replace(path, "")
    assert not [told for told in (*jobs, "acme") if told in said]
    if "admin" in route[1]:
        assert answer.status_code == 403
    assert {job_id: store.get(job_id, "acme") for job_id in jobs} == before


def test_a_stream_tells_of_its_own_tenants_jobs(settings, locked, store, jpeg):
    from tests.integration.test_events import events, serving

    api_keys = ApiKeys(store.redis)
    keys = [api_keys.make(name, BOTH)[1] for name in ("acme", "umbrella")]
    with serving(locked) as http:
        made = []
        for key in keys:
            http.headers["Authorization"] = f"Bearer {key}"
            made.append(submit(http, jpeg)["id"])
        for key, job_id in zip(keys, made, strict=True):
            http.headers["Authorization"] = f"Bearer {key}"
            stream = events(http, "/v1/events", "0-0")
            assert next(stream)["data"]["job"] == job_id
            other = made[1 - made.index(job_id)]
            store.cancel(other, "umbrella" if key == keys[0] else "acme")
            store.cancel(job_id, "acme" if key == keys[0] else "umbrella")
            assert next(stream)["data"]["job"] == job_id
            stream.close()
