"""Clients that read and submit all the time: our library, and curl, which repeats a request as `Retry-After` says."""

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from darkroom import Client, DarkroomError

PAUSE = 0.04  #: seconds between two requests of one client, which keeps below its limits
CURL = ["curl", "--silent", "--show-error", "--fail", "--retry", "8", "--noproxy", "*", "--output", "-"]


class Load:
    """Two clients of each kind, from entry to exit. Records their requests, failures and jobs."""

    def __init__(self, url: str, key: str, photo: Path) -> None:
        self.url = url
        self.photo = photo
        self.asked = {"client": 0, "curl": 0}
        self.slowest = {"client": 0.0, "curl": 0.0}
        self.failures: list[str] = []
        self.jobs: list[str] = []
        self._client = Client(url, key=key)
        self._curl = [*CURL, "--header", f"Authorization: Bearer {key}"]
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(kind,)) for kind in ("client", "curl")]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._client.close()

    def _ask(self, kind: str) -> None:
        """One in twenty requests is a submission."""
        read, submit = getattr(self, f"_{kind}_reads"), getattr(self, f"_{kind}_submits")
        while not self._over.wait(PAUSE):
            self._count(kind, submit if self.asked[kind] % 20 == 0 else read)

    def _count(self, kind: str, request: Callable[[], object]) -> None:
        self.asked[kind] += 1
        began = time.monotonic()
        try:
            request()
        except (DarkroomError, subprocess.CalledProcessError) as error:
            said = error.stderr if isinstance(error, subprocess.CalledProcessError) else error
            self.failures.append(f"{kind}: {error!r} {said}")
        self.slowest[kind] = max(self.slowest[kind], time.monotonic() - began)

    def _client_reads(self) -> None:
        self._client.queue()

    def _client_submits(self) -> None:
        self.jobs.append(self._client.jobs.create(self.photo, "make it sepia", size="256x256", steps=2).id)

    def _curl_reads(self) -> None:
        subprocess.run([*self._curl, f"{self.url}/v1/jobs?limit=3"], check=True, capture_output=True)

    def _curl_submits(self) -> None:
        fields = {"image": f"@{self.photo}", "prompt": "make it sepia", "size": "256x256", "steps": "2"}
        form = [word for name, value in fields.items() for word in ("--form", f"{name}={value}")]
        command = [*self._curl, *form, f"{self.url}/v1/jobs"]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        self.jobs.append(answer.split('"id":"')[1].split('"')[0])
