"""The story of one job, run by the real worker code on the real servers. The model is the real micro checkpoint."""

import io
import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from prometheus_client import CollectorRegistry

from jobs.errors import StorageUnavailable
from jobs.job import Job, Status
from jobs.operator import Operator
from jobs.pictures import NoSuchPicture, PictureStore
from jobs.wakeups import Wakeups
from pipeline.edit import Pipeline, Progress
from pipeline.engine import Iteration, Taken
from pipeline.errors import PipelineError
from tests.conftest import ROOT
from tests.integration.conftest import submit
from tests.jobs_of import a_job
from worker.app import Worker
from worker.editors.editor import Device
from worker.engine_metrics import EngineMetrics
from worker.keeper.maintenance import Maintenance
from worker.keeper.process import Keeper
from worker.leases import Drained, Leases
from worker.metrics import KeeperMetrics
from worker.photo_memory import Room
from worker.run import run_next

PHOTO = (ROOT / "examples" / "mountains.jpg").read_bytes()


class Step:
    """An editor whose steps a test can watch and delay: it calls `at_step`, and paints gray."""

    def __init__(self, at_step: Callable[[int], None] = lambda step: None) -> None:
        self.at_step = at_step

    def edit(
        self, photo: Image.Image, prompt: str, *, on_step: Callable[[Progress], None], **params: Any
    ) -> Image.Image:
        for step in range(1, params["steps"] + 1):
            self.at_step(step)
            taken = Taken(step, [200], [50])
            on_step(Progress(step, params["steps"], lambda level: Image.new("L", (8, 8), level).convert("RGB"), taken))
        return Image.new("RGB", photo.size, "gray")

    def receipt(self) -> dict[str, str]:
        return {"checkpoint": "none"}


@pytest.fixture(scope="module")
def micro() -> Pipeline:
    return Pipeline.load(ROOT / "checkpoints" / "micro")


def read(store, job: dict) -> Job:
    return store.get(job["id"], "default")


def test_a_photo_is_edited_as_asked(client, context, store, micro):
    """Sepia: in every pixel red is above green, and green above blue."""
    job = submit(client, PHOTO, prompt="make it sepia", steps=10, seed=1, size="256x256", format="webp")
    assert run_next(context(micro))
    done = client.get(job["urls"]["self"]).json()
    assert done["status"] == "succeeded", done["error"]
    data = client.get(job["urls"]["output"], params={"proxy": 1}).content
    red, green, blue = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).reshape(-1, 3).mean(0)
    assert red > green + 5 > blue + 10
    assert (done["output"]["width"], done["output"]["content_type"]) == (256, "image/webp")
    assert done["receipt"]["seed"] == 1
    assert done["receipt"]["checkpoint"] == "micro"
    assert all(done["timing"][name] >= 0 for name in ("queued_ms", "load_ms", "run_ms", "upload_ms", "total_ms"))
    assert [attempt["outcome"] for attempt in done["attempts"]] == ["succeeded"]


@pytest.mark.parametrize(("steps", "kept"), [(2, 2), (24, 24), (25, 24), (100, 24)])
def test_the_way_of_an_edit_is_kept_as_a_sprite(client, context, steps, kept):
    job = submit(client, PHOTO, steps=steps)
    run_next(context(Step()))
    frames = client.get(job["urls"]["self"]).json()["frames"]
    assert len(frames["steps"]) == kept
    assert frames["steps"] == sorted(set(frames["steps"]))
    assert frames["steps"][-1] == steps
    sprite = Image.open(io.BytesIO(client.get(frames["url"], params={"proxy": 1}).content))
    assert sprite.size == (frames["width"], frames["height"]) == (8 * kept, 16)
    predicted, noisy = sprite.getpixel((4, 4)), sprite.getpixel((4, 12))
    assert predicted[0] > 150 > 100 > noisy[0]


def test_an_empty_queue_is_told(context):
    assert run_next(context(Step())) is False


def test_progress_and_previews_are_seen_while_it_runs(client, context, store):
    job = submit(client, PHOTO, steps=3)
    working = context(Step(lambda step: time.sleep(0.3)))
    seen, colors = [], {}

    def look() -> None:
        while not (view := client.get(job["urls"]["self"]).json())["finished_at"]:
            working.leases.renew(working.leases.held())
            for kind in ("predicted", "noisy"):
                preview = client.get(f"{job['urls']['self']}/preview", params={"kind": kind})
                if preview.status_code == 200:
                    colors[kind] = Image.open(io.BytesIO(preview.content)).getpixel((2, 2))
            seen.append(view["progress"])
            time.sleep(0.05)

    watcher = threading.Thread(target=look)
    watcher.start()
    run_next(working)
    watcher.join()
    steps = [progress["step"] for progress in seen if progress]
    assert steps == sorted(steps)
    assert {1, 2} <= set(steps)
    assert colors["predicted"][0] > 150 > 100 > colors["noisy"][0]


def test_a_canceled_job_stops_at_the_next_step(client, context, store):
    job = submit(client, PHOTO, steps=100)

    def cancel_at_five(step: int) -> None:
        if step == 5:
            assert client.post(job["urls"]["cancel"]).json()["status"] == "canceling"
            working.leases.renew(working.leases.held())
        assert step <= 6, "it went on after it was told"

    working = context(Step(cancel_at_five))
    run_next(working)
    done = client.get(job["urls"]["self"]).json()
    assert done["status"] == "canceled"
    assert done["cancellation"]["step"] == 5
    assert done["output"] is None


class Interrupted:
    """A picture store that calls a function before each read."""

    def __init__(self, pictures: PictureStore, happens: Callable[[], object]) -> None:
        self.pictures, self.happens = pictures, happens

    def read_picture(self, picture: Any) -> bytes:
        self.happens()
        return self.pictures.read_picture(picture)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pictures, name)


@pytest.mark.parametrize("taken", [True, False])
def test_a_worker_that_was_stopped_begins_only_what_is_still_its_own(client, context, store, pictures, taken):
    """It was stopped for longer than its lease while fetching the photo. Meanwhile the job ended, or nobody took it."""
    job, begun = submit(client, PHOTO, steps=2), []

    def stop() -> None:
        time.sleep(1.1)
        if taken:
            store.redis.zadd("dk:running", {job["id"]: 1})
            assert store.reclaim(3) == [job["id"]]
            assert run_next(context(Step()))

    run_next(context(Step(begun.append), Interrupted(pictures, stop), lease=1))
    assert begun == ([] if taken else [1, 2])
    assert read(store, job).status is Status.SUCCEEDED
    assert len(read(store, job).attempts) == (2 if taken else 1)


def test_a_job_canceled_while_its_result_was_stored_is_canceled(client, context, store):
    job = submit(client, PHOTO, steps=2)
    run_next(context(Step(lambda step: step == 2 and client.post(job["urls"]["cancel"]))))
    assert read(store, job).status is Status.CANCELED


def test_trouble_with_the_storage_gives_the_job_back_unpunished(client, context, settings, store):
    job = submit(client, PHOTO, steps=2)
    away = PictureStore.connect(settings.model_copy(update={"s3_endpoint_url": "http://127.0.0.1:1"}), timeout=1)
    run_next(context(Step(), away))
    back = read(store, job)
    assert (back.status, back.crashes, back.attempts[-1]["outcome"]) == (Status.QUEUED, 0, "storage-trouble")
    store.redis.zadd("dk:delayed", {job["id"]: 1})
    run_next(context(Step()))
    assert read(store, job).status is Status.SUCCEEDED


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (PipelineError("too wide", field="size"), "invalid-input"),
        (RuntimeError("secret path"), "internal-error"),
        (NoSuchPicture("gone"), "input-missing"),
    ],
)
def test_an_error_ends_the_job_with_words_for_its_owner(client, context, store, error, kind):
    def fail(step: int) -> None:
        raise error

    job = submit(client, PHOTO, steps=2)
    run_next(context(Step(fail)))
    done = client.get(job["urls"]["self"]).json()
    assert (done["status"], done["error"]["type"]) == ("failed", kind)
    assert "secret" not in json.dumps(done)


def test_a_job_that_another_worker_has_by_now_is_dropped(client, context, store):
    job = submit(client, PHOTO, steps=50)

    def lose_it(step: int) -> None:
        if step == 3:
            store.redis.zadd("dk:running", {job["id"]: 1})
            store.reclaim(9)
            working.leases.renew(working.leases.held())
        assert step <= 4

    working = context(Step(lose_it))
    run_next(working)
    assert read(store, job).status is Status.QUEUED


def test_a_hung_step_loses_its_lease(client, context, store):
    """Only progress renews a lease: a worker that is alive but stuck loses its job."""
    job = submit(client, PHOTO, steps=2)
    leases = []

    def hang(step: int) -> None:
        for _ in range(4):
            working.leases.renew(working.leases.held())
            leases.append(store.redis.zscore("dk:running", job["id"]))
            time.sleep(0.1)

    working = context(Step(hang), patience=0.2)
    run_next(working)
    assert leases[0] < leases[1]
    assert leases[2] == leases[3]


def test_a_draining_worker_gives_back_what_it_cannot_finish(client, context, store):
    job = submit(client, PHOTO, steps=100)

    def drain(step: int) -> None:
        if step == 2:
            for lease in working.leases.held():
                lease.stop = Drained

    working = context(Step(drain))
    run_next(working)
    back = read(store, job)
    assert (back.status, back.crashes, back.attempts[-1]["outcome"]) == (Status.QUEUED, 0, "drained")


def test_a_slot_runs_jobs_until_none_is_left(client, context, store):
    jobs = [submit(client, PHOTO, steps=2) for _ in range(4)]
    Worker(context(Step()), grace_seconds=5).work()
    assert {read(store, job).status for job in jobs} == {Status.SUCCEEDED}


@pytest.fixture
def keeper(store, settings) -> Keeper:
    return Keeper(store, Wakeups.connect(settings, store, timeout=1), settings)


@pytest.fixture
def maintenance(store, pictures, settings) -> Maintenance:
    return Maintenance(store, pictures, settings)


def test_the_end_of_a_job_is_written_into_the_bucket(client, context, store, pictures, maintenance):
    job = submit(client, PHOTO, steps=2)
    run_next(context(Step()))
    maintenance.run_once()
    end = json.loads(pictures.read(f"default/{job['id']}/end.json"))
    assert (end["status"], end["output"]["key"]) == ("succeeded", read(store, job).output.key)
    assert store.unwritten_ends() == []


def test_the_folders_of_removed_jobs_are_emptied(client, store, pictures, maintenance):
    job = submit(client, PHOTO, steps=2)
    client.post(job["urls"]["cancel"])
    assert store.delete(job["id"], "default") == "deleted"
    maintenance.run_once()
    with pytest.raises(NoSuchPicture):
        pictures.read(f"default/{job['id']}/input.jpg")
    assert store.trashed_folders() == []


def test_the_keeper_waits_one_lease_after_a_gap_of_its_own(client, store, keeper):
    """When keeper and workers were stopped together, the workers may renew first."""
    job = submit(client, PHOTO, steps=2)
    store.claim("w", lease_seconds=1, token="t")
    store.redis.zadd("dk:running", {job["id"]: 1})
    keeper._last_tick -= 100
    keeper.tick()
    assert read(store, job).status is Status.RUNNING
    time.sleep(1.1)
    keeper._last_tick = time.monotonic()
    keeper.tick()
    assert read(store, job).status is Status.QUEUED


def test_what_cannot_be_written_into_the_bucket_is_kept_for_later(client, store, settings):
    away = PictureStore.connect(settings.model_copy(update={"s3_endpoint_url": "http://127.0.0.1:1"}), timeout=1)
    ended = submit(client, PHOTO, steps=2)
    client.post(ended["urls"]["cancel"])
    Maintenance(store, away, settings).run_once()
    assert [job.id for job in store.unwritten_ends()] == [ended["id"]], "kept for when the storage is back"
    with pytest.raises(StorageUnavailable):
        away.ping()


def test_wake_ups_are_as_many_as_find_work_and_a_free_slot(store, settings):
    wakeups = Wakeups.connect(settings, store, timeout=1)
    for _ in range(5):
        store.submit(a_job())
    assert wakeups.top_up() == 0, "nobody is there to wake"
    store.renew("w", {"slots": 3, "checkpoint": {}}, [], lease_seconds=30)
    assert wakeups.top_up() == 3
    assert wakeups.top_up() == 0, "they are still on their way"
    assert store.redis.llen("dk:broker:wake-ups") == 3


def test_a_broker_that_is_away_never_fails_a_submit(settings, store):
    away = settings.model_copy(update={"broker_url": "redis://127.0.0.1:1/0"})
    store.renew("w", {"slots": 3, "checkpoint": {}}, [], lease_seconds=30)
    assert Wakeups.connect(away, store, timeout=0.5).top_up() == 0


def test_the_keeper_counts_what_it_takes_back_and_puts_the_census_right(client, store, settings):
    registry = CollectorRegistry()
    submit(client, PHOTO, steps=2)
    job = store.claim("w", lease_seconds=1, token="t")
    store.redis.zadd("dk:running", {job.id: 1})
    store.redis.delete("dk:census")
    Keeper(store, Wakeups.connect(settings, store, timeout=1), settings, KeeperMetrics(registry)).tick()
    assert registry.get_sample_value("darkroom_jobs_taken_back_total") == 1
    counted = {kind: number for kind, number in store.census().items() if number}
    assert counted == {("queued", "pix2pix-full", "normal"): 1}, "the keeper has put it right"


def test_a_worker_tells_how_it_is(store):
    """It reports device and memory from the start, and the step time after its first step."""
    registry = CollectorRegistry()
    engine = EngineMetrics(registry, lambda: Device("cpu", 2**30, 2**31), lambda: 3, lambda: 4)
    about = {"slots": 1, "checkpoint": {}}
    leases = Leases(store, "w", about, lease_seconds=30, engine_worked_at=lambda: 0.0, vitals=engine.vitals)
    leases.renew([])
    assert Operator(store).workers()[0].about == {**about, "device": "cpu", "free_bytes": 2**30, "step_seconds": None}
    for _ in range(3):
        engine.note(Iteration(seconds=0.25, edits=2, rows=6, capacity=12))
    engine.note(Iteration(seconds=1.5))
    leases.renew([])
    assert Operator(store).workers()[0].about["step_seconds"] == 0.25
    value = registry.get_sample_value
    assert value("darkroom_engine_step_rows_sum") == 18
    assert value("darkroom_engine_batch_fill_bucket", {"le": "0.5"}) == 3
    assert value("darkroom_engine_busy_seconds_total", {"work": "step"}) == 0.75
    assert value("darkroom_engine_busy_seconds_total", {"work": "call"}) == 1.5
    assert value("darkroom_worker_jobs") == 3
    assert value("darkroom_engine_compiled_graphs_total") == 4
    assert value("darkroom_device_memory_bytes", {"device": "cpu", "kind": "free"}) == 2**30


def test_a_worker_holds_no_more_photos_than_it_has_room_for(client, context, store):
    """Waiting jobs keep their leases, and can still be canceled at once."""
    jobs = [submit(client, PHOTO, steps=2) for _ in range(3)]
    held, most = [], []

    def count(step: int) -> None:
        held.append(step) if step == 1 else held.pop()
        most.append(len(held))
        time.sleep(0.05)

    size = read(store, jobs[0]).input
    working = replace(context(Step(count)), room=Room(size.width * size.height), slots=3)
    threads = [threading.Thread(target=run_next, args=(working,)) for _ in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert {read(store, job).status for job in jobs} == {Status.SUCCEEDED}
    assert max(most) == 1
