"""Slots for work that foreign servers can make slow, shared fairly between tenants."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from jobs.errors import Unavailable


class FairSlots:
    """Slots, of which one tenant gets at most `each`. A free slot goes to the tenant that has the fewest."""

    def __init__(self, in_all: int, each: int) -> None:
        self._in_all = in_all
        self._each = each
        self.taken: Counter[str] = Counter()
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []  # in the order in which they came

    @asynccontextmanager
    async def slot(self, tenant: str, *, seconds: float) -> AsyncIterator[None]:
        """Hold one slot while the block runs.

        Raises:
            Unavailable: no slot was free within `seconds`.
        """
        await self.acquire(tenant, seconds=seconds)
        try:
            yield
        finally:
            self.release(tenant)

    async def acquire(self, tenant: str, *, seconds: float) -> None:
        """Take a slot until `release`. Raises what `slot` raises."""
        entry = (tenant, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        self._hand_out()
        try:
            async with asyncio.timeout(seconds):
                await entry[1]
        except BaseException as error:
            if entry in self._waiting:
                self._waiting.remove(entry)
            else:  # it got a slot at the last moment
                self.release(tenant)
            if isinstance(error, TimeoutError):
                raise Unavailable("Too many addresses are being asked at the moment.") from None
            raise

    def release(self, tenant: str) -> None:
        """Give a slot back."""
        self.taken[tenant] -= 1
        self.taken += Counter()  # forget who has none
        self._hand_out()

    def _hand_out(self) -> None:
        while self.taken.total() < self._in_all and (entry := self._next()):
            self._waiting.remove(entry)
            self.taken[entry[0]] += 1
            entry[1].set_result(None)

    def _next(self) -> tuple[str, asyncio.Future[None]] | None:
        may = [entry for entry in self._waiting if self.taken[entry[0]] < self._each and not entry[1].cancelled()]
        return min(may, key=lambda entry: self.taken[entry[0]], default=None)
