"""Multipart forms, read whole: texts, and files whose parts some clients send without a file name."""

from collections.abc import Collection
from dataclasses import dataclass

from fastapi import Request
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from api import strict_json
from jobs.errors import FieldError, MalformedBody, UnsupportedMediaType

LONGEST_TEXT = 65_536  #: bytes of a field that is not a file


@dataclass(frozen=True)
class SentFile:
    """A file of a form, and its name as the client sent it."""

    data: bytes
    name: str
    content_type: str


Part = tuple[str, str | SentFile]


async def read_form(request: Request, files: Collection[str], *, most_files: int = 1) -> list[Part]:
    """The fields of a form in their order; those named in `files` are files, whether they have a file name or not.

    Raises:
        UnsupportedMediaType, MalformedBody
    """
    strict_json.refuse_compressed(request)
    if strict_json.media_type(request) != "multipart/form-data":
        wanted = "must be multipart/form-data"
        raise UnsupportedMediaType("Send multipart/form-data.", FieldError("content-type", wanted))
    parser = _Parser(request.headers, request.stream(), max_files=most_files, max_part_size=LONGEST_TEXT)
    parser.always_files = {name.encode() for name in files}
    try:
        form = await parser.parse()
    except (MultiPartException, MultipartParseError, KeyError, ValueError) as error:
        detail = getattr(error, "message", "it does not follow its boundary").rstrip(".")
        raise MalformedBody(f"The form cannot be read: {detail}.", FieldError("body", "must be a form")) from error
    try:
        return [await _part(name, value) for name, value in form.multi_items()]
    finally:
        await form.close()


async def _part(name: str, value: str | UploadFile) -> Part:
    strict_json.check_text(name, "body")
    if isinstance(value, UploadFile):
        return name, SentFile(await value.read(), value.filename or "", value.content_type or "")
    strict_json.check_text(value, name)
    return name, value


class _Parser(MultiPartParser):
    always_files: Collection[bytes] = ()

    def on_headers_finished(self) -> None:
        _, options = parse_options_header(self._current_part.content_disposition)
        name = options.get(b"name", b"")
        if name in self.always_files and b"filename" not in options:
            self._current_part.content_disposition = b'form-data; name="%s"; filename=""' % name
        super().on_headers_finished()
