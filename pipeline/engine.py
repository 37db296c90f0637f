"""The engine: one thread owns the device, and edits share it step by step (continuous batching).

A thread that edits a photo joins the engine, gets a ticket, and asks for one piece of work after another: `run` calls a
function on the engine's thread, `step` takes a denoising step. In each iteration the engine serves the most urgent
request. If that is a step, it batches as many other steps of the same size as are worth computing together. Edits
therefore join, finish and leave between any two steps. An edit that was canceled or failed asks for nothing more, so
the next iteration goes on without it.
"""

import atexit
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeVar

import torch
from torch import Tensor

from pipeline.batch import BatchSizes
from pipeline.denoise import Denoising
from pipeline.errors import DeviceLost, OutOfMemory
from pipeline.faults import fault_of, free_memory

log = logging.getLogger(__name__)

T = TypeVar("T")
Predict = Callable[[Sequence[Denoising]], Sequence[Tensor]]

MAX_TICKETS = 32  # edits in the engine at a time; others wait to join
AGING_STEPS = 0.05  # an edit that an iteration skips counts as this many steps shorter, among edits of its priority
FAIR_EVERY = 10  # in every tenth iteration the edit that was skipped most goes first, whatever its priority
POLL_SECONDS = 0.25  # a waiting edit checks this often whether it should go on
MAX_PASS_SECONDS = 30.0  # longest step of several edits: none of them can be canceled before its end
TIMEOUT_FACTOR = 10  # an iteration may take this many times the expected time
WARM_UP_SECONDS = 900.0  # an iteration may take this long when it compiles, or when nothing was measured yet
BATCH_WINDOW_SECONDS = 0.005  # an iteration waits this long for the edits just served, which are about to ask again


class EngineClosed(RuntimeError):
    """The engine was closed before it came to this request."""


@dataclass(eq=False)
class Ticket:
    """One edit in the engine. The edit's own thread keeps `remaining`, the number of steps to take, up to date."""

    engine: "Engine"
    priority: int
    remaining: int
    arrival: int
    work: int = 0  # latent values in one pass of the UNet, by which calls that make such a pass are timed
    waited: int = 0  # iterations that did not serve this edit
    skipped: int = 0  # iterations since this edit was last served
    on_wait: Callable[[], None] = lambda: None

    def run(self, call: Callable[[], T]) -> T:
        """Call a function on the engine's thread, with no other work beside it."""
        return self.engine._ask(Request(self, call=call))

    def step(self, edit: Denoising) -> None:
        """Take a denoising step, perhaps in one batch with other edits."""
        self.remaining = edit.steps - edit.step
        self.engine._ask(Request(self, edit=edit))
        self.remaining -= 1

    @property
    def urgency(self) -> tuple[float, float, int]:
        """The sort key: most urgent first, by priority, then by remaining steps less the wait, then by arrival."""
        return -self.priority, self.remaining - AGING_STEPS * self.waited, self.arrival


@dataclass(eq=False)
class Request:
    """A piece of work that a thread waits for: a call or a step."""

    ticket: Ticket
    call: Callable[[], Any] | None = None
    edit: Denoising | None = None
    done: threading.Event = field(default_factory=threading.Event)
    result: Any = None
    error: BaseException | None = None

    def finish(self, work: Callable[[], Any]) -> None:
        """Do the work. An error is raised again in the thread that waits."""
        try:
            self.result = work()
        except BaseException as error:
            self.error = fault_of(error) or error
        self.done.set()

    def fail(self, error: BaseException) -> None:
        """Raise an error in the thread that waits."""
        self.error = error
        self.done.set()


@dataclass(frozen=True)
class Iteration:
    """What the device did in one iteration: a call for one edit (0 rows), or a step of `edits` edits.

    `capacity` is the number of rows worth computing together at this size of picture.
    """

    seconds: float
    edits: int = 1
    rows: int = 0
    capacity: int = 0


class Engine:
    """Serves all edits in flight. `predict` computes the noise in each branch of several edits in one pass.

    `on_iteration` is called after each iteration, on the engine's thread.
    """

    def __init__(self, predict: Predict, *, compiles: bool = False) -> None:
        """`compiles`: the first step of each shape takes a minute or more."""
        self._predict = predict
        self._compiles = compiles
        self._shapes: set[tuple[Any, int]] = set()  # of the steps taken so far
        self._longest_call_seconds = 0.0  # seconds
        self._iterations = 0
        self._sizes = BatchSizes(MAX_PASS_SECONDS)
        self._slots = threading.BoundedSemaphore(MAX_TICKETS)
        self._changed = threading.Condition()
        self._pending: list[Request] = []
        self._served: set[Ticket] = set()  # edits of the last iteration that have not yet asked again or left
        self._arrivals = 0
        self._closed = False
        self._thread: threading.Thread | None = None
        self.finished_at = time.monotonic()  # when the last piece of work ended
        self.allowance = 0.0  # seconds that the present iteration may take before the engine counts as stuck
        self.on_iteration: Callable[[Iteration], None] = lambda _: None

    @contextmanager
    def join(
        self, steps: int, priority: int = 0, on_wait: Callable[[], None] = lambda: None, *, work: int = 0
    ) -> Iterator[Ticket]:
        """Join with one edit of so many steps, as soon as the engine has a free ticket.

        Args:
            priority: a higher one goes first.
            on_wait: called at intervals, on the edit's own thread, while the edit waits. An error ends the wait.
            work: latent values in one pass of the UNet, for edits that make it in `run` instead of `step`.
        """
        while not self._slots.acquire(timeout=POLL_SECONDS):
            on_wait()
        try:
            with self._changed:
                self._arrivals += 1
                ticket = Ticket(self, priority, steps, self._arrivals, work, on_wait=on_wait)
            try:
                yield ticket
            finally:
                self._leave(ticket)
        finally:
            self._slots.release()

    @property
    def max_pass_seconds(self) -> float:
        """Seconds that a step of several edits may take. Longer batches get fewer edits."""
        return self._sizes.max_pass_seconds

    @max_pass_seconds.setter
    def max_pass_seconds(self, seconds: float) -> None:
        self._sizes.max_pass_seconds = seconds

    def close(self) -> None:
        """Refuse further work and end the thread once the present iteration is done. Runs by itself at exit."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        atexit.unregister(self.close)

    def _ask(self, request: Request) -> Any:
        with self._changed:
            if self._closed:
                raise EngineClosed
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="engine", daemon=True)
                self._thread.start()
                atexit.register(self.close)
            self._pending.append(request)
            self._served.discard(request.ticket)
            self._changed.notify_all()
        while not request.done.wait(POLL_SECONDS):
            request.ticket.on_wait()
        if request.error is not None:
            raise request.error
        return request.result

    def _leave(self, ticket: Ticket) -> None:
        with self._changed:
            self._served.discard(ticket)
            self._pending = [request for request in self._pending if request.ticket is not ticket]
            self._changed.notify_all()

    def _serve(self) -> None:
        while requests := self._next():
            try:
                self._run_iteration(requests)
            except Exception as error:  # whatever the error, later edits need this thread
                log.exception("an iteration of the engine failed")
                for request in requests:
                    if not request.done.is_set():
                        request.fail(error)
        for request in self._pending:
            request.finish(_refuse)

    def _run_iteration(self, requests: list[Request]) -> None:
        began, edits = time.perf_counter(), [request.edit for request in requests if request.edit is not None]
        self.allowance = self._allowed_seconds(requests[0].ticket, edits)
        with torch.inference_mode():
            if requests[0].call is not None:
                requests[0].finish(requests[0].call)
                if isinstance(requests[0].error, OutOfMemory):
                    free_memory()
            else:
                self._step(requests)
        self.finished_at = time.monotonic()
        self.allowance = 0.0
        seconds = time.perf_counter() - began
        if not edits:
            self._longest_call_seconds = max(self._longest_call_seconds, seconds)
        rows, capacity = sum(edit.rows for edit in edits), self._sizes.rows(edits[0]) if edits else 0
        try:
            self.on_iteration(Iteration(seconds, len(requests), rows, max(rows, capacity)))
        except Exception:
            log.exception("on_iteration raised an error")

    def _allowed_seconds(self, ticket: Ticket, edits: Sequence[Denoising]) -> float:
        """Seconds that an iteration may take, from the measured speed of its size or from the longest call."""
        if edits:
            expected = self._sizes.expected(sum(map(work_of, edits)))
            shape = (edits[0].x.shape, sum(edit.rows for edit in edits))
            compiles = self._compiles and shape not in self._shapes
            self._shapes.add(shape)
        else:
            compiles, expected = False, max(self._longest_call_seconds, self._sizes.expected(ticket.work) or 0.0)
        return WARM_UP_SECONDS if compiles or not expected else TIMEOUT_FACTOR * expected

    def _next(self) -> list[Request]:
        """Wait for requests and choose those of the next iteration. Empty once the engine is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._served, timeout=BATCH_WINDOW_SECONDS)
            self._changed.wait_for(lambda: self._closed or self._pending)
            if self._closed:
                return []
            self._iterations += 1
            chosen = choose(self._pending, self._sizes, fair=self._iterations % FAIR_EVERY == 0)
            self._pending = [request for request in self._pending if request not in chosen]
            for request in self._pending:
                request.ticket.waited += 1
                request.ticket.skipped += 1
            self._served = {request.ticket for request in chosen}
            for ticket in self._served:
                ticket.skipped = 0
            return chosen

    def _step(self, requests: list[Request]) -> None:
        """One step of several edits. A failed batch is repeated in halves, so that only the faulty edits fail."""
        edits = [request.edit for request in requests if request.edit is not None]
        began, broke = time.perf_counter(), None
        try:
            noises = self._predict(edits)
        except Exception as error:
            broke = fault_of(error) or error
        if broke is not None:  # outside `except`, where the failed pass' tensors are free
            self._recover(requests, edits, broke)
            return
        self._sizes.learn(edits, time.perf_counter() - began)
        for request, edit, noise in zip(requests, edits, noises, strict=True):
            request.finish(lambda edit=edit, noise=noise: edit.apply_noise(noise))

    def _recover(self, requests: list[Request], edits: Sequence[Denoising], broke: Exception) -> None:
        if isinstance(broke, OutOfMemory):
            free_memory()
            if len(requests) > 1:
                self._sizes.lower(edits)
        if isinstance(broke, DeviceLost):
            for request in requests:
                request.fail(DeviceLost(str(broke)))
        elif len(requests) == 1:
            requests[0].fail(broke)
        else:
            self._step(requests[: len(requests) // 2])
            self._step(requests[len(requests) // 2 :])


def work_of(edit: Denoising) -> int:
    """Latent values in the rows of the edit's step."""
    return edit.rows * prod(edit.x.shape)


def choose(pending: Sequence[Request], sizes: BatchSizes, *, fair: bool = False) -> list[Request]:
    """The most urgent request and, if it is a step, the next most urgent steps of its size that fit in the batch.

    `fair`: the request that was skipped most comes first, so that no priority waits forever.
    """
    ordered = sorted(pending, key=lambda request: (-request.ticket.skipped if fair else 0, request.ticket.urgency))
    first = ordered[0]
    if first.edit is None:
        return [first]
    chosen, rows, capacity = [first], first.edit.rows, sizes.rows(first.edit)
    for request in ordered[1:]:
        same = request.edit is not None and request.edit.x.shape == first.edit.x.shape
        if same and rows + request.edit.rows <= capacity:
            chosen.append(request)
            rows += request.edit.rows
    return chosen


def _refuse() -> None:
    raise EngineClosed
