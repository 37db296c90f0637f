"""Writes `redis.json`, `bucket/` and `about.json` here: the data that one release leaves for the next.

Run it in a checkout of the release to freeze, as `python -m tests.data.last_release.make`, and copy the three here.
Deadlines and retention are thirty years, so that the frozen jobs do not expire before they are read.
"""

import io
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import redis
from fastapi.testclient import TestClient
from PIL import Image

from api.main import create_app
from darkroom.local.servers import SeaweedFS, Valkey
from jobs.api_keys import ApiKeys, Scope
from jobs.errors import JobError
from jobs.outbox import Event, Outbox
from jobs.pictures import PictureStore
from jobs.settings import Settings
from jobs.store import JobStore
from tests.editors import Obedient
from worker.keeper.maintenance import Maintenance
from worker.leases import Leases
from worker.run import WorkerContext, run_next

HERE = Path(__file__).parent
LONG = 30 * 365 * 86_400
BACKUP_KEY = "the backup key of the release that was frozen"


def main() -> None:
    parts = tempfile.mkdtemp()
    with Valkey(f"{parts}/valkey") as valkey, SeaweedFS(f"{parts}/seaweed") as seaweed:
        settings = settings_for(valkey, seaweed)
        write("about.json", fill(settings))
        client = redis.Redis.from_url(valkey.url)
        write("redis.json", {name.decode(): frozen(client, name) for name in sorted(client.scan_iter())})
        save_bucket(PictureStore.connect(settings, timeout=10))
    shutil.rmtree(parts)


def settings_for(valkey: Valkey, seaweed: SeaweedFS) -> Settings:
    return Settings(
        _env_file=None,
        redis_url=valkey.url,
        s3_endpoint_url=seaweed.endpoint_url,
        s3_access_key_id=seaweed.access_key,
        s3_secret_access_key=seaweed.secret_key,
        backup_key=BACKUP_KEY,
        deadline_seconds=LONG,
        retention_seconds=LONG,
        lease_seconds=1,
        allow_private_networks="127.0.0.1/32",
        fetch_ports="80,443,9",
    )


def fill(settings: Settings) -> dict[str, Any]:
    """Create one job in every state, two keys and two endpoints. Returns their ids."""
    store, pictures = JobStore.connect(settings.redis_url, timeout=5), PictureStore.connect(settings, timeout=10)
    house = Maintenance(store, pictures, settings)
    house.run_once()
    ring, outbox = ApiKeys(store.redis), Outbox(store)
    _, key = ring.make("default", frozenset(Scope), "laptop")
    ring.make("acme", frozenset({Scope.READ}), "Über-reader")
    heard = outbox.register("default", "https://hooks.example/heard", tuple(Event))
    outbox.register("acme", "https://hooks.example/acme", (Event.COMPLETED,))
    with TestClient(create_app(settings), base_url="http://localhost", client=("127.0.0.1", 50_000)) as client:
        jobs = make_jobs(client, store, pictures)
    house.run_once()
    house.save()
    return {"backup_key": BACKUP_KEY, "key": key, "endpoint": heard.id, "jobs": jobs}


def make_jobs(client: TestClient, store: JobStore, pictures: PictureStore) -> dict[str, str]:
    jobs = {"succeeded": submit(client, "make it sepia", priority="high", metadata=json.dumps({"order": 7}))}
    leases = Leases(
        store,
        "old-host-1.ab",
        {"slots": 1, "checkpoint": {"name": "micro"}},
        lease_seconds=30,
        engine_worked_at=time.monotonic,
    )
    context = WorkerContext(store, pictures, leases, {"pix2pix-full": Obedient()}, lease_seconds=30)
    assert run_next(context)
    jobs["failed"] = submit(client, "break")
    failing = store.claim("old-host-1.ab", lease_seconds=30, token="f", slots=9)
    store.fail(failing, JobError("internal-error", "It broke.", "The worker could not go on."))
    jobs["canceled"] = submit(client, "never mind")
    client.post(f"/v1/jobs/{jobs['canceled']}/cancel")
    jobs["running"] = submit(client, "a portrait of Zoë", steps=9)
    store.claim("old-host-1.ab", lease_seconds=1, token="r", slots=9)
    jobs["hooked"] = submit(client, "make it night", webhook="https://127.0.0.1:9/own", webhook_events="job.completed")
    client.headers["Idempotency-Key"] = "again"
    jobs["queued"] = submit(client, "make it snow", priority="low")
    time.sleep(1.2)  # until the lease of the running one is over
    return jobs


def submit(client: TestClient, prompt: str, **fields: Any) -> str:
    photo = io.BytesIO()
    Image.radial_gradient("L").resize((24, 16)).convert("RGB").save(photo, "JPEG")
    answer = client.post(
        "/v1/jobs", files={"image": photo.getvalue()}, data={"prompt": prompt, "seed": 1, "steps": 3, **fields}
    )
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def frozen(client: Any, name: bytes) -> dict[str, Any]:
    """A key as JSON: its kind, its value, and the milliseconds that it has left."""
    kind = client.type(name).decode()
    read = {
        "hash": lambda: list(client.hgetall(name).items()),
        "list": lambda: client.lrange(name, 0, -1),
        "set": lambda: sorted(client.smembers(name)),
        "stream": lambda: [(entry, list(fields.items())) for entry, fields in client.xrange(name)],
        "string": lambda: client.get(name),
        "zset": lambda: client.zrange(name, 0, -1, withscores=True),
    }
    left = client.pttl(name)
    return {"kind": kind, "value": texts(read[kind]()), **({"left_ms": left} if left > 0 else {})}


def texts(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return [texts(part) for part in value] if isinstance(value, list | tuple) else value


def save_bucket(pictures: PictureStore) -> None:
    """Every object as a file of its own."""
    for entry in pictures._s3.list_objects_v2(Bucket=pictures.bucket)["Contents"]:
        file = HERE / "bucket" / entry["Key"]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(pictures.read(entry["Key"]))


def write(name: str, document: Any) -> None:
    (HERE / name).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
