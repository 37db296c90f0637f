"""Pictures as callers have them: files, bytes, open files, and Pillow's images."""

from __future__ import annotations

import io
from os import PathLike
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from darkroom.errors import DarkroomError

if TYPE_CHECKING:
    from PIL import Image

    Picture = PathLike[str] | str | bytes | IO[bytes] | Image.Image

SOURCES = ("https://", "http://", "data:", "upload:", "file:", "job:")  # pictures that are somewhere else


def is_elsewhere(image: Any) -> bool:
    """Whether it is text that says where the picture is, and no file."""
    return isinstance(image, str) and image.startswith(SOURCES)


def read_picture(image: Picture) -> tuple[str, bytes]:
    """A picture's file name, as far as it is text, and bytes; one of Pillow's becomes a PNG.

    Raises:
        DarkroomError: it cannot be read, or is none of these.
    """
    if isinstance(image, bytes | bytearray | memoryview):
        return "image", bytes(image)
    if isinstance(image, str | PathLike):
        try:
            return as_text(Path(image).name), Path(image).read_bytes()
        except OSError as error:
            raise DarkroomError(f"Cannot read {image}: {error.strerror}.") from error
    if hasattr(image, "read"):
        content = image.read()
        if not isinstance(content, bytes):
            raise DarkroomError("image: the file must be open for bytes, as by open(path, 'rb').")
        return as_text(Path(str(getattr(image, "name", "image"))).name), content
    if hasattr(image, "save"):
        return "image.png", _as_png(image)
    raise DarkroomError(f"image: must be a path, bytes, an open file or a Pillow image, not {type(image).__name__}.")


def as_text(name: str) -> str:
    """A file's name with question marks in place of bytes that are no text."""
    return name.encode("utf-8", "replace").decode()


def _as_png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    try:
        image.save(file, "PNG")
    except OSError as error:
        raise DarkroomError(f"image: {error}; convert it to RGB first.") from error
    return file.getvalue()
