"""`darkroom up` as its owner lives with it: one long story on one data folder, since each start takes seconds."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from darkroom.client import Client
from darkroom.data_folder import DataFolder
from darkroom.servers import SeaweedFS
from darkroom.stack import Stack
from tests.darkroom.sleepers import group_is_gone
from tests.waiting import eventually

UP = [sys.executable, "-m", "darkroom.cli", "up"]
PHOTO = Path(__file__).parent.parent.parent / "examples" / "mountains.jpg"
START_SECONDS = 120


class Up:
    """A running `darkroom up --no-sample`, which is the parent of everything it has started."""

    def __init__(self, data: Path, *words: str) -> None:
        self.output = data.with_suffix(".out")
        with self.output.open("w") as out:
            command = [*UP, "--data", str(data), "--no-sample", "--json", *words]
            self.process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
        assert eventually(lambda: self.address() is not None or self.process.poll() is not None, START_SECONDS)
        url = self.address()
        assert url, self.output.read_text()
        self.url = url

    def address(self) -> str | None:
        lines = [line for line in self.output.read_text().splitlines() if line.startswith("{") and line.endswith("}")]
        return json.loads(lines[0])["url"] if lines else None

    def children(self) -> dict[int, str]:
        """The process ids and command lines of what it has started."""
        listing = subprocess.run(["ps", "-A", "-ww", "-o", "ppid=,pid=,args="], capture_output=True, text=True).stdout
        rows = [line.split(None, 2) for line in listing.splitlines()]
        return {int(row[1]): row[2] for row in rows if row[0] == str(self.process.pid)}

    def child(self, text: str) -> int | None:
        """The process id of the child that has this text in its command line."""
        return next((pid for pid, command in self.children().items() if text in command), None)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("a folder") / "data"


@pytest.fixture(scope="module")
def up(data: Path) -> Iterator[Up]:
    running = Up(data)
    yield running
    running.process.kill()
    running.process.wait()


pytestmark = pytest.mark.timeout(300)


def test_when_it_says_so_a_job_can_be_taken(up: Up) -> None:
    assert httpx.get(f"{up.url}/readyz").status_code == 200
    with Client(up.url) as client:
        assert client.queue()["workers"] == 1


def test_the_command_line_finds_it_by_its_folder(up: Up, data: Path) -> None:
    listing = [sys.executable, "-m", "darkroom.cli", "list", "--json", "--data", str(data)]
    environment = {name: value for name, value in os.environ.items() if name != "DARKROOM_URL"}
    answer = subprocess.run(listing, capture_output=True, text=True, env=environment)
    assert json.loads(answer.stdout)["data"] == []


def heed_ctrl_c() -> None:
    """A shell's background jobs, such as a build, ignore SIGINT, and all that they start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_ctrl_c_cancels_the_edit_that_it_interrupts(up: Up) -> None:
    command = [sys.executable, "-m", "darkroom.cli", "edit", str(PHOTO), "make it snowy", "--steps", "1000"]
    command += ["--size", "256x256", "--url", up.url]
    edit = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heed_ctrl_c)
    with Client(up.url) as client, edit:
        assert eventually(lambda: client.jobs.list(status="running").data != [], 20)
        edit.send_signal(signal.SIGINT)
        assert edit.wait(10) == 130
        assert edit.stderr
        said = edit.stderr.read()
        (job,) = client.jobs.list().data
        assert f"Asked job {job.id} to stop." in said
        job.wait()
        assert job.status == "canceled"


def test_a_second_one_on_the_folder_is_sent_to_the_first(up: Up, data: Path) -> None:
    second = subprocess.run([*UP, "--data", str(data)], capture_output=True, text=True, timeout=30)
    assert second.returncode == 1
    assert f"A Darkroom already runs at {up.url} on the data folder {data}" in second.stderr


def test_a_port_that_is_taken_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        words = ["--data", str(tmp_path), "--port", str(port)]
        answer = subprocess.run([*UP, *words], capture_output=True, text=True, timeout=30)
    assert answer.returncode == 1
    assert (
        answer.stderr == f"darkroom: Port {port} is taken by another program: name a free one, or leave --port away.\n"
    )


@pytest.mark.parametrize("text", ["uvicorn", "worker.keeper", "valkey-server", "weed"])
def test_what_is_killed_is_started_again_within_two_seconds(up: Up, text: str) -> None:
    killed = up.child(text)
    assert killed
    os.kill(killed, signal.SIGKILL)
    assert eventually(lambda: up.child(text) not in (None, killed), 2)
    assert eventually(lambda: ready(up.url), 30)


def test_sigterm_ends_all_of_it(up: Up, data: Path) -> None:
    children = list(up.children())
    assert len(children) == 6  # five processes and their watcher
    up.process.terminate()
    assert up.process.wait(20) == 0
    assert all(map(group_is_gone, children))
    assert not (data / "address").exists()


def ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def test_a_part_that_cannot_start_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    environment = {**os.environ, "MAX_PIXELS": "many"}
    words = [*UP, "--data", str(tmp_path), "--no-sample"]
    answer = subprocess.run(words, capture_output=True, text=True, timeout=60, env=environment)
    assert answer.returncode == 1
    assert "darkroom: api ended with status 1 at its start. The end of its log:" in answer.stderr
    assert "max_pixels" in answer.stderr


def test_a_port_taken_after_it_was_chosen_costs_a_second_start(tmp_path: Path) -> None:
    said: list[str] = []
    with DataFolder(tmp_path) as folder, Stack(folder, None, said.append) as stack:
        taken = next(server.ports[2] for server in stack.servers if isinstance(server, SeaweedFS))
        with socket.create_server(("127.0.0.1", taken)):
            stack.start()
        assert ready(stack.api.url)
    assert "Once more, on other ports." in "\n".join(said)


def test_with_auth_it_asks_for_keys_and_keeps_the_first_for_its_owner(tmp_path: Path) -> None:
    up = Up(tmp_path / "data", "--auth")
    try:
        assert httpx.get(f"{up.url}/v1/jobs").status_code == 401
        assert (tmp_path / "data" / "admin_key").stat().st_mode & 0o077 == 0
        with Client(data=tmp_path / "data") as client:
            assert client.queue()["workers"] == 1
            assert client.keys.create("acme", ["read"]).key.startswith("dk_")
    finally:
        up.process.send_signal(signal.SIGINT)
        up.process.wait(60)
