"""Server-sent events: the lines of a stream as events, and a stream followed over lost connections."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import httpx

from darkroom.calls import (
    GATEWAY_FAILED,
    LONGEST_RETRY_AFTER,
    REFUSED_FOR_NOW,
    Connection,
    Emit,
    NextLine,
    Open,
    Pause,
    Streaming,
    backoff,
    said_or,
)
from darkroom.errors import DarkroomError, refusal, unreachable

SILENCE_SECONDS = 45.0  # the service says something every 15
ATTEMPTS = 8  # at a stream, each of which had no event and ended soon
SOON_SECONDS = 10.0


@dataclass(frozen=True)
class Event:
    """What happened to a job: `status`, `progress`, `preview` or `done`; `reset` where some events are no longer kept.

    `id` is where to go on from.
    """

    id: str
    type: str
    job_id: str | None
    data: dict[str, Any]


class EventParser:
    """Puts lines together as events (WHATWG HTML, section 9.2)."""

    def __init__(self) -> None:
        self._fields: dict[str, list[str]] = {}

    def feed(self, line: str) -> Event | None:
        """The event that this line completes, if it does."""
        if line:
            name, _, value = line.partition(":")
            self._fields.setdefault(name, []).append(value.removeprefix(" "))
            return None
        fields, self._fields = self._fields, {}
        if "data" not in fields:
            return None
        data = json.loads("\n".join(fields["data"]))
        return Event(fields.get("id", [""])[-1], fields.get("event", ["message"])[-1], data.get("job"), data)


def follow(connection: Connection, path: str, after: str | None, *, to_done: bool) -> Streaming[Event]:
    """Emit a stream's events behind the id `after`, without gap or repeat over however many connections.

    Raises:
        DarkroomError: it is refused for good, or cannot be had for a while.
    """
    attempt = 0
    while True:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
        began = time.monotonic()
        try:
            answer = yield Open(connection.request("GET", path, headers=headers, timeout=SILENCE_SECONDS))
            if answer.status_code == httpx.codes.NO_CONTENT:  # all is told
                return
            if answer.is_success:
                parser = EventParser()
                while (line := (yield NextLine())) is not None:
                    if event := parser.feed(line):
                        attempt, after = 0, event.id or after
                        yield Emit(event)
                        if to_done and _ends(event):
                            return
                failure, pause = DarkroomError(f"{path}: the stream ends again and again."), backoff(attempt)
            else:
                failure, pause = refusal(answer), said_or(answer, attempt)
                if answer.status_code not in (*REFUSED_FOR_NOW, *GATEWAY_FAILED):
                    raise failure
        except httpx.TransportError as error:
            failure, pause = unreachable(connection.url, error), backoff(attempt)
        attempt = 1 if time.monotonic() - began > SOON_SECONDS else attempt + 1
        if attempt >= min(ATTEMPTS, connection.max_retries + 1):
            raise failure
        yield Pause(min(pause, LONGEST_RETRY_AFTER))


def _ends(event: Event) -> bool:
    """Whether nothing comes after it: also where the end itself is no longer kept, and the job stands as ended."""
    if event.type == "reset":
        return all(job["finished_at"] for job in event.data["jobs"])
    return event.type == "done"
