"""Calls of the native API for a dialect, and what all dialects share: their app, and the report of ignored fields."""

import json
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Self

import httpx
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access import HEADER
from api.deps import VOUCHED, Caller
from api.dialects.in_process import InProcess
from api.forms import SentFile
from api.problems import install_problems
from jobs import api_keys, logs

#: Request headers that are passed on because they identify the caller. The native API checks them for every dialect
#: alike. When API keys are off it ignores `Authorization`, so clients that always send one work too.
PASSED_ON = (b"authorization", b"cookie", b"origin", b"host", b"traceparent")
PASSED_BACK = ("ratelimit", "ratelimit-policy")
EXPLAINING = ("retry-after", "www-authenticate")
IGNORED = "X-Ignored-Fields"
MOST_IGNORED = 20
SAYABLE = re.compile(r"[\w.\[\]-]{1,64}", re.ASCII)
LONGEST_WAIT = 60.0
DOCUMENT = "application/problem+json"

#: Turns a problem document and the headers of its answer into the body, the status and additional headers.
Shape = Callable[[dict[str, Any], Headers], tuple[dict[str, Any], int, Mapping[str, str]]]


class Problem(Exception):
    """A refusal, as a problem document (RFC 9457): the native API's own, or one of the dialect."""

    def __init__(self, document: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(document["detail"])
        self.document = document
        self.status: int = document["status"]
        self.headers = headers or {}

    @classmethod
    def told(cls, answer: httpx.Response) -> Self:
        """The refusal that the native API answered with."""
        return cls(answer.json(), {name: answer.headers[name] for name in EXPLAINING if name in answer.headers})

    def renamed(self, names: Mapping[str, str]) -> "Problem":
        """The same refusal, with the field names that the dialect's client uses."""
        errors = [
            {**error, "field": names.get(error["field"], error["field"])} for error in self.document.get("errors", ())
        ]
        return Problem({**self.document, "errors": errors}, self.headers) if errors else self


def refusal(status: int, slug: str, title: str, detail: str, field: str | None = None) -> Problem:
    """A refusal by the dialect itself. `field` is the wrong field."""
    document = {"type": f"urn:darkroom:problem:{slug}", "title": title, "status": status, "detail": detail}
    if field:
        document |= {"detail": f"{field}: {detail}", "errors": [{"field": field, "detail": detail}]}
    return Problem(document)


async def on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 - this handler is registered for Problem only
    document = {**error.document, "instance": request.url.path}
    return JSONResponse(document, error.status, error.headers, DOCUMENT)


@dataclass(frozen=True)
class Sent:
    """An event of a job's stream."""

    type: str
    id: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Accepted:
    """A submitted job. `replayed`: an earlier request with the same idempotency key submitted it."""

    job: dict[str, Any]
    replayed: bool


class Native:
    """Calls the native API for the sender of `request`, with the same rights, limits and address.

    Raises:
        Problem: from any method, when the API refuses.
    """

    def __init__(self, app: ASGIApp, request: Request, vouched: Caller | None = None) -> None:
        self._app = app
        self._request = request
        base = {name: request.scope[name] for name in ("client", "server", "scheme") if name in request.scope}
        base |= {VOUCHED: vouched}
        passed = [(name, value) for name, value in request.scope["headers"] if name in PASSED_ON]
        if said := logs.subject().get("request_id"):
            passed.append((HEADER.encode(), said.encode()))
        self._http = httpx.AsyncClient(
            transport=InProcess(app, base), base_url="http://darkroom", headers=passed, trust_env=False
        )

    def for_link(self, tenant: str, job_id: str) -> "Native":
        """The same for a client with a link to one job of a tenant. It may read, at the rate of one API key."""
        return Native(self._app, self._request, Caller(tenant, frozenset({api_keys.Scope.READ}), f"link-{job_id}"))

    async def call(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **options: Any
    ) -> httpx.Response:
        """Any request. `options` are those of httpx."""
        answer = await self._http.request(method, path, headers=_raw(headers or {}), **options)
        self._pass_back(answer)
        if answer.status_code >= 400:
            raise Problem.told(answer)
        return answer

    async def get(self, path: str, **query: Any) -> Any:
        """The JSON document at an address."""
        return (await self.call("GET", path, params=_given(query))).json()

    # ---- jobs

    async def submit(self, fields: Mapping[str, Any], *, key: str | None = None) -> Accepted:
        """Submit a job with the native API's own fields. Pictures may be bytes; fields that are None are left out.

        A retry with the same `key` finds the same job.
        """
        headers = {"Idempotency-Key": key} if key else {}
        answer = await self.call("POST", "/v1/jobs", headers=headers, **_body(fields))
        return Accepted(answer.json(), "idempotent-replayed" in answer.headers)

    async def job(self, job_id: str) -> Any:
        """The job as it is now."""
        return await self.get(f"/v1/jobs/{job_id}")

    async def wait_for(self, job_id: str, seconds: float = LONGEST_WAIT) -> Any:
        """Wait until the job is over, for `seconds` (60 at most), or until this process shuts down. Returns the job."""
        return await self.get(f"/v1/jobs/{job_id}", wait=min(seconds, LONGEST_WAIT))

    async def cancel(self, job_id: str) -> Any:
        """Ask a job to stop. Returns it."""
        return (await self.call("POST", f"/v1/jobs/{job_id}/cancel")).json()

    @asynccontextmanager
    async def events(self, job_id: str, after: str | None = None) -> AsyncIterator[AsyncIterator[Sent | None]]:
        """The events of a job from the first one, or after the id `after`, until the job is over. None: keep-alive."""
        headers = _raw({"Last-Event-ID": after} if after else {})
        async with self._http.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers) as answer:
            if answer.status_code >= 400:
                await answer.aread()
                raise Problem.told(answer)
            yield _events(answer.aiter_lines())

    async def output(self, job_id: str) -> tuple[bytes, str]:
        """The edited picture and its media type."""
        answer = await self.call("GET", f"/v1/jobs/{job_id}/output", params={"proxy": "true"})
        return answer.content, answer.headers["content-type"]

    async def preview(self, job_id: str) -> bytes | None:
        """A small JPEG of the unfinished edit, if there is one."""
        try:
            return (await self.call("GET", f"/v1/jobs/{job_id}/preview")).content
        except Problem as problem:
            if problem.status == 404:
                return None
            raise

    # ---- files

    async def keep_file(self, file: SentFile, metadata: Mapping[str, Any], seconds: int) -> Any:
        """Keep a file for this many seconds, a week at most. Returns the API's description of it."""
        content = {"file": (file.name or "file", file.data, file.content_type or "application/octet-stream")}
        texts = {"metadata": json.dumps(metadata), "expires_in_seconds": str(max(60, seconds))}
        return (await self.call("POST", "/v1/files", files=content, data=texts)).json()

    # ---- the answer to the dialect's client

    def tell(self, name: str, value: str) -> None:
        """Add a header to the answer."""
        self._request.state.headers[name.lower()] = value

    def tell_job(self, job_id: str) -> None:
        """Name the job in the headers of the answer, so that the client can find it again after a broken connection."""
        self.tell("Location", f"/v1/jobs/{job_id}")
        self.tell("X-Job-Id", job_id)

    def ignore(self, names: Iterable[str]) -> None:
        """Tell the client which fields were ignored."""
        said = sorted(name for name in names if SAYABLE.fullmatch(name))[:MOST_IGNORED]
        if said:
            self.tell(IGNORED, ", ".join(said))

    async def left(self) -> bool:
        """Whether the client has hung up."""
        return await self._request.is_disconnected()

    def _pass_back(self, answer: httpx.Response) -> None:
        for name in PASSED_BACK:
            if name in answer.headers:
                self.tell(name, answer.headers[name])


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _raw(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    """Encode headers as Latin-1, as they arrived. httpx itself would encode them as ASCII."""
    return {name.encode(): value.encode("latin-1") for name, value in headers.items()}


def _body(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A form if any field is a picture, otherwise JSON."""
    given = _given(fields)
    files = {name: (name, value) for name, value in given.items() if isinstance(value, bytes)}
    if not files:
        return {"json": given}
    texts = {name: value for name, value in given.items() if name not in files}
    as_text = {name: value if isinstance(value, str) else json.dumps(value) for name, value in texts.items()}
    return {"files": files, "data": as_text}


async def _events(lines: AsyncIterator[str]) -> AsyncIterator[Sent | None]:
    """Parse a stream of server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
    told: dict[str, str] = {}
    async for line in lines:
        if line and not line.startswith(":"):
            name, _, value = line.partition(":")
            told[name] = value.removeprefix(" ")
        elif not line:
            yield Sent(told["event"], told.get("id", ""), json.loads(told["data"])) if "data" in told else None
            told = {}


# ---- a dialect's app


class Shaped:
    """Gives each problem document the shape that the dialect's clients expect of an error."""

    def __init__(self, app: ASGIApp, shape: Shape) -> None:
        self.app = app
        self._shape = shape

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start: Message | None = None
        document = b""

        async def shaping(message: Message) -> None:
            nonlocal start, document
            if message["type"] == "http.response.start" and _is_problem(message):
                start = message
            elif start is None:
                await send(message)
            else:
                document += message.get("body", b"")
                if not message.get("more_body"):
                    await self._answer(start, document)(scope, receive, send)

        await self.app(scope, receive, shaping)

    def _answer(self, start: Message, document: bytes) -> Response:
        body, status, headers = self._shape(json.loads(document), Headers(raw=start["headers"]))
        answer = Response(json.dumps(body), status, headers, "application/json")
        kept = [one for one in start["headers"] if one[0] not in (b"content-type", b"content-length")]
        answer.raw_headers += kept
        return answer


def _is_problem(start: Message) -> bool:
    return (b"content-type", DOCUMENT.encode()) in start["headers"]


def dialect_app(title: str, router: APIRouter, native: ASGIApp, shape: Shape | None = None) -> FastAPI:
    """A dialect's app, to be mounted at its prefix. Its errors are problem documents, reshaped by `shape`."""
    app = FastAPI(
        title=title,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.native = native
    app.include_router(router, responses=_refusals("application/json" if shape else DOCUMENT))
    install_problems(app)
    app.add_exception_handler(Problem, on_problem)
    if shape:
        app.add_middleware(Shaped, shape=shape)
    return app


def _refusals(media_type: str) -> dict[int | str, dict[str, Any]]:
    """How the OpenAPI document describes every error. Without this, FastAPI would describe its own body for 422."""
    answer = {"description": "A refusal", "content": {media_type: {"schema": {"type": "object"}}}}
    return {422: answer, "4XX": answer, "5XX": answer}


async def native_of(request: Request) -> Native:
    return Native(request.app.state.native, request)


Service = Annotated[Native, Depends(native_of)]


async def known(native: Service) -> Any:
    """Identify the caller by `GET /v1/session`. Routes with a body depend on this, so that no stranger's is read."""
    return await native.get("/v1/session")
