"""Prometheus metrics of one worker or keeper, on a port of its own."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from jobs.metrics import StorageMetrics
from jobs.pictures import PictureStore
from jobs.settings import Settings
from jobs.version import version

DELIVERY_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30)


class KeeperMetrics:
    """The keeper's rounds, and the outcome of each webhook attempt."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.rounds = Histogram("darkroom_keeper_round_seconds", "Seconds of one round.", registry=registry)
        self.taken_back = Counter(
            "darkroom_jobs_taken_back", "Jobs taken from workers that stopped answering.", registry=registry
        )
        self.deliveries = Histogram(
            "darkroom_webhook_attempt_seconds",
            "Seconds of one webhook attempt, by its outcome.",
            ("outcome",),
            buckets=DELIVERY_BOUNDS,
            registry=registry,
        )


def registry_of(process: str, pictures: PictureStore) -> CollectorRegistry:
    """The metrics that every process has: itself, and its calls to S3."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    StorageMetrics(registry).watch(pictures.events)
    registry.register(ProcessInfo(process))
    return registry


class ProcessInfo(Collector):
    """The name and version of the process."""

    def __init__(self, process: str) -> None:
        self._labels = (process, version())

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "darkroom_process_info",
            "Always 1; the labels name the process and its version.",
            labels=("process", "version"),
        )
        family.add_metric(self._labels, 1)
        yield family


def serve_metrics(registry: CollectorRegistry, port: int, settings: Settings) -> None:
    """Serve metrics from a background thread, if a port is configured."""
    if port:
        start_http_server(port, settings.metrics_host, registry)
