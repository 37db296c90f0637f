"""`darkroom up --gpus` starts a worker for each GPU. A program on the PATH replaces NVIDIA's."""

import os
from pathlib import Path

import pytest

from darkroom.local.data_folder import DataFolder
from darkroom.local.gpus import devices
from darkroom.local.process import ProcessError
from darkroom.local.stack import Stack

LISTED = "GPU 0: NVIDIA GeForce RTX 4090 (UUID: GPU-1)\nGPU 1: NVIDIA GeForce RTX 4090 (UUID: GPU-2)\n"


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """A function that has `nvidia-smi` print a text, with an exit status."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def install(text: str, status: int = 0) -> None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n[ \"$*\" = --list-gpus ] || exit 2\nprintf '%s' '{text}'\nexit {status}\n")
        program.chmod(0o755)

    return install


def test_each_gpu_gets_a_worker_of_its_own(driver, tmp_path: Path) -> None:
    driver(LISTED)
    with DataFolder(tmp_path / "data") as folder, Stack(folder, None, print, gpus="all") as stack:
        environments = [worker.environment() for worker in stack.workers]
        assert [environment["DEVICE"] for environment in environments] == ["cuda:0", "cuda:1"]
        assert len({worker.log for worker in stack.workers}) == 2
        assert [worker.number for worker in stack.workers] == [1, 2], "the second is ready when two have come"


def test_without_it_there_is_one_worker_whose_device_is_the_setting(tmp_path: Path) -> None:
    with DataFolder(tmp_path / "data") as folder, Stack(folder, None, print) as stack:
        assert [(worker.name, "DEVICE" in worker.environment()) for worker in stack.workers] == [("worker", False)]


def test_gpus_may_be_counted_by_hand() -> None:
    assert devices("3") == ["cuda:0", "cuda:1", "cuda:2"]


@pytest.mark.parametrize("asked", ["0", "-1", "two", ""])
def test_what_is_no_number_of_gpus_is_refused(asked: str) -> None:
    with pytest.raises(ProcessError, match=r"--gpus.*a number of GPUs from 1, or `all`"):
        devices(asked)


@pytest.mark.parametrize(("text", "status", "said"), [("", 0, "finds no GPU"), ("No devices", 9, "does not answer")])
def test_a_machine_without_gpus_is_told_so(driver, text: str, status: int, said: str) -> None:
    driver(text, status)
    with pytest.raises(ProcessError, match=said):
        devices("all")
