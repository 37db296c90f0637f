"""JSON that every reader understands alike: I-JSON (RFC 7493), with a bound on its depth.

Python's own reader takes more: lone surrogates, NaN and Infinity, a name twice. Those break whatever reads the value
later: Redis scripts, receivers of webhooks, browsers.
"""

import json
import math
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from jobs.errors import FieldError, InvalidRequest, MalformedBody, PictureTooLarge, UnsupportedMediaType

DEEPEST = 32  #: objects and arrays within each other
SMALL_BODY = 16_384  #: bytes of a body that holds no picture


def loads(text: str | bytes, field: str = "") -> Any:
    """The value that a JSON text stands for. `field` names an object within the request; empty: the whole body.

    Raises:
        MalformedBody: the body is not JSON.
        InvalidRequest: the text has a value that is not allowed; the error names the field that has it.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode()
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse, parse_float=_finite)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:  # so deep that its end was not reached
        if field:
            raise _invalid(field, "must be a JSON object") from None
        raise MalformedBody("The body is not JSON.", FieldError("body", "must be JSON")) from error
    except ValueError as error:  # from the functions below, or a whole number of thousands of digits
        detail = str(error) if isinstance(error, NotStrict) else "may not have a number of so many digits"
        raise _invalid(field, detail) from None
    _check(value, field)
    return value


class NotStrict(ValueError):
    """A value that Python's reader would take, and others do not."""


def _invalid(field: str, detail: str) -> InvalidRequest:
    name = field or "body"
    return InvalidRequest(f"{name}: {detail}", FieldError(name, detail))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise NotStrict(f"may have the name {json.dumps(twice)} only once")
    return found


def _refuse(constant: str) -> Any:
    raise NotStrict(f"may not have {constant}: JSON has no such number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise NotStrict(f"may not have {digits[:20]}: the number is too large")
    return number


def _check(value: Any, field: str) -> None:
    """Refuse lone surrogates, in names and values, and what is nested too deep."""
    left = [(value, field, 0)]
    while left:
        value, name, depth = left.pop()
        if isinstance(value, str):
            check_text(value, name)
        elif isinstance(value, dict | list):
            if depth == DEEPEST:
                raise _invalid(name.split(".")[0], f"may be nested at most {DEEPEST} deep")
            entries = value.items() if isinstance(value, dict) else enumerate(value)
            for key, inner in entries:
                if isinstance(key, str):
                    check_text(key, name)
                left.append((inner, f"{name}.{key}" if name else str(key), depth + 1))


def check_text(text: str, field: str) -> None:
    """
    Raises:
        InvalidRequest: the text has half of a surrogate pair, which no encoding can write.
    """
    try:
        if not text.isascii():  # known at once, so that a picture in base64 is not copied
            text.encode()
    except UnicodeEncodeError as error:
        half = f"U+{ord(text[error.start]):04X}"
        raise _invalid(field, f"may not have {half}: it is half of a character") from None


class StrictRoute(APIRoute):
    """A route whose body is small and is read strictly before the framework reads it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            if self.body_field is not None:
                await _check_body(request)
            return await handle(request)

        return strictly


def refuse_compressed(request: Request) -> None:
    """
    Raises:
        UnsupportedMediaType: the client has compressed the body; a few bytes of it could stand for any number.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        detail = f"must be left out: a body compressed by {encoding[:20]} is not read"
        raise UnsupportedMediaType(f"Content-Encoding {detail}.", FieldError("content-encoding", detail))


async def _check_body(request: Request) -> None:
    refuse_compressed(request)
    data = await request.body()
    if len(data) > SMALL_BODY:
        detail = f"must be at most {SMALL_BODY} bytes"
        raise PictureTooLarge(f"The body {detail}.", FieldError("body", detail))
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if data and (kind == "application/json" or kind.endswith("+json")):
        loads(data)
