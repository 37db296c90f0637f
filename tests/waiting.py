"""How tests wait: for a named condition, with a time limit."""

import time
from collections.abc import Callable


def eventually(holds: Callable[[], object], seconds: float = 20) -> bool:
    """Whether a condition becomes true in time."""
    ends = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > ends:
            return bool(holds())
        time.sleep(0.02)
    return True


def until(holds: Callable[[], object], seconds: float = 20, what: str = "it") -> None:
    """Wait until a condition is true. The test fails if that takes too long."""
    assert eventually(holds, seconds), f"not within {seconds} s: {what}"
