"""Decides whether a CPU computes in bfloat16, by a measurement with the checkpoint that it will serve."""

import logging
import math
from collections.abc import Callable
from time import process_time
from typing import Any

import numpy as np
import torch
from PIL import Image

from pipeline.edit import Pipeline

log = logging.getLogger(__name__)

NATIVE = ("amx_bf16", "avx512_bf16")  # with one of these instruction sets a processor can be faster in bfloat16
LEAST_RATIO = 1.2  # bfloat16 must be this many times as fast, so that a worker decides the same at each start
LEAST_DB = 40.0  # least likeness (PSNR) of its picture to that of float32
SIDE = 64  # side of the latents of the timed steps: an edit of 512 x 512 pixels
TRIALS = 3


def with_best_dtype(exact: Pipeline, load: Callable[[], Pipeline]) -> Pipeline:
    """Choose between the pipeline in float32 and the same in bfloat16, which `load` loads. Closes the other one.

    Only a processor with instructions for bfloat16 is measured. This takes a few steps, and two edits of two steps.
    """
    capabilities = torch.cpu.get_capabilities()
    if not any(capabilities.get(name) for name in NATIVE):
        return exact
    narrow = load()
    ratio, decibels = seconds_ratio(exact, narrow), 0.0
    if ratio >= LEAST_RATIO:
        decibels = likeness(exact, narrow)
    chosen, other = (narrow, exact) if decibels >= LEAST_DB else (exact, narrow)
    log.info(
        "computing in %s: bfloat16 is %.2f times as fast as float32 here, its picture at %.0f dB",
        chosen.receipt()["dtype"],
        ratio,
        decibels,
    )
    other.close()
    return chosen


def seconds_ratio(exact: Pipeline, narrow: Pipeline) -> float:
    """How many times as fast the UNet of `narrow` is. The two take turns, and the shortest step of each counts.

    Processor time is compared, which other work on the machine changes little.
    """
    passes = [one.one_pass(SIDE) for one in (exact, narrow)]
    shortest = [math.inf, math.inf]
    for trial in range(TRIALS + 1):
        for place, run in enumerate(passes):
            began = process_time()
            run()
            if trial:  # the first pass chooses kernels and allocates memory
                shortest[place] = min(shortest[place], process_time() - began)
    return shortest[0] / shortest[1]


def likeness(exact: Pipeline, narrow: Pipeline) -> float:
    """The likeness (PSNR, in dB) of the same short edit by both pipelines."""
    across, around = Image.linear_gradient("L"), Image.radial_gradient("L")
    photo = Image.merge("RGB", (across, around, across.transpose(Image.Transpose.ROTATE_90)))
    given: dict[str, Any] = {"steps": 2, "seed": 0, "size": f"{photo.width}x{photo.height}"}
    pictures = [np.asarray(one.edit(photo, "make it sunset", **given), dtype=float) for one in (exact, narrow)]
    error = float(np.square(pictures[0] - pictures[1]).mean())
    return 10 * math.log10(255**2 / max(error, 1e-9))
