"""The Lua scripts that change records, each made of shared parts in `lua/`, and what Redis errors become."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files

from redis.exceptions import ClusterCrossSlotError, MovedError, OutOfMemoryError, RedisError, ResponseError

from jobs import redis_keys
from jobs.connections import IN_CLUSTER
from jobs.errors import QueueFull, RecordsUnavailable, ScriptFailed
from jobs.job import MAX_EDITS
from jobs.models import built_in_ids

log = logging.getLogger(__name__)

UNFINISHED = "passed on"  #: the answer of a script that has done its share of the work and must be called again
ALIVE_MS = 15_000  #: a worker is alive if its last heartbeat is younger than this
RECORD_FORMAT = 2  #: the newest format of a job's record; raise it when older workers would do the job wrong
JOB_ENDPOINT = "default"  #: the endpoint that stands for webhooks named by jobs rather than registered

#: Constants of the scripts, which have them by their names.
CONSTANTS: dict[str, str | int] = {
    "ALIVE_MS": ALIVE_MS,
    "RECORD_FORMAT": RECORD_FORMAT,
    "MAX_EDITS": MAX_EDITS,
    "MAX_LOOKS": 100,  # jobs, deliveries or tenants that one call looks at, because Redis serves nobody meanwhile
    "MAX_COMMANDS": 200,  # Redis commands after which a call takes up no further job or delivery
    "TOMBSTONE_MS": 600_000,  # how long a tenant's feed keeps the event that a job was removed
    "SERVER_ERRORS": " poison internal-error ",  # not caused by the client: such jobs become dead letters
    "JOB_ENDPOINT": JOB_ENDPOINT,
    "CIRCUIT_FAILURES": 10,  # failures in a row after which a receiver rests between tries
    "DISABLE_MS": 5 * 86_400_000,  # an endpoint that only failed for this long is disabled
    "PENDING_SECONDS": 7 * 86_400,  # how long a pending delivery is kept; longer than any retry schedule
    "ENDED_SECONDS": 3 * 86_400,  # how long an ended delivery stays in the log
    "PROGRESS_SECONDS": 600,  # how long an ended delivery of a progress event stays in the log
    "MAX_LOGGED": 1000,  # deliveries in the log of one endpoint
}

#: Every script begins with these parts. Each needs only those before it.
SHARED_PARTS = "basics records models counts fair_share prelude outbox estimate admission allowance".split()
SCRIPTS = (
    "submit admit read positions wakeups claim renew preview release finish fail canceled cancel delete reclaim "
    "expire recount repair end_written reserve_upload"
).split()


@cache
def script_source(name: str) -> str:
    """The text of one script. All but `submit` run even when Redis is full, because they free memory or end jobs.

    The names of keys and constants are replaced by their values, because Lua allows no more than 200 locals.
    """
    lua = files("jobs") / "lua"
    flags = "" if name == "submit" else " flags=allow-oom"
    text = "\n".join((lua / f"{part}.lua").read_text() for part in (*SHARED_PARTS, name))
    values: dict[str, str | int] = redis_keys.all_keys() | CONSTANTS | {"BUILT_IN": " ".join(built_in_ids())}
    named = re.compile(rf"(?<!')\b({'|'.join(values)})\b(?!')")
    return f"#!lua{flags}\n" + named.sub(lambda found: f"({values[found[0]]!r})", text)


@contextmanager
def reaching_redis(script: str = "") -> Iterator[None]:
    """Turns errors of redis-py into our own; `script` is named in the log."""
    try:
        yield
    except OutOfMemoryError as error:
        raise QueueFull("The record store is full; nothing was accepted.", retry_after=30) from error
    except ResponseError as error:
        if is_of_cluster(error):
            raise RecordsUnavailable(f"{IN_CLUSTER}.") from error
        if is_fault_of_script(error):
            log.exception("the script %s failed", script)
            raise ScriptFailed("It has been logged.") from error
        raise RecordsUnavailable("The job records (Redis) do not answer.") from error
    except (RedisError, OSError) as error:
        raise RecordsUnavailable("The job records (Redis) do not answer.") from error


def is_of_cluster(error: ResponseError) -> bool:
    """Whether a node of a Redis Cluster refuses what lies on another one."""
    return isinstance(error, MovedError | ClusterCrossSlotError) or "cluster node" in str(error)


def is_fault_of_script(error: ResponseError) -> bool:
    """Whether the script raised the error. Errors by which Redis refuses a script start with a name in capitals."""
    return "user_script" in str(error) and re.match(r"[A-Z]{4,} ", str(error)) is None
