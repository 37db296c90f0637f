"""The GPUs of this machine, as `darkroom up --gpus` counts them."""

from __future__ import annotations

import subprocess

from darkroom.local.process import ProcessError


def devices(asked: str) -> list[str]:
    """The DEVICE of each worker, for a number of GPUs or for `all`, which NVIDIA's own tool counts.

    Raises:
        ProcessError: there is no such number, or `all` finds no GPU.
    """
    if asked != "all":
        if not asked.isdecimal() or int(asked) < 1:
            raise ProcessError(f"--gpus {asked}: must be a number of GPUs from 1, or `all`.")
        return [f"cuda:{number}" for number in range(int(asked))]
    try:
        listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise ProcessError("--gpus all: nvidia-smi does not answer, so no NVIDIA driver is here.") from error
    found = [line for line in listed.stdout.splitlines() if line.startswith("GPU ")]
    if not found:
        raise ProcessError("--gpus all: nvidia-smi finds no GPU.")
    return [f"cuda:{number}" for number in range(len(found))]
