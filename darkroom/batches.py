"""Batches: many edits in one request, done when nothing more urgent waits."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from darkroom.calls import Async, CallSteps, Emit, Resource, StreamSteps, Sync, call, stream
from darkroom.models import Answer

PAGE = 1000  #: lines asked for at a time


@dataclass(frozen=True)
class Batch(Answer):
    """A batch as it stood when the service was last asked; `counts` has `total`, `completed` and `failed`."""

    id: str
    status: str
    counts: dict[str, int]
    priority: str
    metadata: dict[str, Any]
    created_at: str
    expires_at: str
    ended_at: str | None

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.ended_at is not None


@dataclass(frozen=True)
class Line(Answer):
    """One edit of a batch; `problem` tells why there is no picture."""

    number: int
    name: str
    status: str
    job: str | None
    problem: dict[str, Any] | None


class BatchCalls(Resource):
    """The caller's batches."""

    @call
    def create(
        self,
        /,
        images: Sequence[str],
        prompts: Sequence[str],
        parameters: Sequence[dict[str, Any]] = ({},),
        *,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> CallSteps[Batch]:
        """Ask for every image with every prompt and each of the parameters.

        Args:
            images: what `Client.keep` or `Client.upload` has returned, `job:<id>`, or https addresses.
            options: `priority`, `expires_in_seconds`, `contact_sheet`, `webhook`, `metadata`.
        """
        given = {name: value for name, value in options.items() if value is not None}
        asked = {"images": list(images), "prompts": list(prompts), "parameters": list(parameters), **given}
        headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        return Batch.of((yield from self.send("POST", "/v1/batches", json=asked, headers=headers)).json())

    @call
    def get(self, batch_id: str) -> CallSteps[Batch]:
        """A batch as it stands."""
        return Batch.of((yield from self.send("GET", batch_path(batch_id), lasting=True)).json())

    @call
    def cancel(self, batch_id: str) -> CallSteps[Batch]:
        """Cancel a batch. Edits that are done stay."""
        return Batch.of((yield from self.send("POST", batch_path(batch_id) + "/cancel")).json())

    @stream
    def lines(self, batch_id: str) -> StreamSteps[Line]:
        """All lines of a batch, in order, fetched page by page."""
        after: int | None = None
        while True:
            asked = {"limit": PAGE} | ({} if after is None else {"after": after})
            page = (yield from self.send("GET", batch_path(batch_id) + "/lines", params=asked, lasting=True)).json()
            for line in page["data"]:
                yield Emit(Line.of(line))
            after = page["next"]
            if after is None:
                return

    @call
    def contact_sheet(self, batch_id: str) -> CallSteps[bytes]:
        """The contact sheet of a batch that is over: its pictures, small, on one JPEG."""
        return (yield from self.send("GET", batch_path(batch_id) + "/contact-sheet")).content


class Batches(BatchCalls, Sync):
    """The caller's batches."""


class AsyncBatches(BatchCalls, Async):
    """The caller's batches, in asyncio."""


def batch_path(batch_id: str) -> str:
    """A batch's path. The id is quoted, so that it cannot change the path."""
    return f"/v1/batches/{quote(batch_id, safe='')}"
