"""What an edit of 512 x 512 takes with a checkpoint's defaults and with 20 steps, beside diffusers' own pipeline.

    ./dev bench edit [--rounds N] [--threads N] [-o FILE]

Both have the same weights, photo, instruction, steps, scales and threads, and take turns; every round has a picture of
its own, so that nothing is remembered from the one before.
"""

import argparse
import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionInstructPix2PixPipeline
from PIL import Image

from benchmarks._machine import describe, keep_memory
from benchmarks.pipeline import ROOT, show, take_turns
from pipeline.catalogue import DEFAULT_MODEL, resolve
from pipeline.edit import Pipeline

PROMPT = "make it sunset"
SIDE = 512


def pictures() -> Iterator[Image.Image]:
    """The same photo over and over, each time moved by a pixel."""
    with Image.open(ROOT / "examples" / "pagoda.jpg") as photo:
        pixels = np.asarray(photo.convert("RGB").resize((SIDE, SIDE)))
    return (Image.fromarray(np.roll(pixels, shift, axis=1)) for shift in count())


def compare(checkpoint: Path, steps: int | None, rounds: int) -> dict[str, Any]:
    """Seconds of an edit, the library's and ours; `steps` None for the checkpoint's own."""
    ours = Pipeline.load(checkpoint)
    theirs = StableDiffusionInstructPix2PixPipeline.from_pretrained(checkpoint)
    theirs.set_progress_bar_config(disable=True)
    given = {"prompt": PROMPT, "seed": 1} | ({"steps": steps} if steps else {})
    used = resolve(DEFAULT_MODEL, given, ours.card)
    scales = {"guidance_scale": used["cfg_scale"], "image_guidance_scale": used["image_cfg_scale"]}
    mine, yours = pictures(), pictures()
    entry = take_turns(
        f"512x512 in {used['steps']} steps",
        lambda: theirs(PROMPT, next(yours), num_inference_steps=used["steps"], **scales),
        lambda: ours.edit(next(mine), PROMPT, size=f"{SIDE}x{SIDE}", steps=used["steps"], seed=1),
        rounds,
    )
    return entry.summary() | {"steps": used["steps"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "checkpoints" / "micro", help="(%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(%(default)s)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="(%(default)s)")
    parser.add_argument("-o", "--output", type=Path, help="for the figures as JSON")
    arguments = parser.parse_args()
    keep_memory()
    torch.set_num_threads(arguments.threads)
    entries = [compare(arguments.checkpoint, steps, arguments.rounds) for steps in (None, 20)]
    for entry in entries:
        show(entry)
    if arguments.output:
        arguments.output.write_text(json.dumps({"machine": describe(), "entries": entries}, indent=1) + "\n")


if __name__ == "__main__":
    main()
