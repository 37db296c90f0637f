"""The edits that are taught: each family is a procedure that makes, of any photo, what its instruction asks for.

A picture is (H, W, 3) float32 RGB in [0, 1], and so is what an edit returns. Lengths are in pixels of the picture as it
is processed: a blur of 4 px is one of 4 px at any size. Everything is local (what a pixel becomes depends on its
surroundings and on the nearest border, at most about 80 px away), so that a small network that was trained at one size
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
WEAK, STRONG = 0.45, 1.3  # how far "slightly" goes towards an edit, and "extremely" beyond it


@dataclass(frozen=True)
class Family:
    """One kind of edit. `exact` is false where no distance to `apply`'s picture is worth judging by.

    `graded`: it can be done less and more than usual.
    """

    name: str
    apply: Apply
    exact: bool = True
    graded: bool = False

    def at(self, strength: str, image: Picture) -> Picture:
        """The edit "weak"ly, "strong"ly or, for anything else, as usual; never but as usual where it is not graded."""
        if strength == "strong" and self.graded and self.name in REPEATED:
            return self.apply(self.apply(image))
        return self.graded_by(strength, image, self.apply(image))

    def graded_by(self, strength: str, image: Picture, edited: Picture) -> Picture:
        """An edit that has been made as usual, as weak or as strong as is asked for, on the line through both."""
        if not self.graded or strength not in ("weak", "strong"):
            return edited
        return _clip(image + np.float32(WEAK if strength == "weak" else STRONG) * (edited - image))


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


def _normal(image: Picture) -> Picture:
    """A dull picture with the light and contrast of a good one; a good one nearly as it is. Colors get a little richer.

    By mean and deviation, which a norm over the whole picture knows.
    """
    luma = _luma(image)
    mean, gain = float(luma.mean()), float(np.clip(0.26 / max(float(luma.std()), 0.01), 1, 2.5))
    offset = 0.3 * mean + 0.7 * 0.48 - gain * mean
    return _linear(image, gain * _saturation(1.3), (offset, offset, offset))


def _balanced(image: Picture) -> Picture:
    """White balance: the lights' color, as the sixth powers' mean has it, becomes gray (Finlayson and Trezzi 2004)."""
    light = np.power(np.power(image, 6).mean(axis=(0, 1)) + 1e-9, 1 / 6)
    return _linear(image, np.diag(np.clip(light.mean() / light, 0.5, 2.0)))


def _between(image: Picture, dark: Color, light: Color, contrast: float = 1.2) -> Picture:
    """Each pixel's luma on the way from one color to the other."""
    amount = np.clip(0.5 + contrast * (_luma(image) - 0.5), 0, 1)
    return _mix(np.array(dark, np.float32) + np.zeros_like(image), np.array(light, np.float32), amount)


def _over(image: Picture, dark: Color, middle: Color, light: Color, share: float) -> Picture:
    """Shadows, middle tones and lights each turn to a color; a share of the photo's own colors stays."""
    luma = _luma(image)
    toned = _mix(
        np.array(dark, np.float32) + np.zeros_like(image), np.array(middle, np.float32), _smoothstep(0, 0.55, luma)
    )
    toned = _mix(toned, np.array(light, np.float32), _smoothstep(0.45, 1.0, luma))
    return _clip(np.float32(share) * image + np.float32(1 - share) * toned)


def _duotone(image: Picture) -> Picture:
    return _clip(_between(image, (0.16, 0.04, 0.42), (0.62, 1.0, 0.78)))


def _cyanotype(image: Picture) -> Picture:
    return _clip(_between(image, (0.03, 0.13, 0.36), (0.9, 0.96, 0.97), 1.1))


def _noir(image: Picture) -> Picture:
    """Black and white, most of it black."""
    return _linear(image, 2.0 * np.tile(LUMA, (3, 1)), (-0.62, -0.62, -0.62))


def _xray(image: Picture) -> Picture:
    """Light on bluish black where the photo is dark."""
    matrix = -np.outer([0.85, 1.0, 1.05], LUMA)
    return _linear(image, matrix, (0.8, 0.97, 1.05))


def _teal_orange(image: Picture) -> Picture:
    return _over(image, (0.0, 0.2, 0.28), (0.3, 0.42, 0.42), (1.0, 0.72, 0.42), 0.35)


def _cyberpunk(image: Picture) -> Picture:
    return _over(image, (0.06, 0.02, 0.24), (0.85, 0.1, 0.62), (0.4, 0.95, 1.0), 0.25)


def _golden(image: Picture) -> Picture:
    """Low golden light that shines over everything."""
    lit = _linear(image, _scaled(1.05, 0.9, 0.55), (0.16, 0.09, 0.0))
    halo = _linear(_blurred(image, 7.0), _scaled(0.42, 0.3, 0.08))
    return _clip(1 - (1 - lit) * (1 - halo))


def _moody(image: Picture) -> Picture:
    """Dim and muted, with a breath of green-blue in the shadows."""
    return _linear(cv2.pow(image, 1.25), _scaled(0.58, 0.62, 0.6) @ _saturation(0.4), (0.015, 0.05, 0.055))


def _high_key(image: Picture) -> Picture:
    """Nearly everything is light; only what is darkest keeps some shade."""
    return _linear(1 - cv2.pow(1 - image, 2.6), 0.62 * _saturation(0.75), (0.4, 0.4, 0.4))


def _low_key(image: Picture) -> Picture:
    """Only what is lightest comes out of the black."""
    light = _smoothstep(0.35, 1.0, _blurred(_luma(image), 2.0))
    return _clip(1.05 * image * light[..., None])


def _cross_process(image: Picture) -> Picture:
    """Slide film in a print film's chemicals: hard greens and yellows, shadows that stay blue."""
    return _linear(image, _scaled(1.35, 1.45, 0.45), (-0.2, -0.12, 0.24))


def _night(image: Picture) -> Picture:
    dim = _scaled(0.2, 0.28, 0.52) @ _saturation(0.55)
    return _linear(cv2.pow(image, 1.3), dim, (0.0, 0.005, 0.03))


def _sunset(image: Picture) -> Picture:
    """Shadows turn to violet, the middle to red-orange, the light to gold."""
    return _over(image, (0.2, 0.05, 0.24), (0.86, 0.36, 0.18), (1.0, 0.84, 0.42), 0.3)


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


def _infrared(image: Picture) -> Picture:
    """Color infrared film: plants shine in red and pink, red shows as green, green as blue."""
    return _linear(image, np.array([[-0.5, 2.05, -0.4], [0.92, 0.0, 0.0], [0.0, 0.95, 0.05]]))


# --- weather ---------------------------------------------------------------------------------------------------------


def _fog(image: Picture) -> Picture:
    return _linear(_blurred(image, 2.0), 0.3 * _saturation(0.6), (0.6, 0.615, 0.63))


def _sandstorm(image: Picture) -> Picture:
    return _linear(_blurred(image, 1.5), 0.36 * _saturation(0.5), (0.48, 0.36, 0.16))


def _mist(image: Picture) -> Picture:
    """White over the bottom, at most 72 px high."""
    height, width = image.shape[:2]
    reach = min(72.0, 0.45 * height)
    above = np.arange(height, dtype=np.float32)[::-1] + np.float32(0.5)
    thick = np.repeat(0.95 * _smoothstep(0.0, 1.0, 1 - above / reach)[:, None], width, axis=1)
    return _clip(_mix(image, np.array([0.9, 0.92, 0.94], np.float32), thick))


def _rain(image: Picture) -> Picture:
    return rainy(image, _tiled(image))


def rainy(image: Picture, drops: Picture) -> Picture:
    """A wet gray day, and streaks of rain where a grid of standard normal numbers over the picture is high."""
    wet = _linear(_blurred(image, 1.0), _scaled(0.52, 0.58, 0.64) @ _saturation(0.35), (0.08, 0.1, 0.13))
    fine = cv2.resize(np.maximum(drops - np.float32(1.4), 0), image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    streaks = cv2.filter2D(fine, cv2.CV_32F, _slant(), borderType=cv2.BORDER_REFLECT)
    return _clip(wet + np.minimum(1.6 * streaks, 0.45)[..., None])


@lru_cache(maxsize=1)
def _slant() -> Picture:
    """A line of 17 px, nearly upright, whose weights sum to 1."""
    line = np.zeros((17, 17), np.float32)
    for row in range(17):
        line[row, 10 - row // 4] = 1
    line /= line.sum()
    return line


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


def _smooth(image: Picture) -> Picture:
    """Without noise and fine texture; edges stay."""
    for _ in range(2):
        image = cv2.bilateralFilter(image, 9, 0.13, 4.0, borderType=cv2.BORDER_REFLECT)
    return _clip(image)


def _hdr(image: Picture) -> Picture:
    """Large contrasts shrink and small ones grow, in strong colors."""
    luma = _luma(image)
    around = _blurred(luma, 10.0)
    toned = 0.5 + 0.55 * (around - 0.5) + 2.0 * (luma - around)
    color = 1.45 * (image - luma[..., None])
    return _clip(toned[..., None] + color)


def _cartoon(image: Picture) -> Picture:
    """Flat strong colors in two shades, behind lines of ink."""
    flat = _linear(_smooth(_blurred(image, 1.0)), 1.05 * _saturation(1.7), (0.04, 0.04, 0.04))
    luma = _blurred(_luma(image), 1.2)
    ink = _smoothstep(0.02, 0.05, _slopes(luma))
    return _clip(flat * ((0.72 + 0.38 * _shade(luma)) * (1 - 0.92 * ink))[..., None])


def _background(image: Picture) -> Picture:
    """What has fine detail stays; what has none is dark and out of focus."""
    luma = _luma(image)
    detail = _blurred(np.abs(luma - _blurred(luma, 2.0)), 7.0)
    away = 1 - _smoothstep(0.008, 0.03, detail)
    return _clip(_mix(image, 0.25 * _blurred(image, 5.0), away))


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


def _tiled(image: Picture) -> Picture:
    """Standard normal numbers for each cell of a grid over a picture, always the same."""
    rows, columns = (-(-length // GRAIN_SIZE) for length in image.shape[:2])
    tile = _grain_tile()
    return np.tile(tile, (-(-rows // len(tile)), -(-columns // len(tile))))[:rows, :columns]


def _grain(image: Picture) -> Picture:
    return film_grain(image, _tiled(image))


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


def _white_border(image: Picture) -> Picture:
    """18 px of white."""
    down, across = map(_from_ends, image.shape[:2])
    near = np.minimum(down[:, None], across[None])[..., None] < 18
    return np.where(near, np.float32(0.98), image)


def _polaroid(image: Picture) -> Picture:
    """Faded colors on a card, 12 px wide and below the picture 44 px, less where the picture is small."""
    height, width = image.shape[:2]
    down, across = np.arange(height)[:, None], np.minimum(np.arange(width), np.arange(width)[::-1])[None]
    card = (down < 12) | (across < 12) | (down >= height - min(44, height // 5))
    print_ = _linear(image, 0.78 * _saturation(0.75), (0.15, 0.14, 0.09))
    return np.where(card[..., None], np.array([0.96, 0.95, 0.91], np.float32), print_)


def _cinematic(image: Picture) -> Picture:
    """Bars of 28 px, less where the picture is small, and a film's colors."""
    graded = _linear(image, 1.2 * _scaled(0.95, 1.0, 1.02) @ _saturation(0.8), (-0.1, -0.08, -0.05))
    bar = min(28.0, image.shape[0] / 7)
    return np.where((_from_ends(image.shape[0]) < bar)[:, None, None], np.float32(0.02), graded)


def _light_leak(image: Picture) -> Picture:
    """Orange light from the left, at most 80 px wide."""
    width = image.shape[1]
    near = np.maximum(1 - (np.arange(width, dtype=np.float32) + 0.5) / min(80.0, 0.45 * width), 0)
    light = near[:, None] ** np.array([0.7, 1.4, 2.5], np.float32) * np.array([1.0, 0.75, 0.4], np.float32)
    return _clip(1 - (1 - image) * (1 - light[None]))


# --- all of them -----------------------------------------------------------------------------------------------------

TINTS: dict[str, Color] = {
    "red": (1.15, 0.2, 0.2),
    "green": (0.2, 1.05, 0.3),
    "blue": (0.15, 0.4, 1.2),
    "purple": (0.75, 0.25, 1.15),
    "orange": (1.2, 0.6, 0.05),
    "pink": (1.25, 0.62, 0.92),
    "yellow": (1.15, 1.0, 0.1),
    "cyan": (0.1, 0.95, 1.0),
}

REPEATED = {  # "extremely" is twice; elsewhere it is farther on the same way
    *(
        "brighter",
        "darker",
        "more_contrast",
        "less_contrast",
        "vivid",
        "faded",
        "blur",
        "fog",
        "night",
        "vignette",
        "glow",
    ),
    *("moody", "golden", "high_key", "low_key", "mist", "sandstorm", "vintage", "snow", "denoise"),
}
GRADED: dict[str, Apply] = {
    "bw": _bw,
    "sepia": _sepia,
    "brighter": _brighter,
    "darker": _darker,
    "warmer": _warmer,
    "cooler": _cooler,
    **{name: partial(_tint, color) for name, color in TINTS.items()},
    "more_contrast": _more_contrast,
    "less_contrast": _less_contrast,
    "vivid": _vivid,
    "faded": _faded,
    "blur": _blur,
    "fog": _fog,
    "snow": _snow,
    "night": _night,
    "sunset": _sunset,
    "autumn": _autumn,
    "vintage": _vintage,
    "vignette": _vignette,
    "glow": _glow,
    "enhance": _normal,
    "hdr": _hdr,
    "denoise": _smooth,
    "white_balance": _balanced,
    "teal_orange": _teal_orange,
    "golden": _golden,
    "moody": _moody,
    "high_key": _high_key,
    "low_key": _low_key,
    "cross_process": _cross_process,
    "mist": _mist,
    "light_leak": _light_leak,
    "sandstorm": _sandstorm,
}
AS_THEY_ARE: dict[str, Apply] = {
    "keep": np.copy,
    "invert": _invert,
    "pixelate": _pixelate,
    "sketch": _sketch,
    "stencil": _stencil,
    "neon": _neon,
    "emboss": _emboss,
    "oil": _oil,
    "watercolour": _watercolor,
    "frame": _frame,
    "white_border": _white_border,
    "polaroid": _polaroid,
    "cinematic": _cinematic,
    "keep_reds": partial(_keep, RED, 25),
    "keep_greens": partial(_keep, GREEN, 55),
    "keep_blues": partial(_keep, BLUE, 45),
    "cartoon": _cartoon,
    "duotone": _duotone,
    "cyberpunk": _cyberpunk,
    "cyanotype": _cyanotype,
    "noir": _noir,
    "xray": _xray,
    "infrared": _infrared,
    "background": _background,
    "rain": _rain,
}
FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        *(Family(name, apply) for name, apply in AS_THEY_ARE.items()),
        *(Family(name, apply, graded=True) for name, apply in GRADED.items()),
        Family("sharpen", _sharpen, exact=False, graded=True),
        Family("grain", _grain, exact=False, graded=True),
        Family("posterize", _posterize, exact=False),
    )
}

Random = np.random.Generator


def _noisy(image: Picture, rng: Random) -> Picture:
    """As a camera has it in little light: noise in pixels, finer or coarser, some of it colored."""
    height, width = image.shape[:2]
    coarse = float(rng.uniform(1, 2))
    noise = rng.standard_normal((int(height / coarse) + 1, int(width / coarse) + 1, 3)).astype(np.float32)
    gray = noise.mean(axis=2, keepdims=True) * np.float32(3**0.5)
    mixed = cv2.resize(gray + np.float32(rng.uniform(0, 0.7)) * (noise - gray), (width, height))
    return _clip(image + np.float32(rng.uniform(0.03, 0.1)) * mixed)


def _cast(image: Picture, rng: Random) -> Picture:
    """In colored light."""
    return _linear(image, np.diag(np.exp(rng.uniform(-0.35, 0.15, 3))))


def _dull(image: Picture, rng: Random) -> Picture:
    """Too dark or too light, without contrast."""
    gain = rng.uniform(0.35, 0.75)
    offset = rng.uniform(0, 1 - gain)
    return _linear(image, gain * _saturation(rng.uniform(0.7, 1)), (offset, offset, offset))


#: What a photo goes through before an edit that repairs it: most photos need no repair.
SPOILED: dict[str, Callable[[Picture, Random], Picture]] = {"denoise": _noisy, "white_balance": _cast, "enhance": _dull}
SELECTIVE = {  # edits of what has a certain color, and the edit that keeps just that
    **{name: name for name in ("keep_reds", "keep_greens", "keep_blues")},
    "autumn": "keep_greens",
    "infrared": "keep_greens",
}
TONES = ("bw", "sepia", "invert", "brighter", "darker", "warmer", "cooler", "vivid", "night", "sunset", "vintage")
FINISHES = ("blur", "pixelate", "vignette", "frame", "fog")
COMPOSABLE: tuple[tuple[str, str], ...] = tuple(
    pair for pair in product((*TONES, *TINTS), FINISHES) if pair not in {("vintage", "vignette")}
)
