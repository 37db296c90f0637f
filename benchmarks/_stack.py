"""The real servers and a web tier in a temporary folder, and a photo, for benchmarks of the service."""

import io
import os
import resource
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from darkroom.local.ports import free_ports
from darkroom.local.process import Lifeline
from darkroom.local.servers import SeaweedFS, Valkey
from darkroom.local.services import Api
from darkroom.local.stack import settings_for

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Servers:
    """The running servers, their folder, and the environment variables with which other processes find them."""

    folder: Path
    lifeline: Lifeline
    valkey: Valkey
    seaweed: SeaweedFS
    environment: dict[str, str]


@contextmanager
def servers(**settings: str) -> Iterator[Servers]:
    """Start Valkey and SeaweedFS. They are stopped and removed at the end."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="darkroom-bench-")))
        lifeline = Lifeline()
        stack.callback(lifeline.close)
        valkey = stack.enter_context(Valkey(folder / "valkey", lifeline))
        seaweed = stack.enter_context(SeaweedFS(folder / "s3", lifeline))
        stack.callback(seaweed.kill)  # a clean shutdown would take seconds, and nobody reads its files again
        yield Servers(folder, lifeline, valkey, seaweed, settings_for([valkey, seaweed]) | settings)


def web_tier(parts: Servers) -> Api:
    """Our web tier, not started yet."""
    return Api(parts.folder / "logs", parts.lifeline, parts.environment, free_ports(1)[0])


def more_files() -> int:
    """Raise the limit of open files to the user's maximum, also for child processes. Returns the new limit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def photo(kilobytes: int = 200, side: int = 768) -> bytes:
    """A JPEG of about this many kB: a smooth picture with the necessary amount of noise."""
    noise = np.random.default_rng(0).normal(0, 1, (side, side, 3))
    smooth = np.asarray(Image.linear_gradient("L").resize((side, side)).convert("RGB"), dtype=float)
    low, high = 0.0, 80.0
    for _ in range(12):
        level = (low + high) / 2
        data = io.BytesIO()
        Image.fromarray(np.clip(smooth + level * noise, 0, 255).astype("uint8")).save(data, "JPEG", quality=90)
        low, high = (level, high) if len(data.getvalue()) < 1000 * kilobytes else (low, level)
    return data.getvalue()


def cpu_seconds(pid: int) -> tuple[float, float]:
    """The CPU seconds of a process, and of its children that have ended (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / TICKS, sum(map(int, fields[13:15])) / TICKS


def rss(pid: int) -> float:
    """Resident memory of a process in megabytes (Linux)."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0]) / 1024
