"""Calls of the service, written once for blocking and for asyncio clients.

A call is a generator of steps: it yields what must be done (send a request, pause, read the next line of a stream) and
receives the outcome. `Sync` and `Async` do the steps, each in its own way. The decorators `call` and `stream` turn the
generators into methods, so `client.jobs.get(id)` returns a job from a `Client` and an awaitable from an `AsyncClient`.
"""

from __future__ import annotations

import asyncio
import inspect
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ClassVar, Concatenate, Generic, ParamSpec, Self, TypeVar, cast, overload

import httpx

from darkroom.errors import DarkroomError, refusal, unreachable
from darkroom.parameters import Parameters
from darkroom.version import __version__

P = ParamSpec("P")
T = TypeVar("T")
CallSteps = Generator[Any, Any, T]  # the steps of a call that returns T
StreamSteps = Generator["Emit[T] | Any", Any, None]  # the steps of a call that emits values of type T

RETRY_STATUSES = (httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.TOO_MANY_REQUESTS)  # the service did nothing
GATEWAY_STATUSES = (httpx.codes.BAD_GATEWAY, httpx.codes.GATEWAY_TIMEOUT)  # the service may have done it
SAFE_METHODS = ("GET", "HEAD")
TIMEOUT = 60.0  # seconds for a call with all its attempts
MAX_RETRIES = 5
MAX_BACKOFF_SECONDS = 5.0  # longest pause between two attempts, unless the service asks for another
MAX_RETRY_AFTER = 120.0  # longest pause of a stream, whatever the service asks for
MIN_ATTEMPT_SECONDS = 0.05  # httpx allows no time at all for a timeout of 0
MAX_PAGE = 1000  # entries in a page of an operator's list
USER_AGENT = f"darkroom-python/{__version__}"


@dataclass(frozen=True)
class Request:
    """A step: send this request. Its outcome is the whole answer."""

    method: str
    url: str
    options: dict[str, Any] = field(default_factory=dict)  # httpx's

    @property
    def is_safe(self) -> bool:
        """Whether sending it twice does no more than sending it once."""
        return self.method in SAFE_METHODS or "Idempotency-Key" in self.options.get("headers", {})


@dataclass(frozen=True)
class Open:
    """A step: send this request. Its outcome is the answer, with its lines still to be read."""

    request: Request


@dataclass(frozen=True)
class NextLine:
    """A step: read the next line of the open answer. None: the answer has ended."""


@dataclass(frozen=True)
class Pause:
    """A step: wait."""

    seconds: float


@dataclass(frozen=True)
class Emit(Generic[T]):
    """A step: give this value to the caller, who iterates."""

    value: T


@dataclass
class Connection:
    """The service's address and the HTTP client. All jobs and lists of a client share it."""

    url: str
    http: Any  # httpx.Client or httpx.AsyncClient
    auth: httpx.Auth | None = None
    timeout: float = TIMEOUT
    max_retries: int = MAX_RETRIES

    def request(self, method: str, path: str, **options: Any) -> Request:
        """A request to the service, with the key; or to another address, without it."""
        headers = {"User-Agent": USER_AGENT} | options.pop("headers", {})
        if httpx.URL(path).is_absolute_url:
            return Request(method, path, {"auth": None, "headers": headers} | options)
        auth = {"auth": self.auth} if self.auth else {}
        return Request(method, self.url + path, {**auth, "headers": headers} | options)


class Resource:
    """Anything that sends requests over a connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def send_for_all(self, path: str, most: int | None = None) -> CallSteps[list[dict[str, Any]]]:
        """All entries of a list, or the first `most`, fetched page by page."""
        found: list[dict[str, Any]] = []
        after: dict[str, str] = {}
        while True:
            left = {} if most is None else {"limit": min(most - len(found), MAX_PAGE)}
            answer = (yield from self.send("GET", path, params={**left, **after})).json()
            found += answer["data"]
            if not answer.get("next") or len(found) == most:
                return found
            after = {"after": answer["next"]}

    def send(
        self,
        method: str,
        path: str,
        *,
        timeout: float | None = None,
        attempt_timeout: float | None = None,
        retry: bool = True,
        lasting: bool = False,
        **options: Any,
    ) -> CallSteps[httpx.Response]:
        """Send a request. It is repeated, where that is safe, at most `max_retries` times within `timeout` seconds.

        After 429 and 503 it is repeated when Retry-After says. After a broken connection, 502 or 504 it is repeated if
        it is safe to send twice. If the first attempt finds nobody listening, it is not repeated. `lasting`: repeat
        after any of these until the time is over.
        """
        over = time.monotonic() + (self.connection.timeout if timeout is None else timeout)
        most = self.connection.max_retries if retry else 0
        attempt = 0
        while True:
            left = max(over - time.monotonic(), MIN_ATTEMPT_SECONDS)
            request = self.connection.request(method, path, timeout=min(left, attempt_timeout or left), **options)
            try:
                answer: httpx.Response = yield request
            except httpx.TransportError as error:
                failure: DarkroomError = unreachable(self.connection.url, error)
                pause = backoff(attempt)
                nobody = isinstance(error, httpx.ConnectError) and attempt == 0
                may_repeat = lasting or (request.is_safe and not nobody)
            else:
                if answer.status_code < httpx.codes.BAD_REQUEST:
                    return answer
                failure, pause = refusal(answer), retry_after_of(answer, attempt)
                may_repeat = answer.status_code in RETRY_STATUSES or (
                    answer.status_code in GATEWAY_STATUSES and (lasting or request.is_safe)
                )
            has_retries = attempt < most or (lasting and most > 0)
            if not (may_repeat and has_retries) or time.monotonic() + pause > over:
                raise failure
            yield Pause(pause)
            attempt += 1


def backoff(attempt: int) -> float:
    """Seconds until the next attempt: growing, with full jitter, so that clients do not come back all at once."""
    return random.uniform(0.1, min(MAX_BACKOFF_SECONDS, 0.5 * 2**attempt))  # noqa: S311 nothing secret


def retry_after_of(answer: httpx.Response, attempt: int) -> float:
    """The answer's Retry-After plus up to a quarter; without one, the backoff."""
    said = answer.headers.get("Retry-After", "")
    return float(said) * random.uniform(1, 1.25) if said.isdigit() else backoff(attempt)  # noqa: S311


class Sync(Resource):
    """Runs the steps of calls, blocking."""

    def _run(self, steps: CallSteps[T]) -> T:
        runner = SyncRunner(self.connection.http)
        for _ in runner.run(steps):
            pass
        result: T = runner.result
        return result

    def _iterate(self, steps: CallSteps[Any]) -> Iterator[Any]:
        return SyncRunner(self.connection.http).run(steps)


class Async(Resource):
    """Runs the steps of calls in asyncio."""

    async def _run(self, steps: CallSteps[T]) -> T:
        runner = AsyncRunner(self.connection.http)
        async for _ in runner.run(steps):
            pass
        result: T = runner.result
        return result

    def _iterate(self, steps: CallSteps[Any]) -> AsyncIterator[Any]:
        return AsyncRunner(self.connection.http).run(steps)


class SyncRunner:
    """Runs the steps of one call."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http
        self.result: Any = None
        self._open: httpx.Response | None = None
        self._lines: Iterator[str] = iter(())

    def run(self, steps: CallSteps[Any]) -> Iterator[Any]:
        """Do each step and yield the emitted values. Afterwards `result` is what the call returned."""
        try:
            step = next(steps)
            while True:
                try:
                    outcome = (yield step.value) if isinstance(step, Emit) else self._do(step)
                except httpx.TransportError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(outcome)
        except StopIteration as end:
            self.result = end.value
        finally:
            steps.close()
            self._close()

    def _do(self, step: Any) -> Any:
        match step:
            case Request():
                return self.http.request(step.method, step.url, **step.options)
            case Pause():
                return time.sleep(step.seconds)
            case NextLine():
                return next(self._lines, None)
            case Open(Request(method, url, options)):
                self._close()
                self._open = self.http.send(self.http.build_request(method, url, **options), stream=True)
                if self._open.is_error:
                    self._open.read()
                self._lines = self._open.iter_lines()
                return self._open

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None


class AsyncRunner:
    """Runs the steps of one call, in asyncio."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.result: Any = None
        self._open: httpx.Response | None = None
        self._lines: AsyncGenerator[str] | None = None

    async def run(self, steps: CallSteps[Any]) -> AsyncIterator[Any]:
        """Do each step and yield the emitted values. Afterwards `result` is what the call returned."""
        try:
            step = next(steps)
            while True:
                try:
                    outcome = (yield step.value) if isinstance(step, Emit) else await self._do(step)
                except httpx.TransportError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(outcome)
        except StopIteration as end:
            self.result = end.value
        finally:
            steps.close()
            await self._close()

    async def _do(self, step: Any) -> Any:
        match step:
            case Request():
                return await self.http.request(step.method, step.url, **step.options)
            case Pause():
                return await asyncio.sleep(step.seconds)
            case NextLine():
                return await anext(self._lines, None) if self._lines else None
            case Open(Request(method, url, options)):
                await self._close()
                self._open = await self.http.send(self.http.build_request(method, url, **options), stream=True)
                if self._open.is_error:
                    await self._open.aread()
                self._lines = cast(AsyncGenerator[str], self._open.aiter_lines())
                return self._open

    async def _close(self) -> None:
        if self._lines is not None:
            await self._lines.aclose()  # an open generator makes the event loop complain when it closes
            self._lines = None
        if self._open is not None:
            await self._open.aclose()
            self._open = None


def each(steps: StreamSteps[Any], then: Callable[[Any], StreamSteps[T]]) -> StreamSteps[T]:
    """The steps of a stream, with the steps of `then(value)` in place of each emitted value."""
    try:
        step = next(steps)
        while True:
            try:
                outcome = yield from then(step.value) if isinstance(step, Emit) else _pass_on(step)
            except httpx.TransportError as error:
                step = steps.throw(error)
            else:
                step = steps.send(outcome)
    except StopIteration:
        return


def _pass_on(step: Any) -> CallSteps[Any]:
    return (yield step)


def method(resource: Resource, steps: Callable[..., Any], do: Callable[[Any], Any]) -> Callable[..., Any]:
    """A generator method, bound to a resource, as a function that runs its steps."""

    @wraps(steps)
    def bound(*args: Any, **kwargs: Any) -> Any:
        return do(steps(resource, *args, **kwargs))

    _, *others = signature(steps, isinstance(resource, Async)).parameters.values()
    bound.__signature__ = signature(steps, isinstance(resource, Async)).replace(parameters=others)  # type: ignore[attr-defined]
    return bound


def class_attribute(name: str, steps: Callable[..., Any], owner: type) -> Callable[..., Any]:
    """The same as an attribute of the class, so that `help(Client.edit)` works."""

    @wraps(steps)
    def unbound(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(self, name)(*args, **kwargs)

    unbound.__signature__ = signature(steps, issubclass(owner, Async))  # type: ignore[attr-defined]
    return unbound


RETURNED = {  # return annotations: of the generator method, and of the method that callers see (sync, async)
    False: (("CallSteps[", ""), ("StreamSteps[", "Iterator[")),
    True: (("CallSteps[", "Awaitable["), ("StreamSteps[", "AsyncIterator[")),
}


def signature(steps: Callable[..., Any], awaits: bool) -> inspect.Signature:
    """The signature that callers see, with the parameters of an edit one by one."""
    plain = inspect.signature(steps)
    parameters: list[inspect.Parameter] = []
    for one in plain.parameters.values():
        if one.annotation == "Unpack[Parameters]":
            kind = inspect.Parameter.KEYWORD_ONLY
            named = Parameters.__annotations__.items()
            parameters += [inspect.Parameter(name, kind, default=None, annotation=what) for name, what in named]
        else:
            parameters.append(one)
    told = str(plain.return_annotation)
    for ours, theirs in RETURNED[awaits]:
        if told.startswith(ours):
            told = theirs + told.removeprefix(ours)[: None if theirs else -1]
    return plain.replace(parameters=parameters, return_annotation=told)


class StepsMethod:
    """A descriptor: a generator method of a resource as a method that callers can use."""

    runs_by: ClassVar[str]  # the method of the resource that runs the steps

    def __init__(self, steps: Callable[..., Any]) -> None:
        self.steps = steps
        self.__doc__ = steps.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def bind(self, resource: Any, owner: type) -> Any:
        """What `resource.name` is; for `resource` None, what the class shows."""
        if resource is None:
            return class_attribute(self.name, self.steps, owner)
        return method(resource, self.steps, getattr(resource, self.runs_by))


class call(StepsMethod, Generic[P, T]):  # noqa: N801 a decorator
    """A generator method as one that returns its result, or an awaitable of it."""

    runs_by = "_run"

    def __init__(self, steps: Callable[Concatenate[Any, P], CallSteps[T]]) -> None:
        super().__init__(steps)

    @overload
    def __get__(self, resource: None, owner: Any) -> Self: ...
    @overload
    def __get__(self, resource: Sync, owner: Any) -> Callable[P, T]: ...
    @overload
    def __get__(self, resource: Async, owner: Any) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, resource: Any, owner: Any) -> Any:
        return self.bind(resource, owner)


class stream(StepsMethod, Generic[P, T]):  # noqa: N801 a decorator
    """A generator method that emits values as one that returns an iterator over them, or an asynchronous one."""

    runs_by = "_iterate"

    def __init__(self, steps: Callable[Concatenate[Any, P], StreamSteps[T]]) -> None:
        super().__init__(steps)

    @overload
    def __get__(self, resource: None, owner: Any) -> Self: ...
    @overload
    def __get__(self, resource: Sync, owner: Any) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, resource: Async, owner: Any) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, resource: Any, owner: Any) -> Any:
        return self.bind(resource, owner)
