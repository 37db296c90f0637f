"""What the worker does about faults that are not the client's: it gives jobs back and does not fail the queue."""

import threading
import time
from dataclasses import replace

import pytest
from PIL import Image

from jobs.job import Status
from pipeline.errors import DeviceLost, NotFinite, OutOfMemory, PipelineError
from tests.integration.conftest import submit
from tests.integration.test_worker import PHOTO, Step, read
from worker.frames import Frames
from worker.leases import EXIT_NOT_LOADED, EXIT_STUCK, Canceled, Leases
from worker.run import WorkerContext, run_next


class Left(BaseException):
    """Replaces the end of the process."""


@pytest.fixture
def leaving(monkeypatch):
    """The exit statuses with which the process would have ended."""
    statuses = []

    def leave(status):
        statuses.append(status)
        raise Left

    monkeypatch.setattr("worker.leases.os._exit", leave)
    monkeypatch.setattr("worker.leases.logging.shutdown", lambda: None)
    return statuses


def failing(error):
    def fail(step):
        raise error

    return Step(fail)


def test_a_job_whose_numbers_are_not_finite_fails_and_says_so(client, context, store):
    job = submit(client, PHOTO, steps=2)
    run_next(context(failing(NotFinite())))
    done = client.get(job["urls"]["self"]).json()
    assert (done["status"], done["error"]["type"]) == ("failed", "internal-error")
    assert "not finite" in done["error"]["detail"]


def test_out_of_memory_gives_the_job_back_unpunished_and_fails_it_when_it_never_fits(client, context, store):
    job = submit(client, PHOTO, steps=2)
    working = context(failing(OutOfMemory("CUDA out of memory")))
    for times in (1, 2):
        assert run_next(working)
        back = read(store, job)
        outcomes = [attempt["outcome"] for attempt in back.attempts]
        assert (back.status, back.crashes, outcomes) == (Status.QUEUED, 0, ["out-of-memory"] * times)
        store.redis.zadd("dk:delayed", {job["id"]: 1})
    run_next(working)
    ended = read(store, job)
    assert (ended.status, ended.error["type"]) == (Status.FAILED, "internal-error")


def test_a_lost_device_ends_the_process_and_gives_every_job_in_hand_back(client, context, store, leaving):
    working = replace(context(failing(DeviceLost("CUDA error: unspecified launch failure"))), slots=2)
    mate, job = submit(client, PHOTO, steps=2), submit(client, PHOTO, steps=2)
    claimed = working.claim("t")
    with working.leases.holding(claimed, time.monotonic()), pytest.raises(Left):
        run_next(working)
    assert leaving == [EXIT_STUCK]
    for one in (mate, job):
        back = read(store, one)
        assert (back.status, back.crashes, back.attempts[-1]["outcome"]) == (Status.QUEUED, 0, "device-lost")


def test_a_worker_that_leaves_claims_nothing_more(client, context, store, monkeypatch):
    """Otherwise its other slots would claim the released jobs, and the keeper would count a crash for them."""
    working = replace(context(failing(DeviceLost("CUDA error: unspecified launch failure"))), slots=2)
    claimed = []

    def leave(_):
        claimed.append(run_next(working))
        raise Left

    monkeypatch.setattr("worker.leases.os._exit", leave)
    monkeypatch.setattr("worker.leases.logging.shutdown", lambda: None)
    jobs = [submit(client, PHOTO, steps=2) for _ in range(2)]
    with working.leases.holding(working.claim("t"), time.monotonic()), pytest.raises(Left):
        run_next(working)
    assert claimed == [False]
    assert [len(read(store, job).attempts) for job in jobs] == [1, 1]


@pytest.mark.parametrize("error", [PipelineError("no weights", field="checkpoint"), OSError("no such file")])
def test_a_model_that_does_not_load_drains_no_queue(client, context, store, leaving, error):
    class Broken(dict):
        def __missing__(self, model):
            raise error

    jobs = [submit(client, PHOTO, steps=2) for _ in range(3)]
    usual = context(Step())
    with pytest.raises(Left):
        run_next(WorkerContext(usual.store, usual.pictures, usual.leases, Broken(), lease_seconds=30))
    assert leaving == [EXIT_NOT_LOADED]
    assert {read(store, job).status for job in jobs} == {Status.QUEUED}
    assert sum(read(store, job).crashes for job in jobs) == 0


@pytest.mark.parametrize("allowance", [0.0, 30.0])
def test_a_step_that_is_allowed_its_time_is_not_stuck(client, store, allowance):
    submit(client, PHOTO, steps=2)
    leases = Leases(
        store,
        "w",
        {"slots": 1, "checkpoint": {}},
        lease_seconds=30,
        engine_worked_at=lambda: 0.0,
        engine_allowance=lambda: allowance,
        patience=0.05,
    )
    with leases.holding(store.claim("w", lease_seconds=30, token="t"), time.monotonic()) as lease:
        lease.enter_phase(engine=True)
        time.sleep(0.1)
        assert lease.is_progressing is bool(allowance)
        lease.enter_phase()
        time.sleep(0.1)
        assert not lease.is_progressing, "outside of the engine only patience counts"


def test_a_long_step_that_ends_while_it_is_looked_at_was_no_hang(client, store):
    """The engine may end its allowance and report its work between any two reads of these values."""
    submit(client, PHOTO, steps=2)
    engine = {"worked_at": 0.0, "allowance": 30.0}

    def look(name):
        seen = engine[name]
        engine.update(worked_at=time.monotonic(), allowance=0.0)
        return seen

    leases = Leases(
        store,
        "w",
        {"slots": 1, "checkpoint": {}},
        lease_seconds=30,
        engine_worked_at=lambda: look("worked_at"),
        engine_allowance=lambda: look("allowance"),
        patience=0.05,
    )
    with leases.holding(store.claim("w", lease_seconds=30, token="t"), time.monotonic()) as lease:
        lease.enter_phase(engine=True)
        time.sleep(0.1)
        assert lease.is_progressing


def test_a_preview_that_breaks_costs_no_job(client, context, store):
    class Blind(Step):
        def edit(self, photo, prompt, *, on_step, **params):
            class Broken:
                step, steps = 1, 1
                preview = noisy = lambda self: 1 / 0

            on_step(Broken())
            return photo

    job = submit(client, PHOTO, steps=2)
    run_next(context(Blind()))
    assert read(store, job).status is Status.SUCCEEDED


def test_a_job_that_is_canceled_while_it_waits_for_its_turn_ends_at_once(client, context, store):
    waiting = threading.Event()

    class Queued(Step):
        def edit(self, photo, prompt, *, on_step, on_wait, **params):
            waiting.set()
            for _ in range(100):
                time.sleep(0.05)
                on_wait()
            return photo

    job, working = submit(client, PHOTO, steps=2), context(Queued())
    runs = threading.Thread(target=run_next, args=(working,))
    runs.start()
    assert waiting.wait(20)
    client.post(job["urls"]["cancel"])
    working.leases.held()[0].stop = Canceled
    runs.join(4)
    assert not runs.is_alive()
    assert read(store, job).status is Status.CANCELED


def test_frames_of_an_edit_that_began_once_more_are_those_of_its_second_way():
    class Way(Step):
        def __init__(self, step):
            self.step, self.steps = step, 3

        def preview(self):
            return Image.new("RGB", (1, 1))

        noisy = preview

    frames = Frames()
    for step in (1, 2, 3, 1, 2, 3):
        frames.note(Way(step))
    assert frames.steps == [1, 2, 3]


def test_an_editor_that_cannot_tell_how_an_edit_looks_keeps_no_frames():
    class Unseen(Step):
        step, steps = 1, 1

        def preview(self):
            return None

        noisy = preview

    frames = Frames()
    frames.note(Unseen())
    assert frames.steps == []
