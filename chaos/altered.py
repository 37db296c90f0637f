"""Runs a program of the service with one guard taken out of its Lua, so that the harness can show that it would notice.

`python -m chaos.altered GUARD MODULE`, where GUARD is `fence` (a transition no longer asks whose the job is) or
`reconciler` (nobody takes back what dead workers held). The altered text exists in this process only.
"""

import runpy
import sys

from jobs import redis_keys, scripts

GUARDS = {
    "fence": ("get(id, 'fence') ~= fence or ", ""),
    "reconciler": (
        f"local ids, taken = redis.call('ZRANGEBYSCORE', ({redis_keys.RUNNING!r}), '-inf', at, "
        f"'LIMIT', 0, ({scripts.CONSTANTS['MAX_LOOKS']})), {{}}",
        "local ids, taken = {}, {}",
    ),
}


def alter(guard: str) -> None:
    """Have every script of this process made without the guard."""
    whole, (text, instead) = scripts.script_source, GUARDS[guard]
    if text not in "".join(whole(name) for name in scripts.SCRIPTS):
        sys.exit(f"the guard {guard} is not where it was: {text}")
    scripts.script_source = lambda name: whole(name).replace(text, instead)  # type: ignore[assignment]


if __name__ == "__main__":
    alter(sys.argv[1])
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
