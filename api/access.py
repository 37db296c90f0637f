"""Names every request, by the client's own name for it if that is a fair one, and logs how it was answered."""

import logging
import re
import time
from urllib.parse import quote
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobs import logs, traces

log = logging.getLogger(__name__)

HEADER = "X-Request-Id"
FAIR = re.compile(r"[A-Za-z0-9._-]{1,64}")
ROUTINE = frozenset({"/healthz", "/readyz", "/metrics"})  #: asked every few seconds by machines


class Access:
    """The outermost part of the app: request id, log line and span of each request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers, status, started = Headers(scope=scope), 500, time.perf_counter()
        asked = headers.get(HEADER, "")
        name = asked if FAIR.fullmatch(asked) else uuid4().hex

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
                route = getattr(scope.get("route"), "path", None)
                if span is not None:
                    span.update_name(f"{scope['method']} {route or ''}".strip())
                    span.set_attributes({"http.response.status_code": status, **logs.subject()})
                tell(scope, status, time.perf_counter() - started)


def tell(scope: Scope, status: int, seconds: float) -> None:
    """One line of the log; what machines ask all the time only when it goes wrong. Queries may hold secrets."""
    level = logging.DEBUG if scope["path"] in ROUTINE and status < 500 else logging.INFO
    method, path, ms = scope["method"], quote(scope["path"]), round(1000 * seconds, 1)
    known = {"method": method, "path": path, "status": status, "ms": ms}
    log.log(level, "%s %s: %s in %s ms", method, path, status, ms, extra=known)
