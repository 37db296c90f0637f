"""Parses a submission: a picture and fields, as a multipart form or as JSON."""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Depends, Request
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from api import strict_json
from api.masks import MOST_SHAPES, Shape
from jobs.decoder import KINDS
from jobs.errors import FieldError, InvalidRequest, MalformedBody, UnsupportedMediaType
from jobs.job import LONGEST_DEADLINE, MAX_EDITS, Priority, is_id
from jobs.models import DEFAULT_MODEL, built_in
from jobs.outbox import Event

URL_ALPHABET = bytes.maketrans(b"-_", b"+/")  #: from the URL alphabet of base64 to the usual one
LINE_BREAKS = b" \t\r\n"
DATA_URI = re.compile(r"data:image/[a-z.+-]+;base64,", re.IGNORECASE)
SOURCES = (
    "a base64 data URI (data:image/...;base64,...), an https URL, upload:<id>, file:<id>, or job:<id> for its output"
)
MASKS = (
    "a base64 data URI, upload:<id> or file:<id> of a picture in the photo's proportions, white (or opaque) where the "
    'photo is to be edited; or a list of shapes, {"box": [left, top, width, height]} or {"polygon": [[x, y], ...]}, in '
    "shares of its width and height"
)
LONGEST_METADATA = 4096
LONGEST_URL = 2048

SHAPES: TypeAdapter[tuple[Shape, ...]] = TypeAdapter(
    Annotated[tuple[Shape, ...], Field(min_length=1, max_length=MOST_SHAPES)]
)
FILES = ("image", "mask")
PLACES = ("job", "upload", "file", "url")


@dataclass(frozen=True)
class Elsewhere:
    """A picture that did not come with the request: one of the PLACES, and its id or address there."""

    place: str
    name: str


def invalid(field: str, detail: str) -> InvalidRequest:
    """The error for one wrong field."""
    return InvalidRequest(f"{field}: {detail}", FieldError(field, detail))


def _image(value: Any) -> bytes | Elsewhere:
    if isinstance(value, bytes):
        return value
    if not value:
        raise invalid("image", f"is required: {KINDS}")
    return _picture("image", value, PLACES)


def _mask(value: Any) -> bytes | Elsewhere | tuple[Shape, ...] | None:
    """A picture, or shapes; in a form the shapes are JSON."""
    if isinstance(value, bytes) or value is None:
        return value or None
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = strict_json.loads(value, "mask")
    if isinstance(value, list):
        try:
            return SHAPES.validate_python(value)
        except ValidationError as error:
            wrong = error.errors(include_url=False)[0]
            raise invalid(".".join(map(str, ("mask", *wrong["loc"]))), wrong["msg"]) from None
    return None if value == "" else _picture("mask", value, ("upload", "file"))


def _picture(field: str, value: Any, places: Sequence[str]) -> bytes | Elsewhere:
    sources = SOURCES if field == "image" else MASKS
    place, _, rest = value.partition(":") if isinstance(value, str) else ("", "", "")
    if place != "url" and place in places and is_id(rest):
        return Elsewhere(place, rest)
    if "url" in places and place.lower() in ("https", "http") and len(value) <= LONGEST_URL:
        return Elsewhere("url", value)
    if isinstance(value, str) and (prefix := DATA_URI.match(value)):
        try:
            return _from_base64(value[prefix.end() :])
        except binascii.Error:
            raise invalid(field, "must be a data URI whose base64 is whole, with its `=` at the end") from None
    raise invalid(field, f"must be a file, or text: {sources}")


def _from_base64(text: str) -> bytes:
    """Decode base64 in either alphabet, also with the line breaks that `base64` and e-mail insert."""
    return base64.b64decode(text.encode().translate(URL_ALPHABET, LINE_BREAKS), validate=True)


def number_of(value: Any) -> Any:
    """Convert a number, which is text in a form."""
    is_text = isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,9}\s*", value)
    return int(value) if is_text else strict_json.whole(value)


def _truth(value: Any) -> Any:
    """Convert true or false, which is text in a form."""
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def _names(value: Any) -> Any:
    """Split names, which have commas between them in a form."""
    return [name.strip() for name in value.split(",")] if isinstance(value, str) else value


def _short(metadata: dict[str, Any]) -> dict[str, Any]:
    if len(json.dumps(metadata)) > LONGEST_METADATA:
        raise invalid("metadata", f"must be a JSON object of at most {LONGEST_METADATA} characters")
    return metadata


def _each_once(events: list[Event]) -> list[Event]:
    return [event for event in Event if event in events]


Metadata = Annotated[dict[str, Any], AfterValidator(_short)]
Events = Annotated[list[Event], Field(min_length=1), AfterValidator(_each_once)]


def _describe(schema: dict[str, Any]) -> None:
    """Add the parameters of the six built-in models to the schema (`/v1/models` has others). Drop titles and nulls."""
    parameters = {one.name: one for model in built_in() for one in model.parameters}
    schema["properties"] = {name: _plain(one) for name, one in schema["properties"].items()}
    schema["properties"] |= {name: one.schema() for name, one in parameters.items()}
    schema["required"] += [name for name, one in parameters.items() if one.required]
    schema["additionalProperties"] = False


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    schema |= schema.pop("anyOf", [{}])[0]
    return {name: value for name, value in schema.items() if name != "title" and value is not None}


class Submission(BaseModel):
    """A request for an edit. In JSON, null is the same as leaving a field out."""

    model_config = ConfigDict(extra="allow", frozen=True, json_schema_extra=_describe)

    image: Annotated[
        bytes | Elsewhere, PlainValidator(_image), WithJsonSchema({"type": "string", "description": SOURCES})
    ]
    mask: Annotated[
        bytes | Elsewhere | tuple[Shape, ...] | None,
        PlainValidator(_mask),
        WithJsonSchema({"description": MASKS, "type": ["string", "array"], "items": Shape.model_json_schema()}),
    ] = None
    mask_invert: Annotated[bool, Field(strict=True), BeforeValidator(_truth)] = Field(
        False, description="The mask is black (or transparent) where the photo is to be edited."
    )
    model: Annotated[str | None, BeforeValidator(str)] = Field(
        None, description="One of /v1/models. Default: the one that is marked there.", examples=[DEFAULT_MODEL]
    )
    format: Literal["png", "jpeg", "webp", "avif"] = Field("png", description="Of the edited picture.")
    n: Annotated[int, Field(strict=True, ge=1, le=MAX_EDITS), BeforeValidator(number_of)] = Field(
        1, description="How many edits: the first has the seed, and each further one the next number."
    )
    priority: Priority = Field(
        Priority.NORMAL, description="`high` counts as ten minutes of waiting, `low` as ten minutes less."
    )
    deadline_seconds: Annotated[
        int | None, Field(strict=True, ge=1, le=LONGEST_DEADLINE), BeforeValidator(number_of)
    ] = Field(None, description="So many seconds after the submission, a job that is not over fails.")
    webhook: str | None = Field(
        None,
        max_length=LONGEST_URL,
        description="An https address to be told at, if any; signed with the secret at /v1/webhooks/default/secret.",
        json_schema_extra={"pattern": "^([Hh][Tt][Tt][Pp][Ss]?://.+)?$"},
    )
    webhook_events: Annotated[Events, BeforeValidator(_names)] = Field(
        [Event.COMPLETED], description="What it is told of; in a form, separated by commas."
    )
    metadata: Metadata = Field({}, description="Yours: kept with the job and given back with it.")

    @model_validator(mode="before")
    @classmethod
    def _without_null(cls, fields: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in fields.items() if value is not None}

    @property
    def given(self) -> dict[str, Any]:
        """All other fields as they were sent: the parameters of the model, which its definition checks."""
        return self.model_extra or {}

    def image_at(self, place: str) -> str | None:
        """The picture's id or address, if it is in this place."""
        return self.image.name if isinstance(self.image, Elsewhere) and self.image.place == place else None

    @property
    def fingerprint(self) -> str:
        """A digest of the whole request. Equal submissions have equal digests."""
        fields = {name: getattr(self, name) for name in Submission.model_fields if name not in FILES}
        fields["model"] = self.model or DEFAULT_MODEL  # as in versions before workers published models
        if self.n == 1:
            del fields["n"]  # as in versions without `n`
        fields |= {"given": self.given} | {f"image_{place}": self.image_at(place) for place in PLACES}
        digest = hashlib.sha256(json.dumps(fields, sort_keys=True, default=str).encode())
        for picture in (self.image, self.mask):
            told = picture if isinstance(picture, bytes) else repr(picture).encode()
            digest.update(hashlib.sha256(told).digest())
        return digest.hexdigest()


# ---- the body


async def read_submission(request: Request) -> Submission:
    """Parse the body of a request.

    Raises:
        UnsupportedMediaType, MalformedBody, InvalidRequest
    """
    strict_json.refuse_compressed(request)
    kind = strict_json.media_type(request)
    if kind == "application/json":
        data = await request.body()
        if len(data) <= strict_json.SMALL_BODY:
            return _from_json(data)
        return await run_in_threadpool(_from_json, data)  # decoding a picture takes long
    if kind == "multipart/form-data":
        return strict_json.validated(Submission, await _form_fields(request))
    raise UnsupportedMediaType(
        "Send multipart/form-data with an `image` file, or application/json.",
        FieldError("content-type", "must be multipart/form-data or application/json"),
    )


def _from_json(data: bytes) -> Submission:
    fields = strict_json.loads(data)
    if not isinstance(fields, dict):
        raise MalformedBody("The body must be a JSON object.", FieldError("body", "must be a JSON object"))
    return strict_json.validated(Submission, fields)


async def _form_fields(request: Request) -> dict[str, Any]:
    parser = FormWithPicture(request.headers, request.stream(), max_files=2, max_fields=40, max_part_size=65_536)
    try:
        form = await parser.parse()
    except (MultiPartException, MultipartParseError, KeyError, ValueError) as error:
        detail = getattr(error, "message", "it does not follow its boundary")
        raise MalformedBody(
            f"The form cannot be read: {detail.rstrip('.')}.", FieldError("body", "must be a form")
        ) from error
    try:
        return await _fields_of(form)
    finally:
        await form.close()


class FormWithPicture(MultiPartParser):
    """A multipart form whose pictures are always read as files, because some clients send them without a file name."""

    def on_headers_finished(self) -> None:
        _, options = parse_options_header(self._current_part.content_disposition)
        name = options.get(b"name", b"")
        if name.decode("latin-1") in FILES and b"filename" not in options:
            self._current_part.content_disposition = b'form-data; name="%s"; filename=""' % name
        super().on_headers_finished()


async def _fields_of(form: FormData) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in form.multi_items():
        strict_json.check_text(name, "body")
        if isinstance(value, str):
            strict_json.check_text(value, name)
        elif name not in FILES:
            raise invalid(name, "must be text; the files are `image` and `mask`")
        if name in fields:
            raise invalid(name, "must be given once")
        fields[name] = await _content(value) if isinstance(value, UploadFile) else value
    if "metadata" in fields:
        fields["metadata"] = strict_json.loads(fields["metadata"], "metadata")
    return fields


async def _content(file: UploadFile) -> bytes | str:
    """The bytes of a file, or text if it has no file name and can be text. Every picture has a NUL or is not UTF-8."""
    data = await file.read()
    if file.filename or b"\0" in data:
        return data
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


Submitted = Annotated[Submission, Depends(read_submission)]
