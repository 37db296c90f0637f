"""HTTP for the web tier: uvicorn's protocol with limits on headers, times and unread answers.

uvicorn uses it with `--http api.http_limits:BoundedHttp`.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

ONCE = {b"authorization", b"content-type", b"host", b"idempotency-key", b"last-event-id"}  # each at most once


class BoundedHttp(HttpToolsProtocol):
    """Closes a connection with too large or ambiguous headers, a slow request, or an answer that is not read."""

    head_bytes = 65_536
    head_seconds = 10.0  #: seconds from the connection, or a request's first byte, to the end of its headers
    body_seconds = 300.0  #: seconds from there to the end of its body
    stalled_seconds = 60.0  #: seconds that a client may leave an answer unread

    _timer: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None
    _in_head = True
    _seen = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_more(self.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._await_more(None)
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._seen += len(data) if self._in_head else 0
        super().data_received(data)
        if self._in_head and self._seen > self.head_bytes:
            self._refuse(431)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._await_more(self.head_seconds)

    def on_headers_complete(self) -> None:
        names = [name for name, _ in self.headers]
        if sum(len(name) + len(value) for name, value in self.headers) + len(self.url) > self.head_bytes:
            raise ValueError("the head is too large")  # the parser stops, and uvicorn answers 400
        if any(names.count(name) > 1 for name in ONCE.intersection(names)):
            raise ValueError("a header that can only be meant once came twice")
        self._in_head, self._seen = False, 0
        self._await_more(self.body_seconds)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        self._await_more(None)
        super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(self.stalled_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        if self._stalled:
            self._stalled.cancel()
        super().resume_writing()

    def _await_more(self, seconds: float | None) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = None if seconds is None else self.loop.call_later(seconds, self._refuse, 408)

    def _refuse(self, status: int) -> None:
        """Answer with the error, unless an answer has begun already, and close the connection."""
        if self.transport.is_closing():
            return
        cycle: Any = self.cycle
        if cycle is not None and cycle.response_started and not cycle.response_complete:
            self.transport.abort()
            return
        if (
            self._seen if self._in_head else not cycle.response_complete
        ):  # otherwise no request is open, or its answer is complete
            self.transport.write(STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()
