"""Records and objects of the last release work as well as our own (`tests/data/last_release`)."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
from fastapi.testclient import TestClient
from PIL import Image
from pydantic import SecretStr

from jobs import redis_keys
from jobs.api_keys import ApiKeys
from jobs.outbox import Outbox
from jobs.pictures import PictureStore
from jobs.settings import Settings
from jobs.store import JobStore
from tests.conftest import ROOT, everything_in
from tests.editors import Obedient
from tests.integration.conftest import calling
from worker.backup import Backup
from worker.keeper.maintenance import Maintenance
from worker.leases import Leases
from worker.rebuild import rebuild
from worker.run import WorkerContext, run_next

FROZEN = ROOT / "tests" / "data" / "last_release"
ABOUT = json.loads((FROZEN / "about.json").read_text(encoding="utf-8"))
JOBS: dict[str, str] = ABOUT["jobs"]
STATES = dict(zip(JOBS, "succeeded failed canceled running queued queued".split(), strict=True))


@dataclass(frozen=True)
class Left:
    """Our processes on the data of the last release."""

    settings: Settings
    store: JobStore
    pictures: PictureStore
    client: TestClient

    def see(self, role: str) -> dict[str, Any]:
        """A job as its owner sees it."""
        answer = self.client.get(f"/v1/jobs/{JOBS[role]}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def worker(self) -> WorkerContext:
        leases = Leases(self.store, "new-1", {"slots": 1, "checkpoint": {}}, lease_seconds=30, engine_worked_at=float)
        return WorkerContext(self.store, self.pictures, leases, {"pix2pix-full": Obedient()}, lease_seconds=30)


@pytest.fixture
def left(settings: Settings, store: JobStore) -> Iterator[Left]:
    """Redis and a bucket as the last release left them."""
    changed = {"s3_bucket": f"b{uuid4().hex[:12]}", "auth": "on", "backup_key": SecretStr(ABOUT["backup_key"])}
    ours = settings.model_copy(update=changed)
    pictures = PictureStore.connect(ours, timeout=10)
    pictures._s3.create_bucket(Bucket=ours.s3_bucket)
    for file in filter(Path.is_file, (FROZEN / "bucket").rglob("*")):
        name = file.relative_to(FROZEN / "bucket").as_posix()
        pictures._s3.put_object(Bucket=ours.s3_bucket, Key=name, Body=file.read_bytes())
    for name, entry in json.loads((FROZEN / "redis.json").read_text(encoding="utf-8")).items():
        thaw(store.redis, name, **entry)
    with calling(ours, headers={"Authorization": f"Bearer {ABOUT['key']}"}) as client:
        yield Left(ours, store, pictures, client)


def thaw(client: redis.Redis, name: str, kind: str, value: Any, left_ms: int | None = None) -> None:
    """Restore one frozen key."""
    match kind:
        case "hash":
            client.hset(name, mapping=dict(value))
        case "list":
            client.rpush(name, *value)
        case "set":
            client.sadd(name, *value)
        case "string":
            client.set(name, value)
        case "zset":
            client.zadd(name, dict(value))
        case "stream":
            for entry, fields in value:
                client.xadd(name, dict(fields), id=entry)
    if left_ms:
        client.pexpire(name, left_ms)


def test_jobs_keys_and_webhooks_are_read_and_listed_as_they_were(left):
    assert {role: left.see(role)["status"] for role in JOBS} == STATES
    listed = left.client.get("/v1/jobs").json()["data"]
    assert [job["id"] for job in listed] == list(JOBS.values())[::-1]
    for state in set(STATES.values()):
        found = {job["id"] for job in left.client.get("/v1/jobs", params={"status": state}).json()["data"]}
        assert found == {JOBS[role] for role in JOBS if STATES[role] == state}
    assert left.see("succeeded")["metadata"] == {"order": 7}
    assert left.see("running")["params"]["prompt"] == "a portrait of Zoë"
    assert left.see("failed")["error"]["type"].endswith("internal-error")
    output = left.client.get(left.see("succeeded")["urls"]["output"], params={"proxy": 1})
    assert Image.open(io.BytesIO(output.content)).size == (24, 16)
    assert [key["name"] for key in left.client.get("/v1/admin/keys").json()["data"]] == ["laptop", "Über-reader"]
    assert [hook["id"] for hook in left.client.get("/v1/webhooks").json()["data"]] == [ABOUT["endpoint"]]
    told = left.client.get(f"/v1/webhooks/{ABOUT['endpoint']}/deliveries").json()["data"]
    assert {delivery["job"] for delivery in told} >= {JOBS["succeeded"], JOBS["failed"], JOBS["canceled"]}
    letters = left.client.get("/v1/admin/dead-letters").json()["data"]
    assert [letter["id"] for letter in letters] == [JOBS["failed"]]


def test_what_was_unfinished_is_claimed_finished_told_and_deleted(left):
    in_queues = left.store.redis.zcard(redis_keys.QUEUE)  # which had no queue for each model
    assert left.store.repair_indexes(lease_seconds=30) == in_queues, "every other index is as we would have written it"
    assert left.store.recount() is False
    left.store.redis.delete(f"{redis_keys.QUEUE}:pix2pix-full")
    left.store.expire("k")
    assert left.store.reclaim(3) == [JOBS["running"]]
    for _ in range(3):
        assert run_next(left.worker())
    assert run_next(left.worker()) is False
    ended = {role: left.see(role) for role in ("running", "hooked", "queued")}
    assert {job["status"] for job in ended.values()} == {"succeeded"}
    assert [attempt["outcome"] for attempt in ended["running"]["attempts"]] == ["crashed", "succeeded"]
    assert all(value >= 0 for job in ended.values() for value in job["timing"].values() if value is not None)
    told = {(delivery.job, delivery.url) for delivery in Outbox(left.store).dispatch(99, 1000)}
    assert (JOBS["hooked"], "https://127.0.0.1:9/own") in told
    assert left.client.post(f"/v1/jobs/{JOBS['failed']}/retry").status_code == 202

    for job_id in JOBS.values():
        assert left.client.delete(f"/v1/jobs/{job_id}").status_code == 204
    Maintenance(left.store, left.pictures, left.settings).run_once()
    assert not {folder.job_id for folder in left.pictures.folders()} & set(JOBS.values())
    assert not [name for name in left.store.redis.scan_iter("dk:job:*") if name.split(":")[2] in JOBS.values()]
    assert left.client.delete(f"/v1/webhooks/{ABOUT['endpoint']}").status_code == 204


def test_redis_is_rebuilt_from_the_bucket_that_was_left(left):
    left.store.redis.flushall()
    rebuilt = rebuild(left.store, left.pictures, Backup(left.store, left.pictures, ABOUT["backup_key"]))
    assert (rebuilt.jobs, rebuilt.over) == (3, 3)
    for role in ("running", "hooked", "queued"):
        assert left.see(role)["status"] == "queued"
    assert ApiKeys(left.store.redis).find(ABOUT["key"])
    assert ABOUT["endpoint"] in everything_in(left.store.redis)
    assert [run_next(left.worker()) for _ in range(4)] == [True, True, True, False]
