"""Requests that wait for a job to change. One subscription per process wakes them; they then read the record."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import redis.asyncio
from redis.exceptions import RedisError

from jobs import keys

log = logging.getLogger(__name__)

LONGEST_SLEEP = 2.0  #: seconds after which a waiter looks for itself: a wake-up can be lost


class Waiters:
    """Wakes whoever waits for a job."""

    def __init__(self, url: str, *, timeout: float) -> None:
        self._redis = redis.asyncio.Redis.from_url(url, decode_responses=True, socket_connect_timeout=timeout)
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    @contextmanager
    def watching(self, job_id: str) -> Iterator["Watch"]:
        """Notes every change of the job from now on."""
        event = asyncio.Event()
        self._waiting[job_id].add(event)
        try:
            yield Watch(event)
        finally:
            self._waiting[job_id].discard(event)
            if not self._waiting[job_id]:
                del self._waiting[job_id]

    async def listen(self) -> None:
        """Pass wake-ups on until cancelled; a lost connection is made again."""
        while True:
            with suppress(RedisError, OSError):
                async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(keys.WAKE)
                    while True:
                        message = await channel.get_message(timeout=10)
                        if message:
                            self._wake(str(message["data"]))
            await asyncio.sleep(1)

    def _wake(self, job_id: str) -> None:
        for event in self._waiting.get(job_id, ()):
            event.set()

    async def close(self) -> None:
        await self._redis.aclose()


class Watch:
    """One waiter's bell."""

    def __init__(self, event: asyncio.Event) -> None:
        self._event = event

    async def change(self, seconds: float) -> None:
        """Return when the job has changed, or after a while."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), min(seconds, LONGEST_SLEEP))
        self._event.clear()
