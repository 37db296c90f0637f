"""Where the photos come from: Debian packages, by name, and the pictures in them, each with its author and license.

`sources.csv` lists every picture as its package states it (a README beside the pictures, `debian/copyright`, or the
data set's own description). Only licenses that let a model trained on a picture be passed on are in it. `held_out.txt`
names the photos that are for judging and never trained on.
"""

import csv
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
FREE = re.compile(r"Public domain|CC0-1\.0|CC-BY(-SA)?-(1\.0|2\.0|2\.5|3\.0|4\.0)")


@dataclass(frozen=True)
class Source:
    """One picture. `path` is inside the package; after a colon follows the path inside a Qt resource file."""

    name: str
    package: str
    path: str
    title: str
    author: str
    licence: str
    source: str

    @property
    def held_out(self) -> bool:
        return self.name in held_out_names()

    def credit(self) -> str:
        """The line of Markdown that gives the author what the license asks for."""
        return f"[{self.title}]({self.source}), {self.author}, {_linked(self.licence)}"


@cache
def sources() -> tuple[Source, ...]:
    """Every picture, those for training and those held out.

    Raises:
        ValueError: a picture without an author, a source or a free license; or a held-out name that no picture has.
    """
    found = read(HERE / "sources.csv", FREE)
    unknown = set(held_out_names()) - {picture.name for picture in found}
    if unknown:
        raise ValueError(f"held_out.txt: no picture is called {', '.join(sorted(unknown))}")
    return found


def read(file: Path, free: re.Pattern[str]) -> tuple[Source, ...]:
    """The pictures of a list.

    Raises:
        ValueError: a picture without an author, a source or a license that `free` matches.
    """
    with file.open(newline="", encoding="utf-8") as rows:
        found = tuple(Source(**row) for row in csv.DictReader(rows))
    for picture in found:
        if not free.fullmatch(picture.licence):
            raise ValueError(f"{file.name}: {picture.name} has licence {picture.licence!r}, which is not a free one")
        if not (picture.author and picture.source):
            raise ValueError(f"{file.name}: {picture.name} has no author or no source")
    return found


@cache
def held_out_names() -> tuple[str, ...]:
    """The photos that are never trained on; the first few are of many kinds, for short evaluations."""
    return tuple((HERE / "held_out.txt").read_text(encoding="utf-8").split())


def _linked(licence: str) -> str:
    if licence == "Public domain":
        return licence
    kind, version = re.fullmatch(r"CC0?-?(BY-SA|BY|)-?([\d.]+)", licence).groups()  # type: ignore[union-attr]
    place = f"licenses/{kind.lower()}" if kind else "publicdomain/zero"
    return f"[{licence}](https://creativecommons.org/{place}/{version}/)"
