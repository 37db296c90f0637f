"""FairSlots for what strangers' servers can make slow, shared out fairly between tenants."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from jobs.errors import Unavailable


class FairSlots:
    """So many places in all, of which one tenant has at most `each`; a free one goes to who has the fewest."""

    def __init__(self, in_all: int, each: int) -> None:
        self._in_all = in_all
        self._each = each
        self.taken: Counter[str] = Counter()
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []  # in the order in which they came

    @asynccontextmanager
    async def slot(self, tenant: str, *, seconds: float) -> AsyncIterator[None]:
        """One place, for as long as it is entered.

        Raises:
            Unavailable: there was none in so many seconds.
        """
        await self.acquire(tenant, seconds=seconds)
        try:
            yield
        finally:
            self.release(tenant)

    async def acquire(self, tenant: str, *, seconds: float) -> None:
        """Take a place that `give_back` ends; raises Unavailable as `place` does."""
        entry = (tenant, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        self._hand_out()
        try:
            async with asyncio.timeout(seconds):
                await entry[1]
        except BaseException as error:
            if entry in self._waiting:
                self._waiting.remove(entry)
            else:  # it was given one at the last moment
                self.release(tenant)
            if isinstance(error, TimeoutError):
                raise Unavailable("Too many addresses are being asked at the moment.") from None
            raise

    def release(self, tenant: str) -> None:
        """End what `take` began."""
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
