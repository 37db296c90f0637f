"""The whole service as a newcomer starts it: `darkroom up`, real processes, real kills."""

import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.local_stack import DARKROOM, PHOTO, Up
from tests.waiting import until

pytestmark = pytest.mark.timeout(300)

#: What a killed worker held is waited for, and so is what a worker cannot finish when it is told to leave.
SOON = {"LEASE_SECONDS": "5", "WORKER_GRACE_SECONDS": "2"}


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with Up(tmp_path_factory.mktemp("e2e") / "stack", **SOON) as running:
        yield running


def test_an_edit_by_hand_is_a_picture(up: Up) -> None:
    words = ["edit", str(PHOTO), "make it sepia", "-o", "out.png", "--steps", "5", "--size", "256x256"]
    command = [DARKROOM, *words, "--data", str(up.folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=up.folder)
    assert done.returncode == 0, done.stderr
    picture = (up.folder / "out.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert b"org.darkroom.job" in picture, "outputs are signed with nothing set"


def test_edits_survive_kills_and_restarts(up: Up) -> None:
    """One story: a killed worker, a killed Redis, Ctrl-C during a job, and a new start."""
    struck = up.submit(steps=20)
    waiting = [up.submit(steps=4) for _ in range(3)]
    up.until_running(struck)
    up.kill("-m worker.app")
    ended = up.until_over(struck)
    assert ended["status"] == "succeeded"
    assert [attempt["outcome"] for attempt in ended["attempts"]] == ["crashed", "succeeded"]
    assert {up.until_over(job)["status"] for job in waiting} == {"succeeded"}

    queued = [up.submit(steps=4) for _ in range(2)]
    up.kill("valkey")
    until(lambda: up.http.get("/readyz").status_code == 200, 20, "Redis is back")
    assert {up.until_over(job)["status"] for job in queued} == {"succeeded"}

    interrupted, behind = up.submit(steps=1000), up.submit(steps=4)
    up.until_running(interrupted)
    assert up.end(signal.SIGINT) < 25, "five processes of which one or more did not leave when told"
    up.start()
    up.http.post(f"/v1/jobs/{interrupted}/cancel")
    ended = up.until_over(interrupted)
    assert "drained" in [attempt["outcome"] for attempt in ended["attempts"]]
    assert up.until_over(behind)["status"] == "succeeded"
    assert up.job(struck)["status"] == "succeeded", "kept across the restart"


def test_nothing_survives_a_kill_of_the_parent_and_the_job_does(up: Up) -> None:
    job = up.submit(steps=20)
    up.until_running(job)
    up.end(signal.SIGKILL)
    up.start()
    assert up.until_over(job)["status"] == "succeeded"
