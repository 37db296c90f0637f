"""Measures what effort=fast saves and how it changes pictures: `./dev bench effort [--quick] [--full-size] [--json]`.

On the micro checkpoint: the same edit with both efforts, in 20 and in 50 steps, with the checkpoint's own scales (two
rows) and with scales that need all three. Both edits alternate step by step, so that other load on the machine affects
both. `psnr` and `ssim` compare the decoded pictures. Every pair must reach 30 dB, otherwise the exit status is 1.

`--full-size`: one whole and one shallow step of Stable Diffusion 1.5's UNet with random weights, at 512 x 512. The
ratio of a whole edit is computed from their times. A random UNet says nothing about quality.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks._machine import describe, keep_memory
from pipeline.denoise import Denoising, Predictor, next_latents, whole_every
from pipeline.edit import Pipeline
from pipeline.guidance import three_way
from pipeline.networks.kernels import choose_kernels
from pipeline.networks.unet import UNet, UNetConfig
from pipeline.pictures import fit
from pipeline.samplers import ddim
from pipeline.schedule import Schedule

ROOT = Path(__file__).parents[1]
SCALES = ((1.1, 1.0), (2.5, 1.2))
PROMPT = "make it sunset"
GATE_DB = 30.0


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """The PSNR of two 8-bit pictures, in decibels."""
    return float(10 * np.log10(255**2 / max(1e-9, np.square(a.astype(float) - b).mean())))


def ssim(a: np.ndarray, b: np.ndarray, window: int = 8) -> float:
    """Structural similarity (Wang et al. 2004) of two pictures (H, W, 3) in gray, over windows that do not overlap."""
    x, y = (np.asarray(picture, float).mean(-1) for picture in (a, b))
    high, wide = (side - side % window for side in x.shape)
    x, y = (
        p[:high, :wide].reshape(high // window, window, wide // window, window).swapaxes(1, 2).reshape(-1, window**2)
        for p in (x, y)
    )
    covariance = ((x - x.mean(1, keepdims=True)) * (y - y.mean(1, keepdims=True))).mean(1)
    means, c1, c2 = 2 * x.mean(1) * y.mean(1), (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similar = (means + c1) * (2 * covariance + c2)
    return float((similar / ((x.mean(1) ** 2 + y.mean(1) ** 2 + c1) * (x.var(1) + y.var(1) + c2))).mean())


@torch.inference_mode()
def step(predict: Predictor, edit: Denoising) -> float:
    """Take a step. Returns the thread's processor time in seconds, which other load affects least."""
    began = time.thread_time()
    [following] = next_latents([edit], predict([edit]))
    edit.advance(*following)
    return time.thread_time() - began


def micro(pipe: Pipeline, steps: int, scales: tuple[float, float], side: int) -> dict[str, Any]:
    """Make one edit with both efforts, alternating step by step."""
    model = pipe.editing_model
    assert model is not None  # noqa: S101 - a model of ours
    with Image.open(ROOT / "examples" / "pagoda.jpg") as opened:
        picture = fit(opened.convert("RGB"), f"{side}x{side}")
    given = {"prompt": PROMPT, "negative_prompt": "", "steps": steps, "temperature": 1.0, "seed": 1, "sampler": "ddim"}
    given |= dict(zip(("cfg_scale", "image_cfg_scale"), scales, strict=True))
    exact, fast = (model.begin(picture, given | {"effort": effort}) for effort in ("exact", "fast"))
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(steps):
        for edit, seconds in zip((exact, fast), times, strict=True):
            seconds.append(step(Predictor(model.unet), edit))
    pictures = [np.asarray(model.finish(edit)) for edit in (exact, fast)]
    ratio = steps * statistics.median(times[0]) / sum(times[1])
    compared = {"psnr": round(psnr(*pictures), 1), "ssim": round(ssim(*pictures), 4)}
    rows = len(exact.guidance.branches)
    return {"steps": steps, "rows": rows, "side": side, "ratio": round(ratio, 2)} | compared


@torch.inference_mode()
def full_size(rounds: int, config: UNetConfig | None = None, side: int = 64) -> dict[str, Any]:
    """Time whole and shallow steps of a random UNet with three rows. Returns the medians and the ratio for 50 steps."""
    config = config or UNetConfig()
    torch.manual_seed(0)
    unet = UNet(config).eval()
    for weights in unet.parameters():
        weights.normal_(0, 0.02)
    choose_kernels(unet, torch.float32)
    picture, guidance = torch.randn(1, config.out_channels, side, side), three_way(7.5, 1.5)
    text = unet.read(torch.randn(3, 77, config.cross_attention_dim))
    every = whole_every("fast", 50)
    table = ddim(Schedule.parse({}).levels(every * (rounds + 1)))
    edit = Denoising(picture, picture, text, guidance, table, torch.Generator(), every=every)
    predict, times = Predictor(unet), {True: [0.0], False: [0.0]}
    while not edit.finished:
        whole = edit.is_whole
        times[whole].append(step(predict, edit))
    whole, shallow = (statistics.median(times[kind][2:]) for kind in (True, False))
    count = -(-50 // every)
    ratio = 50 * whole / (count * whole + (50 - count) * shallow)
    return {"steps": 50, "rows": 3, "side": 8 * side, "ratio": round(ratio, 2)} | {
        "seconds": [round(whole, 3), round(shallow, 3)]
    }


def measured(quick: bool, large: bool) -> Iterator[dict[str, Any]]:
    pipe = Pipeline.load(ROOT / "checkpoints" / "micro", dtype="float32", device="cpu")
    for scales in SCALES[:1] if quick else SCALES:
        for steps in (10,) if quick else (20, 50):
            yield {"name": "micro"} | micro(pipe, steps, scales, 256 if quick else 512)
    if large:
        yield {"name": "random weights, Stable Diffusion 1.5"} | full_size(rounds=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one small edit")
    parser.add_argument("--full-size", action="store_true", help="also the UNet of Stable Diffusion 1.5: some minutes")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    keep_memory()
    torch.set_num_threads(1)  # the processor time of this one thread is measured
    entries = []
    for entry in measured(arguments.quick, arguments.full_size):
        entries.append(entry)
        if not arguments.json:
            print(entry, flush=True)
    report = {"machine": describe(), "gate_db": GATE_DB, "entries": entries}
    print(json.dumps(report, indent=1) if arguments.json else report["machine"])
    sys.exit(any(entry.get("psnr", GATE_DB) < GATE_DB for entry in entries))


if __name__ == "__main__":
    main()
