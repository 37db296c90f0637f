"""What an operator sees and does through the API, on the real servers."""

import time
from dataclasses import asdict
from uuid import uuid4

import pytest

from jobs import redis_keys
from jobs.api_keys import ApiKeys, Scope
from jobs.cards import Card
from jobs.errors import JobError
from jobs.job import new_id
from jobs.settings import Settings
from tests.conftest import ROOT
from tests.integration.conftest import calling, submit
from tests.jobs_of import a_job

BROKE = JobError("internal-error", "It broke", "Somehow.")


def claim(store, worker: str = "w"):
    return store.claim(worker, lease_seconds=30, token=uuid4().hex, slots=100)


def say(store, worker: str, **about) -> None:
    """Send a worker's heartbeat."""
    store.renew(worker, {"slots": 4, "checkpoint": {"name": "micro"}, **about}, [], lease_seconds=30)


def test_a_paused_queue_accepts_and_hands_out_nothing(client, jpeg, store):
    say(store, "w")
    submit(client, jpeg)
    running = claim(store)
    assert client.post("/v1/admin/queue/pause").json()["paused"] is True
    submit(client, jpeg)
    assert claim(store) is None
    assert not store.wanted_wakeups(), "nobody is woken for nothing"
    queue = client.get("/v1/queue").json()
    assert (queue["paused"], queue["queued"], queue["estimated_wait_seconds"]) == (True, 1, None)
    assert store.fail(running, BROKE), "what runs goes on to its end"
    assert client.post("/v1/admin/queue/resume").json()["paused"] is False
    assert claim(store) is not None


def test_a_draining_worker_claims_no_more_and_the_others_take_its_share(client, jpeg, store):
    for worker in ("w1", "w2"):
        say(store, worker, device="cpu", free_bytes=2**30, step_seconds=0.25, version="1", started_ms=1)
    for _ in range(4):
        submit(client, jpeg)
    assert claim(store, "w1") is not None
    (drained,) = client.post("/v1/admin/workers/w1/drain").json()["data"]
    assert (drained["name"], drained["draining"], drained["holds"]) == ("w1", True, 1)
    assert claim(store, "w1") is None
    assert all(claim(store, "w2") for _ in range(3)), "also what would have been the other's share"
    (one, two) = client.get("/v1/admin/workers").json()["data"]
    assert [(worker["name"], worker["draining"], worker["holds"]) for worker in (one, two)] == [
        ("w1", True, 1),
        ("w2", False, 3),
    ]
    assert (one["device"], one["free_bytes"], one["step_seconds"], one["checkpoint"]) == ("cpu", 2**30, 0.25, "micro")
    submit(client, jpeg)
    assert client.delete("/v1/admin/workers/w1/drain").json()["data"][0]["draining"] is False
    assert claim(store, "w1") is not None
    assert client.post("/v1/admin/workers/nobody/drain").status_code == 404


def test_a_new_worker_of_an_old_name_is_not_draining(client, store):
    say(store, "w")
    client.post("/v1/admin/workers/w/drain")
    store.retire("w")
    say(store, "w")
    assert client.get("/v1/admin/workers").json()["data"][0]["draining"] is False


@pytest.mark.parametrize(
    ("more", "less"),
    [({"tiles": [1], "epoch": None}, []), ({}, ["defaults", "text_scale", "instructions"]), ({}, None)],
)
def test_a_worker_of_another_version_may_tell_more_or_less_of_its_checkpoint(client, jpeg, store, more, less):
    card = asdict(Card.read(ROOT / "checkpoints" / "micro"))
    told = {} if less is None else {name: said for name, said in (card | more).items() if name not in less}
    store.renew("w", {"checkpoint": told, "pid": 1, "version": "9", "more": more}, [], lease_seconds=30)
    client.app.state.services.models.forget()
    submit(client, jpeg)
    assert client.get("/v1/models").json()["checkpoint"]["name"] == "micro", "of a worker that tells none, the folder's"
    assert [worker["name"] for worker in client.get("/v1/admin/workers").json()["data"]] == ["w"]
    assert client.get("/v1/queue").json()["workers"] == 1


def test_dead_letters_of_all_tenants_are_seen_and_run_again_for_their_owner(settings, jpeg, store, pictures):
    with calling(settings) as client:
        job = submit(client, jpeg)
        for _ in range(3):
            store.redis.zadd(redis_keys.RUNNING, {claim(store).id: 1})
            store.reclaim(3)
        assert client.get(job["urls"]["self"]).json()["error"]["type"] == "poison"
        (letter,) = client.get("/v1/admin/dead-letters").json()["data"]
        assert (letter["id"], letter["tenant"], letter["error"]["type"]) == (job["id"], "default", "poison")
        shown = client.get(f"/v1/admin/dead-letters/{job['id']}").json()
        assert [attempt["outcome"] for attempt in shown["attempts"]] == ["crashed"] * 3

        answer = client.post(f"/v1/admin/dead-letters/{job['id']}/retry")
        assert answer.status_code == 202, answer.text
        again = store.get(answer.json()["id"], "default")
        assert (again.parent, again.params, again.crashes) == (job["id"], store.get(job["id"], "default").params, 0)
        assert pictures.read(again.input.key) == pictures.read(store.get(job["id"], "default").input.key)
        assert client.get("/v1/admin/dead-letters").json()["data"] == []
        assert client.post(f"/v1/admin/dead-letters/{job['id']}/retry").status_code == 404
        assert client.get(f"/v1/admin/dead-letters/{new_id()}").status_code == 404


def test_a_job_that_its_client_spoilt_is_no_dead_letter(client, jpeg, store):
    submit(client, jpeg)
    store.fail(claim(store), JobError("invalid-input", "It cannot be used", "Too wide."))
    assert client.get("/v1/admin/dead-letters").json()["data"] == []


def test_pruning_removes_what_is_over_and_matches_and_nothing_else(client, jpeg, store, pictures):
    canceled, failed, waiting = (submit(client, jpeg) for _ in range(3))
    client.post(canceled["urls"]["cancel"])
    store.fail(claim(store), BROKE)

    def prune(**wanted) -> int:
        answer = client.post("/v1/admin/queue/prune", json=wanted)
        assert answer.status_code == 200, answer.text
        return answer.json()["removed"]

    assert prune(older_than_seconds=60) == 0
    assert prune(older_than_seconds=0, tenant="somebody-else") == 0
    time.sleep(0.01)
    assert prune(older_than_seconds=0, status="failed") == 1
    assert client.get(failed["urls"]["self"]).status_code == 404
    assert client.get(canceled["urls"]["self"]).status_code == 200
    assert prune(older_than_seconds=0) == 1
    assert client.get(waiting["urls"]["self"]).json()["status"] == "queued"
    assert len(store.trashed_folders()) == 2, "the keeper empties their folders"
    assert client.post("/v1/admin/queue/prune", json={}).status_code == 422
    assert client.post("/v1/admin/queue/prune", json={"older_than_seconds": 0, "status": "queued"}).status_code == 422


@pytest.mark.parametrize("path", ["dead-letters", "tenants", "keys"])
def test_what_operators_list_comes_in_pages(settings, apps, store, path):
    admin_key = "an admin key of more than 32 letters"
    locked = settings.model_copy(update={"auth": "on", "admin_key": Settings(admin_key=admin_key).admin_key})
    client = apps(locked, headers={"Authorization": f"Bearer {admin_key}"})
    for tenant in ("a", "b", "c"):
        store.submit(a_job(tenant=tenant))
        store.fail(claim(store), BROKE)
        ApiKeys(store.redis).make(tenant, frozenset(Scope))
    everything = client.get(f"/v1/admin/{path}").json()
    assert (len(everything["data"]), everything["has_more"], everything["next"]) == (3, False, None)
    first = client.get(f"/v1/admin/{path}", params={"limit": 2}).json()
    assert first["has_more"] is True
    rest = client.get(f"/v1/admin/{path}", params={"limit": 2, "after": first["next"]}).json()
    assert first["data"] + rest["data"] == everything["data"]
    assert (rest["has_more"], rest["next"]) == (False, None)
    assert client.get(f"/v1/admin/{path}", params={"limit": 0}).status_code == 422
    refused = client.get(f"/v1/admin/{path}", params={"after": "NO PLACE"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "after")


def test_tenants_are_listed_with_what_they_use(client, jpeg, store):
    submit(client, jpeg)
    claim(store)
    submit(client, jpeg)
    (tenant,) = client.get("/v1/admin/tenants").json()["data"]
    assert {name: tenant[name] for name in ("tenant", "queued", "running", "kept", "keys")} == {
        "tenant": "default",
        "queued": 1,
        "running": 1,
        "kept": 2,
        "keys": 0,
    }


def test_the_operators_queue_tells_what_has_piled_up(client, jpeg, store):
    submit(client, jpeg, priority="low")
    submit(client, jpeg)
    claim(store)
    queue = client.get("/v1/admin/queue").json()
    assert queue["kinds"] == [
        {"model": "pix2pix-full", "priority": "low", "queued": 1, "running": 0},
        {"model": "pix2pix-full", "priority": "normal", "queued": 0, "running": 1},
    ]
    assert queue["redis_bytes"] > 0


@pytest.mark.parametrize("address", ["203.0.113.7"])
def test_without_keys_only_this_machine_operates(settings, address):
    trusted = settings.model_copy(update={"open_to_network": True})
    with calling(trusted, client=(address, 1)) as client:
        assert client.get("/v1/queue").status_code == 200
        assert client.post("/v1/admin/queue/pause").status_code == 403
    with calling(settings) as client:
        assert client.post("/v1/admin/queue/pause", headers={"Origin": "https://evil.example"}).status_code == 403
        assert client.get("/v1/queue").json()["paused"] is False


def test_a_job_of_a_newer_version_waits_for_a_worker_that_can_read_it(client, jpeg, store):
    """Two versions run side by side. The older worker skips the job, whatever its place in the queue."""
    newer, ours = submit(client, jpeg, priority="high"), submit(client, jpeg)
    store.redis.hset(redis_keys.JOB + newer["id"], "record", 99)
    assert claim(store).id == ours["id"]
    assert claim(store) is None
    assert client.get(newer["urls"]["self"]).json()["status"] == "queued"
    store.redis.hdel(redis_keys.JOB + newer["id"], "record")  # as records of the first version are
    assert claim(store).id == newer["id"]


def test_a_tenant_may_be_allowed_less_or_more_than_the_settings_say(client, jpeg, store):
    limits = "/v1/admin/tenants/default/limits"
    own = {"queued": 2, "running": 1, "reads_per_minute": None, "writes_per_minute": None}
    assert client.put(limits, json={"queued": 2, "running": 1}).json() == own
    (tenant,) = client.get("/v1/admin/tenants").json()["data"]
    assert tenant["limits"] == own
    for _ in range(2):
        submit(client, jpeg)
    refused = client.post("/v1/jobs", files={"image": jpeg}, data={"prompt": "make it sepia"})
    assert (refused.status_code, refused.json()["type"].rsplit(":")[-1]) == (429, "too-many-jobs")
    assert claim(store) is not None
    assert claim(store) is None, "one may run"
    assert client.delete(limits).status_code == 204
    store.expire()
    assert claim(store) is not None
    submit(client, jpeg)


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        ({"queued": -1}, "queued"),
        ({"running": "many"}, "running"),
        ({"reads_per_minute": 0}, "reads_per_minute"),
        ({"writes_per_minute": 10**7}, "writes_per_minute"),
        ({"walking": 1}, "walking"),
    ],
)
def test_a_limit_that_cannot_be_is_refused_by_name(client, limits, field):
    answer = client.put("/v1/admin/tenants/acme/limits", json=limits)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert client.get("/v1/admin/tenants").json()["data"] == []
    assert client.put("/v1/admin/tenants/No Such Name/limits", json={}).status_code == 422
