"""Prometheus metrics of the web tier: requests as they are answered, calls to S3, and what the records count.

If several processes serve one port, each writes into the folder PROMETHEUS_MULTIPROC_DIR, and each of them can answer
for all.
"""

import os
import time
from contextlib import nullcontext, suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.lenient_requests import route_of
from jobs.metrics import RecordMetrics, StorageMetrics
from jobs.pictures import PictureStore
from jobs.settings import Settings
from jobs.store import JobStore

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # the library's own variable
CLIENT_LEFT = 499  #: nginx's status for a request whose client disconnected before the answer
METHODS = frozenset("GET HEAD POST PUT PATCH DELETE OPTIONS".split())


class RequestMetrics:
    """Counts and times every request by method, route and status."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        labels = ("method", "route", "status")
        self.app = app
        self.requests = Counter("darkroom_http_requests", "Requests answered.", labels, registry=registry)
        self.seconds = Histogram("darkroom_http_seconds", "Seconds to the answer.", labels[:2], registry=registry)
        self.under_way = Gauge(
            "darkroom_http_requests_under_way",
            "Requests that are being answered, streams and waiting ones too.",
            registry=registry,
            multiprocess_mode="livesum",
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, started = 0, time.perf_counter()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = status or message["status"]
            await send(message)

        async def hearing() -> Message:
            nonlocal status
            message = await receive()
            if message["type"] == "http.disconnect":
                status = status or CLIENT_LEFT
            return message

        try:
            with self.under_way.track_inprogress():
                await self.app(scope, hearing, noting)
        finally:
            route = route_of(scope) or "none"
            method = scope["method"] if scope["method"] in METHODS else "other"
            self.requests.labels(method, route, str(status or 500)).inc()
            self.seconds.labels(method, route).observe(time.perf_counter() - started)


def own_registry(pictures: PictureStore) -> CollectorRegistry:
    """The metrics of this process. Makes the folder through which processes share them, if it is set."""
    if folder := os.environ.get(FOLDER):
        Path(folder).mkdir(parents=True, exist_ok=True)
    registry = CollectorRegistry()
    StorageMetrics(registry).watch(pictures.events)
    return registry


def scraped(own: CollectorRegistry, store: JobStore) -> CollectorRegistry:
    """The metrics for a scrape: those of all web processes on this machine, and those of the job records."""
    everything = CollectorRegistry(auto_describe=False)
    if os.environ.get(FOLDER):
        MultiProcessCollector(everything)  # type: ignore[no-untyped-call]
    else:
        everything.register(own)
    everything.register(RecordMetrics(store))
    return everything


def serve(registry: CollectorRegistry, settings: Settings) -> None:
    """Serve metrics without a key from a background thread, if a port is configured.

    If several processes share their metrics, the first one has the port and answers for all.
    """
    if settings.api_metrics_port:
        with suppress(OSError) if os.environ.get(FOLDER) else nullcontext():
            start_http_server(settings.api_metrics_port, settings.metrics_host, registry)


def leave() -> None:
    """Note the end of this process: its counters stay, its gauges do not."""
    if os.environ.get(FOLDER):
        mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]
