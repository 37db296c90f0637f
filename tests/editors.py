"""Editors that obey the instruction, for workers that are to be broken: `EDITORS=tests.editors:load`."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PIL import Image

from jobs.settings import Settings
from pipeline.catalogue import MODELS, Card
from worker.editors.editor import Editors, Step


@dataclass(frozen=True)
class Done:
    """A finished step."""

    step: int
    steps: int

    def preview(self) -> Image.Image:
        return Image.new("RGB", (8, 8), "gray")

    noisy = preview


class Obedient:
    """Takes 0.02 s for a step, `slow` 0.2 s.

    At the second step, `hang` never returns, `break` kills its process, and `fail` fails through no fault of the
    client.
    """

    def edit(
        self, photo: Image.Image, prompt: str, *, on_step: Callable[[Step], None], steps: int, **_: Any
    ) -> Image.Image:
        for step in range(1, steps + 1):
            time.sleep(0.2 if prompt == "slow" else 0.02)
            if step == 2 and prompt == "hang":
                time.sleep(3600)
            if step == 2 and prompt == "fail":
                raise RuntimeError("as it was told")
            if step == 2 and prompt == "break":
                os._exit(139)
            on_step(Done(step, steps))
        return Image.new("RGB", photo.size, "gray")

    def receipt(self) -> dict[str, str]:
        return {"checkpoint": "none"}


def load(_: Settings) -> Editors:
    """The factory."""
    return Editors(dict.fromkeys(MODELS, Obedient()), Card("obedient"))
