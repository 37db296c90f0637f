"""An edit of a small copy, applied to the photo at its own size."""

import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline import fullsize
from pipeline.fullsize import carry
from tests.conftest import ROOT
from training.edits import FAMILIES

SMALL = (320, 216)


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    with Image.open(ROOT / "examples" / "mountains.jpg") as picture:
        return picture.convert("RGB").resize((1280, 864), Image.Resampling.LANCZOS)


@pytest.fixture(scope="module")
def small(photo: Image.Image) -> Image.Image:
    return photo.resize(SMALL, Image.Resampling.LANCZOS)


def edited(picture: Image.Image, family: str) -> np.ndarray:
    return FAMILIES[family].apply(np.asarray(picture, np.float32) / 255)


def mottled(values: np.ndarray) -> Image.Image:
    """A picture as a network makes it: with a soft texture of a few hundredths."""
    random = np.random.default_rng(5)
    noise = cv2.GaussianBlur(random.standard_normal(values.shape).astype(np.float32), (0, 0), 1.5)
    return picture_of(values + 0.02 * noise / noise.std())


def picture_of(values: np.ndarray) -> Image.Image:
    return Image.fromarray((values.clip(0, 1) * 255).round().astype(np.uint8))


def decibels(picture: Image.Image, wanted: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((np.asarray(picture, np.float32) / 255 - wanted) ** 2) + 1e-9))


@pytest.mark.parametrize("family", ["sepia", "night", "invert", "bw", "sunset", "fog"])
def test_a_change_of_colors_is_made_to_the_whole_photo_without_the_networks_texture(photo, small, family):
    edit = mottled(edited(small, family))
    enlarged = edit.resize(photo.size, Image.Resampling.BICUBIC)
    wanted = edited(photo, family)
    assert decibels(carry(photo, small, edit), wanted) > decibels(enlarged, wanted) + 1.5


@pytest.mark.parametrize("family", ["frame", "vignette", "stencil", "sketch", "blur", "pixelate", "keep_reds"])
def test_at_the_small_size_nothing_that_colors_cannot_say_is_lost(small, family):
    edit, wanted = mottled(edited(small, family)), edited(small, family)
    assert decibels(carry(small, small, edit), wanted) > 30, "a frame that is lost leaves 20"


def test_what_was_not_changed_is_the_photo(photo, small):
    assert decibels(carry(photo, small, small), np.asarray(photo, np.float32) / 255) > 45


@pytest.mark.parametrize("size", [(1, 1), (3, 700), (901, 113), (160, 108), (1279, 865)])
def test_a_photo_of_any_size_keeps_it(photo, small, size):
    edit = picture_of(edited(small, "frame"))
    assert carry(photo.resize(size), small, edit).size == size


def test_a_photo_of_one_color_is_carried(photo):
    gray, red = (Image.new("RGB", (64, 64), color) for color in ((90, 90, 90), (200, 30, 20)))
    assert carry(Image.new("RGB", (300, 200), (90, 90, 90)), gray, red).getpixel((150, 100)) == (200, 30, 20)


def test_it_does_not_matter_how_many_rows_are_computed_at_a_time(photo, small, monkeypatch):
    edit = picture_of(edited(small, "sketch"))
    whole = carry(photo, small, edit)
    monkeypatch.setattr(fullsize, "STRIP", 7 * photo.width)
    assert carry(photo, small, edit) == whole


def test_a_pair_of_two_sizes_is_refused(photo, small):
    with pytest.raises(ValueError, match="differs in size"):
        carry(photo, small, photo)
