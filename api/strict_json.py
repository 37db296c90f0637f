"""Reads only JSON that every reader understands in the same way: I-JSON (RFC 7493), with limited depth.

Python's own reader accepts more: lone surrogates, NaN, Infinity and repeated names. Later readers of the value would
fail on these: Redis scripts, receivers of webhooks, browsers.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from pydantic.json_schema import models_json_schema

from jobs.errors import FieldError, InvalidRequest, MalformedBody, PictureTooLarge, UnsupportedMediaType

DEEPEST = 32  #: nested objects and arrays
SMALL_BODY = 16_384  #: bytes of a body that holds no picture
MOST_VALUES = 16_384  #: objects, arrays and their entries; many are slow to read, and a picture is only one text

Model = TypeVar("Model", bound=BaseModel)


def loads(text: str | bytes, field: str = "") -> Any:
    """The value of a JSON text. `field` names an object within the request; empty: the whole body.

    Raises:
        MalformedBody: the body is not JSON.
        InvalidRequest: the text has a value that is not allowed; the error names the field that has it.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode()
        if sum(map(text.count, ",[{")) > MOST_VALUES:
            raise NotStrict(f"may have at most {MOST_VALUES} commas and opening brackets")
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_refuse, parse_float=_finite, parse_int=_whole_number
        )
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:  # nested too deep to be read to its end
        if field:
            raise _invalid(field, "must be a JSON object") from None
        raise MalformedBody("The body is not JSON.", FieldError("body", "must be JSON")) from error
    except NotStrict as error:
        raise _invalid(field, str(error)) from None
    _check(value, field)
    return value


def lines(data: bytes, most: int, field: str) -> list[tuple[int, bytes]]:
    """The lines of a file of JSON lines with their numbers, from 1, without blank lines.

    The lines are counted before they are split, because a file of only line ends would have millions.

    Raises:
        InvalidRequest: there are more than `most`, blank ones included.
    """
    if data.count(b"\n") > most:
        raise _invalid(field, f"may have at most {most} lines")
    return [(number, text) for number, text in enumerate(data.split(b"\n"), 1) if text.strip()]


class NotStrict(ValueError):
    """A value that Python's reader would accept and others would not."""


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


def _whole_number(digits: str) -> int:
    _finite(digits)
    return int(digits)


def _check(value: Any, field: str) -> None:
    """Refuse lone surrogates in names and values, and too deep nesting."""
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
        if not text.isascii():  # ASCII is recognized at once, so that a picture in base64 is not copied
            text.encode()
    except UnicodeEncodeError as error:
        half = f"U+{ord(text[error.start]):04X}"
        raise _invalid(field, f"may not have {half}: it is half of a character") from None


def refuse_compressed(request: Request) -> None:
    """
    Raises:
        UnsupportedMediaType: the body is compressed. A few bytes of it could expand to any number.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        detail = f"must be left out: a body compressed by {encoding[:20]} is not read"
        raise UnsupportedMediaType(f"Content-Encoding {detail}.", FieldError("content-encoding", detail))


def media_type(request: Request) -> str:
    """The media type of a body as declared, without its parameters."""
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


def whole(value: Any) -> Any:
    """Convert whole floats such as 3.0, because JSON does not distinguish integers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def validated(model: type[Model], fields: Any) -> Model:
    """Build a model from these values.

    Raises:
        RequestValidationError: names every field that is wrong.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in errors]) from None


class StrictBody:
    """A dependency: a small body of JSON, as a model.

    The framework would read and parse a body before any dependency runs. This one reads it only after the earlier
    dependencies have identified and admitted the caller.
    """

    def __init__(self, model: type[BaseModel], *, example: Mapping[str, Any], most_bytes: int = SMALL_BODY) -> None:
        self.model = model
        self.example = example
        self.most_bytes = most_bytes

    async def __call__(self, request: Request) -> BaseModel:
        """
        Raises:
            UnsupportedMediaType, PictureTooLarge, MalformedBody, InvalidRequest, RequestValidationError
        """
        refuse_compressed(request)
        kind = media_type(request)
        if kind != "application/json" and not kind.endswith("+json"):
            raise UnsupportedMediaType("Send application/json.", FieldError("content-type", "must be application/json"))
        return validated(self.model, loads(await _body(request, self.most_bytes)))

    @property
    def openapi(self) -> dict[str, Any]:
        """The body in the OpenAPI document, for `openapi_extra`."""
        names, schema = models_json_schema([(self.model, "validation")], ref_template="#/components/schemas/{model}")
        content = {"schema": names[self.model, "validation"] | schema, "example": self.example}
        return {"requestBody": {"required": True, "content": {"application/json": content}}}


async def _body(request: Request, most_bytes: int) -> bytes:
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > most_bytes:
            detail = f"must be at most {most_bytes} bytes"
            raise PictureTooLarge(f"The body {detail}.", FieldError("body", detail))
    return data
