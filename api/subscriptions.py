"""Requests that wait for jobs to change. One Redis subscription per process wakes them, and they read the change."""

import asyncio
import json
import logging
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from jobs import redis_keys
from jobs.connections import connect_async
from jobs.errors import TooManyStreams
from jobs.scripts import reaching_redis

log = logging.getLogger(__name__)

LONGEST_SLEEP = 60.0  #: seconds after which a waiting request checks without a wake-up
MOST_READS = 16  #: of streams at a time
PING = 10.0  #: seconds of silence after which a ping checks the subscription
MOST_READS = 16  #: of streams at a time
BATCH = 50  #: events read at a time, so that a slow reader holds little memory


@dataclass(frozen=True)
class Event:
    """One entry of an event stream; `id` sorts by time, `job` is set in a tenant's stream."""

    id: str
    type: str
    job: str | None
    data: dict[str, Any]


class Subscriptions:
    """Wakes requests that wait for a job, or for any job of a tenant, and reads event streams."""

    def __init__(self, url: str, *, timeout: float) -> None:
        options: dict[str, Any] = {"decode_responses": True, "socket_connect_timeout": timeout}
        self._channel = connect_async(url, **options)
        self._streams = connect_async(url, socket_timeout=timeout, **options)
        self._reads = asyncio.Semaphore(MOST_READS)
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self.leaving = False  #: this process is about to exit, so no request waits any longer

    @contextmanager
    def subscribe(self, topic: str) -> Iterator["Subscription"]:
        """Subscribe to the changes of a job, or of a tenant's jobs; `topic` is the id of either."""
        event = asyncio.Event()
        self._waiting[topic].add(event)
        try:
            yield Subscription(event)
        finally:
            self._waiting[topic].discard(event)
            if not self._waiting[topic]:
                del self._waiting[topic]

    async def listen(self) -> None:
        """Pass wake-ups on until canceled. After a lost connection, reconnect and wake all requests."""
        while True:
            with suppress(RedisError, OSError):
                async with self._channel.pubsub() as channel:
                    await channel.subscribe(redis_keys.WAKE)
                    self._wake(*self._waiting)
                    await self._pass_on(channel)
            await asyncio.sleep(1)

    async def _pass_on(self, channel: Any) -> None:
        """Pass wake-ups on until the connection breaks or a ping is not answered."""
        pinged = False
        while True:
            message = await channel.get_message(timeout=PING)
            if message and message["type"] == "message":
                self._wake(*str(message["data"]).split())
            elif message is None and pinged:
                raise ConnectionError("the subscription has gone silent")
            pinged = message is None
            if pinged:
                await channel.ping()

    def _wake(self, *topics: str) -> None:
        for topic in topics:
            for event in self._waiting.get(topic, ()):
                event.set()

    async def read(self, stream: str, after: str) -> list[Event]:
        """The next events of a stream after an id.

        Raises:
            RecordsUnavailable
        """
        with reaching_redis():
            async with self._reads:
                entries = await self._streams.xrange(stream, f"({after}", "+", BATCH)
        return [Event(key, entry["type"], entry.get("job"), json.loads(entry["data"])) for key, entry in entries]

    async def bounds(self, stream: str) -> tuple[str, str]:
        """A stream's first id, `0-0` if it has dropped no event, and its latest id."""
        with reaching_redis():
            async with self._reads:
                if not await self._streams.exists(stream):
                    return "0-0", "0-0"
                facts = await self._streams.xinfo_stream(stream)
        whole = facts["entries-added"] == facts["length"] or not facts["first-entry"]
        return "0-0" if whole else facts["first-entry"][0], facts["last-generated-id"]

    def leave(self) -> None:
        """Let all waiting requests answer now. Their clients repeat them and reach another process."""
        self.leaving = True
        self._wake(*self._waiting)

    async def close(self) -> None:
        await self._channel.aclose()
        await self._streams.aclose()


class ConnectionLimits:
    """How many streams and long polls are open in this process, in all and for each tenant.

    Raises:
        TooManyStreams
    """

    def __init__(self, in_all: int, each: int) -> None:
        self.in_all = in_all
        self.each = each
        self.taken: Counter[str] = Counter()

    @contextmanager
    def hold(self, tenant: str) -> Iterator[None]:
        """Count one open request while in this block."""
        if self.taken.total() >= self.in_all:
            raise TooManyStreams(f"At most {self.in_all} requests may wait or stream at a time.", retry_after=5)
        if self.taken[tenant] >= self.each:
            raise TooManyStreams(f"At most {self.each} requests of yours may wait or stream at a time.", retry_after=5)
        self.taken[tenant] += 1
        try:
            yield
        finally:
            self.taken[tenant] -= 1
            self.taken += Counter()  # keep no count of 0


class Subscription:
    """The subscription of one waiting request."""

    def __init__(self, event: asyncio.Event) -> None:
        self._event = event

    async def wait_for_change(self, seconds: float) -> None:
        """Return when something has changed, or after at most this many seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), min(seconds, LONGEST_SLEEP))
        self._event.clear()
