"""The photos that a release is judged with: from other Debian packages than those that training reads.

`photos.csv` has the columns of `sources.csv`. The photos are measured with and shown nowhere, so every license that
lets Debian pass them on will do.
"""

import re
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training import photos
from training.sources import FREE, Source, read, sources

FREE_TO_MEASURE = re.compile(f"{FREE.pattern}|GPL-2\\+|LGPL-3\\.0")


@cache
def listed() -> tuple[Source, ...]:
    """The photos of `photos.csv`.

    Raises:
        ValueError: as `sources.read` does; or a package that training reads.
    """
    found = read(Path(__file__).with_name("photos.csv"), FREE_TO_MEASURE)
    if known := {picture.package for picture in found} & {picture.package for picture in sources()}:
        raise ValueError(f"photos.csv: training reads {', '.join(sorted(known))} too")
    return found


def gather(folder: Path, training_photos: Path) -> None:
    """Fetch the photos into a folder, once.

    Raises:
        RuntimeError: apt-get or dpkg-deb is missing or fails.
        ValueError: a photo looks like one of those that training reads or is judged by on the way.
    """
    photos.fetch(listed(), folder)
    others = [(training_photos, picture.name) for picture in sources()]
    for picture in listed():
        if doubles := photos.alike(folder, picture.name, others):
            raise ValueError(f"photos.csv: {picture.name} looks like {', '.join(doubles)}, which training may know")


def centered(folder: Path, size: tuple[int, int]) -> list[tuple[str, NDArray[np.float32]]]:
    """The photos by name: the largest centered part of each, (height, width, 3) in [0, 1]."""
    return photos.centered(folder, [picture.name for picture in listed()], size)
