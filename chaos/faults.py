"""The project's own editors on an engine that breaks below the edits as it is told: `EDITORS=chaos.faults:faulty`.

Whoever wants a fault writes a file of its name beside the ledger; what the file says is the fault's own. A file is gone
when its fault has come. Some faults last as long as their file; another file tells that they came.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from chaos.engine import watched
from jobs.settings import Settings
from pipeline import engine as pipeline_engine
from pipeline.batch import ROWS, BatchSizes
from pipeline.engine import choose
from worker.editors import diffusion
from worker.editors.editor import Editors, Iteration, OnIteration

TOGETHER = 8  #: edits in a pass that find no memory


def place(name: str) -> Path:
    """The file that asks for a fault."""
    return Path(os.environ["CHAOS_LEDGER"]).with_name(f"fault-{name}")


def take(name: str) -> str | None:
    """What is said of a fault that is asked for, once; None: it is not."""
    try:
        said = place(name).read_text(encoding="utf-8")
        place(name).unlink()
    except FileNotFoundError:
        return None
    return said


def lasts(name: str) -> bool:
    """Whether a fault goes on."""
    if not place(name).exists():
        return False
    place(f"met-{name}").touch()
    return True


def faulty(settings: Settings) -> Editors:
    """The editors of the project, their first model watched."""
    editors = diffusion.load(settings)
    pipeline: Any = editors.by_model["pix2pix-full"]
    engine = pipeline.checkpoint.engine
    sizes, predict = engine._sizes, engine._predict
    sizes.rows = lambda edit: sizes._ceiling.get(edit.form, ROWS[-1])  # together from the first step on
    pipeline_engine.BATCH_WINDOW_SECONDS = 1.0  # seconds that a pass waits for edits, so that eight of them are in one
    pipeline_engine.choose = calls_first
    engine._compiles = True  # the first step of a shape may take its time
    engine._predict = lambda edits: broken(pipeline.checkpoint.unet, predict, edits)

    def watch(observer: OnIteration) -> None:
        editors.watch(lambda iteration: look(observer, iteration))

    return replace(watched(editors), watch=watch)


def calls_first(pending: Sequence[Any], sizes: BatchSizes, *, fair: bool = False, together: int = 1) -> list[Any]:
    """The next requests of the engine: edits begin before others take a step, so that they step together."""
    calls = [request for request in pending if request.edit is None]
    return choose(calls or pending, sizes, fair=fair, together=together)


@torch.inference_mode()
def broken(unet: Any, predict: Callable[[Any], Any], edits: Sequence[Any]) -> Any:
    """A pass through the UNet, or what becomes of it."""
    if len(edits) >= TOGETHER and lasts("memory"):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    if take("lost") is not None:
        raise RuntimeError("CUDA error: unspecified launch failure")
    if (seconds := take("slow")) is not None:
        time.sleep(float(seconds))
    if take("nan") is not None:
        next(unet.parameters()).view(-1)[0] = torch.nan
    return predict(edits)


def look(observer: OnIteration, iteration: Iteration) -> None:
    """Watch a turn, or break over it."""
    if lasts("observer"):
        raise ZeroDivisionError("an observer broke")
    observer(iteration)
