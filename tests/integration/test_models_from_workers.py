"""Workers with a models file, as real processes: each serves several models and gets only their jobs."""

import os
import signal
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from darkroom.local.ports import free_ports
from darkroom.local.process import Lifeline, Process
from jobs.settings import Settings
from jobs.store import JobStore
from tests.integration.conftest import submit
from tests.waiting import until
from tests.web_tier import as_environment

pytestmark = pytest.mark.timeout(200)


class FileWorker(Process):
    """The real worker with a models file whose editors need no torch."""

    name = "worker"

    def __init__(self, folder: Path, lifeline: Lifeline, settings: Settings, store: JobStore) -> None:
        super().__init__(folder, lifeline)
        self.settings, self.store, self.before = settings, store, set(store.alive("worker"))

    def command(self) -> list[str]:
        return [sys.executable, "-m", "worker.app"]

    def environment(self) -> dict[str, str]:
        return as_environment(self.settings) | {"TINY_LOG": str(self.folder / "tiny.log")}

    def ready(self) -> bool:
        return bool(set(self.store.alive("worker")) - self.before)


@pytest.fixture
def work(settings: Settings, store: JobStore, tmp_path: Path) -> Iterator[Any]:
    """Start workers: `work("name", changes, id=checkpoint, ...)`. Each model takes one byte."""
    with ExitStack() as stack:

        @contextmanager
        def start(name: str, changes: dict[str, Any], **models: str) -> Iterator[FileWorker]:
            folder = tmp_path / name
            folder.mkdir()
            entry = '[[model]]\nid = "{}"\neditor = "tests.tiny_editors:Tiny"\ncheckpoint = "{}"\nmemory = 1\n'
            text = "".join(
                entry.format(*one) + "ranges = {steps = {minimum = 1, maximum = 5}}\ndefaults = {steps = 2}\n"
                for one in models.items()
            )
            (folder / "models.toml").write_text(text, encoding="utf-8")
            given = {"models": str(folder / "models.toml"), "worker_slots": 4, "credentials": "off", **changes}
            lifeline = Lifeline()
            worker = FileWorker(folder, lifeline, settings.model_copy(update=given), store)
            try:
                with worker:
                    yield worker
            finally:
                lifeline.close()

        yield lambda name, changes=None, **models: stack.enter_context(start(name, changes or {}, **models))


def ended(client: Any, job: dict[str, Any], seconds: float = 60) -> dict[str, Any]:
    read = lambda: client.get(job["urls"]["self"]).json()  # noqa: E731
    until(lambda: read()["finished_at"], seconds, f"the end of {job['model']}'s {job['id']}")
    return dict(read())


def listed(client: Any) -> dict[str, dict[str, Any]]:
    client.app.state.services.models.forget()
    return {model["id"]: model for model in client.get("/v1/models").json()["data"]}


def metric(port: int, name: str) -> float:
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
    return float(next(line.split()[-1] for line in text.splitlines() if line.startswith(name)))


def test_one_worker_with_three_models_and_memory_for_two_does_all_jobs_by_the_models_asked_for(
    client, jpeg, store, work
):
    (port,) = free_ports(1)
    worker = work("w", {"model_memory": 2, "worker_metrics_port": port}, a="", b="", c="", broken="broken")
    until(lambda: [*listed(client)] == ["a", "b", "broken", "c"], 20, "the models are known")
    assert listed(client)["a"]["default"]
    assert listed(client)["a"]["workers"] == 1
    bad = client.post("/v1/jobs", files={"image": jpeg}, data={"prompt": "x", "model": "a", "steps": "6"})
    assert bad.status_code == 422
    assert "from 1 to 5" in bad.json()["detail"]

    stuck = submit(client, jpeg, model="broken")
    jobs = [submit(client, jpeg, model="abc"[number % 3]) for number in range(60)]
    for job in jobs:
        done = ended(client, job)
        assert (done["status"], done["receipt"]["checkpoint"], done["params"]["steps"]) == (
            "succeeded",
            job["model"],
            2,
        )
    loads = (worker.folder / "tiny.log").read_text().split("\n")
    assert 1 <= metric(port, "darkroom_worker_model_swaps_total") <= 59
    assert metric(port, "darkroom_worker_model_loads_total") == len(
        [one for one in loads if one and "broken" not in one]
    )

    until(lambda: listed(client)["broken"]["troubles"], 20, "what cannot be loaded is told")
    assert "cut short" in listed(client)["broken"]["troubles"][0]
    assert listed(client)["broken"]["workers"] == 0
    waiting = client.get(stuck["urls"]["self"]).json()
    assert waiting["status"] == "queued"
    assert "no worker serves broken" in waiting["status_text"]
    assert [attempt["outcome"] for attempt in waiting["attempts"]] == ["model-not-loaded"]

    worker.kill()
    for name in store.alive("worker"):
        store.retire(name)
    assert {name: model["workers"] for name, model in listed(client).items()} == dict.fromkeys(
        ["a", "b", "broken", "c"], 0
    )
    assert submit(client, jpeg, model="c", steps="3")["status_text"].startswith("Accepted; no worker serves c now")


def idle_waits(store: JobStore, jobs: list[dict[str, Any]], serves: dict[str, str]) -> list[float]:
    """For each job, the longest time in seconds that it waited while an idle worker served its model.

    `serves` are the models of each worker.
    """
    records = [store.get(job["id"], "default") for job in jobs]
    busy = {
        worker: sorted((r.claimed_ms, r.finished_ms) for r in records if r.attempts[0]["worker"] == worker)
        for worker in serves
    }

    def longest(created: int, claimed: int, taken: list[tuple[int, int]]) -> int:
        edges = [(0, created), *[one for one in taken if one[1] > created and one[0] < claimed], (claimed, claimed)]
        return max(after[0] - before[1] for before, after in pairwise(edges))

    return [
        max(longest(r.created_ms, r.claimed_ms, busy[worker]) for worker in serves if r.model in serves[worker]) / 1000
        for r in records
    ]


def test_no_job_waits_while_a_worker_that_serves_its_model_is_idle(client, jpeg, store, work):
    """One worker serves a and b, the other b and c, so they share the jobs of b."""
    one_slot, names = {"worker_slots": 1}, []
    for name, models in (("one", "ab"), ("two", "bc")):
        work(name, one_slot, **dict.fromkeys(models, ""))
        names.append(next(worker for worker in store.alive("worker") if worker not in names))
    until(lambda: listed(client).keys() == {"a", "b", "c"}, 20, "the models are known")
    for job in [submit(client, jpeg, model=model) for model in "abc"]:
        ended(client, job)
    jobs = []
    for burst in ("aac", "ccab", "b", "aaaac", "c", "bbbb"):
        jobs += [submit(client, jpeg, model=model, steps="5") for model in burst]
        for job in jobs[-len(burst) :: 2]:
            ended(client, job)
    for job in jobs:
        assert ended(client, job)["receipt"]["checkpoint"] == job["model"]
    waits = sorted(idle_waits(store, jobs, dict(zip(names, ("ab", "bc"), strict=True))))
    assert waits[-2] < 1, waits


def test_a_worker_that_is_killed_while_it_loads_a_model_says_nothing_against_the_job(
    client, jpeg, store, work, tmp_path
):
    gate = tmp_path / "gate"
    gate.touch()
    first = work("one", slow=f"wait:{gate}")
    until(lambda: "slow" in listed(client), 20, "the model is known")
    job = submit(client, jpeg, model="slow")
    told = lambda: client.get(job["urls"]["self"]).json()  # noqa: E731
    until(lambda: "loading" in told()["status_text"], 20, "the job's state says so")
    os.kill(first.pid, signal.SIGKILL)
    until(lambda: store.reclaim(1), 20, "its lease runs out")
    assert told()["status"] == "queued", "although one crash would be too many"
    gate.unlink()
    work("two", slow=f"wait:{gate}")
    done = ended(client, job)
    assert [attempt["outcome"] for attempt in done["attempts"]] == ["crashed-while-loading", "succeeded"]
