"""Measures how sharing the device step by step changes waiting times: `./dev bench engine [--quick] [--json]`.

The same trace of edits is served twice with real compute on the micro checkpoint: one at a time in order of arrival,
and by the engine. Arrivals are Poisson; 60 % of the edits have 10 steps, 30 % have 50 and 10 % have 500.
"""

import argparse
import json
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks._machine import describe, keep_memory
from pipeline.checkpoint import Checkpoint
from pipeline.denoise import Denoising, advance, predict
from pipeline.engine import Engine
from pipeline.guidance import three_way
from pipeline.networks.unet import TextStates, UNet
from pipeline.samplers import ddim

ROOT = Path(__file__).parents[1]
MIX = {10: 0.6, 50: 0.3, 500: 0.1}  #: steps, and the share of edits with that many
QUICK_JOBS, QUICK_MIX = 5, {2: 0.6, 5: 0.4}
SHORT, LONG = 10, 500  #: steps of the edits in `first_work`
SIDE = 16  # latents of a picture of 64 pixels


@dataclass(frozen=True)
class Arrival:
    """One edit of the trace: its arrival in seconds, and its number of steps."""

    at: float
    steps: int


class Bench:
    """The UNet and everything that its edits need. All have the same text, whose content does not affect the time."""

    def __init__(self, scales: tuple[float, float]) -> None:
        checkpoint = Checkpoint.find(ROOT / "checkpoints" / "micro", torch.float32, torch.device("cpu"))
        self.unet: UNet = checkpoint.unet
        self.schedule = checkpoint.schedule
        self.guidance = three_way(*scales)
        with torch.inference_mode():
            prompts = ["make it sunset" if branch.prompted else "" for branch in self.guidance.branches]
            self.text: TextStates = self.unet.read(checkpoint.text_encoder(checkpoint.tokenizer(prompts)))

    def edit(self, steps: int) -> Denoising:
        generator = torch.Generator().manual_seed(steps)
        picture = torch.randn(1, self.unet.config.in_channels // 2, SIDE, SIDE, generator=generator)
        table = ddim(self.schedule.levels(steps))
        return Denoising(table.start(picture, generator), picture, self.text, self.guidance, table, generator)

    def seconds_a_step(self, steps: int) -> float:
        """The median time of the steps of a single edit."""
        edit, times = self.edit(steps), []
        while not edit.finished:
            began = time.perf_counter()
            advance(self.unet, [edit])
            times.append(time.perf_counter() - began)
        return statistics.median(times[steps // 6 :])


def trace(count: int, mix: Mapping[int, float], load: float, seconds_a_step: float, seed: int) -> list[Arrival]:
    """Arrivals that keep one-at-a-time service busy for `load` of the time."""
    random = np.random.default_rng(seed)
    steps = random.permutation(np.repeat(list(mix), [round(share * count) for share in mix.values()]))
    gap = float(steps.mean()) * seconds_a_step / load
    return [
        Arrival(float(at), int(n)) for at, n in zip(np.cumsum(random.exponential(gap, len(steps))), steps, strict=True)
    ]


def serve(arrivals: Sequence[Arrival], make: Callable[[int], None], threads: int) -> list[float]:
    """Seconds from the arrival to the end of each edit. The threads take edits in order of arrival."""
    took = [0.0] * len(arrivals)
    began = time.perf_counter()

    def one(number: int) -> None:
        make(arrivals[number].steps)
        took[number] = time.perf_counter() - began - arrivals[number].at

    with ThreadPoolExecutor(threads) as pool:
        for number, arrival in enumerate(arrivals):
            time.sleep(max(0, began + arrival.at - time.perf_counter()))
            pool.submit(one, number)
    return took


def one_at_a_time(bench: Bench, arrivals: Sequence[Arrival]) -> list[float]:
    def make(steps: int) -> None:
        edit = bench.edit(steps)
        while not edit.finished:
            advance(bench.unet, [edit])

    return serve(arrivals, make, threads=1)


def by_engine(bench: Bench, arrivals: Sequence[Arrival]) -> tuple[list[float], dict[int, int]]:
    """The waiting times, and the number of passes by their number of edits."""
    passes: dict[int, int] = {}

    def counted(edits: Sequence[Denoising]) -> Sequence[torch.Tensor]:
        passes[len(edits)] = passes.get(len(edits), 0) + 1
        return predict(bench.unet, edits)

    engine = Engine(counted)

    def make(steps: int) -> None:
        with engine.join(steps) as ticket:
            edit = bench.edit(steps)
            while not edit.finished:
                ticket.step(edit)

    took = serve(arrivals, make, threads=len(arrivals))
    engine.close()
    return took, dict(sorted(passes.items()))


def summary(arrivals: Sequence[Arrival], took: Sequence[float]) -> dict[str, Any]:
    """The mean of all, and the mean and 95th percentile for each number of steps, in seconds."""
    kinds: dict[int, list[float]] = {}
    for arrival, seconds in zip(arrivals, took, strict=True):
        kinds.setdefault(arrival.steps, []).append(seconds)
    return {"mean": round(statistics.mean(took), 3)} | {
        f"{n} steps": {"mean": round(statistics.mean(times), 3), "p95": round(float(np.percentile(times, 95)), 3)}
        for n, times in sorted(kinds.items())
    }


def first_work(bench: Bench) -> float:
    """Iterations between the first request of a new 10-step edit and its first step, while eight 500-step edits run."""
    seen: list[list[int]] = []
    busy = threading.Event()

    def counted(edits: Sequence[Denoising]) -> Sequence[torch.Tensor]:
        seen.append([edit.steps for edit in edits])
        busy.set()
        return predict(bench.unet, edits)

    engine = Engine(counted)
    ended = threading.Event()

    def fly(steps: int) -> None:
        with engine.join(steps) as ticket:
            edit = bench.edit(steps)
            while not edit.finished and not (steps == LONG and ended.is_set()):
                ticket.step(edit)

    with ThreadPoolExecutor(8) as pool:
        for _ in range(8):
            pool.submit(fly, LONG)
        busy.wait()
        time.sleep(0.5)
        before = len(seen)
        fly(SHORT)
        ended.set()
    engine.close()
    return next(i for i, steps in enumerate(seen[before:]) if SHORT in steps)


def measure(bench: Bench, arrivals: Sequence[Arrival]) -> dict[str, Any]:
    """Serve the trace both ways, and compare the shortest and the longest edits."""
    before = summary(arrivals, one_at_a_time(bench, arrivals))
    took, passes = by_engine(bench, arrivals)
    after = summary(arrivals, took)
    short, long = (f"{choose(a.steps for a in arrivals)} steps" for choose in (min, max))
    ratios = {
        "short_p95_lower": round(before[short]["p95"] / after[short]["p95"], 2),
        "mean_lower": round(before["mean"] / after["mean"], 2),
        "long_p95_higher": round(after[long]["p95"] / before[long]["p95"], 2),
        "long_mean_higher": round(after[long]["mean"] / before[long]["mean"], 2),
        "first_step_after_iterations": first_work(bench),
    }
    return {"one_at_a_time": before, "engine": after, "edits_in_a_pass": passes, "ratios": ratios}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="five edits with few steps")
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--load", type=float, default=0.8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scales", type=float, nargs=2, default=(7.5, 1.5))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    keep_memory()
    torch.set_num_threads(arguments.threads)
    bench = Bench(tuple(arguments.scales))
    count, mix = (QUICK_JOBS, QUICK_MIX) if arguments.quick else (arguments.jobs, MIX)
    arrivals = trace(count, mix, arguments.load, bench.seconds_a_step(12 if arguments.quick else 60), arguments.seed)
    result = {"machine": describe(), "jobs": len(arrivals)} | measure(bench, arrivals)
    if arguments.json:
        print(json.dumps(result, indent=1))
    else:
        for name, value in result.items():
            print(f"{name:16} {value}")


if __name__ == "__main__":
    main()
