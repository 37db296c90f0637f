"""A container's health check: `python -m worker.health worker` (or `keeper`).

The exit status is 0 if the worker or keeper of this container had a heartbeat in Redis within 15 seconds. A stuck
worker exits by itself; a silent one is loading its checkpoint, has lost Redis, or has ended.
"""

import socket
import sys
from pathlib import Path
from typing import Literal

from jobs.errors import Unavailable
from jobs.settings import Settings
from jobs.store import JobStore


def place() -> str:
    """Where this process runs: the host's name and, on Linux, the number of the process namespace.

    Containers that share the host's network share its name, and the health of one must not hide another's.
    """
    try:
        return f"{socket.gethostname()}.{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return socket.gethostname()


def is_alive(store: JobStore, kind: Literal["worker", "keeper"], place: str) -> bool:
    """Whether a worker or keeper in this place is alive."""
    return any(name.rpartition("-")[0] == place for name in store.alive(kind))


def main() -> int:
    kind: Literal["worker", "keeper"] = "keeper" if sys.argv[1:] == ["keeper"] else "worker"
    try:
        return 0 if is_alive(JobStore.connect(Settings().redis_url, timeout=3), kind, place()) else 1
    except Unavailable as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1


if __name__ == "__main__":
    sys.exit(main())
