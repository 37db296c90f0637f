"""A machine whose clock is an hour wrong or jumps while it works. Redis and the storage have their own clocks."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import redis

from darkroom.local.ports import free_ports
from darkroom.local.process import Lifeline
from darkroom.local.services import Api, Keeper, Service, Worker
from jobs.job import Status
from jobs.pictures import PictureStore
from jobs.settings import Settings
from tests.conftest import ROOT
from tests.integration.conftest import calling, submit
from tests.jobs_of import a_job
from tests.waiting import until
from tests.web_tier import as_environment
from worker.keeper.maintenance import Maintenance
from worker.rebuild import rebuild

HOUR = 3600
PHOTO = ROOT / "examples" / "mountains.jpg"

#: Python runs this first in each of our processes: all its wall clocks are wrong by what the file says at that moment.
SITECUSTOMIZE = """
import datetime, mmap, os, time

with open(os.environ["CLOCK_FILE"], "rb") as file:
    wrong_by = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)

def wrap(clock, unit):
    return lambda: clock() + unit * int(wrong_by[:])

time.time, time.time_ns = wrap(time.time, 1), wrap(time.time_ns, 10**9)

class datetime_(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls):
        return cls.now(datetime.timezone.utc).replace(tzinfo=None)

datetime.datetime = datetime_
"""


@pytest.fixture
def bucket(settings: Settings) -> Settings:
    """Settings with their own empty bucket."""
    changed = settings.model_copy(update={"s3_bucket": f"b{uuid4().hex[:12]}"})
    PictureStore.connect(changed, timeout=10)._s3.create_bucket(Bucket=changed.s3_bucket)
    return changed


class Machine:
    """Web tier, worker and keeper on one machine, whose clock can be moved."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.clock = folder / "clock"
        self.jump(0)
        (folder / "sitecustomize.py").write_text(SITECUSTOMIZE, encoding="utf-8")
        environment = as_environment(settings.model_copy(update={"editors": "tests.editors:load"}))
        environment |= {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "CLOCK_FILE": str(self.clock)}
        (port,), self.lifeline = free_ports(1), Lifeline()
        self.services: list[Service] = [
            kind(folder, self.lifeline, environment, port) for kind in (Api, Worker, Keeper)
        ]
        self.http = httpx.Client(base_url=self.services[0].url, timeout=20, trust_env=False)

    def jump(self, seconds: int) -> None:
        """Make the clock wrong by so many seconds."""
        with self.clock.open("r+b" if self.clock.exists() else "wb") as file:
            file.write(f"{seconds:8}".encode())

    def post(self, steps: int) -> httpx.Response:
        fields = {"prompt": "make it sepia", "steps": str(steps)}
        return self.http.post("/v1/jobs", files={"image": PHOTO.read_bytes()}, data=fields)

    def see(self, job_id: str) -> dict[str, Any]:
        return self.http.get(f"/v1/jobs/{job_id}").json()

    def ended(self, job_id: str) -> dict[str, Any]:
        until(lambda: self.see(job_id)["finished_at"], 40, f"the end of {job_id}")
        return self.see(job_id)


@pytest.fixture
def machine(settings: Settings, tmp_path: Path) -> Iterator[Machine]:
    made = Machine(settings.model_copy(update={"lease_seconds": 3}), tmp_path)
    with ExitStack() as running:
        running.callback(made.lifeline.close)
        for service in made.services:
            service.spawn()
            running.callback(service.kill)
        for service in made.services:
            service.wait_until_ready()
        yield made


def test_a_clock_that_jumps_back_an_hour_and_forth_again_loses_no_job_and_no_lease(machine, store):
    """S3 must refuse requests that are signed with a wrong clock. So nothing is accepted, stored or lost."""
    running, waiting = machine.post(100).json()["id"], machine.post(3).json()["id"]
    until(lambda: (machine.see(running)["progress"] or {}).get("step"), 20, "it runs")
    machine.jump(-HOUR)
    refused = machine.post(3)
    assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (503, "storage-unavailable")
    assert int(refused.headers["Retry-After"]) >= 1
    time.sleep(4)  # longer than a lease, and than the edit takes
    assert {machine.see(job)["status"] for job in (running, waiting)} <= {"queued", "running", "succeeded"}
    machine.jump(0)
    for job in map(machine.ended, (running, waiting)):
        assert job["status"] == "succeeded", job
        assert "crashed" not in {attempt["outcome"] for attempt in job["attempts"]}
        assert all(value >= 0 for value in job["timing"].values() if value is not None)
        seen = store.get(job["id"], "default")
        assert seen.created_ms <= seen.started_ms <= seen.finished_ms < seen.expires_ms
        entries = [entry for entry, _ in store.redis.xrange(f"dk:events:{job['id']}")]
        assert entries == sorted(entries, key=lambda entry: tuple(map(int, entry.split("-"))))


@pytest.fixture
def wrong_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Make this process's clock wrong, except the one that signs requests to the storage."""
    right, right_ns = time.time, time.time_ns

    def put(seconds: float) -> None:
        monkeypatch.setattr(time, "time", lambda: right() + seconds)
        monkeypatch.setattr(time, "time_ns", lambda: right_ns() + int(seconds * 10**9))

    return put


@pytest.mark.parametrize("wrong", [-HOUR, HOUR])
def test_a_job_that_a_wrong_clock_accepted_runs_and_ends_by_the_clock_of_redis(
    wrong, settings, store, jpeg, wrong_clock
):
    wrong_clock(wrong)
    with calling(settings) as client:
        job = submit(client, jpeg, deadline_seconds=600)
        view = client.get(job["urls"]["self"]).json()
        assert view["status"] == "queued"
    held = store.claim("w", lease_seconds=30, token=uuid4().hex, slots=1)
    assert held.id == job["id"]
    assert abs(held.created_ms - redis_ms(store.redis)) < 30_000
    assert store.finish(held, held.input, {"run_ms": 1}, {}) == "finished"
    store.expire()
    ended = store.get(job["id"], "default")
    assert ended.status is Status.SUCCEEDED
    assert ended.expires_ms - ended.finished_ms == settings.retention_seconds * 1000


def redis_ms(client: redis.Redis) -> int:
    seconds, micros = client.time()
    return seconds * 1000 + micros // 1000


@pytest.mark.parametrize("wrong", [-HOUR, HOUR])
def test_a_job_that_a_wrong_clock_accepted_is_rebuilt_with_its_whole_deadline(wrong, bucket, store, jpeg, wrong_clock):
    pictures = PictureStore.connect(bucket, timeout=10)
    with calling(bucket) as client:
        wrong_clock(wrong)
        job = submit(client, jpeg, deadline_seconds=600)
    wrong_clock(0)
    store.redis.flushall()
    assert rebuild(store, pictures, None).jobs == 1
    store.expire()
    held = store.claim("w", lease_seconds=30, token=uuid4().hex, slots=1)
    assert held.id == job["id"]
    assert abs(held.created_ms - redis_ms(store.redis)) < 30_000
    assert held.started_ms is None or held.started_ms >= held.created_ms
    assert held.claimed_ms >= held.created_ms - 1000, "the storage's clock has whole seconds"


def test_a_keeper_whose_clock_is_ahead_removes_nothing_before_its_time(bucket, store, jpeg, wrong_clock):
    pictures = PictureStore.connect(bucket, timeout=10)
    house = Maintenance(store, pictures, bucket)
    assert house.is_ours()
    unaccepted = a_job()
    pictures.put_input(unaccepted.folder, jpeg, "image/jpeg", (96, 64))
    invitation = pictures.presign_upload("default", "u", most_bytes=10**6, seconds=60)
    sent = httpx.post(invitation.url, data=dict(invitation.fields), files={"file": jpeg}, trust_env=False)
    assert sent.is_success, sent.text
    wrong_clock(30 * 86_400)
    assert house.sweep() == 0
    house.drop_old_uploads()
    assert pictures.read_upload("default", "u") == jpeg
    wrong_clock(0)
    assert house.sweep(orphaned=-5) == 1
