"""An edit carried from the small pair that the network saw to the whole photo, at the photo's own size.

Most edits change colors, and a change of colors can be written down exactly enough to repeat it on every pixel of the
photo: detail then comes from the photo and only the change from the edit. What is written down, in this order, each
where the one before leaves more than the network's own noise:

1. one map of colors for the whole picture, a cubic polynomial;
2. in every window an affine map of the colors there, fitted to what the first leaves (the guided filter of He, Sun and
   Tang, PAMI 2013, equations 14 to 16, with its coefficients enlarged as in He and Sun's fast guided filter, 2015, and
   in Chen et al., "Bilateral Guided Upsampling", SIGGRAPH Asia 2016);
3. what neither can say, such as a frame or a drawn stroke: the difference itself, enlarged.
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
TABLE = 33  # colors a side of the table that stands for it
PRIOR = 0.01  # weight of a straight line through the colors, for those that the photo hardly has
RADIUS = 4  # px of a window, in the small picture
EPSILON = 3e-4  # how steep a window's map may be, in squared color: less contrast than this is taken for noise
LOCAL = (0.02, 0.04)  # root mean square of the windows' part: noise up to the first, all signal from the second on
LOCAL_RADIUS = 16  # px over which that is averaged
REST = (0.03, 0.06)  # the same for the difference itself
REST_RADIUS = 8
STRIP = 2**20  # pixels of the photo that are computed at a time


@dataclass(frozen=True)
class Change:
    """How an edit changes colors: `table` everywhere, and beside it an affine map for each pixel of the small picture.

    `maps` is (12, h, w): what is added to red, green and blue is, of each, three slopes over the photo's colors and an
    offset.
    """

    table: ImageFilter.Color3DLUT
    maps: Tensor


def carry(photo: Image.Image, small: Image.Image, edit: Image.Image) -> Image.Image:
    """The edit of `small`, a copy of the photo in another size, made of the whole photo; all three in RGB.

    Raises:
        ValueError: `small` and `edit` are not of one size.
    """
    if small.size != edit.size:
        raise ValueError(f"the pair is of two sizes: {small.size} and {edit.size}")
    return apply(photo, fit(small, edit))


@torch.inference_mode()
def fit(small: Image.Image, edit: Image.Image) -> Change:
    """The change of colors that turns `small` into `edit`."""
    before, after = _tensor(small), _tensor(edit)
    table = _table(before, after)
    rest = after - _tensor(small.filter(table))
    slopes, offset = _windows(before, rest)
    local = _applied(slopes, offset, before)
    weight = _gate(local, LOCAL_RADIUS, *LOCAL)
    slopes, offset = weight * slopes, weight * offset
    rest = rest - weight * local
    offset = offset + _gate(rest, REST_RADIUS, *REST) * rest
    return Change(table, torch.cat([slopes, offset]))


@torch.inference_mode()
def apply(photo: Image.Image, change: Change) -> Image.Image:
    """A change of colors made to a photo of any size; memory is needed for a strip of it at a time."""
    width, height = photo.size
    carried = photo.filter(change.table)
    wide = interpolate(change.maps[None], (change.maps.shape[1], width), mode="bilinear", align_corners=False)[0]
    for top, bottom in _strips(width, height):
        maps = _rows(wide, top, bottom, height)
        if not maps.any():
            continue
        part = (0, top, width, bottom)
        strip = _tensor(carried.crop(part)) + _applied(maps[:9], maps[9:], _tensor(photo.crop(part)))
        carried.paste(_picture(strip), part)
    return carried


# --- the map of the whole picture ------------------------------------------------------------------------------------


def _table(before: Tensor, after: Tensor) -> ImageFilter.Color3DLUT:
    """The polynomial of least squares from colors to colors, as a table.

    A straight line through the same colors, found first, holds it where the photo has no colors to say.
    """
    given, wanted = (picture.flatten(1).T.double() for picture in (before, after))
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
    """All products of up to so many of red, green and blue: (n, 3) to (n, 4) or, of degree 3, (n, 20)."""
    columns = [torch.ones_like(colors[:, 0])]
    for count in range(1, degree + 1):
        columns += [colors[:, list(chosen)].prod(1) for chosen in combinations_with_replacement(range(3), count)]
    return torch.stack(columns, 1)


def _least_squares(system: Tensor, wanted: Tensor) -> Tensor:
    normal = system.T @ system
    return torch.linalg.solve(normal + 1e-9 * normal.trace() * torch.eye(len(normal)), system.T @ wanted)


# --- the map of each window ------------------------------------------------------------------------------------------


def _windows(before: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """The affine map of each window: slopes (9, h, w), those of one result together, and offsets (3, h, w)."""
    size = before.shape[1:]
    products = (before[:, None] * torch.stack([before, wanted])[:, None]).flatten(0, 2)
    mean, aim = _mean(before, RADIUS), _mean(wanted, RADIUS)
    spread = _mean(products, RADIUS).view(2, 3, 3, *size) - mean[:, None] * torch.stack([mean, aim])[:, None]
    within, across = spread.permute(0, 3, 4, 1, 2)
    slopes = torch.linalg.solve(within + EPSILON * torch.eye(3), across).permute(3, 2, 0, 1)  # (result, color, h, w)
    offset = aim - (slopes * mean).sum(1)
    return _mean(slopes.flatten(0, 1), RADIUS), _mean(offset, RADIUS)


def _applied(slopes: Tensor, offset: Tensor, picture: Tensor) -> Tensor:
    red, green, blue = picture
    return torch.stack(
        [
            offset[i].addcmul(slopes[3 * i], red).addcmul_(slopes[3 * i + 1], green).addcmul_(slopes[3 * i + 2], blue)
            for i in range(3)
        ]
    )


def _mean(picture: Tensor, radius: int) -> Tensor:
    """The mean of each pixel's window; at the borders of what is inside."""
    for kernel in ((2 * radius + 1, 1), (1, 2 * radius + 1)):
        padding = (kernel[0] // 2, kernel[1] // 2)
        picture = avg_pool2d(picture[None], kernel, 1, padding, count_include_pad=False)[0]
    return picture


def _gate(signal: Tensor, radius: int, noise: float, sure: float) -> Tensor:
    """0 where a signal is no stronger than noise, 1 where it is surely none, smooth between: (1, h, w)."""
    strength = _mean(signal.square().mean(0, keepdim=True), radius).clamp(min=0).sqrt()
    share = ((strength - noise) / (sure - noise)).clamp(0, 1)
    return share * share * (3 - 2 * share)


# --- strips ----------------------------------------------------------------------------------------------------------


def _strips(width: int, height: int) -> Iterator[tuple[int, int]]:
    rows = max(1, STRIP // width)
    return ((top, min(top + rows, height)) for top in range(0, height, rows))


def _rows(maps: Tensor, top: int, bottom: int, height: int) -> Tensor:
    """Rows of the maps as if they had been enlarged to this height, bilinearly."""
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
