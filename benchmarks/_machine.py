"""Describes the machine for a benchmark's report, and sets the same allocator options as the worker."""

import ctypes
import os
import platform
import sys
from pathlib import Path

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # options of glibc's mallopt


def keep_memory() -> None:
    """Make glibc keep large blocks. By default it maps each large tensor anew, with page faults on every call."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for option, value in ((M_MMAP_THRESHOLD, 32 << 20), (M_TRIM_THRESHOLD, 1 << 30), (M_ARENA_MAX, 1)):
            libc.mallopt(option, value)


def describe() -> dict[str, object]:
    """The processor, its cores and load, and PyTorch's version and threads if it is loaded."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    machine = {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
    }
    torch = sys.modules.get("torch")
    return machine | ({"torch": torch.__version__, "threads": torch.get_num_threads()} if torch else {})
