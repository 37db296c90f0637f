"""The editors of this project: InstructPix2Pix in PyTorch (`pipeline/`). Importing this loads torch."""

import logging
import os
import threading

from torch import set_num_threads

from jobs.settings import Settings
from pipeline.catalogue import MODELS
from pipeline.edit import Pipeline
from worker.editor import Editor, Editors

log = logging.getLogger(__name__)


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
    """Load the checkpoint and choose how many threads compute with it; the other models follow in the background."""
    set_threads(settings.torch_threads or 1)
    pipeline = Pipeline.load(settings.checkpoint, dtype=settings.dtype, compiled=settings.compile)
    if settings.torch_threads is None:
        set_threads(pipeline.fastest_threads(at_most=max(1, (os.cpu_count() or 1) - 1)))
    editors = PipelineEditors(pipeline)
    threading.Thread(target=editors.make_all, daemon=True, name="make_all").start()
    engine = pipeline.checkpoint.engine
    return Editors(editors, pipeline.card, lambda: engine.finished_at)


def set_threads(count: int) -> None:
    """Of the engine's and every other thread's that starts from now on."""
    set_num_threads(count)
    log.info("computing with %s threads", count)
