import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.catalogue import BUCKETS
from pipeline.pictures import as_rgb, fit, nearest_bucket, to_picture, to_tensor

GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)
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
def test_every_mode_becomes_rgb_of_the_same_size_and_colour(mode):
    """Few colours are dithered, so it is the mean that stays."""
    source = Image.new("RGB", (32, 16), (120, 130, 140))
    plain = as_rgb(source.convert("P").convert("PA") if mode == "PA" else source.convert(mode))
    assert (plain.mode, plain.size) == ("RGB", (32, 16))
    seen = (128, 128, 128) if mode in ("1", "L", "LA") else (120, 130, 140)
    assert np.abs(np.asarray(plain).mean((0, 1)) - seen).max() <= 2


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_sixteen_bits_are_scaled_to_eight(dtype):
    deep = Image.fromarray((GREY.astype(np.int64) * 257).astype(dtype))
    assert np.array_equal(np.asarray(as_rgb(deep))[..., 0], GREY)


def test_deep_pictures_that_hold_eight_bits_are_left_alone():
    assert np.array_equal(np.asarray(as_rgb(Image.fromarray(GREY.astype(np.int32))))[..., 0], GREY)


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


@pytest.mark.parametrize("bucket", BUCKETS)
def test_a_picture_of_a_buckets_shape_gets_that_bucket(bucket):
    width, height = bucket
    assert nearest_bucket(width * 3, height * 3) == bucket


def test_very_long_pictures_get_the_longest_bucket():
    assert nearest_bucket(10_000, 10) == max(BUCKETS, key=lambda b: b[0] / b[1])
    assert nearest_bucket(1, 10_000) == min(BUCKETS, key=lambda b: b[0] / b[1])


def test_a_square_size_squeezes_and_auto_keeps_proportions():
    circle = Image.new("RGB", (640, 448))
    circle.paste((255, 0, 0), (220, 124, 420, 324))  # a square of 200
    squeezed, kept = (np.asarray(fit(circle, size))[..., 0] > 128 for size in ("256x256", "auto"))
    assert squeezed.shape == (256, 256)
    assert kept.shape == (448, 640)
    assert squeezed.any(axis=0).sum() < squeezed.any(axis=1).sum()
    assert kept.any(axis=0).sum() == kept.any(axis=1).sum() == 200
