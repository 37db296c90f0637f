"""The device as a line of work: when given work ends, and copies that do not wait for it.

On a GPU a call returns once its work is in the device's queue. So a clock on the wall measures how long queueing took.
A `Mark` is a point in that queue: it can be waited for, and the time between two of them is the device's own.
"""

import time
from dataclasses import dataclass
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from pipeline.errors import PipelineError


class Mark(Protocol):
    """A point in the device's queue."""

    def wait(self) -> None:
        """Return once the device has done all work that was given before this point."""

    def since(self, earlier: Self) -> float:
        """Seconds that the device took from an earlier mark to this one; wait for this one first."""


class Timeline(Protocol):
    """A device that does its work in the order in which it is given."""

    def mark(self) -> Mark:
        """The point behind all work given so far."""


@dataclass(frozen=True)
class Moment:
    """A mark of a device whose calls return when their work is done: the wall clock's time."""

    seconds: float

    def wait(self) -> None:
        pass

    def since(self, earlier: "Moment") -> float:
        return self.seconds - earlier.seconds


class CPUTimeline:
    """The CPU, where a call returns when its work is done."""

    def mark(self) -> Moment:
        return Moment(time.perf_counter())


@dataclass(frozen=True)
class EventMark:
    """A mark by an event of torch.cuda or torch.mps, which share an interface."""

    event: Any

    def wait(self) -> None:
        self.event.synchronize()

    def since(self, earlier: "EventMark") -> float:
        return float(earlier.event.elapsed_time(self.event)) / 1000


class EventTimeline:
    """A GPU, which works on its own while Python goes on."""

    def __init__(self, device: torch.device) -> None:
        self._event = torch.mps.Event if device.type == "mps" else torch.cuda.Event

    def mark(self) -> EventMark:
        event = self._event(enable_timing=True)
        event.record()
        return EventMark(event)


def timeline_of(device: torch.device) -> Timeline:
    return EventTimeline(device) if device.type in ("cuda", "mps") else CPUTimeline()


def choose_device(name: str) -> torch.device:
    """The device of a name: `auto` (the first GPU, or the CPU), `cpu`, `cuda`, `cuda:1`, `mps`.

    Raises:
        PipelineError: there is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise PipelineError(f"{name} must be auto, cpu, cuda, cuda:N or mps", field="device") from None
    if device.type == "cuda" and torch.cuda.is_available():
        count, device = torch.cuda.device_count(), torch.device("cuda", device.index or 0)
        if device.index >= count:
            raise PipelineError(f"there is no {name}, only {count} GPUs", field="device")
    elif device.type == "cuda":
        raise PipelineError(f"there is no {name}: PyTorch finds no GPU", field="device")
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise PipelineError(f"there is no {name}: PyTorch does not find it", field="device")
    return device


def tune(device: torch.device, *, exact: bool) -> None:
    """Have CUDA choose its fastest convolutions and, unless `exact`, multiply float32 with the precision of TF32."""
    if device.type != "cuda":
        return
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = not exact
    torch.set_float32_matmul_precision("highest" if exact else "high")


def upload(values: Tensor, device: torch.device) -> Tensor:
    """A CPU tensor on the device, in one copy, queued behind the work given so far."""
    if device.type == "cuda":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def download(values: Tensor) -> Tensor:
    """A tensor on the CPU, in one copy. On a GPU its values are there once a later mark was waited for."""
    if values.device.type == "cuda":
        return torch.empty_like(values, device="cpu", pin_memory=True).copy_(values, non_blocking=True)
    return values.cpu()


def free_bytes(device: torch.device) -> int:
    """Bytes that a CUDA device has left for tensors: the driver's, and those that PyTorch holds without using them."""
    return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
