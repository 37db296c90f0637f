"""How many requests a key may make: a token bucket for each key and kind of request, in Redis."""

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


class Throttle:
    """All buckets.

    Raises:
        RecordsUnavailable: when Redis does not answer in time.
    """

    def __init__(self, client: Any) -> None:
        self._script = client.register_script(script_source("throttle"))

    def take(self, caller: str, kind: str, per_minute: int, tenant: str = "") -> Allowance:
        """Count one request of a caller. A refused request costs nothing.

        `per_minute` is the limit, unless an operator has set another for the caller's tenant.
        """
        with reaching_redis("throttle"):
            allowed, remaining, full_ms, retry_ms, limit = self._script(
                args=(f"{caller}:{kind}", per_minute, tenant, f"{kind}_per_minute")
            )
        return Allowance(kind, limit, bool(allowed), remaining, ceil(full_ms / 1000), ceil(retry_ms / 1000))
