"""Editors for models files in tests: `editor = "tests.tiny_editors:Tiny"`. TINY_LOG names a log of their loads."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from jobs.settings import Settings
from tests.editors import Done
from worker.editors.editor import Step
from worker.models_file import ModelEntry


class Tiny:
    """Takes 0.01 s for a step. Its receipt has its id.

    A checkpoint `broken` cannot be loaded. `wait:FILE` is loaded once that file is gone.
    """

    def __init__(self, entry: ModelEntry, _: Settings) -> None:
        self.id = entry.id
        note(f"load {entry.id}")
        if entry.checkpoint == "broken":
            raise OSError(f"the weights of {entry.id} are cut short")
        while entry.checkpoint.startswith("wait:") and Path(entry.checkpoint.removeprefix("wait:")).exists():
            time.sleep(0.02)

    def edit(
        self, photo: Image.Image, prompt: str, *, on_step: Callable[[Step], None], steps: int, **_: Any
    ) -> Image.Image:
        for step in range(1, steps + 1):
            time.sleep(0.01)
            on_step(Done(step, steps))
        return Image.new("RGB", photo.size, "gray")

    def receipt(self) -> dict[str, str]:
        return {"checkpoint": self.id}


def note(line: str) -> None:
    if path := os.environ.get("TINY_LOG"):
        with Path(path).open("a", encoding="utf-8") as log:
            log.write(f"{line}\n")
