"""An httpx transport that calls an ASGI app in this process and passes the answer on while it is being produced.

httpx's own ASGI transport waits for the whole answer, so a stream of events would never begin.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import httpx
from starlette.types import ASGIApp, Message


class InProcess(httpx.AsyncBaseTransport):
    """Calls `app`. `base` holds the parts of the ASGI scope that describe the connection: client, server and scheme."""

    def __init__(self, app: ASGIApp, base: dict[str, Any]) -> None:
        self._app = app
        self._base = base

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": request.method,
            "path": request.url.path,
            "raw_path": request.url.raw_path.partition(b"?")[0],
            "query_string": request.url.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            **self._base,
        }
        call = Call(self._app, scope, await request.aread())
        start = await call.start()
        return httpx.Response(start["status"], headers=start["headers"], stream=call)


class Call(httpx.AsyncByteStream):
    """One request to the app. It yields the start of the answer first, and then the body as it is produced."""

    under_way: ClassVar[set[asyncio.Task[None]]] = set()  #: asyncio keeps only weak references to tasks

    def __init__(self, app: ASGIApp, scope: dict[str, Any], body: bytes) -> None:
        self._messages: asyncio.Queue[Message | Exception] = asyncio.Queue(1)
        self._body: bytes | None = body
        self._gone = asyncio.Event()
        self._whole = False
        self._task = asyncio.create_task(self._run(app, scope))
        self.under_way.add(self._task)
        self._task.add_done_callback(self.under_way.discard)

    async def start(self) -> Message:
        """The status and headers of the answer.

        Raises:
            Exception: the app raised it.
        """
        try:
            return await self._next()
        except BaseException:
            await self.aclose()
            raise

    async def __aiter__(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self._next()
            more = message.get("more_body", False)
            if body := message.get("body"):
                yield body

    async def aclose(self) -> None:
        """Stop the app if its answer is incomplete. After a complete answer it may still run background tasks."""
        self._gone.set()
        if not self._whole:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _next(self) -> Message:
        message = await self._messages.get()
        if isinstance(message, Exception):
            raise message
        return message

    async def _run(self, app: ASGIApp, scope: dict[str, Any]) -> None:
        error: Exception = RuntimeError("the app returned an incomplete answer")
        try:
            await app(scope, self._receive, self._send)
        except Exception as raised:
            if self._whole:
                raise
            error = raised
        if not self._whole:
            await self._messages.put(error)

    async def _send(self, message: Message) -> None:
        await self._messages.put(message)
        self._whole = message["type"] == "http.response.body" and not message.get("more_body")

    async def _receive(self) -> Message:
        body, self._body = self._body, None
        if body is not None:
            return {"type": "http.request", "body": body}
        await self._gone.wait()
        return {"type": "http.disconnect"}
