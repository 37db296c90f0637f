"""A small TCP proxy between the service and Redis or S3, which a test tells how to fail."""

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum

from darkroom.local.ports import free_ports

CHUNK = 65_536


class Mode(StrEnum):
    """What the proxy does with the bytes."""

    THROUGH = "through"
    DROP_REPLIES = "drop replies"  # requests are executed, but their replies are dropped
    DELAY = "delay"  # each reply is delayed by `seconds`
    RESET = "reset"  # open and new connections are closed
    BLACK_HOLE = "black hole"  # all bytes are dropped, and connections stay open
    UNAVAILABLE = "unavailable"  # an HTTP 503 for every request
    TRUNCATE = "truncate"  # every reply, and every request above a few hundred bytes, is cut in half


REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Proxy:
    """Passes bytes on between `port` and `target`, as its `mode` says; it may be changed at any time.

    `watch` is asked before each request's bytes are sent on; it may count them, or kill somebody.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        (self.port,) = free_ports(1)
        self.mode = Mode.THROUGH
        self.seconds = 1.0
        self.watch: Callable[[bytes], None] = lambda _: None
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True, name="proxy")
        self._thread.start()
        ready.wait(10)

    def be(self, mode: Mode) -> None:
        """Change the mode. RESET also closes open connections."""
        self.mode = mode
        if mode is Mode.RESET:
            self._loop.call_soon_threadsafe(self._cut)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        listen = asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=512)
        server = self._loop.run_until_complete(listen)
        ready.set()
        self._loop.run_forever()
        server.close()
        self._loop.run_until_complete(self._leave())
        self._loop.close()

    async def _leave(self) -> None:
        self._cut()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _cut(self) -> None:
        for writer in list(self._writers):
            sock = writer.get_extra_info("socket")
            if sock:
                with suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            writer.transport.abort()

    async def _serve(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        if self.mode is Mode.RESET:
            back.transport.abort()
            return
        try:
            far, on = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            back.transport.abort()
            return
        self._writers |= {back, on}
        try:
            ways = (self._requests(near, on, back), self._replies(far, back))
            tasks = [asyncio.ensure_future(way) for way in ways]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            self._writers -= {back, on}
            for writer in (back, on):
                writer.close()

    async def _requests(self, near: asyncio.StreamReader, on: asyncio.StreamWriter, back: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await near.read(CHUNK):
                self.watch(data)
                if self.mode is Mode.UNAVAILABLE:
                    back.write(REFUSAL)
                    await back.drain()
                    return
                if self.mode is Mode.BLACK_HOLE:
                    continue
                if self.mode is Mode.TRUNCATE and len(data) > 600:
                    on.write(data[: len(data) // 2])
                    await on.drain()
                    return
                on.write(data)
                await on.drain()

    async def _replies(self, far: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await far.read(CHUNK):
                if self.mode is Mode.DELAY:
                    await asyncio.sleep(self.seconds)
                if self.mode in (Mode.DROP_REPLIES, Mode.BLACK_HOLE):
                    continue
                if self.mode is Mode.TRUNCATE and len(data) > 600:
                    back.write(data[: len(data) // 2])
                    await back.drain()
                    return
                back.write(data)
                await back.drain()
