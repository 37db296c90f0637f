"""What a client posts: a picture and fields, as a multipart form or as JSON."""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from api import strict_json
from jobs.errors import FieldError, InvalidRequest, MalformedBody, UnsupportedMediaType
from jobs.job import LONGEST_DEADLINE, Priority, is_id
from jobs.outbox import Event
from pipeline.catalogue import DEFAULT_MODEL

URL_ALPHABET = bytes.maketrans(b"-_", b"+/")  #: of base64, and the letters that they stand for
LINE_BREAKS = b" \t\r\n"
DATA_URI = re.compile(r"data:image/[a-z.+-]+;base64,", re.IGNORECASE)
SOURCES = "a base64 data URI (data:image/...;base64,...), an https URL, upload:<id>, or job:<id> for its output"
FORMATS = ("png", "jpeg", "webp")
LONGEST_METADATA = 4096
LONGEST_URL = 2048


@dataclass(frozen=True)
class Submission:
    """A parsed request: the picture's bytes or where to get them, the model's parameters, the job's own."""

    model: str
    given: Mapping[str, Any]
    format: str
    priority: Priority
    deadline_seconds: int | None
    metadata: Mapping[str, Any]
    webhook: str | None
    webhook_events: tuple[Event, ...]
    image: bytes | None = None
    image_job: str | None = None
    image_upload: str | None = None
    image_url: str | None = None

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
    strict_json.refuse_compressed(request)
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
    fields = strict_json.loads(await request.body())
    if not isinstance(fields, dict):
        raise MalformedBody("The body must be a JSON object.", FieldError("body", "must be a JSON object"))
    return fields


async def _form_fields(request: Request) -> dict[str, Any]:
    parser = FormWithPicture(request.headers, request.stream(), max_files=2, max_fields=40, max_part_size=65_536)
    try:
        form = await parser.parse()
    except (MultiPartException, MultipartParseError, KeyError, ValueError) as error:
        detail = getattr(error, "message", "it does not follow its boundary")
        raise MalformedBody(f"The form cannot be read: {detail}.", FieldError("body", "must be a form")) from error
    try:
        return await _fields_of(form)
    finally:
        await form.close()


class FormWithPicture(MultiPartParser):
    """A multipart form whose `image` is always read as a file, because some clients send one without a file name."""

    def on_headers_finished(self) -> None:
        _, options = parse_options_header(self._current_part.content_disposition)
        if options.get(b"name") == b"image" and b"filename" not in options:
            self._current_part.content_disposition = b'form-data; name="image"; filename=""'
        super().on_headers_finished()


async def _fields_of(form: FormData) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in form.multi_items():
        strict_json.check_text(name, "body")
        if isinstance(value, str):
            strict_json.check_text(value, name)
        if name in fields:
            raise invalid(name, "must be given once")
        fields[name] = await _content(value) if isinstance(value, UploadFile) else value
        if isinstance(value, UploadFile) and name != "image":
            raise invalid(name, "must be text; the one file is `image`")
    if isinstance(fields.get("metadata"), str):
        fields["metadata"] = strict_json.loads(fields["metadata"], "metadata")
    return fields


async def _content(file: UploadFile) -> bytes | str:
    """A file's bytes; what came without a file name is text, unless it is none: no picture is text without a NUL."""
    data = await file.read()
    if file.filename or b"\0" in data:
        return data
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _from_fields(fields: dict[str, Any]) -> Submission:
    image = _image(fields.pop("image", None))
    model = fields.pop("model", None)
    model = DEFAULT_MODEL if model is None else model
    return Submission(
        **image,
        model=model if isinstance(model, str) else str(model),
        format=_choice("format", fields.pop("format", None), FORMATS, "png"),
        priority=Priority(_choice("priority", fields.pop("priority", None), tuple(Priority), Priority.NORMAL)),
        deadline_seconds=_deadline(fields.pop("deadline_seconds", None)),
        metadata=_metadata(fields.pop("metadata", None)),
        webhook=_webhook(fields.pop("webhook", None)),
        webhook_events=read_events("webhook_events", fields.pop("webhook_events", None)),
        given={name: value for name, value in fields.items() if value is not None},
    )


def _image(value: Any) -> dict[str, Any]:
    if isinstance(value, bytes):
        return {"image": value}
    if not value:
        raise invalid("image", "is required: a JPEG, PNG or WebP file")
    kind, _, rest = value.partition(":") if isinstance(value, str) else ("", "", "")
    if kind in ("job", "upload") and is_id(rest):
        return {f"image_{kind}": rest}
    if kind.lower() in ("https", "http") and len(value) <= LONGEST_URL:
        return {"image_url": value}
    if isinstance(value, str) and (prefix := DATA_URI.match(value)):
        try:
            return {"image": _from_base64(value[prefix.end() :])}
        except binascii.Error:
            raise invalid("image", "must be a data URI whose base64 is whole, with its `=` at the end") from None
    raise invalid("image", f"must be a file, or text: {SOURCES}")


def _from_base64(text: str) -> bytes:
    """The bytes of base64 in either alphabet, also where it is broken into lines, as `base64` and e-mail write it."""
    return base64.b64decode(text.encode().translate(URL_ALPHABET, LINE_BREAKS), validate=True)


def _webhook(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > LONGEST_URL:
        raise invalid("webhook", f"must be an https URL of at most {LONGEST_URL} characters")
    return value


def read_events(field: str, value: Any) -> tuple[Event, ...]:
    """The events that a webhook is told of: a list, or text with commas between; each once, in our order.

    None stands for the end of a job.
    """
    if value is None:
        return (Event.COMPLETED,)
    names = value.split(",") if isinstance(value, str) else value
    known = ", ".join(Event)
    if not isinstance(names, Sequence) or not names:
        raise invalid(field, f"must be a list of some of {known}")
    given = {name.strip() if isinstance(name, str) else "" for name in names}
    if not given <= set(Event):
        raise invalid(field, f"must be some of {known}")
    return tuple(event for event in Event if event in given)


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
