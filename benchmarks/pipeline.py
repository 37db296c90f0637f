"""How fast our pipeline is beside diffusers': `./dev bench pipeline [--json]`.

Both sides have the same weights, threads, allocator, steps and seed, and take turns, so that what else the machine does
hits both. An entry's `ratio` is the library's median time of one pass through the denoising loop (UNet, guidance,
sampler) by ours: above 1 we are faster.
"""

import argparse
import itertools
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import EulerAncestralDiscreteScheduler, UNet2DConditionModel
from PIL import Image

from benchmarks._machine import describe, keep_memory
from pipeline.catalogue import MODELS
from pipeline.checkpoint import Checkpoint
from pipeline.denoise import Denoising, advance
from pipeline.edit import Pipeline
from pipeline.guidance import three_way
from pipeline.kernels import choose_kernels
from pipeline.model import EditingModel
from pipeline.samplers import euler_ancestral
from pipeline.schedule import Schedule
from pipeline.unet import UNet, UNetConfig
from pipeline.weights import build, from_module

ROOT = Path(__file__).parents[1]
SCALES = (7.5, 1.5)
STEPS = 3  # of a timed loop
MID_SIZE = {  # 20 M parameters, 40 channels a head
    "in_channels": 8,
    "block_out_channels": (80, 160, 320),
    "attention_head_dim": (2, 4, 8),
    "layers_per_block": 1,
    "cross_attention_dim": 256,
    "norm_num_groups": 8,
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Entry:
    """One comparison: seconds of each round, ours and the others'."""

    name: str
    theirs: list[float]
    ours: list[float]

    def summary(self) -> dict[str, Any]:
        middle = [statistics.median(times) for times in (self.theirs, self.ours)]
        spread = [round((max(times) - min(times)) / statistics.median(times), 3) for times in (self.theirs, self.ours)]
        ratio = {"ratio": round(middle[0] / middle[1], 3)}
        return {"name": self.name} | ratio | {"seconds": [round(m, 4) for m in middle], "spread": spread}


def take_turns(name: str, theirs: Callable[[], Any], ours: Callable[[], Any], rounds: int) -> Entry:
    """Time both in turn, after one run of each that does not count."""
    theirs(), ours()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for call, seconds in zip((theirs, ours), times, strict=True):
            began = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - began)
    return Entry(name, *times)


@torch.inference_mode()
def stock_loop(unet: UNet2DConditionModel, picture: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
    """The library's loop, from image latents (1, C, h, w) and three rows of text, as its pipeline writes it."""
    schedule = EulerAncestralDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    schedule.set_timesteps(STEPS)
    generator = torch.Generator().manual_seed(0)
    pictures = torch.cat([picture, picture, torch.zeros_like(picture)])
    latents = torch.randn(picture.shape, generator=generator, dtype=picture.dtype) * schedule.init_noise_sigma
    for t in schedule.timesteps:
        x = schedule.scale_model_input(torch.cat([latents] * 3), t)
        c, i, u = unet(torch.cat([x, pictures], dim=1), t, encoder_hidden_states=text, return_dict=False)[0].chunk(3)
        noise = u + SCALES[0] * (c - i) + SCALES[1] * (i - u)
        latents = schedule.step(noise, t, latents, generator=generator, return_dict=False)[0]
    return latents


def our_edit(
    unet: UNet, picture: torch.Tensor, text: torch.Tensor, scales: tuple[float, float] = SCALES, seed: int = 0
) -> Denoising:
    """The same edit for our loop."""
    guidance = three_way(*scales)
    table = euler_ancestral(Schedule.parse({}).levels(STEPS, spacing="linspace"))
    generator = torch.Generator().manual_seed(seed)
    with torch.inference_mode():
        start, read = table.start(picture.float(), generator), unet.read(text[: len(guidance.branches)])
        return Denoising(start, picture.float(), read, guidance, table, generator)


def run(unet: UNet, edits: list[Denoising]) -> None:
    while not edits[0].finished:
        advance(unet, edits)


def loops(name: str, theirs: UNet2DConditionModel, ours: UNet, side: int, rounds: int) -> Iterator[Entry]:
    """The loop with all three rows, and with the third dropped, which the library cannot do."""
    torch.manual_seed(0)
    dtype, width = ours.dtype, ours.config.cross_attention_dim
    picture = torch.randn(1, ours.config.in_channels // 2, side, side, dtype=dtype)
    text = torch.randn(3, 77, width, dtype=dtype)
    stock = partial(stock_loop, theirs, picture, text)
    yield take_turns(name, stock, lambda: run(ours, [our_edit(ours, picture, text)]), rounds)
    yield take_turns(
        f"{name}-dropped-row", stock, lambda: run(ours, [our_edit(ours, picture, text, (7.5, 1.0))]), rounds
    )


def mixed(name: str, unet: UNet, side: int, rounds: int) -> Entry:
    """Four edits of 3, 2, 3 and 1 rows one after another, and as one batch: throughput, ours by ours."""
    torch.manual_seed(0)
    picture = torch.randn(1, unet.config.in_channels // 2, side, side)
    text = torch.randn(3, 77, unet.config.cross_attention_dim, dtype=unet.dtype)
    scales = ((7.5, 1.5), (7.5, 1.0), (3.0, 1.2), (1.0, 1.0))

    def edits() -> list[Denoising]:
        return [our_edit(unet, picture, text, scale, seed) for seed, scale in enumerate(scales)]

    return take_turns(
        f"{name}-mixed-batch",
        lambda: [run(unet, [one]) for one in edits()],
        lambda: run(unet, edits()),
        rounds,
    )


def end_to_end(name: str, base: Pipeline, size: str, rounds: int) -> Entry:
    """Whole edits, picture to picture; both by Euler ancestral in the same number of steps."""
    photo = Image.open(ROOT / "examples" / "pagoda.jpg").convert("RGB")
    params = {"prompt": "make it sunset", "negative_prompt": "", "steps": 4, "temperature": 1.0, "seed": 1}
    params |= {"cfg_scale": SCALES[0], "image_cfg_scale": SCALES[1], "sampler": "euler-a"}
    model = EditingModel.of(base.checkpoint, MODELS["pix2pix-full"])

    def ours() -> Image.Image:
        model._latents.cache_clear()  # type: ignore[attr-defined]
        edit = model.begin(photo.resize((side, side)), params)
        run(model.unet, [edit])
        return model.finish(edit)

    side = int(size)
    theirs = partial(
        base.checkpoint.library.edit, photo.resize((side, side)), params, lambda *_: None, lambda call: call()
    )
    return take_turns(f"{name}-end-to-end", theirs, ours, rounds)


def faithfulness(photo: Image.Image) -> float:
    """PSNR in dB of our bf16 picture to our fp32 picture."""
    pictures = [
        Pipeline.load(ROOT / "checkpoints" / "micro", model="pix2pix-full", dtype=dtype).edit(
            photo, "make it sunset", seed=1, size="256x256"
        )
        for dtype in ("fp32", "bf16")
    ]
    exact, rounded = (np.asarray(picture).astype(float) for picture in pictures)
    return round(10 * math.log10(255**2 / np.square(exact - rounded).mean()), 1)


def entries(rounds: int) -> Iterator[Entry]:
    for label, dtype in DTYPES.items():
        folder = ROOT / "checkpoints" / "micro"
        base = Pipeline.load(folder, model="pix2pix-base", dtype=dtype)
        checkpoint: Checkpoint = base.checkpoint
        for size, side in (("512", 128), ("256", 64)):
            name = f"micro-{size}-{label}"
            yield from loops(name, checkpoint.library.unet, checkpoint.unet, side, rounds)
            yield mixed(name, checkpoint.unet, side, rounds)
            yield end_to_end(name, base, size, rounds)
        torch.manual_seed(0)
        theirs = UNet2DConditionModel(**MID_SIZE).to(dtype).eval()
        ours = build(UNet, UNetConfig.parse(dict(theirs.config)), from_module(theirs))
        choose_kernels(ours, dtype)
        yield from itertools.islice(loops(f"mid-size-512-{label}", theirs, ours, 64, rounds), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    keep_memory()
    torch.set_num_threads(arguments.threads)
    summaries = []
    for entry in entries(arguments.rounds):
        summaries.append(entry.summary())
        if not arguments.json:
            show(summaries[-1])
    psnr = faithfulness(Image.open(ROOT / "examples" / "pagoda.jpg"))
    if arguments.json:
        print(json.dumps({"machine": describe(), "bf16_psnr_db": psnr, "entries": summaries}, indent=1))
    else:
        print(f"bf16 picture to fp32 picture: {psnr} dB\n{describe()}")


def show(summary: dict[str, Any]) -> None:
    theirs, ours = summary["seconds"]
    spread = max(summary["spread"])
    print(
        f"{summary['name']:32} {theirs:8.3f} s {ours:8.3f} s   x {summary['ratio']:.2f}   spread {spread:.0%}",
        flush=True,
    )


if __name__ == "__main__":
    main()
