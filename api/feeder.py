"""Feeds batches: submits their lines as jobs, some at a time, and records the results.

Every process of the web tier has a feeder; each batch is leased to one of them at a time. A line's job has an
idempotency key made of the batch and the line's number, so a line that any process submits again finds its job.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from uuid import uuid4

from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool

from api import strict_json
from api.contact_sheet import contact_sheet
from api.deps import Caller, Services
from api.problems import field_errors
from api.routes.jobs import fetch_picture, submit_job
from api.submission import Submission
from jobs import logs
from jobs.api_keys import Scope
from jobs.batches import Batch, BatchStatus, Line, LineStatus
from jobs.errors import DarkroomError, TooManyJobs, Unavailable
from jobs.job import Status
from jobs.pictures import NoSuchPicture
from jobs.store.requests import IdempotencyKey

log = logging.getLogger(__name__)

LOOK = 15.0  #: seconds between two looks for batches without a feeder
ROUND = 0.5  #: seconds between two rounds of the batches that this process feeds
IN_QUEUE = 64  #: most unfinished jobs of a batch; also at most half of the jobs that its tenant may have waiting
NOTED = 16  #: submissions after which the progress is recorded
PAUSE = 2.0  #: seconds that a batch waits when no job is accepted
MOST_CELLS = 400  #: pictures of a contact sheet
AS_LINE: dict[Status, LineStatus] = {
    Status.SUCCEEDED: "succeeded",
    Status.FAILED: "failed",
    Status.CANCELED: "canceled",
}
GONE = {"type": "gone", "title": "The job is gone", "detail": "The job was removed before its batch was over."}


class Feeder:
    """Feeds all batches that no other process feeds."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._name = uuid4().hex
        self._held: dict[str, Feeding] = {}
        self._stir = asyncio.Event()
        self._left = False

    async def run(self) -> None:
        """Feed until canceled, then release the leases, so that other processes can continue at once."""
        loop = asyncio.get_running_loop()
        self._stir = asyncio.Event()
        try:
            while True:
                self._stir.clear()
                with suppress(Unavailable):
                    await run_in_threadpool(self._round, loop)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stir.wait(), ROUND if self._held else LOOK)
        finally:
            for batch_id in [*self._held]:
                with suppress(Exception):
                    self.services.batches.release(batch_id, self._name)

    def leave(self) -> None:
        """Begin nothing more, because this process is about to exit."""
        self._left = True

    def stir(self) -> None:
        """Look now, because there is something new. Call it from the event loop."""
        self._stir.set()

    def _round(self, loop: asyncio.AbstractEventLoop) -> None:
        store = self.services.batches
        for batch_id in store.open():
            if self._left:
                return
            if not store.lease(batch_id, self._name):
                self._held.pop(batch_id, None)
                continue
            try:
                self._feed(batch_id, loop)
            except Unavailable as error:
                log.warning("batch %s waits: %s", batch_id, error)
            except Exception:
                log.exception("batch %s broke", batch_id)
        for batch_id in self._held.keys() - set(store.open()):
            del self._held[batch_id]

    def _feed(self, batch_id: str, loop: asyncio.AbstractEventLoop) -> None:
        batch = self.services.batches.get(batch_id)
        if batch is None or batch.is_over:
            self.services.batches.forget(batch_id)
            return
        if batch_id not in self._held:
            self._held[batch_id] = Feeding.of(batch, self.services, loop)
        with logs.about(tenant=batch.tenant):
            keeps = partial(self.services.batches.lease, batch_id, self._name)
            self._held[batch_id].round(batch, keeps, lambda: self._left)


@dataclass
class Feeding:
    """One batch as its feeder knows it."""

    services: Services
    loop: asyncio.AbstractEventLoop
    requests: list[bytes]
    lines: dict[int, Line]
    waiting: list[int]  #: lines without a job yet; the next one is last
    running: dict[int, str] = field(default_factory=dict)  #: jobs that are not over, by line
    rests_until: float = 0.0

    @classmethod
    def of(cls, batch: Batch, services: Services, loop: asyncio.AbstractEventLoop) -> "Feeding":
        """Load the recorded state of a batch."""
        lines = services.batches.lines(batch, 0, batch.total)
        waiting = [number for number, line in sorted(lines.items(), reverse=True) if line.status == "waiting"]
        running = {number: line.job for number, line in lines.items() if line.status == "running" and line.job}
        return cls(services, loop, services.batches.requests(batch), lines, waiting, running)

    def round(self, batch: Batch, keeps: Callable[[], bool], left: Callable[[], bool]) -> None:
        """One round: record ended jobs, submit more lines, and end the batch if it is over."""
        over = batch.status is BatchStatus.CANCELING or time.time() * 1000 >= batch.expires_ms
        if over:
            self._stop(batch)
        self._harvest(batch)
        if not over:
            self._submit(batch, keeps, left)
        if not self.waiting and not self.running:
            self._end(batch, over)

    def _stop(self, batch: Batch) -> None:
        for job in self.running.values():
            self.services.store.cancel(job, batch.tenant)
        self._note(batch, {number: replace(self.lines[number], status="canceled") for number in self.waiting})
        self.waiting.clear()

    def _harvest(self, batch: Batch) -> None:
        """Record the jobs that are over."""
        numbers = [*self.running]
        ended: dict[int, Line] = {}
        for number, (status, error) in zip(numbers, self.services.batches.statuses(self.running.values()), strict=True):
            line = self.lines[number]
            if status is None:
                ended[number] = replace(line, status="failed", problem=GONE)
            elif Status(status).is_over:
                problem = json.loads(error) if error else None
                ended[number] = replace(line, status=AS_LINE[Status(status)], problem=problem)
        for number in ended:
            del self.running[number]
        self._note(batch, ended)

    def _submit(self, batch: Batch, keeps: Callable[[], bool], left: Callable[[], bool]) -> None:
        most = self.services.batches.room(batch.tenant, self.services.settings.max_queued_jobs)
        room = min(IN_QUEUE, max(1, most // 2))
        done: dict[int, Line] = {}
        try:
            while self.waiting and len(self.running) < room and not left() and time.monotonic() >= self.rests_until:
                number = self.waiting[-1]
                done[number] = self._accepted(batch, number)
                self.waiting.pop()
                if done[number].job and not done[number].is_over:
                    self.running[number] = done[number].job or ""
                if len(done) >= NOTED:
                    self._note(batch, done)
                    done = {}
                    if not keeps():
                        return
        except (TooManyJobs, Unavailable) as error:
            log.info("batch %s waits for room: %s", batch.id, error)
            self.rests_until = time.monotonic() + PAUSE
        finally:
            self._note(batch, done)
        self.services.wakeups.top_up_soon()

    def _accepted(self, batch: Batch, number: int) -> Line:
        """The line with its job, or with the reason why it has none.

        Raises:
            TooManyJobs, Unavailable: the line can be submitted later.
        """
        line, caller = self.lines[number], Caller(batch.tenant, frozenset({Scope.SUBMIT, Scope.READ}), None)
        try:
            submission = strict_json.validated(Submission, self._fields(batch, number))
            once = IdempotencyKey(f"batch:{batch.id}:{number}", "")  # a line is always the same request
            if known := self.services.store.find_by_idempotency_key(batch.tenant, once):
                return replace(line, status="running", job=known[0])  # a process that died has submitted it
            if url := submission.image_at("url"):
                fetched = asyncio.run_coroutine_threadsafe(fetch_picture(url, caller, self.services), self.loop)
                submission = submission.model_copy(update={"image": fetched.result()})
            job = submit_job(caller, submission, once, self._keeping(batch)).job
        except (TooManyJobs, Unavailable):
            raise
        except DarkroomError as error:
            errors = [vars(one) for one in error.errors]
            problem = {"type": error.slug, "title": error.title, "detail": error.detail, "errors": errors}
            return replace(line, status="refused", problem={**problem, "status": error.status})
        except RequestValidationError as error:
            errors = [vars(one) for one in field_errors(error)]
            detail = "; ".join(f"{one['field']}: {one['detail']}" for one in errors)
            problem = {"type": "invalid-request", "title": "A field cannot be used", "detail": detail, "errors": errors}
            return replace(line, status="refused", problem={**problem, "status": 422})
        return replace(line, status="running", job=job.id)

    def _fields(self, batch: Batch, number: int) -> dict[str, Any]:
        """The fields of a submission. Its deadline is not later than that of the batch."""
        asked: Mapping[str, Any] = json.loads(self.requests[number])["request"]
        left = max(1, round((batch.expires_ms - time.time() * 1000) / 1000))
        metadata = {"batch": batch.id, "line": number, "name": self.lines[number].name}
        return {"priority": batch.priority, "deadline_seconds": left, "metadata": metadata, **asked}

    def _keeping(self, batch: Batch) -> Services:
        """The same services, with jobs that are kept until the batch is forgotten."""
        seconds = max(1, round(batch.forgotten_ms / 1000 - time.time()))
        settings = self.services.settings.model_copy(update={"retention_seconds": seconds})
        return replace(self.services, settings=settings)

    def _note(self, batch: Batch, lines: Mapping[int, Line]) -> None:
        if lines:
            self.lines.update(lines)
            self.services.batches.note(self._counted(batch), lines)

    def _counted(self, batch: Batch) -> Batch:
        statuses = [line.status for line in self.lines.values()]
        return replace(
            batch, completed=statuses.count("succeeded"), failed=statuses.count("failed") + statuses.count("refused")
        )

    def _end(self, batch: Batch, over: bool) -> None:
        status = BatchStatus.COMPLETED
        if over:
            status = BatchStatus.CANCELED if batch.status is BatchStatus.CANCELING else BatchStatus.EXPIRED
        if batch.columns:
            self.services.batches.put_sheet(batch, self._sheet(batch))
        ended = self.services.batches.end(self._counted(batch), status, round(time.time() * 1000))
        if batch.webhook:
            self.services.outbox.tell_of_batch(ended)

    def _sheet(self, batch: Batch) -> bytes:
        shown = [self.lines[number] for number in range(min(batch.total, MOST_CELLS))]
        return contact_sheet((self._output(batch, line) for line in shown), batch.columns)

    def _output(self, batch: Batch, line: Line) -> bytes | None:
        job = self.services.store.get(line.job, batch.tenant) if line.job and line.status == "succeeded" else None
        if job is None or job.output is None:
            return None
        try:
            return self.services.pictures.read(job.output.key)
        except NoSuchPicture:
            return None
