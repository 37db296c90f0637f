"""Separate threads for work that may wait long, so that it does not hold threads that other requests need."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread

from jobs.errors import Unavailable

T = TypeVar("T")
P = ParamSpec("P")


class Threads:
    """A number of threads for one kind of work, which starts in the order of the calls."""

    def __init__(self, threads: int, patience: float) -> None:
        self._slots = asyncio.Semaphore(threads)
        self._limiter = CapacityLimiter(threads)  # only keeps this work apart from the usual limiter
        self._patience = patience

    async def run(self, work: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        """Do the work in one of the threads.

        Raises:
            Unavailable: no thread was free within `patience` seconds.
        """
        try:
            async with asyncio.timeout(self._patience):
                await self._slots.acquire()
        except TimeoutError:
            raise Unavailable("Too many pictures are being read at the moment.") from None
        try:
            return await to_thread.run_sync(lambda: work(*args, **options), limiter=self._limiter)
        finally:
            self._slots.release()
