"""Our own three processes, as the local stack starts them."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import Any

import httpx

from darkroom.local.ports import free_ports
from darkroom.local.process import Lifeline, Process, http_client

# glibc gives large tensors back to the system after each use and page-faults them in again, unless it is told to keep
# them: blocks under 256 MB come from the heap, which is trimmed only beyond 512 MB and grows by 64 MB at a time.
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(256 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(512 * 2**20),
    "MALLOC_TOP_PAD_": str(64 * 2**20),
}

MARK = "Darkroom-Process"


class Service(Process):
    """One of our processes; its environment tells it where the others are."""

    def __init__(self, folder: Path, lifeline: Lifeline, settings: dict[str, str], port: int) -> None:
        super().__init__(folder, lifeline)
        self.settings = settings
        self.port = port  # the API's

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        return {"PYTHONUNBUFFERED": "1", **self.settings}

    def ready(self) -> bool:
        return self.running

    def send(self, path: str) -> dict[str, Any]:
        """The API's answer to a GET; empty if it is no success."""
        try:
            answer = http_client().get(self.url + path, headers=self._authorization())
        except httpx.HTTPError:
            return {}
        return dict(answer.json()) if answer.status_code == httpx.codes.OK else {}

    def _authorization(self) -> dict[str, str]:
        key = self.settings.get("ADMIN_KEY")
        return {"Authorization": f"Bearer {key}"} if key else {}


class Api(Service):
    """The web tier. A header of its answers tells it from another server on its port."""

    name = "api"

    def __init__(self, folder: Path, lifeline: Lifeline, settings: dict[str, str], port: int) -> None:
        super().__init__(folder, lifeline, settings, port)
        self.mark = secrets.token_hex(8)

    def command(self) -> list[str]:
        options = ["--host", "127.0.0.1", "--port", str(self.port), "--timeout-graceful-shutdown", "2"]
        options += ["--http", "api.http_limits:BoundedHttp", "--ws", "none", "--header", f"{MARK}:{self.mark}"]
        return [sys.executable, "-m", "uvicorn", "api.main:create_app", "--factory", *options]

    def ready(self) -> bool:
        try:
            answer = http_client().get(f"{self.url}/readyz")
        except httpx.HTTPError:
            return False
        return answer.status_code == httpx.codes.OK and answer.headers.get(MARK) == self.mark

    def move(self) -> None:
        (self.port,) = free_ports(1)


class Worker(Service):
    """A Celery worker with the pipeline in it."""

    name = "worker"
    patience = 300.0  # it may have to download a checkpoint, or to read gigabytes from a slow disk
    grace = 10.0

    def __init__(
        self,
        folder: Path,
        lifeline: Lifeline,
        settings: dict[str, str],
        port: int,
        device: str | None = None,
        number: int = 1,
    ) -> None:
        """`device`: its GPU, where there is a worker for each, of which it is the `number`-th. None: DEVICE says."""
        super().__init__(folder, lifeline, settings | ({"DEVICE": device} if device else {}), port)
        self.number = number
        if device:
            self.name = f"worker-{number - 1}"

    def command(self) -> list[str]:
        return [sys.executable, "-m", "worker.app"]

    def environment(self) -> dict[str, str]:
        defaults = {"OMP_NUM_THREADS": "1", "WORKER_GRACE_SECONDS": "5", **ALLOCATOR}
        if Path(self.settings["CHECKPOINT"]).is_dir():
            defaults["HF_HUB_OFFLINE"] = "1"
        chosen = {name: os.environ.get(name, value) for name, value in defaults.items()}
        return {**super().environment(), **chosen}

    def ready(self) -> bool:
        return int(self.send("/v1/queue").get("workers") or 0) >= self.number


class Keeper(Service):
    """The keeper: it recovers jobs, delivers webhooks and removes old pictures."""

    name = "keeper"

    def command(self) -> list[str]:
        return [sys.executable, "-m", "worker.keeper"]
