"""Slow clients: slow headers, slow bodies, slow reads. Each uses one of many addresses of this machine."""

import asyncio
import contextlib
import itertools
import socket
from collections import Counter
from dataclasses import dataclass, field

ADDRESSES = [f"127.0.0.{last}" for last in range(2, 42)]  # so that a limit for one address is not what stops them
PAUSE = 2.0  #: seconds between two pieces


@dataclass
class Attack:
    """So many slow clients of each kind, until it is stopped. `outcomes` counts how each ended."""

    port: int
    heads: int
    bodies: int
    reads: int
    key: str
    outcomes: Counter[str] = field(default_factory=Counter)
    _addresses: "itertools.cycle[str]" = field(default_factory=lambda: itertools.cycle(ADDRESSES))

    def __post_init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Attack":
        for kind, count in ((self._head, self.heads), (self._body, self.bodies), (self._read, self.reads)):
            for _ in range(count):
                self._tasks.append(asyncio.create_task(self._count(kind)))
                await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def still_there(self) -> int:
        return sum(not task.done() for task in self._tasks)

    async def _count(self, kind) -> None:  # type: ignore[no-untyped-def]
        name = kind.__name__.strip("_")
        try:
            self.outcomes[f"{name}: {await kind()}"] += 1
        except OSError as error:
            self.outcomes[f"{name}: {type(error).__name__}"] += 1
        except asyncio.CancelledError:
            self.outcomes[f"{name}: held to the end"] += 1
            raise

    @contextlib.asynccontextmanager
    async def _connection(self, receive_buffer: int | None = None):  # type: ignore[no-untyped-def]
        probe = socket.socket()
        probe.setblocking(False)
        if receive_buffer:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        probe.bind((next(self._addresses), 0))
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(probe, ("127.0.0.1", self.port))
            yield loop, probe
        finally:
            probe.close()

    async def _trickle(self, head: bytes, piece: bytes) -> str:
        async with self._connection() as (loop, probe):
            await loop.sock_sendall(probe, head)
            while True:
                await loop.sock_sendall(probe, piece)
                with contextlib.suppress(TimeoutError):
                    answer = await asyncio.wait_for(loop.sock_recv(probe, 100), PAUSE)
                    return answer.split(b"\r\n")[0].decode() or "hung up on"

    async def _head(self) -> str:
        return await self._trickle(b"GET /v1/queue HTTP/1.1\r\nHost: localhost\r\n", b"X-Slow: 1\r\n")

    async def _body(self) -> str:
        head = (
            f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self.key}\r\n"
            "Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"
        )
        return await self._trickle(head.encode(), b" ")

    async def _read(self) -> str:
        async with self._connection(receive_buffer=2048) as (loop, probe):
            await loop.sock_sendall(probe, b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
            while await loop.sock_recv(probe, 20):
                await asyncio.sleep(PAUSE)
            return "hung up on"
