"""Engines that sleep instead of computing: one device that all jobs share in turn, or one device for each job.

Use them with `EDITORS=benchmarks._sleeping:load` or `:side_by_side`. SLEEP_SECONDS is the time of each job on a device.
"""

import os
import threading
import time
from pathlib import Path
from typing import Any

from PIL import Image

from jobs.settings import Settings
from pipeline.catalogue import MODELS, Card
from worker.editors.editor import Editor, Editors


class SleepingDevice:
    """Returns each picture after it had the device for a fixed time."""

    def __init__(self, seconds: float) -> None:
        self.finished_at = time.monotonic()
        self._seconds = seconds
        self._free_at = time.monotonic()
        self._turn = threading.Lock()

    def edit(self, photo: Image.Image, prompt: str, **_: Any) -> Image.Image:  # noqa: ARG002 - an editor's signature
        with self._turn:
            self._free_at = max(time.monotonic(), self._free_at) + self._seconds
            mine = self._free_at
        time.sleep(max(0.0, mine - time.monotonic()))
        self.finished_at = time.monotonic()
        return photo

    def receipt(self) -> dict[str, str]:
        return {"checkpoint": "none"}


class Sleeping(SleepingDevice):
    """Returns each picture after a fixed time, however many jobs there are."""

    def edit(self, photo: Image.Image, prompt: str, **_: Any) -> Image.Image:  # noqa: ARG002 - an editor's signature
        time.sleep(self._seconds)
        self.finished_at = time.monotonic()
        return photo


def load(settings: Settings) -> Editors:
    """The factory for workers whose jobs take turns."""
    return _editors(settings, SleepingDevice(_seconds()))


def side_by_side(settings: Settings) -> Editors:
    """The factory for workers whose jobs do not wait for each other."""
    return _editors(settings, Sleeping(_seconds()))


def _seconds() -> float:
    return float(os.environ.get("SLEEP_SECONDS", "1"))


def _editors(settings: Settings, device: SleepingDevice) -> Editors:
    editors: dict[str, Editor] = dict.fromkeys(MODELS, device)
    return Editors(editors, Card.read(Path(settings.checkpoint)), lambda: device.finished_at)
