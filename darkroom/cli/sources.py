"""What the command line edits: files, folders of photos, addresses, edits of jobs, and what comes on standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from darkroom.errors import DarkroomError
from darkroom.pictures import as_text, is_elsewhere

if TYPE_CHECKING:
    from darkroom.pictures import Picture

STREAM = "-"  #: standard input, or output
PHOTOS = frozenset(".jpg .jpeg .png .webp .heic .heif .avif .gif .tif .tiff .bmp".split())


@dataclass(frozen=True)
class Source:
    """A photo, and the name of its file as far as it has one."""

    picture: Picture
    name: str


def sources(words: Iterable[str]) -> Iterator[Source]:
    """The photos that these words name.

    Raises:
        DarkroomError: a folder without photos, or standard input twice.
    """
    for number, word in enumerate(words := list(words)):
        if word == STREAM:
            if STREAM in words[:number]:
                raise DarkroomError("Standard input has one photo: name - once.")
            yield Source(sys.stdin.buffer.read(), "")
        elif is_elsewhere(word):
            yield Source(word, name_in(word))
        elif Path(word).is_dir():
            yield from (Source(photo, as_text(photo.name)) for photo in photos_in(Path(word)))
        else:
            yield Source(Path(word), as_text(Path(word).name))


def photos_in(folder: Path) -> list[Path]:
    """The photos directly in a folder, by name.

    Raises:
        DarkroomError: there are none.
    """
    photos = sorted(path for path in folder.iterdir() if path.suffix.lower() in PHOTOS and path.is_file())
    if not photos:
        raise DarkroomError(f"There are no photos in {folder} ({', '.join(sorted(PHOTOS))}).")
    return photos


def name_in(address: str) -> str:
    """The file's name at the end of an address; nothing where it ends otherwise."""
    if not address.startswith(("http://", "https://")):
        return ""
    return unquote(urlsplit(address).path.rpartition("/")[2])
