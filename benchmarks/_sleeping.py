"""An engine for our own worker that sleeps instead of computing: one device, on which jobs take turns.

`EDITORS=benchmarks._sleeping:load`, and SLEEP_SECONDS for how long each job has the device.
"""

import os
import threading
import time
from pathlib import Path
from typing import Any

from PIL import Image

from jobs.settings import Settings
from pipeline.catalogue import MODELS, Card
from worker.editor import Editors


class SleepingDevice:
    """Gives each picture back after it had the device for so long."""

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


def load(settings: Settings) -> Editors:
    """The factory that EDITORS names."""
    device = SleepingDevice(float(os.environ.get("SLEEP_SECONDS", "1")))
    return Editors(dict.fromkeys(MODELS, device), Card.read(Path(settings.checkpoint)), lambda: device.finished_at)
