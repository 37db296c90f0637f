"""The editors of this project: InstructPix2Pix in PyTorch (`pipeline/`). Importing this module loads torch."""

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from jobs.settings import Settings
from pipeline.catalogue import MODELS
from pipeline.checkpoint import Checkpoint
from pipeline.device import choose_device, free_bytes, tune
from pipeline.edit import DTYPES, Pipeline
from pipeline.lora import Lora
from pipeline.precision import with_best_dtype
from pipeline.weight_files import count_values
from pipeline.weights import PARTS
from worker.editors import own
from worker.editors.editor import Description, Device, Editor, Editors, OnIteration
from worker.models_file import ModelEntry

log = logging.getLogger(__name__)

SMALLEST = "256x256"
FIRST_JOBS_SECONDS = 20.0  #: the other models are loaded this long after the start


class PipelineEditors(dict[str, Editor]):
    """A pipeline for each model, made on its first use, because importing diffusers takes seconds."""

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
        """Make the remaining pipelines, so that no job waits for them."""
        for model in MODELS:
            _ = self[model]


def load(settings: Settings) -> Editors:
    """Load the checkpoint and choose the number of threads. The other models are loaded later."""
    pipeline = make_pipeline(settings, lambda **given: Pipeline.load(settings.checkpoint, **given))
    engine = pipeline.checkpoint.engine
    editors = PipelineEditors(pipeline)
    make_others_later(editors)

    def watch(observer: OnIteration) -> None:
        engine.on_iteration = observer

    return Editors(
        editors,
        pipeline.card,
        definitions=own.definitions(pipeline.card),
        worked_at=engine.worked_at,
        allowance=lambda: engine.allowance,
        watch=watch,
        device=lambda: describe(pipeline),
        graphs=lambda: pipeline.checkpoint.compiler.graphs,
    )


def make_pipeline(settings: Settings, make: Callable[..., Pipeline], dtype: str = "", device: str = "") -> Pipeline:
    """Load a pipeline, choose the number of threads and, on a CPU, the dtype, and warm it up.

    `make` gets the arguments of `Pipeline.load` that depend on the settings. A `dtype` or `device` given here overrides
    the setting.
    """
    chosen, place = dtype or settings.dtype, choose_device(device or settings.device)
    os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")  # batches of many sizes break memory up
    set_threads(settings.torch_threads or 1)
    tune(place, exact=chosen == "float32")
    load = partial(make, device=str(place), compiled=settings.compile)
    pipeline = load(dtype=chosen)
    if settings.torch_threads is None:
        set_threads(pipeline.fastest_threads(at_most=max(1, (os.cpu_count() or 1) - 1)))
    if chosen is None and place.type == "cpu":
        pipeline = with_best_dtype(pipeline, lambda: load(dtype="bfloat16"))
    pipeline.checkpoint.engine.max_pass_seconds = settings.patience_seconds / 2
    if settings.compile:
        build_graphs(pipeline)
    warm_up(pipeline, settings.warm_up.split() or [SMALLEST])
    return pipeline


def load_entry(entry: ModelEntry, settings: Settings) -> Pipeline:
    """Load the weights of a models file's entry.

    Raises:
        PipelineError
    """
    own_files: dict[str, Any] = {"variant": entry.variant, "loras": loras_of(entry)}
    make = partial(Pipeline.load, located(entry), own.base_of(entry), **own_files)
    return make_pipeline(settings, make, dtype=entry.dtype or "", device=entry.device)


def describe_entry(entry: ModelEntry, settings: Settings) -> Description:
    """Describe the checkpoint of a models file's entry by its configuration and the headers of its weight files.

    Raises:
        PipelineError: the networks of this project cannot run it.
    """
    device = choose_device(entry.device or settings.device)
    dtype = DTYPES[entry.dtype or settings.dtype or ("float16" if device.type == "cuda" else "float32")]
    checkpoint = Checkpoint.find(located(entry), dtype, device, variant=entry.variant, loras=loras_of(entry))
    one = own.definition(MODELS[own.base_of(entry)], checkpoint.card)
    facts = {**one.facts, "checkpoint": one.checkpoint, "revision": one.revision, "instructions": one.instructions}
    facts |= {"summary": one.summary, "abilities": one.abilities}
    path = checkpoint.files.path
    if path.is_dir():
        values = sum(count_values(path / part, entry.variant) for part in PARTS.values() if (path / part).is_dir())
        memory = values * torch.finfo(dtype).bits // 8
    else:
        memory = path.stat().st_size
    return Description("InstructPix2Pix", one.parameters, entry.memory or memory, one.sizes, facts)


def located(entry: ModelEntry) -> str:
    """The entry's checkpoint as the pipeline names it: a hub id with its revision behind it."""
    return f"{entry.checkpoint}@{entry.revision}" if entry.is_on_hub else entry.checkpoint


def loras_of(entry: ModelEntry) -> list[Lora]:
    return [Lora(Path(one.path), one.scale) for one in entry.lora]


def make_others_later(editors: PipelineEditors) -> None:
    """Load the other models in the background, some seconds after the start.

    Importing diffusers takes seconds of Python, which would slow every step of the first jobs.
    """
    later = threading.Timer(FIRST_JOBS_SECONDS, editors.make_all)
    later.daemon = True
    later.start()


def build_graphs(pipeline: Pipeline) -> None:
    """Compile before the worker is ready, because no step may take minutes later."""
    began = time.monotonic()
    pipeline.checkpoint.build_graphs()
    log.info("compiled %s graphs in %.0f s", pipeline.checkpoint.compiler.graphs, time.monotonic() - began)


def warm_up(pipeline: Pipeline, sizes: Sequence[str]) -> None:
    """Make an edit of each size, because the first edit of a size is slow.

    At least one edit is made: its steps tell how long later ones may take before the device counts as stuck.

    Raises:
        PipelineError: there is no such size.
    """
    for size in sizes:
        began = time.monotonic()
        pipeline.edit(Image.new("RGB", (256, 256), "gray"), "make it sunset", steps=2, size=size, seed=0)
        log.info("warmed up for %s in %.1f s", size, time.monotonic() - began)


def describe(pipeline: Pipeline) -> Device:
    """The device, and its memory now."""
    device = pipeline.checkpoint.device
    if device.type == "cuda":
        return Device(pipeline.receipt()["device"], free_bytes(device), torch.cuda.mem_get_info(device)[1])
    return Device(device.type, *system_memory())


def system_memory() -> tuple[int | None, int | None]:
    """Available and total memory of the machine in bytes; None except on Linux."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None, None
    said = dict(line.split(":", 1) for line in lines)
    free, total = (int(said[name].split()[0]) * 1024 for name in ("MemAvailable", "MemTotal"))
    return free, total


def set_threads(count: int) -> None:
    """Set the number of threads that PyTorch computes with, for all threads that start later."""
    torch.set_num_threads(count)
    log.info("computing with %s threads", count)
