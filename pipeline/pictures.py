"""Pictures in and out: any photo to RGB at the size a model works at, and to and from tensors."""

import math

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from pipeline.catalogue import BUCKETS, SQUARES

PAPER = (255, 255, 255)
DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")


def as_rgb(photo: Image.Image) -> Image.Image:
    """The photo upright in plain RGB: EXIF orientation applied, transparency laid on white, 16 bits brought to 8."""
    photo = ImageOps.exif_transpose(photo)
    if photo.mode in DEEP_MODES:
        return _eight_bits(photo).convert("RGB")
    if photo.has_transparency_data:
        photo = photo.convert("RGBA")
        paper = Image.new("RGBA", photo.size, (*PAPER, 255))
        return Image.alpha_composite(paper, photo).convert("RGB")
    return photo.convert("RGB")


def _eight_bits(photo: Image.Image) -> Image.Image:
    """A grey picture of 16 or 32 bits a pixel, as eight; values up to 255 are taken to be eight bits already."""
    values = np.asarray(photo, dtype=np.float64)
    values = np.nan_to_num(values, nan=0.0, posinf=65535.0, neginf=0.0)
    if values.size and values.max() > 255:
        values = values / 257
    return Image.fromarray(values.clip(0, 255).round().astype(np.uint8))


def fit(picture: Image.Image, size: str) -> Image.Image:
    """The picture at one of the catalogue's sizes.

    A square size squeezes the picture into the square; `auto` keeps its proportions and trims what overhangs the
    nearest bucket.
    """
    if size == "auto":
        return ImageOps.fit(picture, nearest_bucket(*picture.size), Image.Resampling.LANCZOS)
    return picture.resize(SQUARES[size], Image.Resampling.LANCZOS)


def nearest_bucket(width: int, height: int) -> tuple[int, int]:
    """The bucket (width, height) whose proportions are closest, measured by their ratio."""
    return min(BUCKETS, key=lambda bucket: abs(math.log(bucket[0] / bucket[1] * height / width)))


def to_tensor(picture: Image.Image) -> Tensor:
    """An RGB picture as a (1, 3, H, W) float tensor in [-1, 1]."""
    values = np.array(picture, dtype=np.float32) / 255.0
    return torch.from_numpy(values).permute(2, 0, 1)[None] * 2 - 1


def all_finite(tensor: Tensor) -> bool:
    """Whether there is neither NaN nor infinity in it; waits for the device, so it is for the end of an edit."""
    return bool(tensor.isfinite().all())


def to_picture(tensor: Tensor) -> Image.Image:
    """A (3, H, W) tensor in [-1, 1] as an RGB picture, rounded to the nearest level."""
    values = (tensor.float() * 0.5 + 0.5).clamp(0, 1).permute(1, 2, 0).cpu().numpy()
    return Image.fromarray((values * 255).round().astype(np.uint8))
