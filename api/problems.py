"""Makes every error answer a problem document (RFC 9457), including those of the framework."""

import logging
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette._utils import get_route_path
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobs.errors import DarkroomError, FieldError, PictureTooLarge

log = logging.getLogger(__name__)

LONGEST_PAUSE = 120  #: seconds that a client is asked to wait; common clients give up if they are asked for more


class BadRequest(DarkroomError):
    """The framework cannot parse the request."""

    slug = "bad-request"
    title = "The request cannot be understood"
    status = 400


TITLES = {
    400: (BadRequest.slug, BadRequest.title),
    404: ("not-found", "There is no such thing here"),
    405: ("method-not-allowed", "This address does not take that method"),
    413: ("content-too-large", "The body is too large"),
}


def problem(
    request: Request,
    *,
    slug: str,
    title: str,
    status: int,
    detail: str,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """One problem document."""
    body: dict[str, Any] = {
        "type": f"urn:darkroom:problem:{slug}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": request.url.path,
    }
    if errors:
        body["errors"] = [{"field": error.field, "detail": error.detail} for error in errors]
    return JSONResponse(body, status, headers, media_type="application/problem+json")


async def on_darkroom_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, DarkroomError)  # noqa: S101 - registered for this class
    return problem(
        request,
        slug=error.slug,
        title=error.title,
        status=error.status,
        detail=error.detail,
        errors=error.errors,
        headers=_headers(error),
    )


def _headers(error: DarkroomError) -> dict[str, str]:
    headers = {"Retry-After": str(_pause(error.retry_after))} if error.retry_after else {}
    return headers | ({"WWW-Authenticate": "Bearer"} if error.status == HTTPStatus.UNAUTHORIZED else {})


def _pause(seconds: int) -> int:
    """At most LONGEST_PAUSE. A longer pause becomes a random one near it, so that clients do not all return at once."""
    return seconds if seconds <= LONGEST_PAUSE else random.randint(LONGEST_PAUSE * 3 // 4, LONGEST_PAUSE)  # noqa: S311


async def on_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    slug, title = TITLES.get(error.status_code, ("http-error", "The request was refused"))
    headers = {"Allow": _allowed(request)} if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED else error.headers
    return problem(request, slug=slug, title=title, status=error.status_code, detail=str(error.detail), headers=headers)


def _allowed(request: Request) -> str:
    """All methods of a path. The answer of the framework itself names only those of the first route."""
    here = [route for route in all_routes(request.app.routes) if route.path_regex.match(get_route_path(request.scope))]
    methods = {method for route in here for method in route.methods or ()}
    return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))


def all_routes(routes: Iterable[Any]) -> Iterator[Any]:
    """All routes, also those of included routers."""
    for route in routes:
        included = getattr(route, "original_router", None)
        yield from all_routes(included.routes) if included else [route]


async def on_invalid_query(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class
    errors = field_errors(error)
    detail = "; ".join(f"{item.field}: {item.detail}" for item in errors)
    title = "The request has a field that cannot be used"
    return problem(request, slug="invalid-request", title=title, status=422, detail=detail, errors=errors)


def field_errors(error: RequestValidationError) -> list[FieldError]:
    """The error of each wrong field, with the name that the client used."""
    return [
        FieldError(".".join(map(str, item["loc"][1:] or item["loc"])), item["msg"].replace("dictionary", "JSON object"))
        for item in error.errors()
    ]


async def on_unexpected_error(request: Request, error: Exception) -> JSONResponse:
    log.error("unexpected error at %s %s", request.method, request.url.path, exc_info=error)
    surprise = DarkroomError("It has been logged.")
    return await on_darkroom_error(request, surprise)


def install_problems(app: FastAPI) -> None:
    """Make every error of the app a problem document."""
    app.add_exception_handler(DarkroomError, on_darkroom_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_invalid_query)
    app.add_middleware(UnexpectedErrors)


class BodyLimit:
    """Raises PictureTooLarge inside the app once a body has more than `limit` bytes.

    The rest of the body is read and dropped, up to four times the limit, so that the client reads the answer.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen <= self.limit:
                return message
            while message.get("more_body") and seen <= 4 * self.limit:
                message = await receive()
                seen += len(message.get("body", b""))
            detail = f"The whole body may have at most {self.limit} bytes."
            raise PictureTooLarge(detail, FieldError("body", f"must be at most {self.limit} bytes"))

        await self.app(scope, counted, send)


class UnexpectedErrors:
    """Answers unexpected errors. It runs inside the other middleware, so that its answer also gets their headers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, noting)
        except Exception as error:
            if scope["type"] != "http" or started:
                raise
            answer = await on_unexpected_error(Request(scope), error)
            await answer(scope, receive, send)
