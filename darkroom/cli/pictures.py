"""Names and writes the files of edited pictures."""

from __future__ import annotations

import re
import sys
import unicodedata
from itertools import count
from pathlib import Path

from darkroom.cli.sources import STREAM
from darkroom.client import Job
from darkroom.errors import DarkroomError

FORMATS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp", ".avif": "avif"}
LONGEST = 60  #: letters of an instruction in the name of a file


class AlreadyThere(DarkroomError):
    """A file would be overwritten."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is there already: name another place with -o, or add --force.")


def format_of(output: Path) -> str:
    """The format that the ending of a file name stands for."""
    try:
        return FORMATS[output.suffix.lower()]
    except KeyError:
        raise DarkroomError(f"Cannot tell the format of {output}: end it with {', '.join(FORMATS)}.") from None


def is_stream(output: Path | None) -> bool:
    """Whether a picture goes to standard output."""
    return str(output) == STREAM


def check_place(output: Path, force: bool, count: int = 1) -> None:
    """Refuse a place where so many pictures cannot be saved, before any work is done."""
    if is_stream(output) and count > 1:
        raise DarkroomError(f"Standard output takes one picture, and there are {count}: name a file or folder with -o.")
    if is_stream(output) or output.is_dir():
        return
    if not output.parent.is_dir():
        raise DarkroomError(f"Cannot write {output}: there is no folder {output.parent}.")
    if taken := next((path for path in _numbered(output, count) if path.exists() and not force), None):
        raise AlreadyThere(taken)


def save(job: Job, output: Path | None, force: bool = False) -> list[Path]:
    """Wait for a job's pictures and write them, several with numbers. Without a place, choose names of new files.

    If the place is a folder, do the same there.
    """
    pictures = job.results()
    if output is None or output.is_dir():
        paths = _numbered((output or Path()) / file_name(job), len(pictures))
        return [write_new(one, path) for one, path in zip(pictures, paths, strict=True)]
    check_place(output, force, len(pictures))
    if is_stream(output):
        sys.stdout.buffer.write(pictures[0])
        return []
    return [write(one, path, force) for one, path in zip(pictures, _numbered(output, len(pictures)), strict=True)]


def _numbered(path: Path, count: int) -> list[Path]:
    if count == 1:
        return [path]
    return [path.with_name(f"{path.stem}-{number}{path.suffix}") for number in range(1, count + 1)]


def file_name(job: Job) -> str:
    """A file name for a job's picture, from the photo's name and the instruction, as on the site."""
    photo = job.metadata.get("photo") if isinstance(job.metadata, dict) else None
    stem = slug(Path(photo).stem) if isinstance(photo, str) else ""
    parts = filter(None, [stem, slug(str(job.params.get("prompt", "")))[:LONGEST]])
    return ("-".join(parts) or job.id) + ending_of(job.content_type)


def slug(text: str) -> str:
    """The letters and digits of a text in lower case, with hyphens in place of all else."""
    return re.sub(r"[\W_]+", "-", unicodedata.normalize("NFC", text)).strip("-").lower()


def ending_of(content_type: str) -> str:
    """What the name of a file of this type ends with."""
    return {"image/jpeg": ".jpg", "": ".png"}.get(content_type, "." + content_type.split("/")[-1])


def write_new(picture: bytes, path: Path) -> Path:
    """Save a picture under this name, or with a number behind it if the file exists."""
    stem = path.stem
    for number in count(2):
        try:
            return write(picture, path)
        except AlreadyThere:
            path = path.with_name(f"{stem}-{number}{path.suffix}")
    raise AssertionError


def write(picture: bytes, path: Path, force: bool = False) -> Path:
    """Save a picture.

    Raises:
        AlreadyThere: there is such a file, and it is not to be replaced.
        DarkroomError: it cannot be written.
    """
    try:
        with path.open("wb" if force else "xb") as file:
            file.write(picture)
    except FileExistsError as error:
        raise AlreadyThere(path) from error
    except OSError as error:
        raise DarkroomError(f"Cannot write {path}: {error.strerror}.") from error
    return path
