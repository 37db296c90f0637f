"""Workers as processes that hang, crash and are told to exit, with a supervisor that starts them again."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from darkroom.local.process import Lifeline, Process
from darkroom.local.stack import Supervisor
from jobs import redis_keys
from jobs.job import Job, Status
from jobs.settings import Settings
from jobs.store import JobStore
from tests.integration.conftest import calling, submit
from tests.waiting import until
from tests.web_tier import as_environment

pytestmark = pytest.mark.timeout(400)


class ObedientWorker(Process):
    """The real worker with an editor that needs no torch."""

    name = "worker"

    def __init__(self, folder: Path, lifeline: Lifeline, settings: Settings, store: JobStore) -> None:
        super().__init__(folder, lifeline)
        self.settings = settings.model_copy(update={"editors": "tests.editors:load"})
        self.store = store

    def command(self) -> list[str]:
        return [sys.executable, "-m", "worker.app"]

    def environment(self) -> dict[str, str]:
        return as_environment(self.settings)

    def ready(self) -> bool:
        return bool(self.store.redis.zcount(redis_keys.WORKERS, time.time() * 1000 - 3000, "+inf"))


class Tidy(Process):
    """The real keeper."""

    name = "keeper"

    def __init__(self, folder: Path, lifeline: Lifeline, settings: Settings) -> None:
        super().__init__(folder, lifeline)
        self.settings = settings

    def command(self) -> list[str]:
        return [sys.executable, "-m", "worker.keeper"]

    def environment(self) -> dict[str, str]:
        return as_environment(self.settings)

    def ready(self) -> bool:
        return self.running


@contextmanager
def crew(settings: Settings, store: JobStore, folder: Path) -> Iterator[Supervisor]:
    """A worker and a keeper under a supervisor."""
    lifeline, over = Lifeline(), threading.Event()
    processes: list[Process] = [ObedientWorker(folder, lifeline, settings, store), Tidy(folder, lifeline, settings)]
    supervisor = Supervisor(processes, lambda _: None)

    def supervise() -> None:
        while not over.wait(0.1):
            supervisor.check()

    for process in processes:
        supervisor.spawn(process)
    for process in processes:
        supervisor.wait_until_ready(process)
    watch = threading.Thread(target=supervise)
    watch.start()
    try:
        yield supervisor
    finally:
        over.set()
        watch.join()
        for process in processes:
            process.kill()
        lifeline.close()


@pytest.fixture
def quick(settings: Settings) -> Settings:
    """A service in which all waiting times are short."""
    return settings.model_copy(
        update={"lease_seconds": 2, "worker_slots": 8, "patience_seconds": 4.0, "worker_grace_seconds": 4}
    )


def read(store: JobStore, job: dict) -> Job:
    found = store.get(job["id"], "default")
    assert found
    return found


@pytest.mark.parametrize("word", ["break", pytest.param("hang", marks=pytest.mark.slow)])
def test_a_job_that_breaks_its_worker_fails_alone_and_its_mates_succeed(quick, store, jpeg, tmp_path, word):
    """It is in three workers that die, the third time alone. No other job runs out of attempts."""
    with calling(quick) as client:
        mates = [submit(client, jpeg, prompt="fine", steps=20) for _ in range(4)]
        culprit = submit(client, jpeg, prompt=word, steps=20)
        mates += [submit(client, jpeg, prompt="fine", steps=20) for _ in range(3)]
    with crew(quick, store, tmp_path):
        until(lambda: all(read(store, job).status.is_over for job in [*mates, culprit]), 180)
    assert {read(store, job).status for job in mates} == {Status.SUCCEEDED}
    ended = read(store, culprit)
    assert (ended.status, ended.error["type"], ended.crashes) == (Status.FAILED, "poison", 3)
    assert max(read(store, job).crashes for job in mates) <= 2


def test_a_worker_told_to_leave_is_gone_within_its_grace_even_if_a_job_hangs(quick, store, jpeg, tmp_path):
    patient = quick.model_copy(update={"patience_seconds": 60.0, "lease_seconds": 30, "worker_grace_seconds": 3})
    with calling(patient) as client:
        hung = submit(client, jpeg, prompt="hang", steps=20)
        short = submit(client, jpeg, prompt="fine", steps=5)
        lifeline = Lifeline()
        worker = ObedientWorker(tmp_path, lifeline, patient, store).start()
        until(lambda: read(store, short).status is Status.RUNNING and (read(store, hung).status == "running"), 60)
        started = time.monotonic()
        os.kill(worker.pid, signal.SIGTERM)
        until(lambda: not worker.running, 30)
        assert time.monotonic() - started < 25, "before its lease, or its patience with a hung job, is over"
        worker.kill()
        lifeline.close()
    back = read(store, hung)
    assert (back.status, back.crashes, back.attempts[-1]["outcome"]) == (Status.QUEUED, 0, "drained")
    assert read(store, short).status is Status.SUCCEEDED, "what fits is finished"


@pytest.mark.slow
def test_rolling_restarts_cost_no_job_an_attempt(quick, store, jpeg, tmp_path):
    with calling(quick) as client:
        jobs = [submit(client, jpeg, prompt="fine", steps=20) for _ in range(400)]
    with crew(quick, store, tmp_path) as supervisor:
        worker = supervisor.processes[0]
        for _ in range(20):
            time.sleep(0.4)
            left = worker.pid
            os.kill(left, signal.SIGTERM)
            until(lambda: worker.pid != left and worker.running, 30)  # noqa: B023
        until(lambda: all(read(store, job).status.is_over for job in jobs), 180)
    ended = [read(store, job) for job in jobs]
    assert {job.status for job in ended} == {Status.SUCCEEDED}
    assert sum(job.crashes for job in ended) == 0
