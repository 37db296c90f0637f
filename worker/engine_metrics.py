"""Prometheus metrics of a worker's engine."""

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from worker.editors.editor import Device, Iteration

STEP_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
ROW_BOUNDS = (3, 6, 9, 12, 18, 24)
FILL_BOUNDS = (0.25, 0.5, 0.75, 0.9, 1)
SMOOTHING = 0.05  #: weight of the last step in the mean that a worker reports


class EngineMetrics(Collector):
    """What the device computes, and how much memory it has."""

    def __init__(
        self,
        registry: CollectorRegistry,
        device: Callable[[], Device],
        held_jobs: Callable[[], int],
        graphs: Callable[[], int] = lambda: 0,
    ) -> None:
        self.step_seconds: float | None = None  # the mean of the last steps
        self._device = device
        self._held_jobs = held_jobs
        self._graphs = graphs
        self.steps = Histogram(
            "darkroom_engine_step_seconds",
            "Seconds of one denoising step of a batch.",
            buckets=STEP_BOUNDS,
            registry=registry,
        )
        self.rows = Histogram(
            "darkroom_engine_step_rows", "Rows computed in one step.", buckets=ROW_BOUNDS, registry=registry
        )
        self.edits = Histogram(
            "darkroom_engine_step_edits", "Edits that share one step.", buckets=(1, 2, 3, 4, 6, 8), registry=registry
        )
        self.fill = Histogram(
            "darkroom_engine_batch_fill",
            "Rows of a step, as a share of the rows worth computing together.",
            buckets=FILL_BOUNDS,
            registry=registry,
        )
        self.busy = Counter(
            "darkroom_engine_busy_seconds",
            "Seconds for which the device worked, by kind of work.",
            ("work",),
            registry=registry,
        )
        registry.register(self)

    def note(self, iteration: Iteration) -> None:
        """Count one iteration of the device."""
        self.busy.labels("step" if iteration.rows else "call").inc(iteration.seconds)
        if not iteration.rows:
            return
        self.steps.observe(iteration.seconds)
        self.rows.observe(iteration.rows)
        self.edits.observe(iteration.edits)
        self.fill.observe(iteration.rows / iteration.capacity)
        last = iteration.seconds if self.step_seconds is None else self.step_seconds
        self.step_seconds = last + SMOOTHING * (iteration.seconds - last)

    def vitals(self) -> dict[str, Any]:
        """The device, its free memory and its speed, as each heartbeat reports them."""
        device = self._device()
        step = None if self.step_seconds is None else round(self.step_seconds, 4)
        return {"device": device.name, "free_bytes": device.free_bytes, "step_seconds": step}

    def collect(self) -> Iterable[Metric]:
        yield CounterMetricFamily("darkroom_engine_compiled_graphs", "Graphs that were compiled.", self._graphs())
        yield GaugeMetricFamily("darkroom_worker_jobs", "Jobs that this worker holds.", self._held_jobs())
        device = self._device()
        memory = GaugeMetricFamily("darkroom_device_memory_bytes", "Memory of the device.", labels=("device", "kind"))
        for kind, size in (("free", device.free_bytes), ("total", device.total_bytes)):
            if size is not None:
                memory.add_metric((device.name, kind), size)
        yield memory
