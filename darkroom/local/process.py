"""Child processes: started, awaited until they are ready, and ended with all that they have started."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import IO, Self

import httpx

from darkroom.local import lifeline

LOG_BYTES = 10 * 2**20  # a larger log is renamed at the next start; one old log is kept
STARTS = 3  # starts in a row on ports that turn out to be taken
PORT_TAKEN = re.compile(r"address already in use|port \d+ .*not available", re.IGNORECASE)


class ProcessError(Exception):
    """A process that could not be started; the text says which one, why, and shows the end of its log."""


class PortTaken(ProcessError):
    """Its port was free when it was chosen, but now another program has it."""


@functools.cache
def http_client() -> httpx.Client:
    """The client for readiness checks: made once, because reading the list of authorities takes 25 ms."""
    return httpx.Client(timeout=2, trust_env=False)


class Lifeline:
    """The watcher that ends our children when we are gone, even after a kill -9 (see `lifeline.py`)."""

    def __init__(self, inherits: tuple[int, ...] = ()) -> None:
        """`inherits`: descriptors that stay open until all our children are gone (a lock on what they write)."""
        self.pids: set[int] = set()
        self.inherits = inherits
        self._watcher: subprocess.Popen[bytes] | None = None

    def command(self, command: list[str]) -> tuple[list[str], int]:
        """Wrap `command` so that it registers with the watcher. Also returns the descriptor that it must inherit."""
        pipe = self._pipe()
        return [*_program(), "hold", str(pipe.fileno()), *command], pipe.fileno()

    def forget(self, pid: int) -> None:
        """Unregister a process that has ended, before another process can get its number."""
        self.pids.discard(pid)
        with contextlib.suppress(OSError):
            self._tell(b"-%d\n" % pid)

    def renew(self) -> None:
        """Start the watcher again if somebody has killed it."""
        if self._watcher is None or self._watcher.poll() is None:
            return
        self._watcher = None
        for pid in self.pids:
            self._tell(b"+%d\n" % pid)

    def close(self) -> None:
        """End all registered processes, and the watcher."""
        if self._watcher and self._watcher.stdin:
            self._watcher.stdin.close()
            self._watcher.wait()
            self._watcher = None

    def _tell(self, line: bytes) -> None:
        os.write(self._pipe().fileno(), line)

    def _pipe(self) -> IO[bytes]:
        if self._watcher is None:
            self._watcher = subprocess.Popen(
                [*_program(), "watch"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=self.inherits,
                start_new_session=True,
                cwd="/",
            )
        assert self._watcher.stdin is not None  # noqa: S101
        return self._watcher.stdin


def _program() -> list[str]:
    return [sys.executable, "-I", "-S", lifeline.__file__]


class Process(ABC):
    """One child process in a session of its own, with its log in `folder`."""

    name: str
    patience = 60.0  # seconds that it may take to become ready
    grace = 5.0  # seconds between SIGTERM and SIGKILL
    origin = ""  # where its program comes from, in words, if not from the usual place

    def __init__(self, folder: Path | str, lifeline: Lifeline | None = None) -> None:
        self.folder = Path(folder).absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._own_lifeline = lifeline is None
        self.lifeline = lifeline or Lifeline()
        self._child: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """The command line."""

    def environment(self) -> dict[str, str]:
        """Variables that are added to the inherited ones."""
        return {}

    @abstractmethod
    def ready(self) -> bool:
        """Whether it works now. This is asked often, so it must answer within about a second."""

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def pid(self) -> int:
        """Its process id between start and stop."""
        if self._child is None:
            raise ProcessError(f"{self.name} was not started.")
        return self._child.pid

    @property
    def exit_status(self) -> int | None:
        """None while it runs; then its exit status, or minus the number of the signal that ended it."""
        return self._child.poll() if self._child else None

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        status = self.exit_status
        return signal.Signals(-status).name if status is not None and status < 0 else f"status {status}"

    def spawn(self) -> None:
        """Start the process and return at once."""
        self._reap()
        self._turn_log()
        command, pipe = self.lifeline.command(self.command())
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment()},
                start_new_session=True,
                pass_fds=(pipe,),
            )
        self.lifeline.pids.add(self._child.pid)

    def start(self) -> Self:
        """Start the process and return when it is ready.

        Raises ProcessError if it ends before that (PortTaken where its log says so), or takes longer than its
        patience."""
        self.spawn()
        self.wait_until_ready()
        return self

    def wait_until_ready(self) -> None:
        """Return when the process that was started is ready; raises as `start` does."""
        over = time.monotonic() + self.patience
        while not (self.ready() and self.running):  # in this order: it may end while it is asked
            if not self.running:
                end = self.tail()
                kind = PortTaken if PORT_TAKEN.search(end) else ProcessError
                raise kind(f"{self.name} ended with {self.ending} at its start. The end of its log:\n{end}")
            if time.monotonic() > over:
                self.kill()
                raise ProcessError(
                    f"{self.name} was not ready after {self.patience:.0f} s. The end of its log:\n{self.tail()}"
                )
            time.sleep(0.05)

    def stop(self) -> None:
        """Send SIGTERM, and after the grace SIGKILL to what is left of its process group."""
        if self.running:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._wait(self.grace)
        self._reap()

    def kill(self) -> None:
        """Send SIGKILL to its whole process group, which is like a crash."""
        self._reap()

    def tail(self, lines: int = 15) -> str:
        """The end of its log, and the log's path."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        return "\n".join([*(f"  {line}" for line in text.splitlines()[-lines:]), f"  (from {self.log})"])

    def move(self) -> None:  # noqa: B027 - many have none
        """Choose other ports, if it has any, before these are published."""

    def __enter__(self) -> Self:
        for _ in range(STARTS - 1):
            with contextlib.suppress(PortTaken):
                return self.start()
            self.move()
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._own_lifeline:
            self.lifeline.close()

    def _turn_log(self) -> None:
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))

    def _reap(self) -> None:
        if self._child is None:
            return
        self._signal(signal.SIGKILL)  # the group can have processes after its leader has ended
        self._child.wait()
        self.lifeline.forget(self._child.pid)

    def _wait(self, seconds: float) -> None:
        assert self._child is not None  # noqa: S101
        self._child.wait(seconds)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)
