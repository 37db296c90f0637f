"""Prometheus metrics that are the same wherever they are asked for: what the records count and hold.

Several processes may expose them, so queries take `max` over the instances, never `sum`. Metrics of one process are in
`api/metrics.py` and `worker/metrics.py`.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from jobs.errors import RecordsUnavailable
from jobs.store import JobStore

Families = Iterable[Any]
Counts = Mapping[tuple[str, ...], int]

S3_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20)


class RecordMetrics(Collector):
    """Read at the moment of the scrape; only `darkroom_redis_up` while Redis does not answer."""

    def __init__(self, store: JobStore) -> None:
        self.store = store

    def collect(self) -> Families:
        try:
            families = [*self._queue(), *self._memory(), *_counters(self.store.counts())]
        except RecordsUnavailable:
            families = []
        yield GaugeMetricFamily("darkroom_redis_up", "Whether Redis answers.", 1 if families else 0)
        yield from families

    def _queue(self) -> Families:
        queue = self.store.queue()
        for status, text in OF_STATUS.items():
            family = GaugeMetricFamily(f"darkroom_jobs_{status}", text, labels=("model", "priority"))
            for (kind, *labels), number in self.store.census().items():
                if kind == status:
                    family.add_metric(labels, max(0, number))
            yield family
        yield GaugeMetricFamily("darkroom_queue_oldest_seconds", "Age of the next job.", queue.oldest_seconds)
        if queue.estimated_wait_seconds is not None:
            yield GaugeMetricFamily(
                "darkroom_queue_wait_seconds", "Estimated time until all is done.", queue.estimated_wait_seconds
            )
        yield from self._models()
        yield GaugeMetricFamily("darkroom_workers", "Workers alive.", queue.workers)
        yield GaugeMetricFamily("darkroom_slots", "Jobs that they can hold.", queue.slots)
        yield GaugeMetricFamily("darkroom_queue_paused", "Whether nothing is claimed.", queue.paused)
        if eta_accuracy := self.store.eta_accuracy():
            yield GaugeMetricFamily(
                "darkroom_eta_error_seconds",
                "Median error of the estimates for the last finished jobs.",
                eta_accuracy.median_error_seconds,
            )
        backlogs = self.store.backlogs()
        for name, text in BACKLOGS.items():
            yield GaugeMetricFamily(f"darkroom_{name}", text, backlogs[name])

    def _models(self) -> Families:
        families = {
            name: GaugeMetricFamily(f"darkroom_model_{name}", text, labels=("model",))
            for name, text in OF_MODELS.items()
        }
        for model, queue in self.store.model_queues().items():
            for name, family in families.items():
                value = getattr(queue, "estimated_wait_seconds" if name == "wait_seconds" else name)
                if value is not None:
                    family.add_metric([model], value)
        yield from families.values()

    def _memory(self) -> Families:
        used, limit = self.store.memory()
        yield GaugeMetricFamily("darkroom_redis_memory_bytes", "Memory that Redis uses.", used)
        if limit:
            yield GaugeMetricFamily("darkroom_redis_memory_limit_bytes", "Its limit.", limit)


class TenantMetrics(Collector):
    """What one tenant may know: how many jobs it has, by their status."""

    def __init__(self, store: JobStore, tenant: str) -> None:
        self.store = store
        self.tenant = tenant

    def collect(self) -> Families:
        family = GaugeMetricFamily("darkroom_tenant_jobs", "Your jobs that are kept.", labels=("status",))
        for status, number in self.store.count_by_status(self.tenant).items():
            family.add_metric([status], number)
        yield family


OF_STATUS = {"queued": "Jobs that wait.", "running": "Jobs that workers hold."}
OF_MODELS = {
    "edits": "Edits of the model that wait or run, for an autoscaler.",
    "oldest_seconds": "Age of the model's next job.",
    "wait_seconds": "Estimated time until all is done that waits for the same workers.",
    "workers": "Workers alive that serve the model.",
    "slots": "Jobs that these can hold.",
}
BACKLOGS = {
    "dead_letters": "Jobs that failed through no fault of their client, and are still kept.",
    "unwritten_ends": "Ended jobs of which the bucket does not know yet.",
    "unemptied_folders": "Folders of removed jobs that are still to be emptied.",
    "webhook_receivers_waiting": "Receivers with messages not yet delivered.",
    "webhook_overdue_seconds": "For how long the most overdue message could have been sent.",
}
COUNTERS = {
    "submitted": ("darkroom_jobs_submitted", "Jobs accepted.", ("model", "priority")),
    "ended": ("darkroom_jobs_ended", "Jobs ended.", ("status", "model")),
    "failed": ("darkroom_jobs_failed", "Jobs that failed, by the type of their error.", ("error",)),
    "messages": ("darkroom_webhook_messages", "Messages written for webhooks.", ("type",)),
    "message_ends": ("darkroom_webhook_messages_ended", "Messages delivered or given up.", ("status",)),
    "attempts": ("darkroom_attempts", "Workers' turns at jobs that ended, and how.", ("outcome",)),
}


def _counters(counts: Counts) -> Families:
    families = {
        name: CounterMetricFamily(metric, text, labels=labels) for name, (metric, text, labels) in COUNTERS.items()
    }
    for (name, *labels), number in counts.items():
        if name in families:
            families[name].add_metric(labels, number)
    yield from families.values()
    yield _phases(counts)


def _phases(counts: Counts) -> HistogramMetricFamily:
    """The durations, whose buckets are counted apart; Prometheus wants each to hold those below it."""
    family = HistogramMetricFamily(
        "darkroom_job_seconds", "Where jobs' time goes: queued, load, run, upload, total.", labels=("phase",)
    )
    buckets: defaultdict[str, dict[float, int]] = defaultdict(dict)
    for name, number in counts.items():
        if name[0] == "phase":
            buckets[name[1]][float(name[2])] = number
    for phase, found in buckets.items():
        below, cumulated = 0, []
        for bound in sorted({*found, *PHASE_BOUNDS, float("inf")}):
            below += found.get(bound, 0)
            cumulated.append(("+Inf" if bound == float("inf") else str(bound), below))
        family.add_metric([phase], cumulated, counts.get(("phase_ms", phase), 0) / 1000)
    return family


PHASE_BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


class StorageMetrics:
    """Times every call to S3 until its answer's head is there, by operation and outcome."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.seconds = Histogram(
            "darkroom_storage_seconds",
            "Seconds of a call to S3.",
            ("operation", "outcome"),
            buckets=S3_BOUNDS,
            registry=registry,
        )

    def watch(self, events: Any) -> None:
        """Time the calls of a boto3 client, whose `meta.events` these are."""
        events.register("before-call.s3", self._begin)
        events.register("after-call.s3", self._end)
        events.register("after-call-error.s3", self._break)

    def _begin(self, context: dict[str, Any], **_: Any) -> None:
        context["darkroom_began"] = time.perf_counter()

    def _end(self, model: Any, context: dict[str, Any], http_response: Any, **_: Any) -> None:
        self._note(model, context, "ok" if http_response.status_code < 500 else "error")

    def _break(self, event_name: str, context: dict[str, Any], **_: Any) -> None:
        self._note(event_name.rsplit(".", 1)[1], context, "error")

    def _note(self, operation: Any, context: dict[str, Any], outcome: str) -> None:
        name = operation if isinstance(operation, str) else operation.name
        self.seconds.labels(name, outcome).observe(time.perf_counter() - context["darkroom_began"])
