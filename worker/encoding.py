"""Encodes edited pictures as files. A file holds the pixels and says that they are sRGB, and nothing else."""

import io
from functools import cache
from typing import Any

from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from jobs.provenance import pixels_sha256

LARGE_PIXELS = 2_000_000  #: larger pictures are compressed for speed rather than for size
DATE = slice(24, 36)  #: the bytes of a color profile that hold its creation date
NEW_YEAR_2000 = bytes.fromhex("07d0 0001 0001 0000 0000 0000")


def encode(picture: Image.Image, kind: str) -> tuple[bytes, str]:
    """Encode a picture. The file says that it is sRGB and nothing else. Returns the file and its content type."""
    large = picture.width * picture.height > LARGE_PIXELS
    options: dict[str, dict[str, Any]] = {
        "png": {"compress_level": 1 if large else 6, "pnginfo": srgb_chunk()},
        "jpeg": {"quality": 92, "subsampling": 0, "icc_profile": srgb_profile()},
        "webp": {"quality": 92, "method": 2 if large else 4, "icc_profile": srgb_profile()},
        "avif": {
            "quality": 85,
            "subsampling": "4:4:4",
            "speed": 9,
            "max_threads": 1,
        },  # Pillow writes sRGB's code points
    }
    data = io.BytesIO()
    picture.save(data, kind.upper(), **options[kind])
    return data.getvalue(), f"image/{kind}"


@cache
def srgb_profile() -> bytes:
    """An ICC profile of sRGB, 588 bytes. Its date is constant, so that equal pictures make equal files."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[DATE] = NEW_YEAR_2000
    return bytes(profile)


def srgb_chunk() -> PngInfo:
    """The PNG chunk that declares sRGB, with perceptual rendering."""
    info = PngInfo()
    info.add(b"sRGB", b"\0")
    return info


def pixels_in(picture: Image.Image, data: bytes, kind: str) -> str:
    """The digest of the pixels in a picture's file. A lossless file has the picture's own pixels."""
    return pixels_sha256(picture if kind == "png" else Image.open(io.BytesIO(data)))
