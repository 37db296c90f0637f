"""Gives every request an id (the client's own, if it is valid) and logs the answer."""

import logging
import re
import time
from urllib.parse import quote
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.lenient_requests import route_of
from jobs import logs, traces

log = logging.getLogger(__name__)

HEADER = "X-Request-Id"
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
POLLED_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})  #: machines poll these every few seconds


class Access:
    """The outermost middleware: request id, log line and span of each request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers, status, started = Headers(scope=scope), 500, time.perf_counter()
        asked = headers.get(HEADER, "")
        name = asked if REQUEST_ID.fullmatch(asked) else uuid4().hex

        async def naming(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = name
            await send(message)

        with logs.about(request_id=name), traces.span(scope["method"], headers.get("traceparent")) as span:
            try:
                await self.app(scope, receive, naming)
            finally:
                route = route_of(scope)
                if span is not None:
                    span.update_name(f"{scope['method']} {route or ''}".strip())
                    span.set_attributes({"http.response.status_code": status, **logs.subject()})
                log_request(scope, status, time.perf_counter() - started)


def log_request(scope: Scope, status: int, seconds: float) -> None:
    """Log one line without the query string, which may hold secrets. Polled paths are logged only when they fail."""
    level = logging.DEBUG if scope["path"] in POLLED_PATHS and status < 500 else logging.INFO
    method, path, ms = scope["method"], quote(scope["path"]), round(1000 * seconds, 1)
    known = {"method": method, "path": path, "status": status, "ms": ms}
    log.log(level, "%s %s: %s in %s ms", method, path, status, ms, extra=known)
