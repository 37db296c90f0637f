"""Pictures in and out: any photo to RGB at the size that a model works at, and to and from tensors."""

import math

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from pipeline.catalogue import SQUARES

PAPER = (255, 255, 255)
AREA = 512 * 512  # the number of pixels of a picture of size `auto`
UNIT = 8  # the networks accept pictures whose sides are multiples of this
LONGEST_SHAPE = 8  # the networks accept pictures whose long side is at most this many times the short one
DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")


def as_rgb(photo: Image.Image) -> Image.Image:
    """Convert a photo to upright 8-bit RGB: EXIF orientation is applied, and transparency becomes white."""
    photo = ImageOps.exif_transpose(photo)
    if photo.mode in DEEP_MODES:
        return _eight_bits(photo).convert("RGB")
    if photo.has_transparency_data:
        photo = photo.convert("RGBA")
        paper = Image.new("RGBA", photo.size, (*PAPER, 255))
        return Image.alpha_composite(paper, photo).convert("RGB")
    return photo.convert("RGB")


def _eight_bits(photo: Image.Image) -> Image.Image:
    """Convert a gray picture of 16 or 32 bits to 8 bits. If no value exceeds 255, the values stay as they are."""
    values = np.asarray(photo, dtype=np.float64)
    values = np.nan_to_num(values, nan=0.0, posinf=65535.0, neginf=0.0)
    if values.size and values.max() > 255:
        values = values / 257
    return Image.fromarray(values.clip(0, 255).round().astype(np.uint8))


def fit(picture: Image.Image, size: str) -> Image.Image:
    """The picture at one of the catalogue's sizes.

    A square size squeezes the picture into the square; `auto` keeps its proportions, within a hundredth.
    """
    return picture.resize(SQUARES.get(size) or working_size(*picture.size), Image.Resampling.LANCZOS)


def working_size(width: int, height: int) -> tuple[int, int]:
    """The working width and height for these proportions: multiples of `UNIT`, with about `AREA` pixels."""
    shape = max(width, height) / min(width, height)
    short = round(math.sqrt(AREA / shape) / UNIT) * UNIT
    long = round(short * shape / UNIT) * UNIT
    return (long, short) if width > height else (short, long)


def padded(picture: Image.Image) -> tuple[Image.Image, tuple[int, int, int, int]]:
    """Pad a picture to proportions that the networks accept.

    A picture that is too long is centered in a wider one, between repetitions of its borders. Returns that picture, and
    the box of the original in it: (left, upper, right, lower).
    """
    width, height = picture.size
    wide, high = (max(side, -(-other // LONGEST_SHAPE)) for side, other in ((width, height), (height, width)))
    left, top = (wide - width) // 2, (high - height) // 2
    margins = ((top, high - height - top), (left, wide - width - left), (0, 0))
    whole = Image.fromarray(np.pad(np.asarray(picture), margins, "edge")) if (wide, high) != picture.size else picture
    return whole, (left, top, left + width, top + height)


def to_tensor(picture: Image.Image) -> Tensor:
    """An RGB picture as a (1, 3, H, W) float tensor in [-1, 1]."""
    values = np.array(picture, dtype=np.float32) / 255.0
    return torch.from_numpy(values).permute(2, 0, 1)[None] * 2 - 1


def all_finite(tensor: Tensor) -> bool:
    """Whether a tensor has neither NaN nor infinity. Waits for the device, so call it only at the end of an edit."""
    return bool(tensor.isfinite().all())


def to_picture(tensor: Tensor) -> Image.Image:
    """A (3, H, W) tensor in [-1, 1] as an RGB picture, rounded to the nearest level."""
    return Image.fromarray(to_bytes(tensor).cpu().numpy())


def to_bytes(tensor: Tensor) -> Tensor:
    """Pictures (..., 3, H, W) in [-1, 1] as bytes (..., H, W, 3), rounded to the nearest level, on the same device."""
    values = (tensor.float() * 0.5 + 0.5).clamp(0, 1).movedim(-3, -1)
    return (values * 255).round().to(torch.uint8).contiguous()
