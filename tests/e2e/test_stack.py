"""The whole service as a stranger starts it: `darkroom up`, real processes, real kills."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.conftest import ROOT
from tests.waiting import until

PHOTO = ROOT / "examples" / "mountains.jpg"
DARKROOM = Path(sys.executable).with_name("darkroom")

pytestmark = [pytest.mark.alone, pytest.mark.timeout(240)]


def parents() -> dict[int, int]:
    """Every living process and its parent."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = stat.read_text().rsplit(")", 1)[1].split()[:2]
            if state != "Z":
                found[int(stat.parent.name)] = int(parent)
    return found


def command_of(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


class Up:
    """A running `darkroom up`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Up":
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [str(DARKROOM), "up", "--no-sample", "--data", str(self.folder)]
        self.folder.mkdir(exist_ok=True)
        (self.folder / "address").unlink(missing_ok=True)
        with (self.folder.with_suffix(".log")).open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        until((self.folder / "address").exists, 120, "darkroom up is ready")
        self.http = httpx.Client(base_url=(self.folder / "address").read_text().strip(), timeout=10, trust_env=False)
        return self

    def children(self) -> set[int]:
        """The processes that it has started and that live."""
        assert self.process
        return {pid for pid, parent in parents().items() if parent == self.process.pid}

    def end(self, number: signal.Signals) -> float:
        """Send a signal; returns the seconds until `darkroom up` and all that it had started were gone."""
        assert self.process
        mine, started = self.children(), time.monotonic()
        assert len(mine) >= 5
        os.kill(self.process.pid, number)
        self.process.wait(60)
        until(lambda: not mine & set(parents()), 10, f"all gone: {[command_of(pid) for pid in mine]}")
        return time.monotonic() - started

    def submit(self, **fields: object) -> str:
        data = {"prompt": "make it sepia", "size": "256x256", "steps": "20", **fields}
        answer = self.http.post("/v1/jobs", files={"image": PHOTO.read_bytes()}, data=data)
        assert answer.status_code == 202, answer.text
        return answer.json()["id"]

    def job(self, job_id: str) -> dict:
        answer = self.http.get(f"/v1/jobs/{job_id}")
        assert answer.status_code in (200, 503), answer.text
        return answer.json()

    def until_running(self, job_id: str, step: int = 2) -> None:
        until(lambda: (self.job(job_id).get("progress") or {}).get("step", 0) >= step, 60, f"step {step}")

    def until_over(self, job_id: str, seconds: float = 60) -> dict:
        until(lambda: self.job(job_id).get("finished_at"), seconds, f"the end of {job_id}")
        return self.job(job_id)

    def kill(self, words: str) -> None:
        """kill -9 one of its processes."""
        (pid,) = [pid for pid in self.children() if re.search(words, command_of(pid))]
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    running = Up(tmp_path / "stack").start()
    yield running
    if running.process and running.process.poll() is None:
        running.end(signal.SIGINT)


def darkroom(up: Up, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(DARKROOM), *words, "--data", str(up.folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=up.folder)


def test_edits_survive_kills_and_restarts(up):
    """One stack, one story: an edit by hand, a killed worker, a killed Redis, Ctrl-C in mid-job, a new start."""
    done = darkroom(up, "edit", str(PHOTO), "make it sepia", "-o", "out.png", "--steps", "5", "--size", "256x256")
    assert done.returncode == 0, done.stderr
    assert (up.folder / "out.png").read_bytes().startswith(b"\x89PNG")

    struck = up.submit(steps=40)
    waiting = [up.submit(steps=4) for _ in range(3)]
    up.until_running(struck)
    up.kill(r"-m worker\.app")
    ended = up.until_over(struck, 60)
    assert ended["status"] == "succeeded"
    assert [attempt["outcome"] for attempt in ended["attempts"]] == ["crashed", "succeeded"]
    assert {up.until_over(job)["status"] for job in waiting} == {"succeeded"}

    queued = [up.submit(steps=4) for _ in range(2)]
    up.kill("valkey")
    until(lambda: up.http.get("/readyz").status_code == 200, 20, "Redis is back")
    assert {up.until_over(job)["status"] for job in queued} == {"succeeded"}

    interrupted, behind = up.submit(steps=300), up.submit(steps=4)
    up.until_running(interrupted)
    assert up.end(signal.SIGINT) < 12
    up.start()
    up.http.post(f"/v1/jobs/{interrupted}/cancel")
    ended = up.until_over(interrupted, 60)
    assert "drained" in [attempt["outcome"] for attempt in ended["attempts"]]
    assert up.until_over(behind)["status"] == "succeeded"
    assert up.job(struck)["status"] == "succeeded", "kept across the restart"


def test_nothing_survives_a_kill_of_the_parent_and_the_job_does(up):
    job = up.submit(steps=60)
    up.until_running(job)
    up.end(signal.SIGKILL)
    up.start()
    assert up.until_over(job, 90)["status"] == "succeeded"
