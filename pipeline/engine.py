"""The engine: one thread owns the device, and edits share it step by step (continuous batching).

A thread with an edit to make joins, then asks for one piece of work after another, waiting for each: `run` has a
function called on the engine's thread, `step` has a denoising step taken. In each iteration the engine takes the most
urgent request and, if that is a step, as many others of the same size as are worth computing together; so edits join,
finish and leave between any two steps. An edit that asks for nothing more, because it was cancelled or broke, is gone
from the next iteration on.
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

IN_FLIGHT = 32  # edits; more wait to join
AGEING = 0.05  # steps that an edit moves up for each iteration that passes it over, among those of its priority
FAIR = 10  # every so many iterations, who was passed over longest goes first, whatever the priorities
LOOK = 0.25  # seconds after which an edit that waits looks whether it is to go on
LONGEST_PASS = 30.0  # seconds that a step of several edits may take: until its end none of them can be cancelled
MANY_TIMES = 10  # the time that a turn was expected to take: so long it may take
WARMING = 900.0  # seconds that it may take when it compiles, or until the first step and call tell what to expect
LINGER = 0.005  # seconds that an iteration waits for edits just served, which are about to ask again


class EngineClosed(RuntimeError):
    """The engine was closed before it came to this request."""


@dataclass(eq=False)
class Flight:
    """One edit's place in the engine. Whoever flies keeps `remaining`, the steps still to take, up to date."""

    engine: "Engine"
    priority: int
    remaining: int
    arrival: int
    work: int = 0  # latent numbers in the rows of a pass; calls that make one, too, are given the time for it
    waited: int = 0  # iterations that served others only
    passed: int = 0  # those since it was served itself
    on_wait: Callable[[], None] = lambda: None

    def run(self, call: Callable[[], T]) -> T:
        """Call a function on the engine's thread, alone, when it is this edit's turn."""
        return self.engine._ask(Request(self, call=call))

    def step(self, edit: Denoising) -> None:
        """Have a denoising step taken, perhaps together with other edits'."""
        self.remaining = edit.steps - edit.step
        self.engine._ask(Request(self, edit=edit))
        self.remaining -= 1

    @property
    def urgency(self) -> tuple[float, float, int]:
        """Sorts the most urgent first: by priority, then by what is left to do and how long it has waited."""
        return -self.priority, self.remaining - AGEING * self.waited, self.arrival


@dataclass(eq=False)
class Request:
    """A piece of work that a thread waits for: a call, or a step of an edit."""

    flight: Flight
    call: Callable[[], Any] | None = None
    edit: Denoising | None = None
    done: threading.Event = field(default_factory=threading.Event)
    result: Any = None
    error: BaseException | None = None

    def finish(self, work: Callable[[], Any]) -> None:
        """Do the work; what it raises is raised again where the request is waited for."""
        try:
            self.result = work()
        except BaseException as error:
            self.error = fault_of(error) or error
        self.done.set()

    def fail(self, error: BaseException) -> None:
        """Have an error raised where the request is waited for."""
        self.error = error
        self.done.set()


@dataclass(frozen=True)
class Turn:
    """What the device did for so many seconds: a call for one edit (no rows), or a step of `edits` edits.

    The step computed `rows` rows of the `room` that are worth computing together at this size of picture.
    """

    seconds: float
    edits: int = 1
    rows: int = 0
    room: int = 0


class Engine:
    """Serves the edits in flight. `predict` computes the noise in each branch of several edits in one pass.

    Whoever sets `on_turn` is told of each turn of the device, on the engine's thread.
    """

    def __init__(self, predict: Predict, *, compiles: bool = False) -> None:
        """`compiles`: the first step of each shape takes a minute or more."""
        self._predict = predict
        self._compiles = compiles
        self._shapes: set[tuple[Any, int]] = set()  # of the steps taken so far
        self._longest_call = 0.0  # seconds
        self._turns = 0
        self._sizes = BatchSizes(LONGEST_PASS)
        self._places = threading.BoundedSemaphore(IN_FLIGHT)
        self._changed = threading.Condition()
        self._pending: list[Request] = []
        self._served: set[Flight] = set()  # edits of the last iteration that have not yet asked again or left
        self._arrivals = 0
        self._closed = False
        self._thread: threading.Thread | None = None
        self.finished_at = time.monotonic()  # when the last piece of work ended
        self.allowance = 0.0  # seconds that the turn under way may take before the engine is to be called stuck
        self.on_turn: Callable[[Turn], None] = lambda _: None

    @contextmanager
    def flight(
        self, steps: int, priority: int = 0, on_wait: Callable[[], None] = lambda: None, *, work: int = 0
    ) -> Iterator[Flight]:
        """Join for one edit of so many steps; waits where the engine is full. A higher priority goes first.

        `work`: latent numbers in the rows of a pass through the UNet, where it may be made in a call, not as a step.

        While the edit waits, `on_wait` is called now and then, on its own thread; what it raises ends the wait.
        """
        while not self._places.acquire(timeout=LOOK):
            on_wait()
        try:
            with self._changed:
                self._arrivals += 1
                flight = Flight(self, priority, steps, self._arrivals, work, on_wait=on_wait)
            try:
                yield flight
            finally:
                self._leave(flight)
        finally:
            self._places.release()

    @property
    def longest_pass(self) -> float:
        """Seconds that a step of several edits may take; one that would take longer gets fewer of them."""
        return self._sizes.longest_pass

    @longest_pass.setter
    def longest_pass(self, seconds: float) -> None:
        self._sizes.longest_pass = seconds

    def close(self) -> None:
        """Refuse all further work and end the thread; what has begun is finished. Done by itself at exit."""
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
            self._served.discard(request.flight)
            self._changed.notify_all()
        while not request.done.wait(LOOK):
            request.flight.on_wait()
        if request.error is not None:
            raise request.error
        return request.result

    def _leave(self, flight: Flight) -> None:
        with self._changed:
            self._served.discard(flight)
            self._pending = [request for request in self._pending if request.flight is not flight]
            self._changed.notify_all()

    def _serve(self) -> None:
        while requests := self._next():
            try:
                self._take_turn(requests)
            except Exception as error:  # whatever it is, the edits to come need this thread
                log.exception("a turn of the engine broke")
                for request in requests:
                    if not request.done.is_set():
                        request.fail(error)
        for request in self._pending:
            request.finish(_refuse)

    def _take_turn(self, requests: list[Request]) -> None:
        began, edits = time.perf_counter(), [request.edit for request in requests if request.edit is not None]
        self.allowance = self._patience(requests[0].flight, edits)
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
            self._longest_call = max(self._longest_call, seconds)
        rows, room = sum(edit.rows for edit in edits), self._sizes.rows(edits[0]) if edits else 0
        try:
            self.on_turn(Turn(seconds, len(requests), rows, max(rows, room)))
        except Exception:
            log.exception("who watches the engine broke")

    def _patience(self, flight: Flight, edits: Sequence[Denoising]) -> float:
        """Seconds that a turn may take: many times those expected by its rows and size, or by the longest call."""
        if edits:
            expected = self._sizes.expected(sum(map(work_of, edits)))
            shape = (edits[0].x.shape, sum(edit.rows for edit in edits))
            compiles = self._compiles and shape not in self._shapes
            self._shapes.add(shape)
        else:
            compiles, expected = False, max(self._longest_call, self._sizes.expected(flight.work) or 0.0)
        return WARMING if compiles or not expected else MANY_TIMES * expected

    def _next(self) -> list[Request]:
        """Wait for work, then take an iteration's share of it; nothing once the engine is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._served, timeout=LINGER)
            self._changed.wait_for(lambda: self._closed or self._pending)
            if self._closed:
                return []
            self._turns += 1
            chosen = choose(self._pending, self._sizes, fair=self._turns % FAIR == 0)
            self._pending = [request for request in self._pending if request not in chosen]
            for request in self._pending:
                request.flight.waited += 1
                request.flight.passed += 1
            self._served = {request.flight for request in chosen}
            for flight in self._served:
                flight.passed = 0
            return chosen

    def _step(self, requests: list[Request]) -> None:
        """One step of several edits. A batch that fails is tried in parts, so that only what is at fault fails."""
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
            request.finish(lambda edit=edit, noise=noise: edit.take(noise))

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
    """Latent numbers in the rows of its step."""
    return edit.rows * prod(edit.x.shape)


def choose(pending: Sequence[Request], sizes: BatchSizes, *, fair: bool = False) -> list[Request]:
    """The most urgent request and, if it is a step, the next most urgent steps of its size that fit in the batch.

    `fair`: first of all whichever was passed over longest, so that no priority keeps another waiting for ever.
    """
    ordered = sorted(pending, key=lambda request: (-request.flight.passed if fair else 0, request.flight.urgency))
    first = ordered[0]
    if first.edit is None:
        return [first]
    chosen, rows, room = [first], first.edit.rows, sizes.rows(first.edit)
    for request in ordered[1:]:
        same = request.edit is not None and request.edit.x.shape == first.edit.x.shape
        if same and rows + request.edit.rows <= room:
            chosen.append(request)
            rows += request.edit.rows
    return chosen


def _refuse() -> None:
    raise EngineClosed
