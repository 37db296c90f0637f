"""When to retry: after a random, growing wait, and only while retries are few compared with first calls."""

import random
import threading
from collections.abc import Callable
from typing import Any, Self, TypeVar

from redis.backoff import FullJitterBackoff
from redis.retry import Retry

T = TypeVar("T")


def full_jitter(tries: int, *, base: float, cap: float) -> float:
    """Seconds to wait after this many failed tries: random, from 0 to a limit that doubles each time.

    Source: M. Brooker, Exponential Backoff and Jitter, AWS Architecture Blog, 2015.
    """
    return random.uniform(0, min(cap, base * 2.0**tries))  # noqa: S311 - no secret


class Budget:
    """How many retries one dependency gets: one for every ten calls, and ten in reserve.

    A dependency that fails altogether gets a tenth more requests, not twice as many.
    """

    def __init__(self, share: float = 0.1, reserve: float = 10.0) -> None:
        self._share = share
        self._reserve = self._left = reserve
        self._lock = threading.Lock()

    def earn(self) -> None:
        """Count a first call."""
        with self._lock:
            self._left = min(self._reserve, self._left + self._share)

    def spend(self) -> bool:
        """Take a retry from the budget; False: none is left."""
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True

    def __deepcopy__(self, _: dict[int, Any]) -> Self:
        return self  # one for all connections


class RedisRetry(Retry):
    """One more try after a lost connection or a late answer, from the budget. Our calls are safe to repeat."""

    def __init__(self, budget: Budget | None = None) -> None:
        super().__init__(FullJitterBackoff(cap=0.2, base=0.05), 1)
        self._budget = budget or Budget()

    def call_with_retry(
        self,
        do: Callable[[], T],
        fail: Callable[..., Any],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> T:
        self._budget.earn()

        def failing(error: Exception, *count: int) -> None:
            fail(error, *count)
            if not self._budget.spend():
                raise error

        return super().call_with_retry(do, failing, is_retryable, with_failure_count)
