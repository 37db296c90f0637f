"""Photos as people have them: every kind, orientation, shape and size comes out whole, upright and in its own size."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageCms

from chaos.hostile import encoded, heic, heic_grid, orientation, scene
from jobs.decoder import Limits, Photo, Refused, decode
from pipeline.fullsize import carry
from pipeline.pictures import fit, padded
from tests.integration.test_hostile_pictures import WAYS, kept, tiles
from worker.encoding import encode, srgb_profile

LIMITS = Limits(200_000_000, 16_383, 50_000_000, 20.0, 1 << 30)
TAKEN: dict[str, tuple[Callable[[Image.Image], bytes], float]] = {  # and by how much a level may be off, on average
    "jpeg": (lambda image: encoded(image, "JPEG", quality=95), 6),
    "mpo": (lambda image: encoded(image, "MPO", save_all=True, append_images=[image], quality=95), 6),
    "png": (lambda image: encoded(image, "PNG"), 0),
    "lossless webp": (lambda image: encoded(image, "WEBP", lossless=True), 0),
    "webp": (lambda image: encoded(image, "WEBP", quality=95), 6),
    "heic": (lambda image: heic(image, quality=90), 6),
    "avif": (lambda image: encoded(image, "AVIF", quality=95, speed=10), 6),
    "gif": (lambda image: encoded(image.quantize(256), "GIF"), 6),
    "animated gif": (lambda image: encoded(image, "GIF", save_all=True, append_images=[image.rotate(180)]), 6),
    "tiff": (lambda image: encoded(image, "TIFF", save_all=True, append_images=[image.rotate(180)]), 0),
    "packed tiff": (lambda image: encoded(image, "TIFF", compression="tiff_adobe_deflate"), 0),
    "bmp": (lambda image: encoded(image, "BMP"), 0),
}
ORIENTED: dict[str, Callable[[Image.Image, Image.Exif], bytes]] = {
    "mpo": lambda image, exif: encoded(image, "MPO", save_all=True, append_images=[image], exif=exif, quality=95),
    "heic": lambda image, exif: heic(image, exif=exif.tobytes(), quality=90),
    "avif": lambda image, exif: encoded(image, "AVIF", exif=exif, quality=95, speed=10),
    "tiff": lambda image, exif: encoded(image, "TIFF", exif=exif),
    "packed tiff": lambda image, exif: encoded(image, "TIFF", exif=exif, compression="tiff_lzw"),
}


def fresh(data: bytes, limits: Limits = LIMITS) -> Image.Image:
    """The kept version of a picture."""
    return opened(decode(data, limits))


def opened(photo: Photo) -> Image.Image:
    image = Image.open(io.BytesIO(photo.data))
    assert (image.size, image.mode, f"image/{image.format}".lower()) == (photo.size, "RGB", photo.content_type)
    return image


def off(one: Image.Image, other: Image.Image) -> float:
    """By how many levels two pictures differ."""
    return float(np.abs(np.asarray(one, float) - np.asarray(other, float)).mean())


@pytest.mark.parametrize("kind", TAKEN)
def test_every_kind_is_taken_as_it_looks(kind):
    encode_it, most = TAKEN[kind]
    assert off(fresh(encode_it(tiles())), tiles()) <= most


def test_every_kind_is_taken_by_the_service(client):
    for kind, (encode_it, most) in TAKEN.items():
        assert off(kept(client, encode_it(tiles())), tiles()) <= most, kind


@pytest.mark.parametrize("way", range(1, 9))
@pytest.mark.parametrize("kind", ORIENTED)
def test_a_picture_of_a_newer_kind_is_kept_upright(kind, way):
    """JPEG, PNG and WebP are tested with the hostile pictures."""
    assert off(fresh(ORIENTED[kind](WAYS[way - 1](tiles()), orientation(way))), tiles()) < 6


SMALLEST = [(1, 1), (1, 8), (3, 2), (16, 16)]
SHAPES = [*SMALLEST, (16, 128), (128, 16), (17, 131), (333, 1111), (1500, 1000), (1999, 251), (1025, 1023)]


@pytest.mark.parametrize("size", SHAPES)
def test_every_shape_is_kept_whole_at_its_own_size(size):
    """From 1:8 to 8:1. The corners show that nothing is cut or squeezed."""
    image = scene(*size)
    lossy = [] if min(size) < 16 else ["jpeg"] if max(size) >= 200 else ["jpeg", "heic"]  # these mix colors over 16 px
    for kind in ("png", *lossy):
        told = fresh(TAKEN[kind][0](image))
        assert told.size == size
        assert off(told, image) < (8 if kind != "png" else 0.01)


SIDES = st.integers(1, 300)
RATIOS = st.floats(1 / 8, 8)
STORED: dict[str, Callable[[Image.Image, Image.Exif], bytes]] = {
    "png": lambda image, exif: encoded(image, "PNG", exif=exif),
    "jpeg": lambda image, exif: encoded(image, "JPEG", exif=exif, quality=95, subsampling=0),
    "webp": lambda image, exif: encoded(image, "WEBP", exif=exif, quality=95),
    **ORIENTED,
}


@settings(max_examples=10, deadline=None, derandomize=True)
@given(SIDES, RATIOS, st.integers(1, 8), st.sampled_from(sorted(STORED)), st.sampled_from(["auto", "256x256"]))
def test_any_photo_of_any_shape_and_way_up_comes_back_in_its_own_size_and_way_up(side, ratio, way, kind, size):
    """From the upload to the edit at the photo's own size. A negative of the small copy replaces the model."""
    other = min(max(round(side * ratio), -(-side // 8)), 8 * side)
    photo = scene(side, other)
    told = fresh(STORED[kind](WAYS[way - 1](photo), orientation(way)))
    whole, inside = padded(told)
    small = fit(whole, size)
    edited = carry(whole, small, ImageChops.invert(small)).crop(inside)
    assert told.size == edited.size == photo.size
    assert off(edited, ImageChops.invert(photo)) < 10


def test_what_has_more_pixels_than_are_kept_is_reduced_if_it_is_a_jpeg():
    """Up to twice as many pixels a filter reduces it, beyond that the decoder. In both cases nothing is cut."""
    image, small = scene(1600, 1200), Limits(4_000_000, 16_383, 1_000_000, 20.0, 1 << 30)
    told = fresh(encoded(image, "JPEG", quality=95), small)
    assert told.size == (1154, 866)
    assert off(told, image.resize(told.size, Image.Resampling.LANCZOS)) < 2
    halved = fresh(encoded(image, "JPEG", quality=95), Limits(4_000_000, 16_383, 900_000, 20.0, 1 << 30))
    assert halved.size == (800, 600)
    assert off(halved, image.resize((800, 600), Image.Resampling.BOX)) < 2
    with pytest.raises(Refused, match="at most 1000000 pixels"):
        decode(encoded(image, "PNG"), small)


@pytest.mark.slow
def test_a_photo_of_50_megapixels_from_a_phone_keeps_its_size():
    """A HEIC consists of tiles of 512 pixels; here all tiles are the same."""
    told = fresh(heic_grid(16, 12, size=(8160, 6120)))
    assert told.size == (8160, 6120)
    lines = np.asarray(told.convert("L"), int)[:, 4000]
    assert (np.abs(lines[512:1024] - lines[:512]).max(), lines[0] < 10, lines[511] > 245) == (0, True, True)


@pytest.mark.slow
def test_a_photo_of_108_megapixels_is_taken_at_half_its_size():
    told = fresh(encoded(Image.linear_gradient("L").resize((12_000, 9000)), "JPEG", quality=50))
    assert told.size == (6000, 4500)
    assert np.abs(np.diff(np.asarray(told.convert("L"), int)[:, 3000])).max() < 8


def test_what_repeats_is_not_kept_as_many_times_its_size():
    """Otherwise a small upload could fill the storage."""
    tile = Image.effect_noise((64, 64), 100).convert("RGB")
    image = Image.new("RGB", (1024, 1024))
    for place in range(256):
        image.paste(tile, (64 * (place % 16), 64 * (place // 16)))
    data = encoded(image, "PNG")
    assert len(decode(data, LIMITS).data) < 3 * len(data)


# ---- JPEGs that lack their last bytes


def photo(**options: Any) -> bytes:
    return encoded(scene(640, 480), "JPEG", quality=90, **options)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_lacks_its_last_bytes_is_taken_and_shows_no_gray(progressive):
    data = photo(progressive=progressive)
    for lacks in (1, 2, 3, 50):
        told = fresh(data[:-lacks])
        assert off(told, scene(640, 480)) < 3
        assert not (np.asarray(told) == 128).all(2)[-32:].any(1).any(), "no pixel of what a decoder gives for nothing"


def cuts(data: bytes) -> Iterator[tuple[int, Image.Image | None]]:
    """A picture that is cut at more and more places, and the kept version of each."""
    for percent in range(5, 100, 5):
        try:
            yield percent, fresh(data[: len(data) * percent // 100])
        except Refused:
            yield percent, None


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"exif": True}])
def test_a_jpeg_that_lacks_more_is_refused_or_right(options):
    """It is never accepted with a part missing, or without its details."""
    if options.pop("exif", False):  # its thumbnail is a whole JPEG
        exif = Image.Exif()
        exif[0x010E] = "x" * 2000
        options["exif"] = exif
    outcomes = dict(cuts(photo(**options)))
    assert outcomes[30] is None
    for percent, told in outcomes.items():
        assert told is None or off(told, scene(640, 480)) < 4, percent


# ---- what goes out


@pytest.mark.parametrize(("kind", "most"), [("png", 0), ("jpeg", 3), ("webp", 3), ("avif", 3)])
@pytest.mark.parametrize("size", [(96, 64), (17, 131), (1700, 1300)])
def test_an_output_of_every_format_is_the_picture(kind, most, size):
    """The largest size is compressed for speed."""
    data, content_type = encode(scene(*size), kind)
    image = Image.open(io.BytesIO(data))
    assert (content_type, image.format, image.size, image.mode) == (f"image/{kind}", kind.upper(), size, "RGB")
    assert off(image, scene(*size)) <= most


def says_srgb(data: bytes, image: Image.Image) -> bool:
    """By its profile (JPEG, WebP), its chunk (PNG), or the code points of its colors: 1, 13 mean sRGB (AVIF)."""
    match image.format:
        case "PNG":
            return image.info.get("srgb") == 0
        case "AVIF":
            return data[data.index(b"nclx") + 4 :][:4] == bytes((0, 1, 0, 13))
    profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
    return "sRGB" in ImageCms.getProfileDescription(profile)


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "avif"])
def test_an_output_says_that_it_is_srgb_and_is_the_same_file_each_time(kind):
    data, _ = encode(scene(), kind)
    assert says_srgb(data, Image.open(io.BytesIO(data)))
    srgb_profile.cache_clear()
    assert encode(scene(), kind)[0] == data
