"""A device that works on its own, as a GPU does, for machines without one. Work is queued and takes its time."""

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class FakeMark:
    """A point in the queue: when the device will reach it, and how long it will have worked by then."""

    at: float
    busy: float

    def wait(self) -> None:
        time.sleep(max(0.0, self.at - time.perf_counter()))

    def since(self, earlier: "FakeMark") -> float:
        return self.busy - earlier.busy


class FakeDevice:
    """A timeline whose work is only waiting. `busy` is the total time that it has worked."""

    def __init__(self) -> None:
        self._ends = 0.0
        self.busy = 0.0

    def work(self, seconds: float) -> None:
        """Queue work. Returns at once."""
        self._ends = max(self._ends, time.perf_counter()) + seconds
        self.busy += seconds

    def mark(self) -> FakeMark:
        return FakeMark(max(self._ends, time.perf_counter()), self.busy)
