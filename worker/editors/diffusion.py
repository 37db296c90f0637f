"""The editors of this project: InstructPix2Pix in PyTorch (`pipeline/`). Importing this loads torch."""

import logging
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from jobs.settings import Settings
from pipeline.catalogue import MODELS
from pipeline.edit import Pipeline
from worker.editors.editor import Device, Editor, Editors, OnTurn

log = logging.getLogger(__name__)

SMALLEST = "256x256"
FIRST_JOBS_SECONDS = 20.0  #: after the start, before the other models are made


class PipelineEditors(dict[str, Editor]):
    """A pipeline for each model, made when it is first asked for: importing the library takes seconds."""

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__({pipeline.model: pipeline})
        self._pipeline = pipeline
        self._making = threading.Lock()

    def __missing__(self, model: str) -> Editor:
        with self._making:
            if model not in self:
                self[model] = self._pipeline.with_model(model)
        return self[model]

    def make_all(self) -> None:
        """Make those that are left, so that nobody has to wait for them."""
        for model in MODELS:
            _ = self[model]


def load(settings: Settings) -> Editors:
    """Load the checkpoint and choose how many threads compute with it; the other models follow later."""
    set_threads(settings.torch_threads or 1)
    pipeline = Pipeline.load(settings.checkpoint, dtype=settings.dtype, compiled=settings.compile)
    if settings.torch_threads is None:
        set_threads(pipeline.fastest_threads(at_most=max(1, (os.cpu_count() or 1) - 1)))
    engine = pipeline.checkpoint.engine
    engine.longest_pass = settings.patience_seconds / 2
    editors = PipelineEditors(pipeline)
    warm_up(pipeline, settings.warm_up.split() or [SMALLEST])
    make_others_later(editors)

    def watch(observer: OnTurn) -> None:
        engine.on_turn = observer

    return Editors(
        editors,
        pipeline.card,
        worked_at=lambda: engine.finished_at,
        allowance=lambda: engine.allowance,
        watch=watch,
        device=lambda: describe(pipeline),
    )


def make_others_later(editors: PipelineEditors) -> None:
    """Make the other models in the background, once the first jobs have had the processor to themselves.

    Importing the library takes seconds of Python, which would slow every step of an edit beside it.
    """
    later = threading.Timer(FIRST_JOBS_SECONDS, editors.make_all)
    later.daemon = True
    later.start()


def warm_up(pipeline: Pipeline, sizes: Sequence[str]) -> None:
    """Make an edit of each size, so that no client waits for what the first one of a size costs.

    There is at least one, because its steps tell how long others may take before the device is called stuck.

    Raises:
        PipelineError: there is no such size.
    """
    for size in sizes:
        began = time.monotonic()
        pipeline.edit(Image.new("RGB", (256, 256), "grey"), "make it sunset", steps=2, size=size, seed=0)
        log.info("warmed up for %s in %.1f s", size, time.monotonic() - began)


def describe(pipeline: Pipeline) -> Device:
    """The device, and its memory now."""
    device = pipeline.checkpoint.device
    if device.type == "cuda":
        return Device(pipeline.receipt()["device"], *torch.cuda.mem_get_info(device))
    return Device(device.type, *system_memory())


def system_memory() -> tuple[int | None, int | None]:
    """Bytes that the machine could still give us, and all that it has; Linux tells."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None, None
    said = dict(line.split(":", 1) for line in lines)
    free, total = (int(said[name].split()[0]) * 1024 for name in ("MemAvailable", "MemTotal"))
    return free, total


def set_threads(count: int) -> None:
    """Of the engine's and every other thread's that starts from now on."""
    torch.set_num_threads(count)
    log.info("computing with %s threads", count)
