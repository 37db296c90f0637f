"""`darkroom admin` against a real web tier and real records."""

import json
import time
from pathlib import Path
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result

from darkroom.cli.app import app
from darkroom.client import ADDRESS_FILE, Client
from jobs import redis_keys
from tests.integration.test_access import ADMIN_KEY, locked  # noqa: F401 - a fixture
from tests.integration.test_events import serving
from tests.jobs_of import a_job

LETTER = {
    "tenant": "default",
    "created_ms": 1,
    "deadline_ms": 2,
    "status": "failed",
    "version": 1,
    "fences": 0,
    "crashes": 0,
}
PHOTO = Path(__file__).parents[2] / "examples" / "mountains.jpg"


@pytest.fixture
def client(settings, server):
    with Client(server.rstrip("/")) as client:
        yield client


def admin(client: Client, *words: str, **environment: str) -> Result:
    return CliRunner(env={"DARKROOM_KEY": "", **environment}).invoke(app, ["admin", *words, "--url", client.url])


def said(client: Client, *words: str) -> dict:
    done = admin(client, *words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


def claim(store, worker: str = "w"):
    return store.claim(worker, lease_seconds=30, token=uuid4().hex, slots=100)


def test_a_queue_is_paused_looked_at_and_resumed(client, store):
    assert said(client, "pause")["paused"] is True
    job = client.jobs.create(PHOTO, "make it sepia")
    assert claim(store) is None
    assert "pix2pix-full normal 1 0" in admin(client, "queue").output
    assert said(client, "resume")["paused"] is False
    assert claim(store).id == job.id


def test_workers_are_listed_and_drained(client, store):
    about = {"slots": 32, "checkpoint": {"name": "micro"}, "device": "cuda:0", "free_bytes": 3 * 2**30}
    store.renew("gpu-1", {**about, "step_seconds": 0.125, "version": "0.1.0"}, [], lease_seconds=30)
    row = admin(client, "workers").output
    assert all(word in row for word in ("gpu-1", "ready", "0 of 32", "micro", "cuda:0", "3.0 GiB", "125 ms"))
    assert "claims no more" in admin(client, "drain", "gpu-1").output
    assert "draining" in admin(client, "workers").output
    assert said(client, "drain", "gpu-1", "--undo")["draining"] is False
    assert admin(client, "drain", "nobody").exit_code == 4


def test_dead_letters_are_listed_shown_and_run_again(client, store):
    job = client.jobs.create(PHOTO, "make it sepia")
    for _ in range(3):
        store.redis.zadd(redis_keys.RUNNING, {claim(store).id: 1})
        store.reclaim(3)
    assert job.id in admin(client, "dead-letters", "list").output
    assert "crashed" in admin(client, "dead-letters", "show", job.id).output
    assert admin(client, "dead-letters", "retry").exit_code == 2
    again = admin(client, "dead-letters", "retry", "--all").output.strip()
    assert client.jobs.get(again).parent == job.id
    assert said(client, "dead-letters", "list")["data"] == []
    assert admin(client, "dead-letters", "retry", job.id).exit_code == 4


def test_long_lists_are_asked_for_page_by_page(client, store):
    letters = {f"job{number}": number for number in range(230)}
    for name in letters:
        store.redis.hset(redis_keys.JOB + name, mapping={**a_job(id=name).request(), **LETTER, "id": name})
    store.redis.zadd(redis_keys.DEAD, letters)
    store.redis.sadd(redis_keys.TENANTS, *letters)
    assert len(client.admin.tenants()) == 230
    assert [one.id for one in client.admin.dead_letters(130)] == [*letters][:-131:-1]
    assert len(said(client, "dead-letters", "list", "--limit", "1200")["data"]) == 230


def test_ended_jobs_are_pruned_and_tenants_listed(client):
    for _ in range(2):
        client.jobs.cancel(client.jobs.create(PHOTO, "make it sepia").id)
    assert said(client, "tenants")["data"][0]["kept"] == 2
    assert said(client, "prune", "--older-than", "1h")["removed"] == 0
    assert admin(client, "prune", "--older-than", "soon").exit_code == 2
    time.sleep(0.01)
    assert said(client, "prune", "--older-than", "0s", "--status", "canceled")["removed"] == 2


def test_a_tenants_limits_are_set_shown_and_cleared(client):
    assert said(client, "limits", "acme", "--queued", "5", "--running", "2")["queued"] == 5
    row = admin(client, "tenants").output
    assert "acme" in row
    assert "queued 5, running 2" in row
    assert admin(client, "limits", "acme").exit_code == 2
    assert admin(client, "limits", "acme", "--queued", "-1").exit_code != 0
    assert "as the settings say" in admin(client, "limits", "acme", "--clear").output
    assert said(client, "tenants")["data"][0]["limits"]["queued"] is None


def test_where_keys_are_asked_for_only_an_admins_will_do(locked):  # noqa: F811
    with serving(locked) as http, Client(str(http.base_url).rstrip("/"), key=ADMIN_KEY) as client:
        assert admin(client, "queue").exit_code == 6
        user = client.keys.create("acme", ["read", "submit"]).key
        assert admin(client, "pause", DARKROOM_KEY=user).exit_code == 6
        assert admin(client, "pause", DARKROOM_KEY=ADMIN_KEY).exit_code == 0
        listed = admin(client, "keys", "list", DARKROOM_KEY=ADMIN_KEY).output
        assert "acme" in listed
        assert client.admin.queue().paused is True


def test_the_address_file_is_used_too(client, tmp_path):
    (tmp_path / ADDRESS_FILE).write_text(client.url + "\n")
    done = CliRunner(env={"DARKROOM_URL": ""}).invoke(app, ["admin", "queue", "--data", str(tmp_path), "--json"])
    assert json.loads(done.output)["queued"] == 0
