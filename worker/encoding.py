"""Edited pictures as files: nothing goes in but their pixels, and that those are sRGB."""

import io
from functools import cache
from typing import Any

from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from jobs.provenance import pixels_sha256

LARGE_PIXELS = 2_000_000  #: larger pictures are compressed for speed rather than for size
DATE = slice(24, 36)  #: bytes of a color profile that say when it was made
NEW_YEAR_2000 = bytes.fromhex("07d0 0001 0001 0000 0000 0000")


def encode(picture: Image.Image, kind: str) -> tuple[bytes, str]:
    """Returns the encoded picture, which says that it is sRGB and nothing else, and its content type."""
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
    """An ICC profile of sRGB, 588 bytes; its date is always the same, so that equal pictures are equal files."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[DATE] = NEW_YEAR_2000
    return bytes(profile)


def srgb_chunk() -> PngInfo:
    """The chunk of a PNG that says sRGB, to be shown perceptually."""
    info = PngInfo()
    info.add(b"sRGB", b"\0")
    return info


def pixels_in(picture: Image.Image, data: bytes, kind: str) -> str:
    """The digest of the pixels in a file of the picture, which are its own where the kind of file is lossless."""
    return pixels_sha256(picture if kind == "png" else Image.open(io.BytesIO(data)))
