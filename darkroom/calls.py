"""One account of what is asked of the service, for blocking and for asyncio clients.

A call is written once, as a generator that yields what it needs done (send a request, pause, read a stream's next line)
and is sent what came of it. `Sync` and `Async` do these things, each in its way; `call` and `stream` make methods of
the generators, so that `client.jobs.get(id)` returns a job on one side and an awaitable of it on the other.
"""

from __future__ import annotations

import asyncio
import inspect
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, cast, overload

import httpx

from darkroom.errors import DarkroomError, refusal, unreachable
from darkroom.parameters import Parameters
from darkroom.version import __version__

P = ParamSpec("P")
T = TypeVar("T")
Asking = Generator[Any, Any, T]  # a call that returns T
Streaming = Generator["Emit[T] | Any", Any, None]  # a call that emits values of type T

REFUSED_FOR_NOW = (httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.TOO_MANY_REQUESTS)  # nothing was done
GATEWAY_FAILED = (httpx.codes.BAD_GATEWAY, httpx.codes.GATEWAY_TIMEOUT)  # it may have been done
SAFE_METHODS = ("GET", "HEAD")
TIMEOUT = 60.0  # seconds that a call may take, with all its attempts
MAX_RETRIES = 5
LONGEST_PAUSE = 5.0  # seconds between two attempts where the service does not say
LONGEST_RETRY_AFTER = 120.0  # seconds; a stream waits no longer, whatever the service says
SHORTEST_ATTEMPT = 0.05  # seconds; httpx takes 0 for no time at all
LONGEST_PAGE = 1000  # of what operators list
USER_AGENT = f"darkroom-python/{__version__}"


@dataclass(frozen=True)
class Request:
    """Send this; what comes back is the answer, read whole."""

    method: str
    url: str
    options: dict[str, Any] = field(default_factory=dict)  # httpx's

    @property
    def is_safe(self) -> bool:
        """Whether sent twice it does no more than once."""
        return self.method in SAFE_METHODS or "Idempotency-Key" in self.options.get("headers", {})


@dataclass(frozen=True)
class Open:
    """Send this; what comes back is the answer, its lines still to be read."""

    request: Request


@dataclass(frozen=True)
class NextLine:
    """The next line of what is open; None at its end."""


@dataclass(frozen=True)
class Pause:
    """Do nothing for so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Emit(Generic[T]):
    """Hand this to whoever iterates."""

    value: T


@dataclass
class Connection:
    """Where the service is, and the HTTP client to it; shared by all that a client has handed out."""

    url: str
    http: Any  # httpx.Client or httpx.AsyncClient
    auth: httpx.Auth | None = None
    timeout: float = TIMEOUT
    max_retries: int = MAX_RETRIES

    def request(self, method: str, path: str, **options: Any) -> Request:
        """A request of the service, with its key; or of another address, without."""
        headers = {"User-Agent": USER_AGENT} | options.pop("headers", {})
        if httpx.URL(path).is_absolute_url:
            return Request(method, path, {"auth": None, "headers": headers} | options)
        auth = {"auth": self.auth} if self.auth else {}
        return Request(method, self.url + path, {**auth, "headers": headers} | options)


class Side:
    """What talks over a connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def ask_for_all(self, path: str, most: int | None = None) -> Asking[list[dict[str, Any]]]:
        """What a list holds, `most` at most, asked for page by page."""
        found: list[dict[str, Any]] = []
        after: dict[str, str] = {}
        while True:
            left = {} if most is None else {"limit": min(most - len(found), LONGEST_PAGE)}
            answer = (yield from self.ask("GET", path, params={**left, **after})).json()
            found += answer["data"]
            if not answer.get("next") or len(found) == most:
                return found
            after = {"after": answer["next"]}

    def ask(
        self,
        method: str,
        path: str,
        *,
        timeout: float | None = None,
        attempt_timeout: float | None = None,
        retry: bool = True,
        lasting: bool = False,
        **options: Any,
    ) -> Asking[httpx.Response]:
        """One request, repeated for `timeout` seconds, and `max_retries` times at most, where that is safe.

        Refused for now (429, 503) it is repeated as Retry-After says. Where the connection broke or a gateway failed
        (502, 504) it is repeated if sent twice it does no more than once; where nobody listens only if somebody did
        just now, or should (`lasting`: then for all its time).
        """
        over = time.monotonic() + (self.connection.timeout if timeout is None else timeout)
        most = self.connection.max_retries if retry else 0
        attempt = 0
        while True:
            left = max(over - time.monotonic(), SHORTEST_ATTEMPT)
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
                failure, pause = refusal(answer), said_or(answer, attempt)
                may_repeat = answer.status_code in REFUSED_FOR_NOW or (
                    answer.status_code in GATEWAY_FAILED and (lasting or request.is_safe)
                )
            has_retries = attempt < most or (lasting and most > 0)
            if not (may_repeat and has_retries) or time.monotonic() + pause > over:
                raise failure
            yield Pause(pause)
            attempt += 1


def backoff(attempt: int) -> float:
    """Seconds until the next attempt: growing, with full jitter, so that many clients do not come back as one."""
    return random.uniform(0.1, min(LONGEST_PAUSE, 0.5 * 2**attempt))  # noqa: S311 nothing secret


def said_or(answer: httpx.Response, attempt: int) -> float:
    """The answer's Retry-After and up to a quarter more, else our own pause."""
    said = answer.headers.get("Retry-After", "")
    return float(said) * random.uniform(1, 1.25) if said.isdigit() else backoff(attempt)  # noqa: S311


class Sync(Side):
    """Does what calls ask for, blocking."""

    def _run(self, asking: Asking[T]) -> T:
        wire = SyncWire(self.connection.http)
        for _ in wire.walk(asking):
            pass
        result: T = wire.result
        return result

    def _iterate(self, asking: Asking[Any]) -> Iterator[Any]:
        return SyncWire(self.connection.http).walk(asking)


class Async(Side):
    """Does what calls ask for in asyncio."""

    async def _run(self, asking: Asking[T]) -> T:
        wire = AsyncWire(self.connection.http)
        async for _ in wire.walk(asking):
            pass
        result: T = wire.result
        return result

    def _iterate(self, asking: Asking[Any]) -> AsyncIterator[Any]:
        return AsyncWire(self.connection.http).walk(asking)


class SyncWire:
    """One call on its way."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http
        self.result: Any = None
        self._open: httpx.Response | None = None
        self._lines: Iterator[str] = iter(())

    def walk(self, asking: Asking[Any]) -> Iterator[Any]:
        """Do each step and pass on what is emitted; `result` is then what the call returned."""
        try:
            step = next(asking)
            while True:
                try:
                    came = (yield step.value) if isinstance(step, Emit) else self._do(step)
                except httpx.TransportError as error:
                    step = asking.throw(error)
                else:
                    step = asking.send(came)
        except StopIteration as end:
            self.result = end.value
        finally:
            asking.close()
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


class AsyncWire:
    """One call on its way, in asyncio."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.result: Any = None
        self._open: httpx.Response | None = None
        self._lines: AsyncGenerator[str] | None = None

    async def walk(self, asking: Asking[Any]) -> AsyncIterator[Any]:
        """Do each step and pass on what is emitted; `result` is then what the call returned."""
        try:
            step = next(asking)
            while True:
                try:
                    came = (yield step.value) if isinstance(step, Emit) else await self._do(step)
                except httpx.TransportError as error:
                    step = asking.throw(error)
                else:
                    step = asking.send(came)
        except StopIteration as end:
            self.result = end.value
        finally:
            asking.close()
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
            await self._lines.aclose()  # else it is closed when the loop is, which then complains
            self._lines = None
        if self._open is not None:
            await self._open.aclose()
            self._open = None


def each(streaming: Streaming[Any], then: Callable[[Any], Streaming[T]]) -> Streaming[T]:
    """A streaming call, but for each value that it emits `then(value)` is done instead."""
    try:
        step = next(streaming)
        while True:
            try:
                came = yield from then(step.value) if isinstance(step, Emit) else _pass_on(step)
            except httpx.TransportError as error:
                step = streaming.throw(error)
            else:
                step = streaming.send(came)
    except StopIteration:
        return


def _pass_on(step: Any) -> Asking[Any]:
    return (yield step)


def method(side: Side, asking: Callable[..., Any], do: Callable[[Any], Any]) -> Callable[..., Any]:
    """A generator method of a side as one that has its steps done."""

    @wraps(asking)
    def bound(*args: Any, **kwargs: Any) -> Any:
        return do(asking(side, *args, **kwargs))

    _, *others = signature(asking, isinstance(side, Async)).parameters.values()
    bound.__signature__ = signature(asking, isinstance(side, Async)).replace(parameters=others)  # type: ignore[attr-defined]
    return bound


def of_class(name: str, asking: Callable[..., Any], owner: type) -> Callable[..., Any]:
    """The same as an attribute of its class, for those who look it up there: `help(Client.edit)`."""

    @wraps(asking)
    def unbound(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(self, name)(*args, **kwargs)

    unbound.__signature__ = signature(asking, issubclass(owner, Async))  # type: ignore[attr-defined]
    return unbound


RETURNED = {  # what a generator method is said to return, by what it returns on either side
    False: (("Asking[", ""), ("Streaming[", "Iterator[")),
    True: (("Asking[", "Awaitable["), ("Streaming[", "AsyncIterator[")),
}


def signature(asking: Callable[..., Any], awaits: bool) -> inspect.Signature:
    """The parameters that callers may give, those of an edit one by one, and what comes back."""
    plain = inspect.signature(asking)
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


class call(Generic[P, T]):  # noqa: N801 a decorator
    """A generator method as one that returns its result, or an awaitable of it."""

    def __init__(self, asking: Callable[Concatenate[Any, P], Asking[T]]) -> None:
        self.asking = asking
        self.__doc__ = asking.__doc__

    @overload
    def __get__(self, side: None, owner: Any) -> Self: ...
    @overload
    def __get__(self, side: Sync, owner: Any) -> Callable[P, T]: ...
    @overload
    def __get__(self, side: Async, owner: Any) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, side: Any, owner: Any) -> Any:
        return of_class(self.name, self.asking, owner) if side is None else method(side, self.asking, side._run)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name


class stream(Generic[P, T]):  # noqa: N801 a decorator
    """A generator method that emits values as one that returns an iterator over them, or an asynchronous one."""

    def __init__(self, asking: Callable[Concatenate[Any, P], Streaming[T]]) -> None:
        self.asking = asking
        self.__doc__ = asking.__doc__

    @overload
    def __get__(self, side: None, owner: Any) -> Self: ...
    @overload
    def __get__(self, side: Sync, owner: Any) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, side: Async, owner: Any) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, side: Any, owner: Any) -> Any:
        return of_class(self.name, self.asking, owner) if side is None else method(side, self.asking, side._iterate)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
