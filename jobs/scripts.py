"""The Lua scripts that change records, each made of shared parts in `lua/`, and what Redis errors become."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files

from redis.exceptions import OutOfMemoryError, RedisError, ResponseError

from jobs import redis_keys
from jobs.errors import QueueFull, RecordsUnavailable, ScriptFailed

log = logging.getLogger(__name__)

PASSED_ON = "passed on"  #: what a script says that has done its share of the work, with more to do
ALIVE_MS = 15_000  #: a worker heard of within this is alive
RECORD = 1  #: the format of a job's record: raised where a worker of the version before could not do such a job right
OWN = "default"  #: the endpoint that stands for the webhooks which jobs name themselves

#: What the scripts know besides the keys: numbers of webhooks (see `jobs/lua/outbox.lua`).
CONSTANTS = {
    "ALIVE_MS": ALIVE_MS,
    "RECORD": RECORD,
    "LOOKS": 100,  # that one call may take at jobs, deliveries or tenants, for others wait meanwhile
    "COMMANDS": 200,  # of Redis, after which one that works on many of them takes up no further one
    "TOLD_MS": 600_000,  # how long the tenant's feed tells of a removed job
    "OURS": " poison internal-error ",  # errors that are no fault of the client: dead letters
    "OWN": OWN,
    "CIRCUIT_FAILURES": 10,  # in a row; from then on a receiver rests between tries
    "DISABLE_MS": 5 * 86_400_000,  # an endpoint that did nothing but fail for so long is told no more
    "PENDING_SECONDS": 7 * 86_400,  # longer than any schedule
    "ENDED_SECONDS": 3 * 86_400,  # how long a delivery is kept in the log
    "PROGRESS_SECONDS": 600,  # and one of progress
    "LOGGED": 1000,  # deliveries of one endpoint in its log
}

#: What every script begins with, each part after those that it needs.
PARTS = "basics records counts turns prelude outbox estimate admission".split()
SCRIPTS = (
    "submit admit places claim renew preview release finish fail canceled cancel delete reclaim expire recount "
    "mend booked invite"
).split()


@cache
def script_source(name: str) -> str:
    """One whole script. All but `submit` run even when Redis is full: they free memory, or keep promises."""
    lua = files("jobs") / "lua"
    flags = "" if name == "submit" else " flags=allow-oom"
    parts = [
        redis_keys.lua_locals(),
        *(f"local {name} = {value!r}" for name, value in CONSTANTS.items()),
        *((lua / f"{part}.lua").read_text() for part in PARTS),
        (lua / f"{name}.lua").read_text(),
    ]
    return "\n".join([f"#!lua{flags}", *parts])


@contextmanager
def reaching_redis(script: str = "") -> Iterator[None]:
    """Turns what redis-py raises into our own words; `script` names the script that runs."""
    try:
        yield
    except OutOfMemoryError as error:
        raise QueueFull("The record store is full; nothing was accepted.", retry_after=30) from error
    except ResponseError as error:
        if is_fault_of_script(error):
            log.exception("the script %s failed", script)
            raise ScriptFailed("It has been logged.") from error
        raise RecordsUnavailable("The job records (Redis) do not answer.") from error
    except (RedisError, OSError) as error:
        raise RecordsUnavailable("The job records (Redis) do not answer.") from error


def is_fault_of_script(error: ResponseError) -> bool:
    """Whether a script threw, rather than Redis refused to run it: such a refusal begins with its name in capitals."""
    return "user_script" in str(error) and re.match(r"[A-Z]{4,} ", str(error)) is None
