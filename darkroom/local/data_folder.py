"""The one folder in which a local Darkroom keeps everything, used by one `darkroom up` at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from darkroom.client import ADDRESS_FILE

SETTINGS_FILE = "settings.json"
FREE_MEGABYTES = 200
SECONDS_TO_END = 10  # the servers of a killed `darkroom up` end within this time


class DataFolderError(Exception):
    """The folder cannot be used; the text says why."""


class DataFolder:
    """The data folder, locked while in the `with` block.

    The lock is an open file that the lifeline's watcher inherits: after a kill -9 of `darkroom up` the folder stays
    locked until the servers that write into it are gone."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).absolute()
        self.lock: int = -1

    @property
    def address(self) -> Path:
        return self.path / ADDRESS_FILE

    @property
    def settings(self) -> Path:
        """The settings of the last stack's processes, with their secrets."""
        return self.path / SETTINGS_FILE

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise DataFolderError(f"Cannot use {self.path} as the data folder: {error.strerror}.") from error
        try:
            self._check_space()
            self._acquire()
        except BaseException:
            os.close(self.lock)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.address.unlink(missing_ok=True)
        os.close(self.lock)

    def _check_space(self) -> None:
        free = shutil.disk_usage(self.path).free // 2**20
        if free < FREE_MEGABYTES:
            raise DataFolderError(
                f"The disk of {self.path} is nearly full: {free} MB are free, at least {FREE_MEGABYTES} MB are needed. "
                "Make room, or name a folder on another disk with --data."
            )

    def _acquire(self) -> None:
        over = time.monotonic() + SECONDS_TO_END
        while not self._try_lock():
            owner = os.pread(self.lock, 32, 0).decode().strip()
            if _is_alive(owner) or time.monotonic() > over:
                raise DataFolderError(self._taken(owner))
            time.sleep(0.1)  # its owner was killed, and its servers are ending
        os.ftruncate(self.lock, 0)
        os.pwrite(self.lock, str(os.getpid()).encode(), 0)

    def _try_lock(self) -> bool:
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _taken(self, owner: str) -> str:
        where = f" at {self.address.read_text(encoding='utf-8').strip()}" if self.address.exists() else ""
        return (
            f"A Darkroom already runs{where} on the data folder {self.path} (process {owner}). "
            "Use that one, or start another with --data OTHER_FOLDER."
        )


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
