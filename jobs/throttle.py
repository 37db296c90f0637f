"""How many requests a key may make: a token bucket for each key and kind of request, in Redis."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from jobs.scripts import reaching_redis, script_source

WINDOW_SECONDS = 60


@dataclass(frozen=True)
class Allowance:
    """The state of a bucket after a request; `allowed` says whether the request fitted."""

    kind: str
    limit: int
    allowed: bool
    remaining: int
    full_in_seconds: int
    retry_after: int

    def headers(self) -> dict[str, str]:
        """The fields of the IETF draft `draft-ietf-httpapi-ratelimit-headers`."""
        seconds = self.full_in_seconds if self.allowed else self.retry_after
        return {
            "RateLimit-Policy": f'"{self.kind}";q={self.limit};w={WINDOW_SECONDS}',
            "RateLimit": f'"{self.kind}";r={self.remaining};t={seconds}',
        }


@dataclass(frozen=True)
class Counted:
    """A request that counts against the allowance of a caller.

    `per_minute` is the limit, unless an operator has set another for the caller's tenant.
    """

    caller: str
    kind: str
    per_minute: int

    @property
    def arguments(self) -> tuple[str, int]:
        """The arguments of the scripts: the bucket's name and its size."""
        return f"{self.caller}:{self.kind}", self.per_minute

    @property
    def limit_name(self) -> str:
        """The name of the limit that an operator may have set."""
        return f"{self.kind}_per_minute"

    def allowance(self, answer: Sequence[int]) -> Allowance:
        """An allowance from a script's answer."""
        allowed, remaining, full_ms, retry_ms, limit = answer
        return Allowance(self.kind, limit, bool(allowed), remaining, ceil(full_ms / 1000), ceil(retry_ms / 1000))


class Throttle:
    """All buckets.

    Raises:
        RecordsUnavailable: when Redis does not answer in time.
    """

    def __init__(self, client: Any) -> None:
        self._script = client.register_script(script_source("throttle"))

    def take(self, caller: str, kind: str, per_minute: int, tenant: str = "") -> Allowance:
        """Count one request of a caller. A refused request costs nothing."""
        counted = Counted(caller, kind, per_minute)
        with reaching_redis("throttle"):
            return counted.allowance(self._script(args=(*counted.arguments, tenant, counted.limit_name)))
