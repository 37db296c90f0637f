"""Server-sent events: parsing, and following a stream over lost connections."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import httpx

from darkroom.calls import (
    GATEWAY_STATUSES,
    MAX_RETRY_AFTER,
    RETRY_STATUSES,
    Connection,
    Emit,
    NextLine,
    Open,
    Pause,
    StreamSteps,
    backoff,
    retry_after_of,
)
from darkroom.errors import DarkroomError, refusal, unreachable

SILENCE_SECONDS = 45.0  # the service sends a line every 15
ATTEMPTS = 8  # connections in a row that end early without an event
SHORT_STREAM_SECONDS = 10.0


@dataclass(frozen=True)
class Event:
    """Something that happened to a job: `status`, `progress`, `preview` or `done`. `reset`: some events were lost.

    Give the `id` as `after` to go on from here.
    """

    id: str
    type: str
    job_id: str | None
    data: dict[str, Any]


class EventParser:
    """Parses lines into events (WHATWG HTML, section 9.2)."""

    def __init__(self) -> None:
        self._fields: dict[str, list[str]] = {}

    def feed(self, line: str) -> Event | None:
        """The event that this line completes, or None."""
        if line:
            name, _, value = line.partition(":")
            self._fields.setdefault(name, []).append(value.removeprefix(" "))
            return None
        fields, self._fields = self._fields, {}
        if "data" not in fields:
            return None
        data = json.loads("\n".join(fields["data"]))
        return Event(fields.get("id", [""])[-1], fields.get("event", ["message"])[-1], data.get("job"), data)


def follow(connection: Connection, path: str, after: str | None, *, to_done: bool) -> StreamSteps[Event]:
    """Emit the events of a stream after the id `after`, without gaps or repeats, over any number of connections.

    Raises:
        DarkroomError: the service refuses the stream, or stays unreachable.
    """
    attempt = 0
    while True:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
        began = time.monotonic()
        try:
            answer = yield Open(connection.request("GET", path, headers=headers, timeout=SILENCE_SECONDS))
            if answer.status_code == httpx.codes.NO_CONTENT:  # there are no more events
                return
            if answer.is_success:
                parser = EventParser()
                while (line := (yield NextLine())) is not None:
                    if event := parser.feed(line):
                        attempt, after = 0, event.id or after
                        yield Emit(event)
                        if to_done and _ends(event):
                            return
                failure, pause = (
                    DarkroomError(f"{path}: the stream keeps ending without an event."),
                    backoff(attempt),
                )
            else:
                failure, pause = refusal(answer), retry_after_of(answer, attempt)
                if answer.status_code not in (*RETRY_STATUSES, *GATEWAY_STATUSES):
                    raise failure
        except httpx.TransportError as error:
            failure, pause = unreachable(connection.url, error), backoff(attempt)
        attempt = 1 if time.monotonic() - began > SHORT_STREAM_SECONDS else attempt + 1
        if attempt >= min(ATTEMPTS, connection.max_retries + 1):
            raise failure
        yield Pause(min(pause, MAX_RETRY_AFTER))


def _ends(event: Event) -> bool:
    """Whether this is the job's last event. After lost events, the snapshot may show that the job has ended."""
    if event.type == "reset":
        return all(job["finished_at"] for job in event.data["jobs"])
    return event.type == "done"
