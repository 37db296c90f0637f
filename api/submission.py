"""What a client posts: a picture and fields, as a multipart form or as JSON."""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from python_multipart.exceptions import MultipartParseError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from jobs.errors import FieldError, InvalidRequest, MalformedBody, UnsupportedMediaType
from jobs.job import Priority, is_id
from pipeline.catalogue import DEFAULT_MODEL

DATA_URI = re.compile(r"data:image/[a-z.+-]+;base64,", re.IGNORECASE)
FORMATS = ("png", "jpeg", "webp")
LONGEST_METADATA = 4096
LONGEST_DEADLINE = 7 * 86_400


@dataclass(frozen=True)
class Submission:
    """A parsed request: the picture's bytes or the job whose output it is, the model's parameters, the job's own."""

    image: bytes | None
    image_job: str | None
    model: str
    given: Mapping[str, Any]
    format: str
    priority: Priority
    deadline_seconds: int | None
    metadata: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """A digest of everything that was asked for: equal submissions have equal ones."""
        fields = {name: value for name, value in vars(self).items() if name != "image"}
        digest = hashlib.sha256(json.dumps(fields, sort_keys=True, default=str).encode())
        digest.update(hashlib.sha256(self.image or b"").digest())
        return digest.hexdigest()


def invalid(field: str, detail: str) -> InvalidRequest:
    """One wrong field."""
    return InvalidRequest(f"{field}: {detail}", FieldError(field, detail))


async def read_submission(request: Request) -> Submission:
    """The request's body, parsed; the model's parameters are checked later, by the catalogue.

    Raises:
        UnsupportedMediaType, MalformedBody, InvalidRequest
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "application/json":
        return _from_fields(await _json_fields(request))
    if kind == "multipart/form-data":
        return _from_fields(await _form_fields(request))
    raise UnsupportedMediaType(
        "Send multipart/form-data with an `image` file, or application/json.",
        FieldError("content-type", "must be multipart/form-data or application/json"),
    )


async def _json_fields(request: Request) -> dict[str, Any]:
    try:
        fields = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise MalformedBody("The body is not JSON.", FieldError("body", "must be JSON")) from error
    if not isinstance(fields, dict):
        raise MalformedBody("The body must be a JSON object.", FieldError("body", "must be a JSON object"))
    return fields


async def _form_fields(request: Request) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    try:
        form = await request.form(max_files=2, max_fields=40, max_part_size=65_536)
    except (HTTPException, MultipartParseError, KeyError, ValueError) as error:
        detail = getattr(error, "detail", "it does not follow its boundary")
        raise MalformedBody(f"The form cannot be read: {detail}.", FieldError("body", "must be a form")) from error
    for name, value in form.multi_items():
        if name in fields:
            raise invalid(name, "must be given once")
        fields[name] = await value.read() if isinstance(value, UploadFile) else value
        if isinstance(value, UploadFile) and name != "image":
            raise invalid(name, "must be text; the one file is `image`")
    if isinstance(fields.get("metadata"), str):
        fields["metadata"] = _json_text("metadata", fields["metadata"])
    return fields


def _json_text(field: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise invalid(field, "must be a JSON object") from None


def _from_fields(fields: dict[str, Any]) -> Submission:
    image, image_job = _image(fields.pop("image", None))
    model = fields.pop("model", None)
    model = DEFAULT_MODEL if model is None else model
    return Submission(
        image=image,
        image_job=image_job,
        model=model if isinstance(model, str) else str(model),
        format=_choice("format", fields.pop("format", None), FORMATS, "png"),
        priority=Priority(_choice("priority", fields.pop("priority", None), tuple(Priority), Priority.NORMAL)),
        deadline_seconds=_deadline(fields.pop("deadline_seconds", None)),
        metadata=_metadata(fields.pop("metadata", None)),
        given={name: value for name, value in fields.items() if value is not None},
    )


def _image(value: Any) -> tuple[bytes | None, str | None]:
    if isinstance(value, bytes):
        return value, None
    if not value:
        raise invalid("image", "is required: a JPEG, PNG or WebP file")
    if isinstance(value, str) and value.startswith("job:") and is_id(value[4:]):
        return None, value[4:]
    if isinstance(value, str) and (prefix := DATA_URI.match(value)):
        try:
            return base64.b64decode(value[prefix.end() :], validate=True), None
        except binascii.Error:
            raise invalid("image", "must be a data URI whose base64 is whole") from None
    raise invalid("image", "must be a file, a base64 data URI (data:image/...;base64,...) or job:<id>")


def _choice(field: str, value: Any, choices: tuple[str, ...], default: str) -> str:
    if value is None:
        return default
    if value not in choices:
        raise invalid(field, f"must be one of {', '.join(choices)}")
    return str(value)


def _deadline(value: Any) -> int | None:
    if value is None:
        return None
    try:
        seconds = int(value)
    except (TypeError, ValueError, OverflowError):
        seconds = 0
    if isinstance(value, bool | float) or not 1 <= seconds <= LONGEST_DEADLINE:
        raise invalid("deadline_seconds", f"must be a whole number from 1 to {LONGEST_DEADLINE}")
    return seconds


def _metadata(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict) or len(json.dumps(value)) > LONGEST_METADATA:
        raise invalid("metadata", f"must be a JSON object of at most {LONGEST_METADATA} characters")
    return value


Submitted = Annotated[Submission, Depends(read_submission)]
