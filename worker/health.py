"""A container's own check: `python -m worker.health worker` (or `keeper`) ends with status 0 when that of this machine
was heard of within 15 seconds.

Both say in Redis that they are alive, and a worker that is stuck leaves its process by itself. One that is silent is
loading its checkpoint, has lost Redis, or is gone.
"""

import socket
import sys
from typing import Literal

from jobs.errors import Unavailable
from jobs.settings import Settings
from jobs.store import JobStore


def is_alive(store: JobStore, kind: Literal["worker", "keeper"], host: str) -> bool:
    """Whether one of this kind, on this machine, was heard of lately."""
    return any(name.rpartition("-")[0] == host for name in store.alive(kind))


def main() -> int:
    kind: Literal["worker", "keeper"] = "keeper" if sys.argv[1:] == ["keeper"] else "worker"
    try:
        return 0 if is_alive(JobStore.connect(Settings().redis_url, timeout=3), kind, socket.gethostname()) else 1
    except Unavailable as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1


if __name__ == "__main__":
    sys.exit(main())
