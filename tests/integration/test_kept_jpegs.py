"""A JPEG that needs no change is kept as it is coded, without a byte that decoding it does not need."""

import io
import random
import struct
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageCms

from chaos.hostile import MARKER, MOST_PIXELS, encoded, orientation, scene, segment
from jobs.decoder import END_OF_JPEG, Limits, Refused, decode
from jobs.decoders import decoders, limits_for
from jobs.errors import Unavailable
from jobs.job import Status, new_id
from jobs.pictures import input_picture
from tests.integration.test_worker import Step
from tests.jobs_of import a_job
from worker.leases import Leases
from worker.photos import decoded
from worker.run import WorkerContext, run_next

LIMITS = Limits(200_000_000, 16_383, MOST_PIXELS, 20.0, 1 << 30)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def scan_of(data: bytes) -> bytes:
    """The coded data of a JPEG of one scan."""
    at = data.rindex(b"\xff\xda")
    return data[at + 14 : data.rindex(END_OF_JPEG)]


def is_kept(data: bytes) -> bool:
    """Whether a JPEG is kept as it is coded; then it shows the same, and nothing else is in it."""
    kept = decode(data, LIMITS)
    if scan_of(kept.data) not in data:
        return False
    assert ImageChops.difference(opened(kept.data), opened(data).convert("RGB")).getbbox() is None
    assert (kept.size, kept.content_type, kept.data.count(MARKER)) == (opened(data).size, "image/jpeg", 0)
    assert set(opened(kept.data).info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    assert decode(kept.data, LIMITS).data == kept.data
    return True


@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)).filter(lambda size: max(size) <= 8 * min(size)),
    quality=st.integers(1, 100),
    subsampling=st.integers(0, 2),
    optimize=st.booleans(),
    exif=st.sampled_from([b"", orientation(1)]),
    icc=st.sampled_from([None, SRGB, MARKER]),
    comment=st.sampled_from([b"", MARKER]),
    trailing=st.sampled_from([b"", MARKER]),
    more=st.lists(st.sampled_from([0xE0, 0xE2, 0xE5, 0xED, 0xEE, 0xFE]), max_size=3),
)
def test_a_plain_jpeg_is_kept_without_its_metadata(
    size, quality, subsampling, optimize, exif, icc, comment, trailing, more
):
    options: dict[str, Any] = {"quality": quality, "subsampling": subsampling, "optimize": optimize, "exif": exif}
    data = encoded(scene().resize(size), "JPEG", comment=comment, icc_profile=icc, **options)
    data = data[:2] + b"".join(segment(marker, MARKER) for marker in more) + data[2:] + trailing
    assert is_kept(data)


def plain(**options: Any) -> bytes:
    return encoded(scene(), "JPEG", quality=90, **options)


def p3() -> bytes:
    """A profile of other primaries than sRGB has."""
    from tests.integration.test_hostile_pictures import P3, profile

    return profile(*P3)


def before_end(more: bytes) -> bytes:
    return plain()[:-2] + more + END_OF_JPEG


@pytest.mark.parametrize(
    "data",
    {
        "progressive": lambda: plain(progressive=True),
        "gray": lambda: encoded(scene().convert("L"), "JPEG"),
        "cmyk": lambda: encoded(scene().convert("CMYK"), "JPEG"),
        "turned": lambda: plain(exif=orientation(6)),
        "other-colors": lambda: plain(icc_profile=p3()),
        "restarts": lambda: plain(restart_marker_rows=1),
        "rgb": lambda: plain(keep_rgb=True),
        "hidden-in-the-scan": lambda: before_end(MARKER),
        "zeros-in-the-scan": lambda: before_end(bytes(12)),
        "filled-up": lambda: before_end(b"\xff" * 3),
        "no-end": lambda: plain()[:-2],
    }.items(),
    ids=lambda item: item[0],
)
def test_any_other_is_encoded_again(data):
    try:
        assert not is_kept(data[1]())
    except Refused:
        assert data[0] == "no-end"


def test_tables_that_no_channel_uses_are_not_kept():
    secret = bytes(range(1, 65))
    data = plain()
    unused = segment(0xDB, b"\3" + secret) + segment(0xC4, b"\x13" + b"\0" * 7 + b"\x40" + b"\0" * 8 + secret)
    assert is_kept(data[:2] + unused + data[2:])
    assert secret not in decode(data[:2] + unused + data[2:], LIMITS).data


def test_a_thumbnail_and_the_names_of_channels_are_not_kept():
    jfif = b"JFIF\0\1\2\1\0\x48\0\x48" + bytes([4, 4]) + (MARKER * 9)[:48]
    data = plain()
    assert data[2:4] == b"\xff\xe0"
    told = data[:2] + segment(0xE0, jfif) + data[20:]
    assert is_kept(told)
    kept = decode(told, LIMITS).data
    assert kept == decode(data, LIMITS).data


def test_what_becomes_of_a_broken_jpeg_is_what_it_shows():
    """Whatever is wrong in it, it is refused, or what is kept shows what it shows itself."""
    chance, outcomes = random.Random(7), Counter()
    for _ in range(300):
        data = bytearray(plain())
        for _ in range(chance.choice((1, 1, 3))):
            data[chance.randrange(2, len(data))] = chance.randrange(256)
        try:
            kept = decode(bytes(data), LIMITS)
        except Refused:
            outcomes["refused"] += 1
            continue
        is_as_it_was = scan_of(kept.data) in data
        outcomes["kept" if is_as_it_was else "encoded again"] += 1
        assert opened(kept.data).size == kept.size
        if is_as_it_was:
            assert ImageChops.difference(opened(kept.data), opened(bytes(data))).getbbox() is None
    assert len(outcomes) == 3, outcomes
    assert min(outcomes.values()) > 5, outcomes


def test_a_small_file_that_says_to_be_large_costs_no_more_than_its_limits():
    data = bytearray(plain())
    at = data.index(b"\xff\xc0")
    struct.pack_into(">HH", data, at + 5, 16_000, 16_001)
    with pytest.raises(Refused, match="pixels"):
        decode(bytes(data), Limits(200_000_000, 16_383, MOST_PIXELS, 20.0, 1 << 30))


# ---- the worker


def worker_for(store: Any, pictures: Any, data: bytes) -> tuple[Any, WorkerContext]:
    """A worker, and a job whose input are these bytes, in whatever way they came there."""
    job_id = new_id()
    picture = input_picture(f"default/{job_id}", data, "image/jpeg", scene().size)
    job = a_job(id=job_id, input=picture)
    pictures.put_job(picture, data, {})
    store.submit(job)
    leases = Leases(store, "w", {"slots": 1, "checkpoint": {}}, lease_seconds=30, engine_worked_at=lambda: 0.0)
    return job, WorkerContext(store, pictures, leases, {"pix2pix-full": Step()}, lease_seconds=30)


def test_a_worker_decodes_no_jpeg_itself(store, pictures, monkeypatch):
    job, worker = worker_for(store, pictures, plain())
    monkeypatch.setattr("PIL.JpegImagePlugin.JpegImageFile.load_prepare", None)
    run_next(worker)
    assert store.get(job.id, "default").status is Status.SUCCEEDED


@pytest.mark.parametrize("data", [b"\xff\xd8\xff nothing", plain()[:300], before_end(b"")[:-200]], ids=len)
def test_a_job_whose_input_breaks_its_decoder_fails_and_the_worker_goes_on(store, pictures, data):
    for jpeg, status in ((data, Status.FAILED), (plain(), Status.SUCCEEDED)):
        job, worker = worker_for(store, pictures, jpeg)
        run_next(worker)
        assert store.get(job.id, "default").status is status


def test_a_job_whose_decoder_is_killed_is_given_back(store, pictures, monkeypatch):
    def lost(*_: object) -> None:
        raise Unavailable("The picture could not be read right now.")

    job, worker = worker_for(store, pictures, plain())
    with monkeypatch.context() as killed:
        killed.setattr("jobs.decoders.Decoders.pixels", lost)
        run_next(worker)
    assert (store.get(job.id, "default").status, store.get(job.id, "default").crashes) == (Status.QUEUED, 0)


def test_pixels_come_as_they_are_in_strips_of_any_number():
    for size in ((1, 1), (64, 1), (1, 600), (300, 256), (71, 515)):
        data = encoded(scene().resize(size), "JPEG")
        picture = input_picture("default/x", data, "image/jpeg", size)
        assert ImageChops.difference(decoded(data, picture), opened(data)).getbbox() is None
    with pytest.raises(Exception, match="image: must have at most 4 pixels"):
        decoded(data, input_picture("default/x", data, "image/jpeg", (2, 2)))
    assert decoders(2).pixels(data, limits_for(10**6, most_pixels=10**6, most_side=10**4)).size == size
