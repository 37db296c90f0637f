"""What is kept, what is removed, and what comes back when Redis has lost all data."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import pytest
from pydantic import SecretStr

from darkroom.local.servers import SeaweedFS
from jobs import redis_keys
from jobs.api_keys import ApiKeys, Scope
from jobs.batches import Batch, BatchStore
from jobs.files import FileStore
from jobs.job import Job, Status, born_ms, new_id
from jobs.outbox import Attempt, Event, Outbox
from jobs.pictures import NoSuchPicture, PictureStore
from jobs.settings import Settings
from jobs.store import JobStore
from tests.conftest import everything_in
from tests.integration.conftest import calling, submit
from tests.jobs_of import a_job
from worker.backup import Backup, BackupError
from worker.keeper.maintenance import Maintenance
from worker.rebuild import rebuild

BACKUP_KEY = "a secret of more than thirty-two letters"


@pytest.fixture
def bucket(settings: Settings, seaweed: SeaweedFS) -> Iterator[Settings]:
    """Settings with their own empty bucket."""
    name = f"b{uuid4().hex[:12]}"
    changed = settings.model_copy(update={"s3_bucket": name, "backup_key": SecretStr(BACKUP_KEY)})
    s3 = PictureStore.connect(changed, timeout=10)._s3
    s3.create_bucket(Bucket=name)
    yield changed
    for entry in s3.list_objects_v2(Bucket=name).get("Contents", []):
        s3.delete_object(Bucket=name, Key=entry["Key"])
    s3.delete_bucket(Bucket=name)


@pytest.fixture
def pictures(bucket: Settings) -> PictureStore:
    return PictureStore.connect(bucket, timeout=10)


@pytest.fixture
def house(store: JobStore, pictures: PictureStore, bucket: Settings) -> Maintenance:
    house = Maintenance(store, pictures, bucket)
    assert house.is_ours()
    return house


def names(pictures: PictureStore) -> set[str]:
    """The objects in the bucket, without the service's own."""
    return {key for folder in pictures.folders() for key in folder.objects}


def finished(store: JobStore, pictures: PictureStore, job_id: str, *, ends: bool = True) -> Job:
    """Take a job to a stored result and to its end."""
    job = store.claim("w", lease_seconds=30, token=uuid4().hex, slots=99)
    assert job is not None
    assert job.id == job_id
    output = pictures.put_result(job, b"result", "image/png", (8, 8))
    if ends:
        assert store.finish(job, output, {"run_ms": 1}, {}) == "finished"
    return job


def test_one_round_tidies_up_after_more_jobs_than_a_second_brings(house, store, pictures):
    jobs = [a_job() for _ in range(120)]
    for job in jobs:
        store.submit(job)
        store.cancel(job.id, job.tenant)
    house.write_ends()
    assert names(pictures) == {f"{job.folder}/end.json" for job in jobs}
    assert store.unwritten_ends() == []


def test_results_of_attempts_that_lost_their_job_are_removed(bucket, jpeg, store, pictures, house):
    with calling(bucket) as client:
        job = submit(client, jpeg)
    zombie = finished(store, pictures, job["id"], ends=False)
    store.redis.zadd(redis_keys.RUNNING, {job["id"]: 1})
    store.reclaim(9)
    winner = finished(store, pictures, job["id"])
    assert len([name for name in names(pictures) if "output" in name]) == 2
    assert house.sweep() == 0, "too young: somebody may be about to say that it counts"
    assert house.sweep(stale=0) == 1
    (kept,) = [name for name in names(pictures) if "output" in name]
    assert winner.fence in kept
    pictures.put_result(zombie, b"late", "image/png", (8, 8))
    assert house.sweep(stale=0) == 1


def test_the_result_of_a_canceled_job_is_removed(bucket, jpeg, store, pictures, house):
    with calling(bucket) as client:
        job = submit(client, jpeg)
        held = finished(store, pictures, job["id"], ends=False)
        client.post(job["urls"]["cancel"])
    assert store.canceled(held, 3)
    assert house.sweep(stale=0) == 1
    assert not [name for name in names(pictures) if "output" in name]
    assert [name for name in names(pictures) if "input" in name], "kept as long as the record"


def test_a_folder_that_no_record_stands_for_is_removed_in_time(bucket, jpeg, store, pictures, house):
    """A web tier died between storing a picture and accepting its job."""
    with calling(bucket) as client:
        kept = submit(client, jpeg)
    orphan = a_job()
    pictures.put_input(orphan.folder, jpeg, "image/jpeg", (96, 64))
    assert house.sweep(stale=0) == 0
    assert house.sweep(orphaned=0) == 1
    assert {name.split("/")[1] for name in names(pictures)} == {kept["id"]}


def test_nothing_is_removed_for_a_redis_that_has_lost_everything(bucket, jpeg, store, pictures, house):
    with calling(bucket) as client:
        submit(client, jpeg)
    before = names(pictures)
    store.redis.flushall()
    assert house.sweep(stale=0, orphaned=0) == 0
    Maintenance(store, pictures, bucket).run_once()
    assert names(pictures) == before


def test_a_lost_redis_is_rebuilt_with_every_unfinished_job_and_no_other(bucket, jpeg, store, pictures, house):
    with calling(bucket) as client:
        unfinished = [submit(client, jpeg, priority=priority) for priority in ("low", "normal", "high")]
        client.headers["Idempotency-Key"] = "k"
        once = submit(client, jpeg, deadline_seconds=500)
        del client.headers["Idempotency-Key"]
        canceled, deleted, done = (submit(client, jpeg, priority="high") for _ in range(3))
        for job in (canceled, deleted):
            client.post(job["urls"]["cancel"])
        assert client.delete(deleted["urls"]["self"]).status_code == 204
        running = finished(store, pictures, unfinished[2]["id"], ends=False)
        finished(store, pictures, done["id"])
        house.run_once()
        asked = {job["id"]: store.get(job["id"], "default").request() for job in [*unfinished, once]}
        store.redis.flushall()

        found = rebuild(store, pictures, None)
        assert (found.jobs, found.over) == (4, 2)
        assert {job["id"] for job in client.get("/v1/jobs").json()["data"]} == set(asked)
        for job_id, request in asked.items():
            back = store.get(job_id, "default")
            assert (back.status, back.request()) == (Status.QUEUED, request)
            assert abs(back.created_ms - born_ms(job_id)) < 10
        assert store.get(once["id"], "default").deadline_ms == store.get(once["id"], "default").created_ms + 500_000
        client.headers["Idempotency-Key"] = "k"
        assert submit(client, jpeg, deadline_seconds=500)["id"] == once["id"]
    assert store.finish(running, replace(running.input), {}, {}) == "lost", "whoever had it before has it no more"
    assert rebuild(store, pictures, None).jobs == 4, "safe to repeat"
    assert store.queue().queued == 4
    assert house.is_ours()
    order = [store.claim("w", lease_seconds=30, token=uuid4().hex, slots=99).id for _ in range(4)]
    assert order == [unfinished[i]["id"] for i in (2, 1)] + [once["id"], unfinished[0]["id"]]


def test_keys_and_webhooks_come_back_encrypted_from_the_bucket(bucket, store, pictures, house):
    api_keys, outbox = ApiKeys(store.redis), Outbox(store)
    _, secret = api_keys.make("acme", frozenset({Scope.READ}), "laptop")
    endpoint = outbox.register("acme", "https://hooks.example/x", (Event.COMPLETED,))
    own, signing = outbox.endpoint("default", "acme"), outbox.signing_key().jwk()
    house.run_once()
    stored = pictures.read("_darkroom/backup.json").decode()
    assert not [word for word in ("laptop", "acme", "hooks", endpoint.secret) if word in stored]

    store.redis.flushall()
    Maintenance(store, pictures, bucket).run_once()
    assert outbox.signing_key().jwk() != signing, "a new one was made meanwhile"
    with pytest.raises(BackupError):
        Backup(store, pictures, "another secret, of thirty-two letters").restore()
    rebuild(store, pictures, Backup(store, pictures, BACKUP_KEY))
    assert api_keys.find(secret).name == "laptop"
    assert outbox.endpoints("acme") == [endpoint]
    assert outbox.endpoint("default", "acme") == own
    assert outbox.signing_key().jwk() == signing
    submitted = a_job(tenant="acme")
    store.submit(submitted)
    store.cancel(submitted.id, "acme")
    assert len(outbox.deliveries(endpoint, 9)) == 1, "it is told of jobs again"


def test_the_bucket_itself_removes_what_no_job_can_need(pictures, house):
    house.limit_age()
    (rule,) = pictures._s3.get_bucket_lifecycle_configuration(Bucket=pictures.bucket)["Rules"]
    assert (rule["Status"], rule["Expiration"]["Days"]) == ("Enabled", 9)


def test_lost_indexes_are_rebuilt_from_the_records(store):
    jobs = [a_job(tenant=tenant, retention_seconds=60) for tenant in "aabbb"]
    for job in jobs:
        store.submit(job)
    running = store.claim("w", lease_seconds=30, token="1", slots=9)
    over = store.claim("w", lease_seconds=30, token="2", slots=9)
    store.finish(over, over.input, {}, {})
    store.cancel(running.id, running.tenant)
    waiting = {job.id for job in jobs} - {running.id, over.id}
    indexes = (redis_keys.QUEUE, redis_keys.RUNNING, redis_keys.DEADLINES, redis_keys.EXPIRY, redis_keys.ENDED)
    before = {name: store.redis.zrange(name, 0, -1, withscores=True) for name in indexes}
    listed = {t: [j.id for j in store.page(t, status=None, limit=9, after=None)] for t in "ab"}
    assert store.repair_indexes(lease_seconds=30) == 0

    for name in [*indexes, *store.redis.scan_iter(redis_keys.INDEX + "*"), redis_keys.HELD_JOBS + "w"]:
        store.redis.delete(name)
    store.redis.zadd(redis_keys.QUEUE, {over.id: 5, running.id: 6})
    assert store.repair_indexes(lease_seconds=30) == 5
    after = {name: store.redis.zrange(name, 0, -1, withscores=True) for name in indexes}
    assert after.pop(redis_keys.RUNNING)[0][0] == before.pop(redis_keys.RUNNING)[0][0] == running.id
    assert after == before
    assert {job_id for job_id, _ in after[redis_keys.QUEUE]} == waiting
    assert {t: [j.id for j in store.page(t, status=None, limit=9, after=None)] for t in "ab"} == listed
    assert store.repair_indexes(lease_seconds=30) == 0


def test_after_its_retention_redis_holds_nothing_that_names_the_job(bucket, jpeg, store, pictures, house):
    outbox = Outbox(store)
    endpoint = outbox.register("default", "https://hooks.example/x", tuple(Event))
    with calling(bucket.model_copy(update={"retention_seconds": 1})) as client:
        client.headers["Idempotency-Key"] = "k"
        job = submit(client, jpeg, metadata=json.dumps({"order": 7}))
        held = finished(store, pictures, job["id"])
        assert held.id == job["id"]
        (delivery, *_) = outbox.dispatch(9, 1000)
        time.sleep(1.1)
        store.expire()
        house.run_once()
        assert client.get(job["urls"]["self"]).status_code == 404
        assert submit(client, jpeg)["id"] != job["id"], "its idempotency key is forgotten with it"
    assert delivery.job == job["id"], "what is still to be told is told"
    for waiting in (delivery, *outbox.dispatch(9, 1000)):
        outbox.attempted(waiting, "delivered", Attempt(0, 1, 200, ""), again_ms=None, pause_ms=0, rest_ms=0)
    assert job["id"] not in str(outbox.deliveries(endpoint, 9))
    for stone in store.redis.zrange(redis_keys.TOMBSTONES, 0, -1):
        store.redis.zadd(redis_keys.TOMBSTONES, {stone: 1})  # as if the feed had told of the removal for long enough
    store.expire()
    assert job["id"] not in everything_in(store.redis)
    assert not [name for name in names(pictures) if job["id"] in name]
    with pytest.raises(NoSuchPicture):
        pictures.read(held.input.key)


def test_files_and_batches_leave_the_bucket_after_their_records(house, store, pictures):
    files, batches = FileStore(store.redis, pictures), BatchStore(store.redis, pictures)
    about = {"name": "a", "content_type": "text/plain", "metadata": {}, "seconds": 60}
    kept, over = (files.put("default", b"a", **about) for _ in range(2))
    later = round(time.time() * 1000) + 60_000
    batch, gone = (Batch(new_id(), "default", 1, expires_ms=later, forgotten_ms=later) for _ in range(2))
    for one in (batch, gone):
        batches.create(one, [{"name": "a", "request": {}}])
    store.redis.delete(redis_keys.FILE + over.id, redis_keys.BATCH + gone.id)
    house.drop_old_files()
    house.drop_old_batches()
    assert len([file for page in pictures.files() for file in page]) == 2, "too young"
    house.drop_old_files(stale=-5)
    house.drop_old_batches(stale=-5)
    assert [file for page in pictures.files() for _, file, _ in page] == [kept.id]
    assert [key for page in pictures.batch_documents() for key, _ in page] == [f"{batch.folder}/lines.jsonl"]
