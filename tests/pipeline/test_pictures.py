import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.pictures import AREA, UNIT, as_rgb, fit, padded, to_picture, to_tensor, working_size

GRAY = np.arange(256, dtype=np.uint8).reshape(16, 16)
EXIF_ORIENTATION = 0x0112


def test_a_picture_survives_the_way_to_a_tensor_and_back(photo):
    assert to_picture(to_tensor(photo)[0]).tobytes() == photo.tobytes()


def test_tensors_span_minus_one_to_one():
    black_and_white = Image.fromarray(np.array([[[0, 0, 0], [255, 255, 255]]], dtype=np.uint8))
    assert to_tensor(black_and_white).unique().tolist() == [-1.0, 1.0]


def test_what_lies_outside_the_range_is_clipped():
    assert to_picture(torch.full((3, 1, 1), 7.0)).getpixel((0, 0)) == (255, 255, 255)
    assert to_picture(torch.full((3, 1, 1), -7.0)).getpixel((0, 0)) == (0, 0, 0)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"])
def test_every_mode_becomes_rgb_of_the_same_size_and_color(mode):
    """Pictures with few colors are dithered, so only the mean stays the same."""
    source = Image.new("RGB", (32, 16), (120, 130, 140))
    plain = as_rgb(source.convert("P").convert("PA") if mode == "PA" else source.convert(mode))
    assert (plain.mode, plain.size) == ("RGB", (32, 16))
    seen = (128, 128, 128) if mode in ("1", "L", "LA") else (120, 130, 140)
    assert np.abs(np.asarray(plain).mean((0, 1)) - seen).max() <= 2


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_sixteen_bits_are_scaled_to_eight(dtype):
    deep = Image.fromarray((GRAY.astype(np.int64) * 257).astype(dtype))
    assert np.array_equal(np.asarray(as_rgb(deep))[..., 0], GRAY)


def test_deep_pictures_that_hold_eight_bits_are_left_alone():
    assert np.array_equal(np.asarray(as_rgb(Image.fromarray(GRAY.astype(np.int32))))[..., 0], GRAY)


def test_transparent_becomes_white():
    assert as_rgb(Image.new("RGBA", (2, 2), (0, 0, 0, 0))).getpixel((0, 0)) == (255, 255, 255)


def test_a_palette_with_a_transparent_entry_becomes_white_there():
    picture = Image.new("P", (2, 1))
    picture.putpalette([0, 0, 0, 200, 10, 20])
    picture.putpixel((1, 0), 1)
    picture.info["transparency"] = 0
    plain = as_rgb(picture)
    assert [plain.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (200, 10, 20)]


def test_exif_orientation_is_applied():
    photo = Image.new("RGB", (4, 2))
    photo.putpixel((0, 0), (255, 0, 0))
    photo.getexif()[EXIF_ORIENTATION] = 6  # to be turned clockwise
    upright = as_rgb(photo)
    assert upright.size == (2, 4)
    assert upright.getpixel((1, 0)) == (255, 0, 0)


def test_the_working_size_has_the_photos_proportions_and_about_the_models_area():
    shapes = [(1, 1), (4000, 3000), (3000, 4000), (1920, 1080), (8000, 1000), (1000, 8000), (17, 16), (6, 41)]
    for width, height in shapes:
        wide, high = working_size(width, height)
        assert wide % UNIT == high % UNIT == 0
        assert wide / high == pytest.approx(width / height, rel=0.01)
        assert wide * high == pytest.approx(AREA, rel=0.12)


def test_what_is_too_long_for_the_networks_lies_in_a_wider_picture_whole():
    long = Image.effect_noise((900, 30), 80).convert("RGB")
    whole, inside = padded(long)
    assert whole.size == (900, 113)
    assert whole.crop(inside) == long
    assert padded(whole.crop((0, 0, 800, 100)))[1] == (0, 0, 800, 100)


def test_a_square_size_squeezes_and_auto_keeps_proportions():
    circle = Image.new("RGB", (640, 448))
    circle.paste((255, 0, 0), (220, 124, 420, 324))  # a square of 200
    squeezed, kept = (np.asarray(fit(circle, size))[..., 0] > 128 for size in ("256x256", "auto"))
    assert squeezed.shape == (256, 256)
    assert kept.shape == (432, 616)
    assert squeezed.any(axis=0).sum() < squeezed.any(axis=1).sum()
    assert kept.any(axis=0).sum() == pytest.approx(kept.any(axis=1).sum(), rel=0.01)
