"""A running `darkroom up` for tests that use it, kill parts of it, or end it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from darkroom.client import KEY_FILE
from tests.conftest import ROOT
from tests.waiting import until

DARKROOM = str(Path(sys.executable).with_name("darkroom"))
PHOTO = ROOT / "examples" / "mountains.jpg"

#: For stacks whose edits nobody looks at: a worker that loads no torch, and is there in half the time.
OBEDIENT = {"EDITORS": "tests.editors:load", "PYTHONPATH": str(ROOT)}

#: A proxy that is not there, by all of its names: nothing on this machine is to be reached through it.
DEAD_PROXY = {
    spelled: "http://127.0.0.1:9"
    for name in ("http_proxy", "https_proxy", "all_proxy")
    for spelled in (name, name.upper())
} | dict.fromkeys(("no_proxy", "NO_PROXY"), "")


class Up:
    """`darkroom up --no-sample` on a data folder. It can be ended and started again. Its output is in `log`."""

    def __init__(self, folder: Path, *words: str, **environment: str) -> None:
        self.folder = folder
        self.log = folder.with_suffix(".log")
        self.words = words
        # With a fixed dtype nothing is measured at the start, and the pixels do not depend on the processor.
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1", "DTYPE": "float32", **environment}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "address").unlink(missing_ok=True)
        command = [DARKROOM, "up", "--no-sample", "--data", str(self.folder), *self.words]
        with self.log.open("ab") as log:
            self.process = process = subprocess.Popen(
                command, stdout=log, stderr=log, env=self.environment, start_new_session=True
            )
        until(lambda: self.says_where() or process.poll() is not None, 120, "darkroom up is ready")
        assert self.says_where(), self.log.read_text()
        key = self.folder / KEY_FILE
        headers = {"Authorization": f"Bearer {key.read_text().strip()}"} if key.exists() else {}
        self.http = httpx.Client(base_url=self.url, timeout=10, trust_env=False, headers=headers)
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()  # its goodbye takes seconds, and the watcher ends all the others
            self.process.wait()

    def says_where(self) -> str:
        """The address of the service, once all of it is ready."""
        address = self.folder / "address"
        return address.read_text().strip() if address.exists() else ""

    @property
    def url(self) -> str:
        return self.says_where()

    # ---- its processes

    def children(self) -> dict[int, str]:
        """The process ids and command lines of its living descendants."""
        assert self.process
        return {pid: command for pid, parent, command in processes() if parent == self.process.pid}

    def child(self, text: str) -> int | None:
        """The process id of the child with this text in its command line."""
        return next((pid for pid, command in self.children().items() if text in command), None)

    def kill(self, text: str) -> int:
        """kill -9 the child with this text in its command line. Returns its former process id."""
        pid = self.child(text)
        assert pid, f"no {text}"
        os.kill(pid, signal.SIGKILL)
        return pid

    def end(self, number: signal.Signals) -> float:
        """Send a signal. Returns the seconds until `darkroom up` and all its descendants had ended."""
        assert self.process
        mine, started = self.children(), time.monotonic()
        assert len(mine) == 6, f"five processes and their watcher: {mine}"
        self.process.send_signal(number)
        self.process.wait(60)
        until(lambda: not mine.keys() & {pid for pid, _, _ in processes()}, 10, f"all gone: {mine}")
        return time.monotonic() - started

    # ---- its jobs

    def submit(self, **fields: object) -> str:
        data = {"prompt": "make it sepia", "size": "256x256", "steps": "20", **fields}
        answer = self.http.post("/v1/jobs", files={"image": PHOTO.read_bytes()}, data=data)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        answer = self.http.get(f"/v1/jobs/{job_id}")
        assert answer.status_code in (200, 503), answer.text
        return dict(answer.json())

    def until_running(self, job_id: str, step: int = 2) -> None:
        until(lambda: (self.job(job_id).get("progress") or {}).get("step", 0) >= step, 60, f"step {step}")

    def until_over(self, job_id: str, seconds: float = 120) -> dict[str, Any]:
        until(lambda: self.job(job_id).get("finished_at"), seconds, f"the end of {job_id}")
        return self.job(job_id)


def processes() -> list[tuple[int, int, str]]:
    """Every living process with its parent and command line, without zombies."""
    listing = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,ppid=,stat=,args="], capture_output=True, text=True).stdout
    rows = (line.split(None, 3) for line in listing.splitlines())
    return [(int(pid), int(parent), rest[0]) for pid, parent, stat, *rest in rows if not stat.startswith("Z") and rest]
