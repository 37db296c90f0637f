"""Checks an uploaded picture and makes a fresh one of its pixels: upright, RGB, sRGB, without metadata."""

import io
import struct
from dataclasses import dataclass

from PIL import Image, ImageCms, ImageOps

from jobs.errors import FieldError, InvalidPicture, PictureTooLarge
from jobs.settings import Settings

SIGNATURES = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"RIFF": "WEBP"}
UNREADABLE = (OSError, ValueError, SyntaxError, struct.error, EOFError, Image.DecompressionBombError, MemoryError)
SMALLEST_SIDE = 16
LONGEST_SHAPE = 8  #: the longer side may be this many times the shorter


@dataclass(frozen=True)
class Photo:
    """A checked picture; `size` is its width and height."""

    data: bytes
    content_type: str
    size: tuple[int, int]


def _refuse(detail: str) -> InvalidPicture:
    return InvalidPicture(f"The picture {detail}.", FieldError("image", detail))


def read_photo(data: bytes, settings: Settings) -> Photo:
    """The picture that an upload holds, at most `settings.input_side` pixels on its longer side.

    Raises:
        PictureTooLarge: more bytes than `settings.max_upload_bytes`.
        InvalidPicture: not a JPEG, PNG or WebP, broken, or with too many pixels; decided before any is decoded.
    """
    if len(data) > settings.max_upload_bytes:
        limit = f"must be at most {settings.max_upload_bytes} bytes"
        raise PictureTooLarge(f"The picture {limit}; it has {len(data)}.", FieldError("image", limit))
    try:
        with Image.open(io.BytesIO(data), formats=[_kind(data)]) as image:
            _check_size(image.size, settings)
            return _fresh(image, settings.input_side)
    except UNREADABLE as error:
        raise _refuse("cannot be read: it is broken or cut off") from error


def _kind(data: bytes) -> str:
    if not data:
        raise _refuse("is empty: send a JPEG, PNG or WebP file")
    for signature, kind in SIGNATURES.items():
        if data.startswith(signature) and (kind != "WEBP" or data[8:12] == b"WEBP"):
            return kind
    raise _refuse("must be a JPEG, PNG or WebP file")


def _check_size(size: tuple[int, int], settings: Settings) -> None:
    width, height = size
    if width * height > settings.max_pixels:
        raise _refuse(f"must have at most {settings.max_pixels} pixels; it has {width} x {height}")
    if max(size) > settings.max_side:
        raise _refuse(f"must have sides of at most {settings.max_side} pixels; it has {width} x {height}")
    if min(size) < SMALLEST_SIDE:
        raise _refuse(f"must have sides of at least {SMALLEST_SIDE} pixels; it has {width} x {height}")
    if max(size) > LONGEST_SHAPE * min(size):
        raise _refuse(f"must be at most {LONGEST_SHAPE} times as long as it is wide; it has {width} x {height}")


def _fresh(image: Image.Image, side: int) -> Photo:
    image.draft(None, (side, side))  # lets a JPEG decode at a fraction of its size
    image.load()
    pixels = _rgb(image)
    pixels.thumbnail((side, side), Image.Resampling.LANCZOS)
    upright = ImageOps.exif_transpose(_with_orientation_of(image, pixels))
    clean = Image.new("RGB", upright.size)
    clean.paste(upright)
    return _encoded(clean, "JPEG" if image.format == "JPEG" else "PNG")


def _encoded(clean: Image.Image, kind: str) -> Photo:
    """What came as a JPEG has lost detail already and stays one, fifteen times quicker to write; the rest is exact."""
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {"compress_level": 1}
    data = io.BytesIO()
    clean.save(data, kind, **options)
    return Photo(data.getvalue(), f"image/{kind.lower()}", clean.size)


def _with_orientation_of(image: Image.Image, pixels: Image.Image) -> Image.Image:
    pixels.getexif()[0x0112] = image.getexif().get(0x0112, 1)
    return pixels


def _rgb(image: Image.Image) -> Image.Image:
    """The picture in sRGB: 16 bits scaled to 8, transparency laid on white, its colour profile applied."""
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I"):
        image = image.convert("I").point(lambda level: level / 256).convert("L")
        profile = None
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    if profile and image.mode in ("RGB", "CMYK", "L"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB") or image
        except ImageCms.PyCMSError:
            pass  # a broken profile says nothing about the colours
    return image.convert("RGB")
