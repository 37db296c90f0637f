"""The photos to train and to judge with: fetched from Debian packages, scaled, kept in memory, cropped at random.

gather(Path(".training"))  # once; needs apt-get and dpkg-deb, installs nothing
crops = train_crops(Path(".training"), np.random.default_rng(0), size=128, count=16)
"""

import io
import json
import shutil
import struct
import subprocess
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

from training.sources import HERE, Source, held_out_names, sources

SHORT_SIDE = 640  # px; larger photos are scaled to it
MOST_ENLARGED = 1.35  # a photo smaller than what is asked for, by more than this, is passed over
ALIKE = 0.93  # correlation of two photos' thumbnails from which they count as the same
THUMBNAIL = 16  # px
SMALLEST = 64  # px, of the short side of the copies that crops are taken from

Photo = NDArray[np.uint8]  # (H, W, 3)


def gather(folder: Path) -> None:
    """Fetch the packages, unpack them beside the cache, and write each picture and `index.json` into the folder.

    What is there already is left; the index is written last, so an interrupted run is repeated by calling again.

    Raises:
        RuntimeError: apt-get or dpkg-deb is missing or fails.
    """
    if (folder / "index.json").exists() and _index(folder)["listed"] == _listed():
        return
    fetch(sources(), folder)
    rows = [{**asdict(picture), "split": split} for picture, split in _splits(folder)]
    (folder / "index.json").write_text(json.dumps({"listed": _listed(), "pictures": rows}, indent=1), encoding="utf-8")


def fetch(pictures: Sequence[Source], folder: Path) -> None:
    """Fetch the packages of those pictures that the folder lacks, and write each picture into it.

    Raises:
        RuntimeError: apt-get or dpkg-deb is missing or fails.
    """
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    missing = [picture for picture in pictures if not _file(folder, picture.name).exists()]
    for picture in track(missing, "Photos"):
        photo = _scaled(_bytes_of(picture, _unpacked(picture.package, folder)))
        photo.save(_file(folder, picture.name), quality=96, subsampling=0)
    shutil.rmtree(folder / "packages", ignore_errors=True)


def original(folder: Path, name: str) -> Image.Image:
    """A photo at its own size, in RGB; its package is fetched into the folder unless it is there.

    Raises:
        RuntimeError: apt-get or dpkg-deb is missing or fails.
    """
    (picture,) = (each for each in sources() if each.name == name)
    (folder / "packages").mkdir(parents=True, exist_ok=True)
    with Image.open(io.BytesIO(_bytes_of(picture, _unpacked(picture.package, folder)))) as photo:
        return photo.convert("RGB")


def train_crops(
    folder: Path, rng: np.random.Generator, size: int | tuple[int, int], count: int = 1
) -> NDArray[np.float32]:
    """Crops at random places and scales, half of them mirrored: (count, height, width, 3) in [0, 1]."""
    height, width = (size, size) if isinstance(size, int) else size
    photos = [photo for photo in _training_photos(folder) if _fits(photo[0], height, width)]
    crops = np.empty((count, height, width, 3), np.float32)
    for crop in crops:
        crop[:] = _crop(photos[int(rng.integers(len(photos)))], height, width, rng)
    return crops


def held_out(folder: Path, size: int | tuple[int, int]) -> list[tuple[str, NDArray[np.float32]]]:
    """The held-out photos by name, in the order of `held_out.txt`: the largest centered part, (height, width, 3)."""
    height, width = (size, size) if isinstance(size, int) else size
    return centered(folder, held_out_names(), (height, width))


def centered(folder: Path, names: Sequence[str], size: tuple[int, int]) -> list[tuple[str, NDArray[np.float32]]]:
    """Those of the named photos that are large enough: the largest centered part, (height, width, 3) in [0, 1]."""
    photos = ((name, _read(folder, name)) for name in names)
    return [(name, _center(photo, *size)) for name, photo in photos if _fits(photo, *size)]


def alike(folder: Path, name: str, others: Sequence[tuple[Path, str]]) -> list[str]:
    """Those of other photos, each with its folder, that look like this one."""
    mine = _thumbnail(_read(folder, name))
    return [other for where, other in others if mine @ _thumbnail(_read(where, other)) > ALIKE]


def trained_on(folder: Path) -> list[Source]:
    """The pictures that training reads."""
    splits = _splits_of(folder)
    return [picture for picture in sources() if splits.get(picture.name) == "training"]


def attribution(folder: Path) -> str:
    """Markdown that names every picture that was trained on, with its author, its license and where it is from."""
    pictures = trained_on(folder)
    packages = ", ".join(f"`{name}`" for name in sorted({picture.package for picture in pictures}))
    return "\n".join(
        [
            "# Attribution",
            "",
            f"This checkpoint was trained on {len(pictures)} pictures from the Debian packages {packages}.",
            f"Each was scaled to a short side of {SHORT_SIDE} pixels at most, cropped, and edited by procedures.",
            "Their authors have nothing to do with this project.",
            "",
            *(f"- {picture.credit()}" for picture in pictures),
            "",
        ]
    )


# --- fetching --------------------------------------------------------------------------------------------------------


def _unpacked(package: str, folder: Path) -> Path:
    place = folder / "packages" / package
    if not place.exists():
        fetched = folder / "packages" / f"{package}.part"
        fetched.mkdir(parents=True, exist_ok=True)
        _run("apt-get", "download", package, cwd=fetched)
        (archive,) = fetched.glob("*.deb")
        _run("dpkg-deb", "-x", str(archive), str(fetched))
        archive.unlink()
        fetched.rename(place)
    return place


def _run(*command: str, cwd: Path | None = None) -> None:
    try:
        subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise RuntimeError(
            f"{command[0]} is missing: the photos are fetched on Debian or a system made from it"
        ) from error
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"{' '.join(command)} failed: {error.stderr.strip()}") from error


def _bytes_of(picture: Source, package: Path) -> bytes:
    path, _, inside = picture.path.partition(":")
    return _resources(package / path)[inside] if inside else (package / path).read_bytes()


@cache
def _resources(path: Path) -> dict[str, bytes]:
    """A Qt resource file's files by path. Format: qtbase, `src/tools/rcc/rcc.cpp`; stored plain or by zlib."""
    data = path.read_bytes()
    magic, version, tree, contents, names = struct.unpack(">4s4i", data[:20])
    if magic != b"qres":
        raise ValueError(f"{path} is no Qt resource file")
    node_size = 22 if version >= 2 else 14

    def name(offset: int) -> str:
        (length,) = struct.unpack_from(">H", data, names + offset)
        return data[names + offset + 6 :][: 2 * length].decode("utf-16-be")

    def walk(node: int, parent: str) -> Iterator[tuple[str, bytes]]:
        at = tree + node * node_size
        name_at, flags = struct.unpack_from(">IH", data, at)
        here = f"{parent}{name(name_at)}" if node else ""
        if flags & 2:  # a folder: how many children, and which is the first
            count, first = struct.unpack_from(">II", data, at + 6)
            for child in range(first, first + count):
                yield from walk(child, f"{here}/" if here else "")
            return
        (start,) = struct.unpack_from(">I", data, at + 10)
        (length,) = struct.unpack_from(">I", data, contents + start)
        stored = data[contents + start + 4 :][:length]
        yield here, zlib.decompress(stored[4:]) if flags & 1 else stored

    return dict(walk(0, ""))


def _scaled(encoded: bytes) -> Image.Image:
    """RGB on white, with a short side of SHORT_SIDE at most."""
    with Image.open(io.BytesIO(encoded)) as picture:
        opaque = picture.convert("RGBA") if picture.mode in ("P", "LA", "RGBA") else picture.convert("RGB")
    if opaque.mode == "RGBA":
        opaque = Image.alpha_composite(Image.new("RGBA", opaque.size, "white"), opaque).convert("RGB")
    scale = SHORT_SIDE / min(opaque.size)
    if scale >= 1:
        return opaque
    width, height = (round(side * scale) for side in opaque.size)
    return opaque.resize((width, height), Image.Resampling.LANCZOS)


# --- training and held-out -------------------------------------------------------------------------------------------


def _splits(folder: Path) -> list[tuple[Source, str]]:
    """Each picture's part; what looks like a held-out one is neither trained on nor judged by."""
    thumbnails = {picture.name: _thumbnail(_read(folder, picture.name)) for picture in sources()}
    judges = np.stack([thumbnails[name] for name in held_out_names()])

    def split(picture: Source) -> str:
        if picture.held_out:
            return "held-out"
        return "near-duplicate" if (judges @ thumbnails[picture.name]).max() > ALIKE else "training"

    return [(picture, split(picture)) for picture in sources()]


def _thumbnail(photo: Photo) -> NDArray[np.float32]:
    """What two copies of a photo have in common: its center, small, of mean 0 and length 1."""
    small = _center(photo, THUMBNAIL, THUMBNAIL).ravel()
    small -= small.mean()
    small /= np.linalg.norm(small)
    return small


def _listed() -> int:
    """Changes whenever the list of pictures or the held-out names do."""
    return zlib.crc32((HERE / "sources.csv").read_bytes() + (HERE / "held_out.txt").read_bytes())


def _index(folder: Path) -> dict[str, Any]:
    index: dict[str, Any] = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    return index


def _splits_of(folder: Path) -> dict[str, str]:
    return {row["name"]: row["split"] for row in _index(folder)["pictures"]}


# --- reading and cropping --------------------------------------------------------------------------------------------


def _file(folder: Path, name: str) -> Path:
    return folder / "pictures" / f"{name}.jpg"


def _read(folder: Path, name: str) -> Photo:
    with Image.open(_file(folder, name)) as picture:
        return np.asarray(picture.convert("RGB"))


@cache
def _training_photos(folder: Path) -> list[list[Photo]]:
    """Each photo, and after it its halves and quarters, which make small crops quick."""
    return [_halves(_read(folder, picture.name)) for picture in trained_on(folder)]


def _halves(photo: Photo) -> list[Photo]:
    sizes: list[Any] = [photo]
    while min(sizes[-1].shape[:2]) >= 2 * SMALLEST:
        height, width = (side // 2 for side in sizes[-1].shape[:2])
        sizes.append(cv2.resize(sizes[-1], (width, height), interpolation=cv2.INTER_AREA))
    return sizes


def _fits(photo: Photo, height: int, width: int) -> bool:
    return bool(min(photo.shape[0] / height, photo.shape[1] / width) * MOST_ENLARGED >= 1)


def _crop(sizes: list[Photo], height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Anything from the crop's own number of pixels to all that the photo has in its shape, as likely at each scale."""
    largest = min(sizes[0].shape[0] / height, sizes[0].shape[1] / width)
    scale = min(largest, float(np.exp(rng.uniform(0, np.log(max(largest, 1))))))
    halved = min(max(int(np.log2(scale)), 0), len(sizes) - 1)
    photo = sizes[halved]
    scale = min(scale / 2**halved, photo.shape[0] / height, photo.shape[1] / width)
    high, wide = round(height * scale), round(width * scale)
    top, left = rng.integers(photo.shape[0] - high + 1), rng.integers(photo.shape[1] - wide + 1)
    part = photo[top : top + high, left : left + wide]
    return _resized(part[:, ::-1] if rng.random() < 0.5 else part, height, width)


def _center(photo: Photo, height: int, width: int) -> NDArray[np.float32]:
    scale = min(photo.shape[0] / height, photo.shape[1] / width)
    high, wide = round(height * scale), round(width * scale)
    top, left = (photo.shape[0] - high) // 2, (photo.shape[1] - wide) // 2
    return _resized(photo[top : top + high, left : left + wide], height, width)


def _resized(part: Photo, height: int, width: int) -> NDArray[np.float32]:
    how = cv2.INTER_AREA if part.shape[0] > height else cv2.INTER_CUBIC
    small = cv2.resize(np.ascontiguousarray(part), (width, height), interpolation=how)
    return small.astype(np.float32) / np.float32(255)
