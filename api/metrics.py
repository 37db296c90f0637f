"""Prometheus metrics: requests as they are answered, the queue as it is when asked."""

import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobs.errors import RecordsUnavailable
from jobs.store import JobStore


class RequestMetrics:
    """Counts and times every request by method, route and status."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        labels = ("method", "route", "status")
        self.app = app
        self.requests = Counter("darkroom_http_requests", "Requests answered.", labels, registry=registry)
        self.seconds = Histogram("darkroom_http_seconds", "Seconds to the answer.", labels[:2], registry=registry)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, started = 500, time.perf_counter()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noting)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if scope["method"] in METHODS else "other"
            self.requests.labels(method, route, str(status)).inc()
            self.seconds.labels(method, route).observe(time.perf_counter() - started)


METHODS = frozenset("GET HEAD POST PUT PATCH DELETE OPTIONS".split())


class QueueMetrics:
    """The queue at the moment of the scrape; absent while Redis does not answer."""

    def __init__(self, store: JobStore) -> None:
        self.store = store

    @classmethod
    def joined(cls, registry: CollectorRegistry, store: JobStore) -> CollectorRegistry:
        """What a scrape reads: the process's own metrics and the queue's."""
        both = CollectorRegistry(auto_describe=False)
        both.register(registry)
        both.register(cls(store))
        return both

    def collect(self) -> Iterable[GaugeMetricFamily]:
        try:
            queue = self.store.queue()
        except RecordsUnavailable:
            yield GaugeMetricFamily("darkroom_redis_up", "Whether Redis answers.", 0)
            return
        yield GaugeMetricFamily("darkroom_redis_up", "Whether Redis answers.", 1)
        yield GaugeMetricFamily("darkroom_jobs_queued", "Jobs that wait.", queue.queued)
        yield GaugeMetricFamily("darkroom_jobs_running", "Jobs in workers' hands.", queue.running)
        yield GaugeMetricFamily("darkroom_queue_oldest_seconds", "Age of the next job.", queue.oldest_seconds)
        yield GaugeMetricFamily("darkroom_workers", "Workers alive.", queue.workers)
        yield GaugeMetricFamily("darkroom_slots", "Jobs that they can hold.", queue.slots)
