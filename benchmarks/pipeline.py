"""Compares the speed of our pipeline with diffusers': `./dev bench pipeline [--part loops|edits] [--quick] [--json]`.

The library loads its own copy of the weights. Both sides have the same threads, allocator, steps and scales. They take
turns, so that other load on the machine affects both. The `ratio` of an entry is the library's median time divided by
ours: above 1 we are faster.

`loops`: the denoising loop (UNet, guidance, sampler). `edits`: whole edits of 512 x 512, picture to picture, in the
checkpoint's own number of steps and in 20. At image scale 1, the checkpoint's default, one of the three rows has no
weight: as shipped, the library computes three rows and we compute two. With equal rows, at image scale 1.5, both
compute three. Every round has a different picture, so that nothing is cached from the round before.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import EulerAncestralDiscreteScheduler, StableDiffusionInstructPix2PixPipeline, UNet2DConditionModel
from PIL import Image

from benchmarks._machine import describe, keep_memory
from pipeline.catalogue import DEFAULT_MODEL, resolve
from pipeline.denoise import Denoising, advance
from pipeline.edit import Pipeline
from pipeline.guidance import three_way
from pipeline.networks.kernels import choose_kernels
from pipeline.networks.unet import UNet, UNetConfig
from pipeline.samplers import euler_ancestral
from pipeline.schedule import Schedule
from pipeline.weights import build, from_module

ROOT = Path(__file__).parents[1]
MICRO = ROOT / "checkpoints" / "micro"
PROMPT = "make it sunset"
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
class Size:
    """The amount of measurements. Sides of edits are in pixels, those of loops in latents. None: the checkpoint's
    steps.
    """

    side: int = 512
    steps: tuple[int | None, ...] = (None, 20)
    latents: tuple[int, ...] = (128, 64)
    mid_size: int = 64
    dtypes: tuple[str, ...] = ("fp32", "bf16")
    rounds: int = 5


QUICK = Size(side=256, steps=(None,), latents=(8,), mid_size=8, dtypes=("fp32",), rounds=1)


@dataclass(frozen=True)
class Entry:
    """One comparison: the seconds of each round, ours and theirs."""

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
    """The library's loop as its pipeline writes it, from image latents (1, C, h, w) and three rows of text."""
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
    """The loop with all three rows, and without the third, which the library cannot leave out."""
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
    """Four edits of 3, 2, 3 and 1 rows, one after another and as one batch: our throughput without and with batches."""
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


def edits(ours: Pipeline, theirs: Any, size: Size) -> Iterator[dict[str, Any]]:
    """Whole edits, picture to picture, with the checkpoint's own scales and with scales that need all rows."""
    for asked in size.steps:
        given = {"prompt": PROMPT, "seed": 1} | ({"steps": asked} if asked else {})
        own = resolve(DEFAULT_MODEL, given, ours.card)
        for rows, image_scale in (("as-shipped", own["image_cfg_scale"]), ("equal-rows", SCALES[1])):
            used = own | {"image_cfg_scale": image_scale}
            name = f"edit-{size.side}-{used['steps']}-steps-{rows}"
            entry = take_turns(name, *both(ours, theirs, used, size.side), size.rounds)
            yield entry.summary() | {
                "steps": used["steps"],
                "rows": [3, len(three_way(used["cfg_scale"], image_scale).branches)],
            }


def both(ours: Pipeline, theirs: Any, used: dict[str, Any], side: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """The same edit by the library and by us. Each call has a different picture."""
    mine, yours = pictures(side), pictures(side)
    scales = {name: used[name] for name in ("cfg_scale", "image_cfg_scale")}
    library = {"guidance_scale": used["cfg_scale"], "image_guidance_scale": used["image_cfg_scale"]}
    return (
        lambda: theirs(PROMPT, next(yours), num_inference_steps=used["steps"], **library),
        lambda: ours.edit(next(mine), PROMPT, size=f"{side}x{side}", steps=used["steps"], seed=1, **scales),
    )


def pictures(side: int) -> Iterator[Image.Image]:
    """The same photo again and again, shifted by one more pixel each time."""
    pixels = np.asarray(photo().resize((side, side)))
    return (Image.fromarray(np.roll(pixels, shift, axis=1)) for shift in count())


def photo() -> Image.Image:
    with Image.open(ROOT / "examples" / "pagoda.jpg") as opened:
        return opened.convert("RGB")


def faithfulness() -> float:
    """The PSNR of our bf16 picture to our float32 picture, in dB."""
    made = [
        Pipeline.load(MICRO, dtype=dtype).edit(photo(), PROMPT, seed=1, size="256x256") for dtype in ("fp32", "bf16")
    ]
    exact, rounded = (np.asarray(picture).astype(float) for picture in made)
    return round(10 * math.log10(255**2 / np.square(exact - rounded).mean()), 1)


def all_loops(size: Size) -> Iterator[dict[str, Any]]:
    for label in size.dtypes:
        dtype = DTYPES[label]
        theirs, ours = library(dtype).unet, Pipeline.load(MICRO, dtype=dtype).checkpoint.unet
        for side in size.latents:
            name = f"micro-{4 * side}-{label}"
            yield from (entry.summary() for entry in loops(name, theirs, ours, side, size.rounds))
            yield mixed(name, ours, side, size.rounds).summary()
        torch.manual_seed(0)
        theirs = UNet2DConditionModel(**MID_SIZE).to(dtype).eval()
        ours = build(UNet, UNetConfig.parse(dict(theirs.config)), from_module(theirs))
        choose_kernels(ours, dtype)
        name = f"mid-size-{8 * size.mid_size}-{label}"
        yield from (entry.summary() for entry in islice(loops(name, theirs, ours, size.mid_size, size.rounds), 1))


def library(dtype: torch.dtype) -> Any:
    """The library's pipeline with its own weights."""
    loaded = StableDiffusionInstructPix2PixPipeline.from_pretrained(MICRO, dtype=dtype)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("loops", "edits"), help="only this part")
    parser.add_argument("--quick", action="store_true", help="one small round")
    parser.add_argument("--rounds", type=int, default=Size.rounds, help="(%(default)s)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="(%(default)s)")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    keep_memory()
    torch.set_num_threads(arguments.threads)
    size = QUICK if arguments.quick else Size(rounds=arguments.rounds)
    report: dict[str, Any] = {"machine": describe(), "entries": []}
    for entry in measured(arguments.part, size):
        report["entries"].append(entry)
        if not arguments.json:
            show(entry)
    if arguments.part != "edits":
        report["bf16_psnr_db"] = faithfulness()
    if arguments.json:
        print(json.dumps(report, indent=1))
    else:
        print({name: value for name, value in report.items() if name != "entries"})


def measured(part: str | None, size: Size) -> Iterator[dict[str, Any]]:
    if part != "loops":
        yield from edits(Pipeline.load(MICRO), library(torch.float32), size)
    if part != "edits":
        yield from all_loops(size)


def show(summary: dict[str, Any]) -> None:
    theirs, ours = summary["seconds"]
    spread = max(summary["spread"])
    print(
        f"{summary['name']:32} {theirs:8.3f} s {ours:8.3f} s   x {summary['ratio']:.2f}   spread {spread:.0%}",
        flush=True,
    )


if __name__ == "__main__":
    main()
