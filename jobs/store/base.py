"""The connection to Redis and the scripts, which all parts of the store share."""

import logging
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Self

from jobs.connections import connect
from jobs.job import Job
from jobs.retries import RedisRetry
from jobs.scripts import SCRIPTS, reaching_redis, script_source

log = logging.getLogger(__name__)


@lru_cache(10_000)
def tell_unreadable(job_id: str | None, error: str) -> None:
    """Log a record that cannot be read: once, however often it is listed."""
    log.error("the record of job %s cannot be read: %s", job_id, error)


def readable_jobs(records: Iterable[Mapping[str, str]]) -> list[Job]:
    """The jobs that the records hold. An unreadable one is logged and left out: it may not hide the others."""
    jobs = []
    for record in filter(None, records):
        try:
            jobs.append(Job.from_record(record))
        except (KeyError, TypeError, ValueError) as error:
            tell_unreadable(record.get("id"), repr(error))
    return jobs


class StoreBase:
    """A connection to Redis with the scripts.

    Raises:
        RecordsUnavailable: from any method, when Redis does not answer in time.
    """

    def __init__(self, client: Any) -> None:
        self.redis = client  # redis.Redis with decoded answers; its own types are unions of str and bytes
        self._scripts = {name: client.register_script(script_source(name)) for name in SCRIPTS}

    @classmethod
    def connect(cls, url: str, *, timeout: float) -> Self:
        """A store on the Redis at `url`; connecting and each answer may take `timeout` seconds, tried twice."""
        client = connect(
            url,
            decode_responses=True,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=RedisRetry(),
            health_check_interval=0,
        )
        return cls(client)

    def _run(self, script: str, *args: str | float) -> Any:
        with reaching_redis(script):
            return self._scripts[script](args=args)

    def ping(self) -> None:
        """Raises RecordsUnavailable when Redis does not answer."""
        with reaching_redis():
            self.redis.ping()
