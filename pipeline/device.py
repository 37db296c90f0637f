"""The device as a queue of work: when work ends, and copies that do not wait for the queue.

On a GPU a call returns once its work is queued, so the wall clock measures only how long queueing took. A `Mark` is a
point in the queue: a thread can wait for it, and the time between two marks is the device's own.
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
        """Return once the device has done all work that was queued before this point."""

    def since(self, earlier: Self) -> float:
        """Seconds that the device took between an earlier mark and this one. Wait for this one first."""


class Timeline(Protocol):
    """A device that does its work in the order of queueing."""

    def mark(self) -> Mark:
        """Mark the point after all work queued so far."""


@dataclass(frozen=True)
class Moment:
    """A mark of a device whose calls return when their work is done: the time of the wall clock."""

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
    """A mark made of an event of torch.cuda or torch.mps, which have the same interface."""

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
    """The device for a name: `auto` (the first GPU, otherwise the CPU), `cpu`, `cuda`, `cuda:1` or `mps`.

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
    """Let CUDA choose its fastest convolutions and, unless `exact`, multiply float32 with the precision of TF32."""
    if device.type != "cuda":
        return
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = not exact
    torch.set_float32_matmul_precision("highest" if exact else "high")


def upload(values: Tensor, device: torch.device) -> Tensor:
    """Copy a CPU tensor to the device in one copy, queued after the work so far."""
    if device.type == "cuda":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def download(values: Tensor) -> Tensor:
    """Copy a tensor to the CPU in one copy. On a GPU the values are complete only after waiting for a later mark."""
    if values.device.type == "cuda":
        return torch.empty_like(values, device="cpu", pin_memory=True).copy_(values, non_blocking=True)
    return values.cpu()


def free_bytes(device: torch.device) -> int:
    """Free bytes of a CUDA device: those that the driver reports, and those that PyTorch holds without using them."""
    return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
