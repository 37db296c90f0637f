"""Checks whether a GPU does what it should, sized for six minutes: `./dev bench gpu [--quick] [--report FILE]`.

On a machine with CUDA: parity with the CPU, compiled graphs, stable batches, memory, and throughput with 1, 8 and 32
edits at a time, on the micro checkpoint and on Stable Diffusion 1.5's UNet with random weights, compared with
diffusers' UNet, plain and compiled. Without CUDA, parity, throughput and, on a fake device, batching run on the CPU in
their smallest form; the other sections are skipped. If a section fails, the report says so and the others go on. It has
never run on a GPU.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks._fake_device import FakeDevice
from benchmarks._machine import describe
from benchmarks.effort import psnr
from benchmarks.memory import needs
from pipeline.compiling import Compiler
from pipeline.denoise import Denoising, Predictor
from pipeline.device import choose_device, free_bytes, timeline_of, tune
from pipeline.edit import Pipeline
from pipeline.engine import Engine
from pipeline.guidance import three_way
from pipeline.networks.unet import UNet, UNetConfig
from pipeline.samplers import ddim
from pipeline.schedule import Schedule

ROOT = Path(__file__).parents[1]
MICRO = ROOT / "checkpoints" / "micro"
PROMPT = "make it sunset"
TOLERANCE_DB = {"float32": 60.0, "float16": 35.0}  # the least PSNR to the CPU's picture in float32
TINY = {"block_out_channels": (32, 64), "attention_head_dim": 2, "cross_attention_dim": 32, "norm_num_groups": 8}
TINY |= {
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}


@dataclass(frozen=True)
class Plan:
    """What is measured, and on which device."""

    device: torch.device
    side: int = 512
    steps: int = 20
    together: tuple[int, ...] = (1, 8, 32)
    config: UNetConfig = field(default_factory=UNetConfig)
    dtype: torch.dtype = torch.float16

    @property
    def real(self) -> bool:
        return self.device.type == "cuda"


def quick(device: torch.device) -> Plan:
    return Plan(device, 64 if device.type == "cpu" else 256, 2, (1, 2), UNetConfig.parse(TINY), torch.float32)


def photo(side: int) -> Image.Image:
    with Image.open(ROOT / "examples" / "pagoda.jpg") as opened:
        return opened.convert("RGB").resize((side, side))


def parity(plan: Plan) -> dict[str, Any]:
    """The same edit on the CPU in float32 and on the device, compared in decibels."""
    given = {"steps": plan.steps, "seed": 1, "size": "256x256"}

    def picture(device: str, dtype: str) -> np.ndarray:
        pipe = Pipeline.load(MICRO, dtype=dtype, device=device)
        try:
            return np.asarray(pipe.edit(photo(256), PROMPT, **given))
        finally:
            pipe.close()

    wanted, dtypes = picture("cpu", "float32"), ["float32", *(["float16"] if plan.real else [])]
    found = {dtype: round(psnr(wanted, picture(str(plan.device), dtype)), 1) for dtype in dtypes}
    return {"psnr_db": found, "passed": all(decibels >= TOLERANCE_DB[dtype] for dtype, decibels in found.items())}


def graphs(plan: Plan) -> dict[str, Any]:
    """The number of graphs for all row counts and two sizes, and the seconds to build them. Too slow for a CPU."""
    if not plan.real:
        return {"skipped": "no CUDA"}
    pipe = Pipeline.load(MICRO, compiled=True, device=str(plan.device))
    began = time.perf_counter()
    pipe.checkpoint.build_graphs()
    seconds = time.perf_counter() - began
    for size in ("256x256", "512x512"):
        pipe.edit(photo(256), PROMPT, steps=2, seed=1, size=size)
    made = pipe.checkpoint.compiler.graphs
    pipe.close()
    return {"graphs": made, "seconds": round(seconds, 1), "passed": made <= 4}


def edits(unet: UNet, count: int, steps: int, side: int) -> list[Denoising]:
    """Edits of random latents with all three rows."""
    torch.manual_seed(0)
    picture = torch.randn(1, unet.config.out_channels, side, side).to(unet.device)
    hidden = torch.randn(3, 77, unet.config.cross_attention_dim).to(unet.device, unet.dtype)
    with torch.inference_mode():
        text = unet.read(hidden)
    table, guidance = ddim(Schedule.parse({}).levels(steps)), three_way(7.5, 1.5)
    return [Denoising(picture, picture, text, guidance, table, torch.Generator()) for _ in range(count)]


def serve(engine: Engine, flights: Sequence[Denoising]) -> float:
    """Seconds until all edits, started at the same time, have finished their steps."""

    def fly(edit: Denoising) -> None:
        with engine.join(edit.steps) as ticket:
            for _ in ticket.denoise(edit):
                pass

    began = time.perf_counter()
    with ThreadPoolExecutor(len(flights)) as threads:
        list(threads.map(fly, flights))
    return time.perf_counter() - began


def batching(plan: Plan) -> dict[str, Any]:
    """8 edits of 12 steps: the number of passes that they take. 12 would be enough once all edits are there."""
    unet, passes = random_unet(Plan(plan.device, config=UNetConfig.parse(TINY), dtype=torch.float32)), []
    fake, predict = FakeDevice(), Predictor(unet)

    def counted(flights: Sequence[Denoising]) -> Sequence[torch.Tensor]:
        passes.append(len(flights))
        fake.work(0.0 if plan.real else 0.02)
        return predict(flights)

    engine = Engine(counted, timeline=timeline_of(plan.device) if plan.real else fake)
    engine._sizes.rows = lambda _edit: 24  # type: ignore[method-assign]
    serve(engine, edits(unet, 8, 12, 8))
    engine.close()
    return {"passes": len(passes), "ideal": 12, "passed": len(passes) <= 1.2 * 12 + 2}


def memory(plan: Plan) -> dict[str, Any]:
    """The memory of a pass of 3 rows, as computed from the configs and as measured."""
    if not plan.real:
        return {"skipped": "no CUDA"}
    computed = needs({}, "float16", plan.side, (3,))
    torch.cuda.empty_cache()
    free = free_bytes(plan.device)
    unet = random_unet(plan)
    weights = torch.cuda.memory_allocated(plan.device)
    torch.cuda.reset_peak_memory_stats(plan.device)
    [edit] = edits(unet, 1, 2, plan.side // 8)
    with torch.inference_mode():
        Predictor(unet)([edit])
    peak = torch.cuda.max_memory_allocated(plan.device) - weights
    return {"computed": computed, "free_gb": round(free / 2**30, 1), "pass_mb": round(peak / 2**20)}


def random_unet(plan: Plan) -> UNet:
    torch.manual_seed(0)
    unet = UNet(plan.config).eval().requires_grad_(False).to(plan.dtype)
    for weights in unet.parameters():
        weights.normal_(0, 0.02)
    return unet.to(plan.device, memory_format=torch.channels_last)


def throughput(plan: Plan) -> dict[str, Any]:
    """Steps per second of the UNet with random weights for each number of edits at a time, and of diffusers' UNet."""
    unet = random_unet(plan)
    found = {"ours": rates(plan, unet, ())}
    if plan.real:
        Compiler().compile(unet)
        found["ours, compiled"] = rates(plan, unet, (3, 6, 12, 24))
    return found | theirs(plan)


def rates(plan: Plan, unet: UNet, row_counts: Sequence[int]) -> dict[str, float]:
    """Steps per second for each number of edits at a time, in the second of two rounds."""
    engine, found = Engine(Predictor(unet, row_counts), timeline=timeline_of(plan.device)), {}
    for count in plan.together:
        for _ in range(2):
            seconds = serve(engine, edits(unet, count, plan.steps, plan.side // 8))
        found[str(count)] = round(count * plan.steps / seconds, 2)
    engine.close()
    return found


def theirs(plan: Plan) -> dict[str, Any]:
    """Steps per second of diffusers' UNet with the three rows of one edit, plain and compiled. CUDA only."""
    if not plan.real:
        return {}
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel(**vars(plan.config)).to(plan.device, plan.dtype).eval()
    side, width = plan.side // 8, plan.config.cross_attention_dim
    x = torch.randn(3, plan.config.in_channels, side, side).to(plan.device, plan.dtype)
    text = torch.randn(3, 77, width).to(plan.device, plan.dtype)
    found = {"diffusers": stock_rate(plan, unet, x, text)}
    unet.to(memory_format=torch.channels_last)
    compiled = torch.compile(unet, mode="reduce-overhead", fullgraph=True)
    return found | {"diffusers, compiled": stock_rate(plan, compiled, x, text)}


@torch.inference_mode()
def stock_rate(plan: Plan, unet: Callable[..., Any], x: torch.Tensor, text: torch.Tensor) -> float:
    timeline = timeline_of(plan.device)
    for _ in range(2):
        unet(x, 500, encoder_hidden_states=text)
    began = timeline.mark()
    for _ in range(plan.steps):
        unet(x, 500, encoder_hidden_states=text)
    ended = timeline.mark()
    ended.wait()
    return round(plan.steps / ended.since(began), 2)


def micro(plan: Plan) -> dict[str, Any]:
    """Whole edits per second on the micro checkpoint."""
    if not plan.real:
        return {"skipped": "no CUDA"}
    pipe, found = Pipeline.load(MICRO, device=str(plan.device)), {}
    size = f"{max(plan.side, 256)}x{max(plan.side, 256)}"

    def edit(seed: int) -> None:
        pipe.edit(photo(256), PROMPT, steps=plan.steps, seed=seed, size=size)

    edit(0)
    for count in plan.together:
        began = time.perf_counter()
        with ThreadPoolExecutor(count) as threads:
            list(threads.map(edit, range(count)))
        found[str(count)] = round(count / (time.perf_counter() - began), 2)
    pipe.close()
    return {"edits_per_second": found}


SECTIONS: dict[str, Callable[[Plan], dict[str, Any]]] = {
    "parity": parity,
    "batching": batching,
    "memory": memory,
    "micro": micro,
    "throughput": throughput,
    "graphs": graphs,
}


def run(section: Callable[[Plan], dict[str, Any]], plan: Plan) -> dict[str, Any]:
    """Run a section. Returns its results and seconds, or its error."""
    began = time.perf_counter()
    try:
        found = section(plan)
    except Exception as error:  # one broken section must not lose the report, because few people have such a machine
        found = {"error": f"{type(error).__name__}: {error}", "passed": False}
    return found | {"seconds": round(time.perf_counter() - began, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small pictures and few steps")
    parser.add_argument("--report", type=Path, help="also write the report to this file")
    arguments = parser.parse_args()
    device = choose_device("auto")
    tune(device, exact=True)
    plan = quick(device) if arguments.quick or device.type == "cpu" else Plan(device)
    name = torch.cuda.get_device_name(device) if plan.real else "no GPU: the CPU, and a fake device"
    report: dict[str, Any] = {"device": name, "machine": describe()}
    for title, section in SECTIONS.items():
        report[title] = run(section, plan)
        print(title, report[title], flush=True)
    if arguments.report:
        arguments.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    sys.exit(any(found.get("passed") is False for found in report.values() if isinstance(found, dict)))


if __name__ == "__main__":
    main()
