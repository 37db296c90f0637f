"""`darkroom up` as its user sees it: one long story on one data folder, because each start takes seconds.

It runs with keys, with a worker that loads no torch, and in an environment that names a proxy which does not exist.
`tests/e2e/test_stack.py` runs it without any options.
"""

import io
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from darkroom.client import KEY_FILE, Client
from darkroom.local.data_folder import DataFolder
from darkroom.local.sample import Sample
from darkroom.local.servers import SeaweedFS
from darkroom.local.services import Keeper, Worker
from darkroom.local.stack import Stack
from jobs.settings import Settings
from tests.darkroom.sleepers import group_is_gone
from tests.local_stack import DARKROOM, DEAD_PROXY, OBEDIENT, Up
from tests.waiting import eventually
from tests.web_tier import as_environment


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("a folder") / "data"


@pytest.fixture(scope="module")
def up(data: Path) -> Iterator[Up]:
    with Up(data, "--auth", "--json", **OBEDIENT, **DEAD_PROXY) as running:
        yield running


pytestmark = pytest.mark.timeout(300)


def test_when_it_says_so_a_job_can_be_taken(up: Up, data: Path) -> None:
    assert httpx.get(f"{up.url}/readyz").status_code == 200
    with Client(data=data) as client:
        assert client.queue().workers == 1


def test_as_json_it_says_where_it_is_in_one_line(up: Up, data: Path) -> None:
    (line,) = [line for line in up.log.read_text().splitlines() if line.startswith("{")]
    assert json.loads(line) == {"url": up.url, "data": str(data)}


def test_with_auth_it_asks_for_keys_and_keeps_the_first_for_its_owner(up: Up, data: Path) -> None:
    assert httpx.get(f"{up.url}/v1/jobs").status_code == 401
    assert (data / KEY_FILE).stat().st_mode & 0o077 == 0
    with Client(data=data) as client:
        assert client.keys.create("acme", ["read"]).key.startswith("dk_")


def test_the_command_line_finds_it_by_its_folder(up: Up, data: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "DARKROOM_URL"}
    listing = [DARKROOM, "list", "--json", "--data", str(data)]
    answer = subprocess.run(listing, capture_output=True, text=True, env=environment)
    assert json.loads(answer.stdout)["data"] == []


def heed_ctrl_c() -> None:
    """A shell's background jobs, such as a build, ignore SIGINT, and all that they start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_the_sample_edit_takes_the_place_of_that_of_an_earlier_start(up: Up, data: Path) -> None:
    (data / "edited.png").write_bytes(b"of an earlier start")
    sample = Sample(up.url, data, Console(file=io.StringIO()), lambda _: None)
    sample.run()
    assert sample.succeeded
    assert (data / "edited.png").read_bytes().startswith(b"\x89PNG")


def test_a_second_one_on_the_folder_is_sent_to_the_first(up: Up, data: Path) -> None:
    second = subprocess.run([DARKROOM, "up", "--data", str(data)], capture_output=True, text=True, timeout=30)
    assert second.returncode == 1
    assert f"A Darkroom already runs at {up.url} on the data folder {data}" in second.stderr


def test_a_port_that_is_taken_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        words = ["--data", str(tmp_path), "--port", str(port)]
        answer = subprocess.run([DARKROOM, "up", *words], capture_output=True, text=True, timeout=30)
    assert answer.returncode == 1
    assert (
        answer.stderr == f"darkroom: Port {port} is taken by another program: name a free one, or leave --port away.\n"
    )


@pytest.mark.parametrize("text", ["uvicorn", "worker.keeper", "valkey-server", "weed"])
def test_what_is_killed_is_started_again_within_two_seconds(up: Up, text: str) -> None:
    killed = up.kill(text)
    assert eventually(lambda: up.child(text) not in (None, killed), 2)
    assert eventually(lambda: ready(up.url), 30)


def test_sigterm_ends_all_of_it(up: Up, data: Path) -> None:
    assert up.process
    children = list(up.children())
    up.end(signal.SIGTERM)
    assert up.process.returncode == 0
    assert all(map(group_is_gone, children))
    assert not (data / "address").exists()


def ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def test_a_part_that_cannot_start_is_named_with_the_end_of_its_log(settings: Settings, tmp_path: Path) -> None:
    environment = {**os.environ, **as_environment(settings), "MAX_PIXELS": "many"}
    words = [DARKROOM, "up", "--data", str(tmp_path), "--no-sample"]
    answer = subprocess.run(words, capture_output=True, text=True, timeout=60, env=environment)
    assert answer.returncode == 1
    assert "darkroom: api ended with status 1 at its start. The end of its log:" in answer.stderr
    assert "max_pixels" in answer.stderr


def test_a_port_taken_after_it_was_chosen_costs_a_second_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (Keeper, Worker):  # nobody asks them anything here
        monkeypatch.setattr(kind, "command", lambda _: ["sleep", "100"])
        monkeypatch.setattr(kind, "ready", lambda process: process.running)
    said: list[str] = []
    with DataFolder(tmp_path) as folder, Stack(folder, None, said.append) as stack:
        taken = next(server.ports[2] for server in stack.servers if isinstance(server, SeaweedFS))
        with socket.create_server(("127.0.0.1", taken)):
            stack.start()
        assert ready(stack.api.url)
    assert "Once more, on other ports." in "\n".join(said)
