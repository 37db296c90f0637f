"""Which autoencoder should a small checkpoint have? Three layouts, and a UNet for six edits behind each.

    .venv/bin/python -m training.autoencoders --minutes 15

All layouts train at the same time, a process of one thread each, so that what else the machine does hits them alike;
with as many cores as layouts, `--minutes` of wall-clock time are as many of a core's. The figures: the PSNR of held-out
photos through the autoencoder, that of edits to what they should be, and the seconds of a 512 x 512 edit in one thread.
Everything goes to --out, with the checkpoints, which `./dev evaluate` judges as it does any other.
"""

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import torch

from training import photos
from training.autoencoder import train_autoencoder
from training.diffusion import train_unet
from training.editor import Editor
from training.evaluation import Run, Task, judge
from training.language import train_reader
from training.metrics import psnr
from training.package import package
from training.recipe import Recipe
from training.samples import Samples, Shares

FINE = {"block_out_channels": [32, 64, 128], "attention_head_dim": [1, 2, 4], "norm_num_groups": 8}
COARSE = {"block_out_channels": [64, 96, 128], "attention_head_dim": [2, 3, 4], "norm_num_groups": 8}


@dataclass(frozen=True)
class Layout:
    """An autoencoder's latent channels and channels by level, and a UNet that suits it."""

    latents: int
    channels: tuple[int, ...]
    unet: dict[str, Any]


LAYOUTS = {
    "f4c4": Layout(4, (16, 32, 64), FINE),
    "f4c8": Layout(8, (16, 32, 64), FINE),
    "f8c16": Layout(16, (16, 32, 64, 96), COARSE),
}
FAMILIES = ("sepia", "invert", "night", "snow", "blur", "sketch")
JUDGED, TIMED = 12, 5  # held-out photos; edits


def train(layout: str, minutes: float, work: Path, gathered: Path) -> Path:
    """A checkpoint of this layout for the six edits: autoencoder and UNet `minutes` each."""
    os.nice(5)
    torch.set_num_threads(1)
    recipe = shortened(Recipe.read(), LAYOUTS[layout], minutes)
    samples = Samples(gathered, Shares(composed=0.0, unchanged=0.05, beyond=0.0), kinds=FAMILIES)
    folder = work / layout
    folder.mkdir(parents=True, exist_ok=True)
    vae = train_autoencoder(recipe, samples, folder)
    reader = train_reader(recipe, samples, folder)
    unet = train_unet(recipe, samples, vae, reader, folder)
    package(recipe, samples, vae, reader, unet, folder / "checkpoint")
    return folder / "checkpoint"


def shortened(recipe: Recipe, layout: Layout, minutes: float) -> Recipe:
    """The recipe with these networks and so many minutes for the autoencoder and for the UNet, in one process."""
    network = {"latent_channels": layout.latents, "block_out_channels": layout.channels, "norm_num_groups": 4}
    tables = {
        "workers": 1,
        "vae": {**recipe["vae"], "minutes": minutes, "network": network},
        "text": {**recipe["text"], "minutes": minutes / 10},
        "unet": {**recipe["unet"], "minutes": minutes, "network": layout.unet},
    }
    return replace(recipe, tables={**recipe.tables, **tables})


def figures(checkpoint: Path, gathered: Path) -> dict[str, Any]:
    """What this checkpoint's autoencoder and edits are worth on held-out photos."""
    torch.set_num_threads(1)
    editor = Editor.load(checkpoint)
    judged = []
    for place, (name, photo) in enumerate(photos.held_out(gathered, 256)[:JUDGED]):
        judged.append(judge(editor, photo, Run(checkpoint, gathered), Task(name, place, (256, 256), FAMILIES)))
    edits = [edit for one in judged for edit in one.edits]
    large = [photo for _, photo in photos.held_out(gathered, 512)[:JUDGED]]
    return {
        "autoencoder_256": fmean(one.vae for one in judged),
        "autoencoder_512": fmean(psnr(editor.through_vae(photo), photo) for photo in large),
        "edits": fmean(edit.psnr for edit in edits),
        "ceiling": fmean(edit.psnr_vae for edit in edits),
        "right": fmean(edit.rank == 1 for edit in edits),
        "by_family": {name: fmean(e.psnr for e in edits if e.family == name) for name in FAMILIES},
    }


def seconds(checkpoints: Sequence[Path]) -> list[float]:
    """The median time of an edit of 512 x 512 by each, taken in turns."""
    torch.set_num_threads(1)
    editors = [Editor.load(checkpoint) for checkpoint in checkpoints]
    photo = np.random.default_rng(0).random((512, 512, 3), dtype=np.float32)
    taken: list[list[float]] = [[] for _ in editors]
    for _ in range(TIMED):
        for editor, times in zip(editors, taken, strict=True):
            begin = time.perf_counter()
            editor.edit(photo, ["make it sepia"], None, 0)
            times.append(time.perf_counter() - begin)
    return [median(times) for times in taken]


def samples_seen(folder: Path, stage: str) -> int:
    lines = (folder / f"{stage}.jsonl").read_text().splitlines()
    return int(json.loads(lines[-1])["samples"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="for each autoencoder and each UNet (%(default)s)")
    parser.add_argument("--photo-folder", type=Path, default=Path(".training/photos"), help="(%(default)s)")
    parser.add_argument("--out", type=Path, default=Path(".training/autoencoders"), help="(%(default)s)")
    arguments = parser.parse_args()
    gathered, out = arguments.photo_folder, arguments.out
    photos.gather(gathered)
    names = list(LAYOUTS)
    with ProcessPoolExecutor(len(names), multiprocessing.get_context("spawn")) as pool:
        running = [pool.submit(train, name, arguments.minutes, out, gathered) for name in names]
        checkpoints = [job.result() for job in running]
        results = [job.result() for job in [pool.submit(figures, checkpoint, gathered) for checkpoint in checkpoints]]
        times = pool.submit(seconds, checkpoints).result()
    report = {
        name: {**result, "seconds_512": taken, **{stage: samples_seen(out / name, stage) for stage in ("vae", "unet")}}
        for name, result, taken in zip(names, results, times, strict=True)
    }
    (out / "autoencoders.json").write_text(json.dumps({"minutes": arguments.minutes, "layouts": report}, indent=1))
    sys.stdout.write(table(report))


def table(report: dict[str, dict[str, Any]]) -> str:
    lines = ["layout  256 px  512 px  edits  ceiling  right  512 edit  crops seen  pairs seen"]
    lines += [
        f"{name:6} {row['autoencoder_256']:6.1f}  {row['autoencoder_512']:6.1f} {row['edits']:6.1f}  "
        f"{row['ceiling']:7.1f} {row['right']:6.0%}  {row['seconds_512']:6.2f} s  {row['vae']:10}  {row['unet']:10}"
        for name, row in report.items()
    ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
