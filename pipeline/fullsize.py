"""Applies an edit of a small picture to the whole photo at its own size.

Most edits change colors. Such a change can be described exactly enough to repeat it on every pixel of the photo, so
that detail comes from the photo and only the change from the edit. The description has three parts. Each describes what
the parts before it leave, where that is more than the network's own noise:

1. one map of colors for the whole picture, a cubic polynomial; 2. in every window a straight line from brightness to
the remaining change of each color (the guided filter of He, Sun and Tang, PAMI 2013, equations 5 to 8, with its
coefficients enlarged as in He and Sun's fast guided filter, 2015, and in Chen et al., "Bilateral Guided Upsampling",
SIGGRAPH Asia 2016; a line over all three colors fits no better); 3. for the rest, such as a frame or a drawn stroke:
the difference itself, enlarged.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

DEGREE = 3  # of the polynomial
TABLE = 33  # entries on each side of the table that replaces the polynomial
EVERY = 3  # only every third pixel of the small picture is used to fit it
LUMA = (0.299, 0.587, 0.114)  # brightness of red, green and blue: ITU-R BT.601
PRIOR = 0.01  # weight of a straight line through the colors, for colors that the photo hardly has
RADIUS = 3  # px of a window, in the small picture
EPSILON = 3e-4  # added to the variance of a window's brightness: with much less variance there is no slope
LOCAL = (0.02, 0.04)  # root mean square of the windows' part: noise up to the first, all signal from the second on
LOCAL_RADIUS = 16  # px over which this is averaged
REST = (0.015, 0.03)  # the same for the difference itself
REST_RADIUS = 8
GRAIN = 2  # px: finer texture averages out, drawn strokes do not
STRIP = 2**20  # pixels of the photo that are computed at a time


@dataclass(frozen=True)
class Change:
    """How an edit changes colors: `table` for all pixels, and an additional line for each pixel of the small picture.

    `lines` is (6, h, w): the change of red, green and blue, as their slopes over the photo's brightness and their
    offsets.
    """

    table: ImageFilter.Color3DLUT
    lines: Tensor


def carry(photo: Image.Image, small: Image.Image, edit: Image.Image) -> Image.Image:
    """Apply the edit of `small`, a copy of the photo in another size, to the whole photo. All three are RGB.

    Raises:
        ValueError: `small` and `edit` differ in size.
    """
    if small.size != edit.size:
        raise ValueError(f"the pair differs in size: {small.size} and {edit.size}")
    return apply(photo, fit(small, edit))


@torch.inference_mode()
def fit(small: Image.Image, edit: Image.Image) -> Change:
    """Fit the change of colors that turns `small` into `edit`."""
    before, after = _tensor(small), _tensor(edit)
    table = _table(before, after)
    rest = after - _tensor(small.filter(table))
    brightness = _brightness(before)
    slopes, offsets = _lines(brightness, rest)
    local = offsets + slopes * brightness
    weight = _gate(local, LOCAL_RADIUS, *LOCAL)
    rest = rest - weight * local
    return Change(
        table, torch.cat([weight * slopes, weight * offsets + _gate(_mean(rest, GRAIN), REST_RADIUS, *REST) * rest])
    )


@torch.inference_mode()
def apply(photo: Image.Image, change: Change) -> Image.Image:
    """Apply a change of colors to a photo of any size, strip by strip to save memory."""
    width, height = photo.size
    carried = photo.filter(change.table)
    wide = interpolate(change.lines[None], (change.lines.shape[1], width), mode="bilinear", align_corners=False)[0]
    for top, bottom in _strips(width, height):
        slopes, offsets = _rows(wide, top, bottom, height).chunk(2)
        if not (slopes.any() or offsets.any()):
            continue
        part = (0, top, width, bottom)
        added = offsets.addcmul_(slopes, _brightness(_tensor(photo.crop(part))))
        carried.paste(_picture(added.add_(_tensor(carried.crop(part)))), part)
    return carried


# --- the map of the whole picture ------------------------------------------------------------------------------------


def _table(before: Tensor, after: Tensor) -> ImageFilter.Color3DLUT:
    """The least-squares polynomial from colors to colors, as a table.

    For colors that the photo does not have, it is held close to a straight line, which is fitted first.
    """
    given, wanted = (picture.flatten(1)[:, ::EVERY].T.double() for picture in (before, after))
    axis = torch.linspace(0, 1, TABLE, dtype=torch.float64)
    blue, green, red = torch.meshgrid(axis, axis, axis, indexing="ij")  # red changes fastest in Pillow's table
    colors = torch.stack([red, green, blue], -1).flatten(0, 2)
    line = _powers(colors, 1) @ _least_squares(_powers(given, 1), wanted)
    weight = (PRIOR * len(given) / len(colors)) ** 0.5
    system = torch.cat([_powers(given, DEGREE), weight * _powers(colors, DEGREE)])
    cubic = _least_squares(system, torch.cat([wanted, weight * line.clamp(0, 1)]))
    values = (_powers(colors, DEGREE) @ cubic).clamp(0, 1)
    return ImageFilter.Color3DLUT(TABLE, values.flatten().tolist())


def _powers(colors: Tensor, degree: int) -> Tensor:
    """All products of up to `degree` colors: (n, 3) to (n, 4), or to (n, 20) for degree 3."""
    columns = [torch.ones_like(colors[:, 0])]
    for count in range(1, degree + 1):
        columns += [colors[:, list(chosen)].prod(1) for chosen in combinations_with_replacement(range(3), count)]
    return torch.stack(columns, 1)


def _least_squares(system: Tensor, wanted: Tensor) -> Tensor:
    normal = system.T @ system
    return torch.linalg.solve(normal + 1e-9 * normal.trace() * torch.eye(len(normal)), system.T @ wanted)


# --- the line of each window -----------------------------------------------------------------------------------------


def _lines(brightness: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """The least-squares lines of each window from brightness, (1, h, w), to three values: slopes and offsets."""
    pictures = torch.cat([brightness, brightness.square(), wanted, brightness * wanted])
    mean, square, aim, product = _mean(pictures, RADIUS).split((1, 1, 3, 3))
    slopes = (product - mean * aim) / (square - mean.square() + EPSILON)
    return _mean(slopes, RADIUS), _mean(aim - slopes * mean, RADIUS)


def _brightness(picture: Tensor) -> Tensor:
    """(3, h, w) to (1, h, w)."""
    red, green, blue = picture.split(1)
    return (LUMA[0] * red).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def _mean(picture: Tensor, radius: int) -> Tensor:
    """The mean of each pixel's window. At the borders only pixels inside the picture count."""
    for kernel in ((2 * radius + 1, 1), (1, 2 * radius + 1)):
        padding = (kernel[0] // 2, kernel[1] // 2)
        picture = avg_pool2d(picture[None], kernel, 1, padding, count_include_pad=False)[0]
    return picture


def _gate(signal: Tensor, radius: int, noise: float, sure: float) -> Tensor:
    """0 where a signal is no stronger than noise, 1 where it certainly is, smooth between: (1, h, w)."""
    strength = _mean(signal.square().mean(0, keepdim=True), radius).clamp(min=0).sqrt()
    share = ((strength - noise) / (sure - noise)).clamp(0, 1)
    return share * share * (3 - 2 * share)


# --- strips ----------------------------------------------------------------------------------------------------------


def _strips(width: int, height: int) -> Iterator[tuple[int, int]]:
    rows = max(1, STRIP // width)
    return ((top, min(top + rows, height)) for top in range(0, height, rows))


def _rows(maps: Tensor, top: int, bottom: int, height: int) -> Tensor:
    """These rows of the maps, as if the maps had been enlarged bilinearly to this height."""
    last = maps.shape[1] - 1
    place = ((torch.arange(top, bottom) + 0.5) * (maps.shape[1] / height) - 0.5).clamp(0, last)
    above = place.floor().long()
    first, below = int(above[0]), (above + 1).clamp(max=last)
    part = maps[:, first : int(below[-1]) + 1]
    return torch.lerp(part[:, above - first], part[:, below - first], (place - above)[:, None])


def _tensor(picture: Image.Image) -> Tensor:
    """(3, h, w) in [0, 1]."""
    values: NDArray[np.uint8] = np.array(picture)
    return torch.from_numpy(values).permute(2, 0, 1).float().div_(255).contiguous()


def _picture(values: Tensor) -> Image.Image:
    levels = values.clamp(0, 1).mul(255).round_().to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).contiguous().numpy())
