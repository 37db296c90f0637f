"""Only one `darkroom up` at a time writes into a data folder."""

import socket
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from darkroom.local.data_folder import DataFolder, DataFolderError
from darkroom.local.ports import free_ports, is_free
from darkroom.local.process import ProcessError
from darkroom.local.stack import choose_port
from tests.darkroom.sleepers import group_is_gone


def test_a_second_one_is_told_where_the_first_is(tmp_path: Path) -> None:
    with DataFolder(tmp_path) as first:
        first.address.write_text("http://127.0.0.1:1234\n")
        with pytest.raises(DataFolderError, match=r"already runs at http://127\.0\.0\.1:1234 .* --data"):
            DataFolder(tmp_path).__enter__()
    with DataFolder(tmp_path):
        pass


def test_after_a_crash_it_waits_for_the_servers_that_still_write(tmp_path: Path) -> None:
    """The watcher of a killed `darkroom up` holds the lock until the last server has ended."""
    crashing = (
        "import os, sys\n"
        "from darkroom.local.data_folder import DataFolder\n"
        "from darkroom.local.process import Lifeline\n"
        "from tests.darkroom.sleepers import Sleeper\n"
        "folder = DataFolder(sys.argv[1]).__enter__()\n"
        "sleeper = Sleeper(folder.path, Lifeline(inherits=(folder.lock,))).start()\n"
        "print(sleeper.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    crashed = subprocess.run([sys.executable, "-c", crashing, str(tmp_path)], capture_output=True, text=True)
    assert crashed.returncode == -9, crashed.stderr
    with DataFolder(tmp_path):
        assert group_is_gone(int(crashed.stdout))


def test_a_full_disk_is_said_in_megabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")(10**12, 10**12, 150 * 2**20)
    monkeypatch.setattr("darkroom.local.data_folder.shutil.disk_usage", lambda _: usage)
    with pytest.raises(DataFolderError, match="150 MB are free, at least 200 MB"):
        DataFolder(tmp_path).__enter__()


def test_a_file_in_the_way_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataFolderError, match=r"Cannot use .*file as the data folder"):
        DataFolder(tmp_path / "file").__enter__()


def test_a_port_that_is_asked_for_and_taken_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert not is_free(port)
        with pytest.raises(ProcessError, match=f"Port {port} is taken"):
            choose_port(port)
    assert choose_port(free_ports(1)[0])


def test_free_ports_are_different_and_free() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(map(is_free, ports))
