"""Traces by OpenTelemetry, from a client's request through the worker to its webhook.

`OTEL_EXPORTER_OTLP_ENDPOINT` turns them on and says where to send them (OTLP over HTTP; the library reads its other
variables, too). Without it the library is not imported, and a span costs one comparison.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jobs.proxies import is_loopback
from jobs.version import version

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
MISSING = f"{ENDPOINT} is set, but OpenTelemetry is not installed; in a clone: pip install '.[tracing]'"

_tracer: Any = None


def set_up(process: str) -> None:
    """Send this process's spans, if traces are on.

    Raises:
        SystemExit: they are on, and the packages are missing.
    """
    global _tracer
    if not os.environ.get(ENDPOINT):
        return
    try:
        import requests
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise SystemExit(MISSING) from None
    named = {"service.name": f"darkroom-{process}", "service.version": version()}
    provider = TracerProvider(resource=Resource.create(named))
    direct = requests.Session() if is_loopback(os.environ[ENDPOINT]) else None
    if direct:
        direct.trust_env = False
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(session=direct)))
    _tracer = provider.get_tracer("darkroom")


@contextmanager
def span(name: str, parent: str | None = None, **attributes: str | int) -> Iterator[Any]:
    """A span for one piece of work: a child of the surrounding span, or of the one that a W3C `traceparent` names.

    Yields the library's span, or None where traces are off.
    """
    if _tracer is None:
        yield None
        return
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = TraceContextTextMapPropagator().extract({"traceparent": parent}) if parent else None
    with _tracer.start_as_current_span(name, context, attributes=attributes) as current:
        yield current


def traceparent() -> str | None:
    """The current span as a W3C `traceparent`, for other processes; None where traces are off."""
    if _tracer is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")


def flush() -> None:
    """Send all remaining spans, before a process ends by `os._exit`."""
    if _tracer is not None:
        _tracer.span_processor.force_flush(2000)
