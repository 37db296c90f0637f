"""The edits that are taught: each family is a procedure that makes, of any photo, what its instruction asks for.

A picture is (H, W, 3) float32 RGB in [0, 1], and so is what an edit returns. Lengths are in pixels of the picture as it
is processed: a blur of 4 px is one of 4 px at any size. Everything is local (what a pixel becomes depends on its
surroundings and on the nearest border, at most about 60 px away), so that a small network that was trained at one size
does the same at another.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import product
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[Any]  # (H, W, 3) or (H, W) float32 in [0, 1]
Color = tuple[float, float, float]
Apply = Callable[[Picture], Picture]

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
RED, GREEN, BLUE = 0.0, 120.0, 240.0  # hues in degrees
GRAIN_SIZE = 2  # px
GRAIN_TILE = 512  # px; larger pictures repeat it
BLOCK = 16  # px, of pixelate


@dataclass(frozen=True)
class Family:
    """One kind of edit. `exact` is false where no distance to `apply`'s picture is worth judging by."""

    name: str
    apply: Apply
    exact: bool = True


def compose(names: Sequence[str]) -> Apply:
    """The named families' edits one after the other."""

    def apply(image: Picture) -> Picture:
        for name in names:
            image = FAMILIES[name].apply(image)
        return image

    return apply


# --- tones -----------------------------------------------------------------------------------------------------------


def _clip(image: Picture) -> Picture:
    return np.clip(image, 0, 1, out=image)


def _luma(image: Picture) -> Picture:
    return cv2.transform(image, LUMA[None])  # (H, W)


def _gray(image: Picture) -> Picture:
    return cv2.cvtColor(_luma(image), cv2.COLOR_GRAY2RGB)


def _linear(image: Picture, matrix: Picture, offset: Color = (0, 0, 0)) -> Picture:
    """Each pixel times a 3x3 matrix, plus an offset."""
    return _clip(cv2.transform(image, np.column_stack([matrix, offset]).astype(np.float32)))


def _saturation(amount: float) -> Picture:
    """The matrix that keeps each pixel's luma and multiplies its distance from gray."""
    return amount * np.eye(3) + (1 - amount) * np.tile(LUMA, (3, 1))


def _scaled(*factors: float) -> Picture:
    return np.diag(factors)


def _smoothstep(low: float, high: float, x: Picture) -> Picture:
    t = np.clip((x - low) / (high - low), 0, 1)
    eased: Picture = t * t * (3 - 2 * t)
    return eased


def _mix(a: Picture, b: Picture, weight: Picture) -> Picture:
    """`a` where the (H, W) weight is 0, `b` (a picture or a color) where it is 1."""
    mixed: Picture = a + (b - a) * weight[..., None]
    return mixed


def _bw(image: Picture) -> Picture:
    return _clip(_gray(image))


def _sepia(image: Picture) -> Picture:
    tone = np.outer([1.2, 0.98, 0.74], LUMA)
    return _linear(image, tone, (0.02, 0.0, -0.02))


def _invert(image: Picture) -> Picture:
    return 1 - image


def _brighter(image: Picture) -> Picture:
    return cv2.pow(image, 0.5)


def _darker(image: Picture) -> Picture:
    return image * np.float32(0.45)


def _warmer(image: Picture) -> Picture:
    return _linear(image, _scaled(1.15, 1.0, 0.6), (0.05, 0.01, -0.02))


def _cooler(image: Picture) -> Picture:
    return _linear(image, _scaled(0.65, 0.97, 1.15), (-0.02, 0.01, 0.07))


def _tint(color: Color, image: Picture) -> Picture:
    """As seen through a colored glass: three quarters the color's shades, one quarter the photo."""
    shades = np.outer(color, LUMA)
    matrix = 0.25 * np.eye(3) + 0.72 * shades
    red, green, blue = color
    return _linear(image, matrix, (0.1 * red, 0.1 * green, 0.1 * blue))


def _more_contrast(image: Picture) -> Picture:
    return _linear(image, _scaled(1.75, 1.75, 1.75), (-0.375, -0.375, -0.375))


def _less_contrast(image: Picture) -> Picture:
    return _linear(image, _scaled(0.4, 0.4, 0.4), (0.27, 0.27, 0.27))


def _vivid(image: Picture) -> Picture:
    return _linear(image, _saturation(2.2))


def _faded(image: Picture) -> Picture:
    return _linear(image, 0.52 * _saturation(0.45), (0.4, 0.38, 0.36))


def _night(image: Picture) -> Picture:
    dim = _scaled(0.2, 0.28, 0.52) @ _saturation(0.55)
    return _linear(cv2.pow(image, 1.3), dim, (0.0, 0.005, 0.03))


def _sunset(image: Picture) -> Picture:
    """Shadows turn to violet, the middle to red-orange, the light to gold."""
    luma = _luma(image)
    violet, ember, gold = (np.array(c, np.float32) for c in ([0.2, 0.05, 0.24], [0.86, 0.36, 0.18], [1.0, 0.84, 0.42]))
    toned = _mix(violet + np.zeros_like(image), ember, _smoothstep(0.0, 0.55, luma))
    toned = _mix(toned, gold, _smoothstep(0.45, 1.0, luma))
    return _clip(0.3 * image + 0.7 * toned)


def _vintage(image: Picture) -> Picture:
    """An old color print: yellowed whites, greenish-blue blacks, little blue, darker at the borders."""
    print_ = _linear(image, _scaled(0.84, 0.74, 0.42) @ _saturation(0.7), (0.15, 0.16, 0.18))
    return print_ * (1 - 0.45 * _border(*image.shape[:2]))[..., None]


# --- hues ------------------------------------------------------------------------------------------------------------


def _near_hue(hsv: Picture, hue: float, width: float) -> Picture:
    """1 for colors within `width` degrees of a hue, 0 from 20 degrees farther on and for grays."""
    distance = np.abs((hsv[..., 0] - hue + 180) % 360 - 180)
    colorful = _smoothstep(0.1, 0.3, hsv[..., 1])
    return (1 - _smoothstep(width, width + 20, distance)) * colorful


def _keep(hue: float, width: float, image: Picture) -> Picture:
    """One hue stays as it is, everything else turns gray."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    return _clip(_mix(_gray(image), image, _near_hue(hsv, hue, width)))


def _autumn(image: Picture) -> Picture:
    """Greens become orange to red, the deeper the redder; the rest gets a little of the season's light."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    leaves = _near_hue(hsv, 95, 50)
    hsv[..., 0] = 18 + 22 * _smoothstep(0.15, 0.7, hsv[..., 2])
    hsv[..., 1:] = np.minimum(hsv[..., 1:] * np.array([1.6, 1.25], np.float32) + np.array([0.15, 0.04], np.float32), 1)
    orange = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    season = _linear(image, _scaled(1.1, 0.97, 0.78), (0.02, 0.0, 0.0))
    return _clip(_mix(season, orange, leaves))


# --- weather ---------------------------------------------------------------------------------------------------------


def _fog(image: Picture) -> Picture:
    return _linear(_blurred(image, 2.0), 0.3 * _saturation(0.6), (0.6, 0.615, 0.63))


def _snow(image: Picture) -> Picture:
    """Whatever is light or faces upwards turns white, the rest cold and pale."""
    luma = _blurred(_luma(image), 1.2)
    upwards = np.maximum(-cv2.Sobel(luma, cv2.CV_32F, 0, 1, ksize=3), 0)
    white = np.minimum(_smoothstep(0.18, 0.55, luma) + 2.0 * upwards, 1)
    cold = _linear(image, _scaled(0.8, 0.9, 1.0) @ _saturation(0.3), (0.08, 0.1, 0.13))
    return _clip(_mix(cold, np.array([0.95, 0.97, 1.0], np.float32), 0.85 * white))


# --- surfaces --------------------------------------------------------------------------------------------------------


def _blurred(image: Picture, sigma: float) -> Picture:
    return cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)


def _median(image: Picture, size: int) -> Picture:
    bytes_ = cv2.medianBlur(cv2.convertScaleAbs(image, alpha=255), size)
    return bytes_.astype(np.float32) / 255


def _derivatives(luma: Picture) -> tuple[Picture, Picture]:
    """What the luma rises by per pixel to the right, and per pixel down (Sobel's)."""
    right = cv2.Sobel(luma, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    return right, cv2.Sobel(luma, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)


def _slopes(luma: Picture) -> Picture:
    """How steep the luma is, whichever way."""
    return cv2.magnitude(*_derivatives(luma))


def _relief(luma: Picture) -> Picture:
    """Light from the upper left: positive where the luma rises towards the lower right."""
    right, down = _derivatives(luma)
    return right + down


def _blur(image: Picture) -> Picture:
    return _clip(_blurred(image, 4.0))


def _sharpen(image: Picture) -> Picture:
    return _clip(image + 1.5 * (image - _blurred(image, 1.5)))


def _glow(image: Picture) -> Picture:
    """The photo and a wide blur of it shine through each other (Orton's two slides)."""
    halo = _blurred(image, 7.0)
    return _clip(1 - (1 - 0.85 * image) * (1 - 0.75 * halo))


def _pixelate(image: Picture) -> Picture:
    height, width = image.shape[:2]
    small = cv2.resize(image, (-(-width // BLOCK), -(-height // BLOCK)), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)


def _shade(smooth: Picture) -> Picture:
    """0 in the dark parts of a luma, 1 in the light ones: parted half by the middle gray, half by what is around."""
    return _smoothstep(-0.03, 0.03, smooth - (0.23 + 0.5 * _blurred(smooth, 14.0)))


def _posterize(image: Picture) -> Picture:
    """A screen print: one dark and one light shade, each in the photo's colors as strong as the shade has room for."""
    smooth = _blurred(image, 1.5)
    luma = _luma(smooth)
    shade = (0.2 + 0.65 * _shade(luma))[..., None]
    color = 1.5 * (smooth - luma[..., None])
    room = np.where(color > 0, 1 - shade, shade) / np.maximum(np.abs(color), np.float32(1e-6))
    return _clip(shade + color * np.minimum(room.min(axis=2, keepdims=True), 1))


def _sketch(image: Picture) -> Picture:
    """Pencil on paper: the luma divided by its own blur, which leaves the edges."""
    luma = _blurred(_luma(image), 0.8) + 0.02
    lines = np.minimum(luma / _blurred(luma, 5.0), 1)
    return _clip(cv2.cvtColor(0.97 * lines**2, cv2.COLOR_GRAY2RGB))


def _stencil(image: Picture) -> Picture:
    """Black and white alone."""
    return _clip(cv2.cvtColor(_shade(_blurred(_luma(image), 1.5)), cv2.COLOR_GRAY2RGB))


def _neon(image: Picture) -> Picture:
    """Edges as glowing tubes on black: cyan in the dark parts, pink in the light ones."""
    luma = _blurred(_luma(image), 1.2)
    tubes = np.minimum(9 * _slopes(luma), 1)
    light = np.maximum(tubes, 1.3 * _blurred(tubes, 3.0))
    cyan, pink = np.array([0.1, 0.85, 1.0], np.float32), np.array([1.0, 0.25, 0.75], np.float32)
    color = _mix(cyan + np.zeros_like(image), pink, _smoothstep(0.25, 0.65, _blurred(luma, 6.0)))
    return _clip(color * light[..., None])


def _emboss(image: Picture) -> Picture:
    relief = 0.5 + 3.0 * _relief(_blurred(_luma(image), 1.0))
    return _clip(cv2.cvtColor(relief, cv2.COLOR_GRAY2RGB))


def _oil(image: Picture) -> Picture:
    """Rich patches of paint, lit from the side."""
    patches = _median(_median(image, 5), 5)
    patches = _linear(patches, 1.25 * _saturation(1.4), (-0.1, -0.1, -0.1))
    return _clip(patches + 2.0 * _relief(_blurred(_luma(patches), 1.0))[..., None])


def _watercolor(image: Picture) -> Picture:
    """Thin washes on white paper, darker where a wash ends."""
    washes = _linear(_median(_blurred(image, 1.5), 5), 0.68 * _saturation(1.5), (0.32, 0.32, 0.31))
    ends = np.minimum(3.0 * _slopes(_blurred(_luma(image), 1.5)), 0.4)
    return _clip(washes * (1 - ends)[..., None])


@lru_cache(maxsize=1)
def _grain_tile() -> Picture:
    side = GRAIN_TILE // GRAIN_SIZE
    return np.random.default_rng(1839).standard_normal((side, side)).astype(np.float32)


def _grain(image: Picture) -> Picture:
    rows, columns = (-(-length // GRAIN_SIZE) for length in image.shape[:2])
    tile = _grain_tile()
    return film_grain(image, np.tile(tile, (-(-rows // len(tile)), -(-columns // len(tile))))[:rows, :columns])


def film_grain(image: Picture, grains: Picture) -> Picture:
    """The picture with film grain: one grain, of a standard normal strength, in each cell of a grid over it."""
    height, width = image.shape[:2]
    soft = cv2.resize(grains, (width, height), interpolation=cv2.INTER_CUBIC)
    return _clip(image + 0.1 * (soft / soft.std())[..., None])


# --- borders ---------------------------------------------------------------------------------------------------------


def _from_ends(length: int) -> Picture:
    """For each pixel of a row its distance from the nearer end: 0.5 for the first and the last."""
    pixels = np.arange(length, dtype=np.float32)
    return np.minimum(pixels, pixels[::-1]) + np.float32(0.5)


@lru_cache(maxsize=16)
def _border(height: int, width: int) -> Picture:
    """1 in the corners, falling to 0 within a third of the short side, 56 px at most."""
    reach = min(56.0, min(height, width) / 3)
    down, across = (np.maximum(1 - _from_ends(n) / reach, 0) for n in (height, width))
    together: Picture = np.minimum(np.hypot(down[:, None], across[None]), 1).astype(np.float32)
    return together


def _vignette(image: Picture) -> Picture:
    return image * (1 - 0.9 * _border(*image.shape[:2]) ** 1.5)[..., None]


def _frame(image: Picture) -> Picture:
    """10 px of black wood around 6 px of white card."""
    down, across = map(_from_ends, image.shape[:2])
    distance = np.minimum(down[:, None], across[None])[..., None]
    return np.where(distance < 10, np.float32(0.06), np.where(distance < 16, np.float32(0.96), image))


# --- all of them -----------------------------------------------------------------------------------------------------

TINTS: dict[str, Color] = {
    "red": (1.15, 0.2, 0.2),
    "green": (0.2, 1.05, 0.3),
    "blue": (0.15, 0.4, 1.2),
    "purple": (0.75, 0.25, 1.15),
    "orange": (1.2, 0.6, 0.05),
    "pink": (1.25, 0.62, 0.92),
}

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family("keep", np.copy),
        Family("bw", _bw),
        Family("sepia", _sepia),
        Family("invert", _invert),
        Family("brighter", _brighter),
        Family("darker", _darker),
        Family("warmer", _warmer),
        Family("cooler", _cooler),
        *(Family(name, partial(_tint, color)) for name, color in TINTS.items()),
        Family("more_contrast", _more_contrast),
        Family("less_contrast", _less_contrast),
        Family("vivid", _vivid),
        Family("faded", _faded),
        Family("blur", _blur),
        Family("sharpen", _sharpen, exact=False),
        Family("pixelate", _pixelate),
        Family("posterize", _posterize, exact=False),
        Family("fog", _fog),
        Family("snow", _snow),
        Family("night", _night),
        Family("sunset", _sunset),
        Family("autumn", _autumn),
        Family("vintage", _vintage),
        Family("sketch", _sketch),
        Family("stencil", _stencil),
        Family("neon", _neon),
        Family("emboss", _emboss),
        Family("oil", _oil),
        Family("watercolour", _watercolor),
        Family("vignette", _vignette),
        Family("frame", _frame),
        Family("grain", _grain, exact=False),
        Family("keep_reds", partial(_keep, RED, 25)),
        Family("keep_greens", partial(_keep, GREEN, 55)),
        Family("keep_blues", partial(_keep, BLUE, 45)),
        Family("glow", _glow),
    )
}

SELECTIVE = {  # edits of what has a certain color, and the edit that keeps just that
    **{name: name for name in ("keep_reds", "keep_greens", "keep_blues")},
    "autumn": "keep_greens",
}
TONES = ("bw", "sepia", "invert", "brighter", "darker", "warmer", "cooler", "vivid", "night", "sunset", "vintage")
FINISHES = ("blur", "pixelate", "vignette", "frame", "fog")
COMPOSABLE: tuple[tuple[str, str], ...] = tuple(
    pair for pair in product((*TONES, *TINTS), FINISHES) if pair not in {("vintage", "vignette")}
)
