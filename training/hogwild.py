"""Training by several processes of one thread each that step the same weights in shared memory without locks.

Hogwild (Niu et al. 2011): on small networks it keeps every core busy, where threads within an operation wait for each
other. On a GPU one process does it all.
"""

import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.multiprocessing.spawn import start_processes
from tqdm import tqdm

from training.recipe import Plan

BETAS = (0.9, 0.98)
EMA = 0.998  # share of the running average that stays at each step of the first process
WEIGHT_DECAY = 1e-4
CLIP = 1.0  # of the gradient's norm
WARM_UP, COOL_DOWN = 0.02, 0.5  # shares of the time: until the rate is full, from when on it falls to nothing
SAVE_EVERY = 60.0  # seconds

#: Makes one batch's loss. Gets a source of chance and the share of the time that is over; gives the loss, the number of
#: samples in it, and figures for the log.
Loss = Callable[[np.random.Generator, float], tuple[Tensor, int, dict[str, float]]]


@dataclass
class Clock:
    """Processor time of this process for a stage, counted on where an earlier run was cut off.

    Each process has its own. Unlike the time of day it does not depend on what else the machine does.
    """

    budget: float  # seconds
    before: float = 0.0
    started: float = 0.0

    def start(self) -> None:
        self.started = time.process_time()

    @property
    def seconds(self) -> float:
        return self.before + time.process_time() - self.started

    @property
    def share(self) -> float:
        return self.seconds / self.budget


def rate(share: float) -> float:
    """The learning rate's factor when this share of the time is over: up, level, and down along half a cosine."""
    if share < WARM_UP:
        return share / WARM_UP
    falling = max(0.0, (share - COOL_DOWN) / (1 - COOL_DOWN))
    return 0.5 * (1 + math.cos(math.pi * min(falling, 1.0)))


def train(
    network: nn.Module,
    loss: Loss,
    plan: Plan,
    folder: Path,
    name: str,
) -> None:
    """Train a network for the plan's minutes of each worker and leave the average of its late weights in it.

    Progress is kept in `folder/name.pt` every minute and taken up from there; losses go to `folder/name.jsonl`.
    """
    saved = folder / f"{name}.pt"
    average = copy.deepcopy(network)
    clock, state = Clock(plan.minutes * 60), None
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        clock.before = state["seconds"]
    network.share_memory()
    average.share_memory()
    samples = mp.Value("q", state["samples"] if state else 0)

    def work(number: int) -> None:
        torch.set_num_threads(1)
        clock.start()
        seed = [plan.seed, number, int(clock.before)]
        rng = np.random.default_rng(seed)
        torch.manual_seed(int(rng.integers(2**62)))
        optimizer = torch.optim.AdamW(network.parameters(), betas=BETAS, weight_decay=WEIGHT_DECAY)
        if state:
            optimizer.load_state_dict(state["optimizer"])
        steps = state["steps"] if state else 0
        recorder = Recorder(folder / f"{name}.jsonl", clock, name) if number == 0 else None
        while clock.share < 1:
            optimizer.param_groups[0]["lr"] = plan.learning_rate * rate(clock.share)
            value, count, figures = loss(rng, clock.share)
            optimizer.zero_grad()
            torch.autograd.backward(value)
            nn.utils.clip_grad_norm_(network.parameters(), CLIP)
            optimizer.step()
            with samples.get_lock():
                samples.value += count
            if recorder:
                steps += 1
                follow(average, network, min(EMA, steps / (steps + 10)))
                if recorder.note(samples.value, figures):
                    save(saved, network, average, optimizer, clock.seconds, samples.value, steps)

    run(work, plan.workers)
    network.load_state_dict(average.state_dict())


def run(work: Callable[[int], None], workers: int) -> None:
    """Do the work in so many processes, or here if it takes one; the first that fails ends them all.

    Raises:
        mp.ProcessRaisedException: with the traceback of what failed.
    """
    if workers == 1:
        work(0)
        return
    start_processes(work, nprocs=workers, start_method="fork")  # type: ignore[no-untyped-call]  # torch has no types for it


def follow(average: nn.Module, network: nn.Module, keep: float) -> None:
    """Move the running average towards the present weights, all but a share that it keeps."""
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - keep)


def save(
    path: Path, network: nn.Module, average: nn.Module, optimizer: Any, seconds: float, samples: int, steps: int
) -> None:
    state = {
        "network": network.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
        "seconds": seconds,
        "samples": samples,
        "steps": steps,
    }
    torch.save(state, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


class Recorder:
    """Keeps the log of a stage, a line for each few seconds, and its bar."""

    def __init__(self, path: Path, clock: Clock, name: str) -> None:
        self.path, self.clock = path, clock
        self.bar = tqdm(total=round(clock.budget), initial=round(clock.before), desc=name, unit="s", mininterval=5)
        self.sums: dict[str, list[float]] = {}
        self.written = self.saved = clock.seconds

    def note(self, samples: int, figures: dict[str, float]) -> bool:
        """Take one batch's figures; True when it is time to save."""
        for key, value in figures.items():
            self.sums.setdefault(key, []).append(value)
        now = self.clock.seconds
        if now - self.written >= 5:
            self._write(now, samples)
        if now - self.saved < SAVE_EVERY and now < self.clock.budget:
            return False
        self.saved = now
        return True

    def _write(self, now: float, samples: int) -> None:
        means = {key: round(float(np.mean(values)), 5) for key, values in self.sums.items()}
        with self.path.open("a", encoding="utf-8") as log:
            log.write(json.dumps({"seconds": round(now, 1), "samples": samples, **means}) + "\n")
        self.bar.update(round(min(now, self.clock.budget)) - self.bar.n)
        self.bar.set_postfix({"samples": samples, **means})
        self.sums, self.written = {}, now
