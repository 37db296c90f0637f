"""Where the command line writes edited pictures."""

from __future__ import annotations

from pathlib import Path

from darkroom.client import Job
from darkroom.errors import DarkroomError

FORMATS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp", ".avif": "avif"}


def format_of(output: Path) -> str:
    """The format that a file's ending names."""
    try:
        return FORMATS[output.suffix.lower()]
    except KeyError:
        raise DarkroomError(f"Cannot tell the format of {output}: end it with {', '.join(FORMATS)}.") from None


def check_place(output: Path) -> None:
    """Refuse, before the work is done, a place where nothing can be saved."""
    if not output.parent.is_dir():
        raise DarkroomError(f"Cannot write {output}: there is no folder {output.parent}.")


def save(job: Job, path: Path | None) -> list[Path]:
    """Write a job's pictures, by default as `edited` with the ending of their format; several with their numbers."""
    if len(job.outputs) < 2:
        picture = job.result()
        return [write(picture, path or Path("edited").with_suffix(ending_of(job.content_type)))]
    pictures = job.results()
    path = path or Path("edited").with_suffix(ending_of(job.content_type))
    return [write(one, path.with_stem(f"{path.stem}-{number}")) for number, one in enumerate(pictures, 1)]


def ending_of(content_type: str) -> str:
    """What the name of a file of this type ends with."""
    return {"image/jpeg": ".jpg", "": ".png"}.get(content_type, "." + content_type.split("/")[-1])


def write(picture: bytes, path: Path) -> Path:
    """Save a picture."""
    try:
        path.write_bytes(picture)
    except OSError as error:
        raise DarkroomError(f"Cannot write {path}: {error.strerror}.") from error
    return path
