"""The engine: one thread owns the device, and edits share it step by step (continuous batching).

A thread that edits a photo joins the engine, gets a ticket, and asks for one piece of work after another: `run` calls a
function on the engine's thread, `step` takes a denoising step, and `denoise` takes all steps of an edit. In each
iteration the engine serves the most urgent request. If that is a step, it batches as many other steps of the same size
as are worth computing together. Edits therefore join, finish and leave between any two steps. An edit that was canceled
or failed leaves, so the next iteration goes on without it.

In `denoise` the engine takes the next step without waiting for the edit's thread. Otherwise a thread that is busy with
a preview would miss the next batch. A request is finished when the device has done its work, not when Python has queued
it. Otherwise the learned batch sizes and the allowance would depend on how long queueing takes.
"""

import atexit
import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import torch
from torch import Tensor

from pipeline.batch import BatchSizes
from pipeline.denoise import Denoising, next_latents
from pipeline.device import CPUTimeline, Timeline, download
from pipeline.errors import DeviceLost, OutOfMemory
from pipeline.faults import fault_of, free_memory

log = logging.getLogger(__name__)

T = TypeVar("T")
Item = TypeVar("Item")
Predict = Callable[[Sequence[Denoising]], Sequence[Tensor]]
Small = Callable[[Tensor], Tensor]  # latents (n, C, h, w) to small pictures (n, h, w, 3) of bytes, on the same device

MAX_TICKETS = 32  # edits in the engine at a time; others wait to join
AGING_STEPS = 0.05  # an edit that an iteration skips counts as this many steps shorter, among edits of its priority
FAIR_EVERY = 10  # in every tenth iteration the edit that was skipped most goes first, whatever its priority
POLL_SECONDS = 0.25  # a waiting edit checks this often whether it should go on
MAX_PASS_SECONDS = 30.0  # longest step of several edits: none of them can be canceled before its end
TIMEOUT_FACTOR = 10  # an iteration may take this many times the expected time
WARM_UP_SECONDS = 900.0  # an iteration may take this long when it compiles, or when nothing was measured yet
BATCH_WINDOW_SECONDS = 0.005  # once there is work, an iteration waits this long for others that are about to ask
STEPS_AHEAD = 4  # steps that `denoise` takes before the edit's thread has looked at the first of them


class EngineClosed(RuntimeError):
    """The engine was closed before it came to this request."""


@dataclass(frozen=True)
class Taken:
    """A finished step: the number of finished steps, and the latents after it, (1, C, h, w) each.

    `pictures` are small pictures of these latents, (2, h, w, 3) bytes on the CPU, if they were requested beforehand.
    """

    step: int
    predicted: Tensor
    noisy: Tensor
    pictures: Tensor | None = None


@dataclass(eq=False)
class Ticket:
    """One edit in the engine. `remaining` is the number of steps to take."""

    engine: "Engine"
    priority: int
    remaining: int
    arrival: int
    work: int = 0  # latent values in one pass of the UNet; the time limit of calls that make such a pass depends on it
    waited: int = 0  # iterations that did not serve this edit
    skipped: int = 0  # iterations since this edit was last served
    on_wait: Callable[[], None] = lambda: None
    left: bool = False

    def run(self, call: Callable[[], T]) -> T:
        """Call a function on the engine's thread, with no other work beside it."""
        return self.engine._ask(Request(self, call=lambda _: [call()]))

    def run_with_others(self, call: Callable[[Sequence[Item]], Sequence[T]], item: Item, key: Hashable) -> T:
        """Call a function on the engine's thread for this item and those of other calls with the same key.

        Returns the result for this item. If the call fails for several items, it is repeated with fewer of them.
        """
        return self.engine._ask(Request(self, call=call, item=item, key=key))

    def step(self, edit: Denoising) -> None:
        """Take a denoising step, perhaps in one batch with other edits."""
        self.remaining = edit.steps - edit.step
        self.engine._ask(Request(self, edit=edit))

    def denoise(self, edit: Denoising, wants: Callable[[int], bool] = lambda _: False) -> Iterator[Taken]:
        """Take all remaining steps of the edit. Yields each step, while the engine goes on with the next ones.

        `wants` is called on the engine's thread with the number of each step: whether to make pictures of it.
        """
        if edit.finished:
            return
        self.remaining = edit.steps - edit.step
        request = Request(self, edit=edit, goes_on=True, wants=wants)
        taken = self.engine._ask(request)
        while True:
            yield taken
            if taken.step == edit.steps:
                return
            taken = self.engine._read(request)

    @property
    def urgency(self) -> tuple[float, float, int]:
        """The sort key: most urgent first, by priority, then by remaining steps less the wait, then by arrival."""
        return -self.priority, self.remaining - AGING_STEPS * self.waited, self.arrival


@dataclass(eq=False)
class Request:
    """A piece of work that a thread waits for: a call, a step, or with `goes_on` all steps of an edit."""

    ticket: Ticket
    call: Callable[[Sequence[Any]], Sequence[Any]] = lambda _: ()
    item: Any = None
    key: Hashable = None  # calls with the same key may be made together; None: alone
    edit: Denoising | None = None
    goes_on: bool = False
    wants: Callable[[int], bool] = lambda _: False
    outcomes: SimpleQueue[tuple[Any, BaseException | None]] = field(default_factory=SimpleQueue)
    open: bool = True  # the present iteration has not finished it yet
    unread: int = 0  # outcomes that the thread has not read
    parked: bool = False  # the engine goes on with it once the thread has read an outcome

    def finish(self, result: Any) -> None:
        """Give the result to the waiting thread."""
        self.open = False
        self.outcomes.put((result, None))

    def fail(self, error: BaseException) -> None:
        """Raise an error in the waiting thread."""
        self.open = self.goes_on = False
        self.outcomes.put((None, error))


class ThreadClock:
    """The processor time of the thread that creates it, readable by other threads. 0 if the system has none."""

    def __init__(self) -> None:
        of_thread = getattr(time, "pthread_getcpuclockid", None)
        self._id = of_thread(threading.get_ident()) if of_thread else None

    def seconds(self) -> float:
        try:
            return time.clock_gettime(self._id) if self._id is not None else 0.0
        except OSError:  # the thread has ended
            return 0.0


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
    """Serves all edits in flight. `predict` computes the noise of each branch of several edits in one pass.

    `on_iteration` is called after each iteration, on the engine's thread. `small` makes the pictures that edits
    request.
    """

    def __init__(
        self, predict: Predict, *, compiles: bool = False, timeline: Timeline | None = None, together: int = 1
    ) -> None:
        """
        Args:
            compiles: the first step of each shape takes a minute or more.
            timeline: of the device; default: CPU.
            together: the most calls with one key that are made as one.
        """
        self._together = together
        self._predict = predict
        self._timeline: Timeline = timeline or CPUTimeline()
        self.small: Small | None = None
        self._compiles = compiles
        self._shapes: set[tuple[Any, int]] = set()  # the shapes of the steps taken so far
        self._longest_call_seconds = 0.0
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
        self._processor: ThreadClock | None = None
        self._began_seconds = 0.0  # the thread's processor time when the present iteration began
        self._used_seconds = 0.0  # the processor time used in it, as `worked_at` last saw it
        self._computed_at = 0.0
        self.on_iteration: Callable[[Iteration], None] = lambda _: None

    @contextmanager
    def join(
        self, steps: int, priority: int = 0, on_wait: Callable[[], None] = lambda: None, *, work: int = 0
    ) -> Iterator[Ticket]:
        """Join with one edit of so many steps, as soon as the engine has a free ticket.

        Args:
            priority: a higher one goes first.
            on_wait: called at intervals, on the edit's own thread, while the edit waits. An error ends the wait.
            work: latent values in one pass of the UNet, for edits that make the pass in `run` instead of `step`.
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
            self._add(request)
        return self._read(request)

    def _read(self, request: Request) -> Any:
        """The next outcome of a request. If the request is parked, the engine then goes on with it."""
        while True:
            try:
                result, error = request.outcomes.get(timeout=POLL_SECONDS)
                break
            except Empty:
                request.ticket.on_wait()
        if error is not None:
            raise error
        with self._changed:
            request.unread -= 1
            if request.parked:
                request.parked = False
                self._add(request)
        return result

    def worked_at(self) -> float:
        """When the engine last finished any work, or was seen to compute, by the monotonic clock.

        An engine that gets little processor time because of other processes is slow, not stuck. It counts as computing
        while it uses processor time, up to the allowance.
        """
        used = self._processor.seconds() - self._began_seconds if self._processor and self.allowance else 0.0
        if self._used_seconds < used < self.allowance:
            self._computed_at = time.monotonic()
        self._used_seconds = used
        return max(self.finished_at, self._computed_at)

    def _add(self, request: Request) -> None:
        self._pending.append(request)
        self._served.discard(request.ticket)
        self._changed.notify_all()

    def _go_on(self, requests: Sequence[Request]) -> None:
        """Request the next steps of edits for their threads, unless a thread has too many unread steps."""
        with self._changed:
            for request in requests:
                request.unread += 1
                if request.edit is None or request.edit.finished or request.ticket.left:
                    request.goes_on = False
                elif request.goes_on:
                    request.parked = request.unread >= STEPS_AHEAD
                    if not request.parked:
                        self._add(request)

    def _leave(self, ticket: Ticket) -> None:
        with self._changed:
            ticket.left = True
            self._served.discard(ticket)
            self._pending = [request for request in self._pending if request.ticket is not ticket]
            self._changed.notify_all()

    def _serve(self) -> None:
        self._processor = ThreadClock()
        while requests := self._next():
            try:
                self._run_iteration(requests)
            except Exception as error:  # whatever the error, later edits need this thread
                log.exception("an iteration of the engine failed")
                for request in requests:
                    if request.open:
                        request.fail(error)
        for request in self._pending:
            request.fail(EngineClosed())

    def _run_iteration(self, requests: list[Request]) -> None:
        edits = [request.edit for request in requests if request.edit is not None]
        self._began_seconds = time.thread_time()
        self.allowance = self._allowed_seconds(requests[0].ticket, edits)
        rows, capacity = sum(edit.rows for edit in edits), self._sizes.rows(edits[0]) if edits else 0
        began = self._timeline.mark()
        with torch.inference_mode():
            if edits:
                self._step(requests)
            else:
                outcomes = self._call(requests)
        ended = self._timeline.mark()
        ended.wait()
        seconds = ended.since(began)
        self.finished_at = time.monotonic()
        self.allowance = 0.0
        if not edits:
            self._longest_call_seconds = max(self._longest_call_seconds, seconds)
            for request, (result, error) in zip(requests, outcomes, strict=True):
                request.finish(result) if error is None else request.fail(error)
        try:
            self.on_iteration(Iteration(seconds, len(requests), rows, max(rows, capacity)))
        except Exception:
            log.exception("on_iteration raised an error")

    def _allowed_seconds(self, ticket: Ticket, edits: Sequence[Denoising]) -> float:
        """The seconds that an iteration may take, from the measured speed for its size or from the longest call."""
        if edits:
            expected = self._sizes.expected(sum(map(work_of, edits)))
            shape = (edits[0].form, sum(edit.rows for edit in edits))
            compiles = self._compiles and shape not in self._shapes
            self._shapes.add(shape)
        else:
            compiles, expected = False, max(self._longest_call_seconds, self._sizes.expected(ticket.work) or 0.0)
        return WARM_UP_SECONDS if compiles or not expected else TIMEOUT_FACTOR * expected

    def _next(self) -> list[Request]:
        """Wait for requests and choose those of the next iteration. Empty once the engine is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._pending)
            self._changed.wait_for(lambda: self._closed or not self._served, timeout=BATCH_WINDOW_SECONDS)
            if self._closed:
                return []
            self._iterations += 1
            chosen = choose(
                self._pending, self._sizes, fair=self._iterations % FAIR_EVERY == 0, together=self._together
            )
            self._pending = [request for request in self._pending if request not in chosen]
            for request in self._pending:
                request.ticket.waited += 1
                request.ticket.skipped += 1
            self._served = {request.ticket for request in chosen}
            for request in chosen:
                request.ticket.skipped, request.open = 0, True
            return sorted(chosen, key=lambda request: request.ticket.arrival)  # keeps the order of a batch that goes on

    def _call(self, requests: Sequence[Request], *, again: bool = False) -> Sequence[tuple[Any, BaseException | None]]:
        """The results of calls with one key, or their errors. If they fail together, they are repeated in halves.

        If the device has no memory for a single call, unused memory is freed and the call is repeated once.
        """
        try:
            results = requests[0].call([request.item for request in requests])
            self._timeline.mark().wait()
        except BaseException as error:
            broke: BaseException = fault_of(error) or error
        else:
            return [(result, None) for result in results]
        if isinstance(broke, OutOfMemory):  # outside `except`, where the tensors of the failed call are free
            free_memory()
            if len(requests) == 1 and not again:
                return self._call(requests, again=True)
        if len(requests) == 1 or isinstance(broke, DeviceLost):
            return [(None, broke)] * len(requests)
        half = len(requests) // 2
        return [*self._call(requests[:half]), *self._call(requests[half:])]

    def _step(self, requests: list[Request], *, again: bool = False) -> None:
        """One step of several edits. A failed batch is repeated in halves, so that only the faulty edits fail."""
        edits = [request.edit for request in requests if request.edit is not None]
        began, broke = self._timeline.mark(), None
        try:
            following = next_latents(edits, self._predict(edits))
            pictures = self._pictures(requests, following)
            ended = self._timeline.mark()
            ended.wait()
        except Exception as error:
            broke = fault_of(error) or error
        if broke is not None:  # outside `except`, where the tensors of the failed pass are free
            self._recover(requests, edits, broke, again=again)
            return
        self._sizes.learn(edits, ended.since(began))
        for request, edit, (noisy, predicted) in zip(requests, edits, following, strict=True):
            edit.advance(noisy, predicted)
            request.ticket.remaining = edit.steps - edit.step
            request.finish(Taken(edit.step, predicted, noisy, pictures.get(request)))
        self._go_on(requests)

    def _pictures(
        self, requests: Sequence[Request], following: Sequence[tuple[Tensor, Tensor]]
    ) -> dict[Request, Tensor]:
        """The small pictures of this step that some of the edits requested, in one copy from the device."""
        wanted = [(request, latents) for request, latents in zip(requests, following, strict=True) if _wants(request)]
        if not wanted or self.small is None:
            return {}
        stack = torch.cat([latents for _, (noisy, predicted) in wanted for latents in (predicted, noisy)])
        pairs = download(self.small(stack)).unflatten(0, (-1, 2))
        return {request: pair for (request, _), pair in zip(wanted, pairs, strict=True)}

    def _recover(self, requests: list[Request], edits: Sequence[Denoising], broke: Exception, *, again: bool) -> None:
        if isinstance(broke, OutOfMemory):
            free_memory()
            if len(requests) > 1:
                self._sizes.lower(edits)
        if isinstance(broke, DeviceLost):
            for request in requests:
                request.fail(DeviceLost(str(broke)))
        elif len(requests) > 1:
            self._step(requests[: len(requests) // 2])
            self._step(requests[len(requests) // 2 :])
        elif isinstance(broke, OutOfMemory) and not again:
            self._step(requests, again=True)
        else:
            requests[0].fail(broke)


def _wants(request: Request) -> bool:
    return request.edit is not None and request.wants(request.edit.step + 1)


def work_of(edit: Denoising) -> int:
    """The number of latent values in the rows of the edit's next step."""
    return edit.rows * prod(edit.x.shape)


def choose(pending: Sequence[Request], sizes: BatchSizes, *, fair: bool = False, together: int = 1) -> list[Request]:
    """The most urgent request. If it is a step, also the next most urgent steps of its size that fit in the batch.

    If it is a call with a key, also the next most urgent calls with that key, at most `together` in total.

    `fair`: the request that was skipped most often comes first, so that no priority waits forever.
    """
    ordered = sorted(pending, key=lambda request: (-request.ticket.skipped if fair else 0, request.ticket.urgency))
    first = ordered[0]
    if first.edit is None:
        return [r for r in ordered if r is first or (r.key is not None and r.key == first.key)][:together]
    chosen, rows, capacity = [first], first.edit.rows, sizes.rows(first.edit)
    for request in ordered[1:]:
        same = request.edit is not None and request.edit.form == first.edit.form
        if same and rows + request.edit.rows <= capacity:
            chosen.append(request)
            rows += request.edit.rows
    return chosen
