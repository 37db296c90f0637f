"""Pictures as hostile input: accepted pictures are right, nothing hidden in a file comes out, and nothing breaks."""

import io
import json
import os
import signal
import struct
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from api.photos import Photos
from chaos.hostile import (
    MARKER,
    MOST_PIXELS,
    bmp_that_says,
    corpus,
    encoded,
    gif_that_says,
    heic_grid,
    jpeg_that_says,
    mutated,
    orientation,
    png_that_says,
    scene,
    segment,
    tiff_that_says,
    webp,
    webp_canvas,
)
from jobs import decoder, decoders
from jobs.decoder import Limits, Refused, decode
from jobs.errors import InvalidPicture, Unavailable
from tests.conftest import everything_in
from tests.integration.conftest import submit
from tests.integration.test_worker import Step
from tests.waiting import until
from worker.leases import Leases
from worker.run import WorkerContext, run_next

LIMITS = Limits(200_000_000, 16_383, MOST_PIXELS, 20.0, 1 << 30)
TILES = ((220, 30, 30), (30, 200, 30), (30, 30, 220), (240, 240, 60))


def kept(client: Any, data: bytes) -> Image.Image:
    """The picture as the service keeps it."""
    job = submit(client, data)
    answer = client.get(f"{job['urls']['self']}/input", params={"proxy": 1})
    image = Image.open(io.BytesIO(answer.content))
    assert (image.mode, set(image.info) & {"exif", "comment", "icc_profile", "xmp"}) == ("RGB", set())
    return image


def test_a_corpus_of_hostile_pictures_breaks_nothing(client, pytestconfig):
    """The long form is `./dev chaos pictures`, with thousands of them against its own web tier."""
    for sample in corpus(seed=20, count=200 if pytestconfig.getoption("--slow") else 100):
        answer = client.post("/v1/jobs", files={"image": sample.data}, data={"prompt": "x"})
        taken = answer.status_code == 202
        assert taken or answer.status_code == 422, (sample.name, answer.text)
        assert "too much time" not in answer.text, sample.name
        assert sample.fate == "either" or taken == (sample.fate == "taken"), (sample.name, answer.text)
        assert taken or answer.json()["errors"][0]["field"] == "image"


def test_the_corpus_is_the_same_for_the_same_seed():
    assert [*mutated(1, 50)] == [*mutated(1, 50)]
    assert [*mutated(1, 50)] != [*mutated(2, 50)]


# ---- right colors, the right way up


def tiles() -> Image.Image:
    """A picture wider than high with four colors, a quarter each."""
    image = Image.new("RGB", (64, 48))
    for number, color in enumerate(TILES):
        image.paste(color, (32 * (number % 2), 24 * (number // 2), 32 * (number % 2) + 32, 24 * (number // 2) + 24))
    return image


WAYS: list[Callable[[Image.Image], Image.Image]] = [
    lambda image: image,
    lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    lambda image: image.transpose(Image.Transpose.ROTATE_180),
    lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    lambda image: image.transpose(Image.Transpose.TRANSPOSE),
    lambda image: image.transpose(Image.Transpose.ROTATE_90),
    lambda image: image.transpose(Image.Transpose.TRANSVERSE),
    lambda image: image.transpose(Image.Transpose.ROTATE_270),
]


@pytest.mark.parametrize("way", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_is_kept_upright(client, kind, way):
    """The stored pixels are turned so that the given orientation turns them back."""
    data = encoded(WAYS[way - 1](tiles()), kind, exif=orientation(way), quality=95)
    upright = kept(client, data)
    assert upright.size == (64, 48)
    assert np.abs(np.asarray(upright, float) - np.asarray(tiles(), float)).mean() < 6


def profile(red: tuple, green: tuple, blue: tuple, gamma: float, description: bytes = b"test") -> bytes:
    """A display profile (ICC 2.1) with these primaries, adapted to D50."""

    def fixed(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65_536)) for value in values)

    curve = b"curv\0\0\0\0\0\0\0\1" + struct.pack(">H", round(gamma * 256))
    text = b"desc\0\0\0\0" + struct.pack(">I", len(description) + 1) + description + b"\0" * 79
    colors = {name: b"XYZ \0\0\0\0" + fixed(*xyz) for name, xyz in
               {b"rXYZ": red, b"gXYZ": green, b"bXYZ": blue, b"wtpt": (0.9642, 1.0, 0.8249)}.items()}  # fmt: skip
    tags = {
        b"desc": text,
        b"cprt": b"text\0\0\0\0none\0",
        **colors,
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    table, body, at = b"", b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        padded = data + b"\0" * (-len(data) % 4)
        table += name + struct.pack(">II", at + len(body), len(data))
        body += padded
    head = struct.pack(">I4sI4s4s4s", at + len(body), b"\0" * 4, 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28 + fixed(0.9642, 1.0, 0.8249)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


P3 = ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841), 2.2)
ADOBE = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446), 2.2)
MILD = [(200, 100, 50), (90, 160, 70), (60, 80, 180), (128, 128, 128), (250, 240, 230), (20, 30, 25)]


def lab(colors: Any) -> Any:
    """CIE Lab (D50) of colors in sRGB."""
    source, target = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    made = ImageCms.profileToProfile(Image.fromarray(np.asarray(colors, "uint8")), source, target, outputMode="LAB")
    values = np.frombuffer(made.tobytes(), "uint8").reshape(-1, 3).astype(float)
    return np.stack([values[:, 0] / 2.55, *((values[:, 1:].astype("uint8") ^ 0x80).astype(float) - 128).T], 1)


@pytest.mark.parametrize("primaries", [P3, ADOBE], ids=["Display P3", "Adobe RGB"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_colors_of_another_space_are_told_in_srgb(client, kind, primaries):
    """The result is within a distance of 2 of lcms' and, as an independent check, of the matrices'."""
    icc = profile(*primaries)
    patches = np.repeat(np.repeat(np.array([MILD], "uint8"), 32, 0), 16, 1)
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    data = encoded(Image.fromarray(patches), kind, icc_profile=icc, **options)
    told = np.asarray(kept(client, data))[16:17, 8::16]

    whole = Image.open(io.BytesIO(data)).convert("RGB")
    source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    reference = ImageCms.profileToProfile(whole, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    distance = np.linalg.norm(lab(told) - lab(np.asarray(reference)[16:17, 8::16]), axis=1)
    assert distance.max() < 2
    assert np.abs(told.reshape(-1, 3).astype(float) - by_matrices(primaries)).max() < 4
    assert np.abs(told.reshape(-1, 3).astype(float) - np.array(MILD)).max() > 8, "the profile changes something"


def test_colors_that_are_srgb_already_are_kept(client):
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    patches = Image.fromarray(np.repeat(np.repeat(np.array([MILD], "uint8"), 32, 0), 16, 1))
    told = np.asarray(kept(client, encoded(patches, "PNG", icc_profile=icc)), float)
    assert np.abs(told - np.asarray(patches, float)).max() <= 2


def by_matrices(primaries: tuple) -> Any:
    """The same colors in sRGB, by the definition of both spaces."""
    *columns, gamma = primaries
    xyz = (np.array(MILD) / 255) ** gamma @ np.array(columns)
    srgb = np.array(
        [(0.4360747, 0.2225045, 0.0139322), (0.3850649, 0.7168786, 0.0971045), (0.1430804, 0.0606169, 0.7141733)]
    )
    linear = np.clip(xyz @ np.linalg.inv(srgb), 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def p_with_trns() -> Image.Image:
    image = Image.new("P", (32, 32), 0)
    image.putpalette([200, 0, 0, 0, 200, 0])
    image.paste(1, (16, 0, 32, 32))
    image.info["transparency"] = 0
    return image


WHITE, SMALL = (255, 255, 255), (32, 32)
STEEP = Image.linear_gradient("L").resize(SMALL)
BLACK_AND_WHITE = tiles().convert("L").point(lambda level: 255 * (level > 100)).convert("1")
MODES: dict[str, tuple[Image.Image, tuple, tuple]] = {  # and the first and the last pixel, as they are kept
    "1": (BLACK_AND_WHITE, (0, 0, 0), WHITE),
    "L": (Image.new("L", SMALL, 77), (77, 77, 77), (77, 77, 77)),
    "LA": (Image.merge("LA", (Image.new("L", SMALL, 0), STEEP)), (252, 252, 252), (3, 3, 3)),
    "P": (Image.new("RGB", SMALL, (10, 200, 30)).quantize(4), (10, 200, 30), (10, 200, 30)),
    "P, transparent": (p_with_trns(), WHITE, (0, 200, 0)),
    "RGB": (Image.new("RGB", SMALL, (1, 2, 3)), (1, 2, 3), (1, 2, 3)),
    "RGBA": (Image.new("RGBA", SMALL, (200, 0, 0, 128)), (227, 127, 127), (227, 127, 127)),
    "RGBA, transparent": (Image.new("RGBA", SMALL, (0, 0, 200, 0)), WHITE, WHITE),
    "CMYK": (Image.new("CMYK", SMALL, (0, 255, 255, 0)), (254, 0, 0), (254, 0, 0)),
    "I;16": (Image.new("I;16", SMALL, 40_000), (156, 156, 156), (156, 156, 156)),
}


@pytest.mark.parametrize("mode", MODES)
def test_every_color_mode_is_right(client, mode):
    """Transparency is laid on white; 16 bits are scaled to 8."""
    image, first, last = MODES[mode]
    for kind in ("JPEG",) if image.mode == "CMYK" else ("PNG", "WEBP") if image.mode == "RGBA" else ("PNG",):
        told = kept(client, encoded(image, kind, lossless=True, quality=100))
        corners = (told.getpixel((0, 0)), told.getpixel((told.width - 1, told.height - 1)))
        assert np.abs(np.subtract(corners, (first, last))).max() <= 3


# ---- nothing of the file comes out


def marked() -> dict[str, bytes]:
    """Pictures with a marker in every place that a file has for text."""
    exif = orientation(1)
    exif[0x010E] = MARKER.decode()  # description
    exif.get_ifd(0x8825)[29] = MARKER.decode()  # GPS date
    exif.get_ifd(0x8769)[0x9286] = MARKER  # user comment
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + MARKER + b"</x:xmpmeta>"
    icc = profile(*P3, description=MARKER)
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", MARKER.decode())
    text.add_text("Zip", MARKER.decode(), zip=True)
    text.add_itxt("XML:com.adobe.xmp", xmp.decode())
    usual: dict[str, Any] = {"exif": exif, "icc_profile": icc}
    caption = b"\x1c\x02\x78" + struct.pack(">H", len(MARKER)) + MARKER
    iptc = b"Photoshop 3.0\08BIM\x04\x04\0\0\0\0" + struct.pack(">I", len(caption)) + caption
    jpeg = encoded(scene(), "JPEG", comment=MARKER, xmp=xmp, **usual)
    return {
        "JPEG": jpeg[:2] + segment(0xED, iptc) + segment(0xE5, MARKER) + jpeg[2:] + MARKER,
        "MPO": encoded(scene(), "MPO", save_all=True, append_images=[scene()], comment=MARKER, **usual) + MARKER,
        "PNG": encoded(scene(), "PNG", pnginfo=text, **usual) + MARKER,
        "WEBP": encoded(scene(), "WEBP", xmp=xmp, **usual) + MARKER,
    }


@pytest.mark.parametrize("kind", ["JPEG", "MPO", "PNG", "WEBP"])
def test_nothing_hidden_in_a_picture_comes_out(client, store, pictures, kind):
    """Neither its bytes nor its metadata are in the kept picture, the results or the records."""
    data = marked()[kind]
    assert data.count(MARKER) >= 4
    leases = Leases(store, "w", {"slots": 1, "checkpoint": {}}, lease_seconds=30, engine_worked_at=lambda: 0.0)
    context = WorkerContext(store, pictures, leases, {"pix2pix-full": Step()}, lease_seconds=30)
    for form in ("png", "jpeg", "webp"):
        job = submit(client, data, format=form, steps=2)
        run_next(context)
        done = client.get(job["urls"]["self"]).json()
        assert done["status"] == "succeeded"
        assert MARKER.decode() not in json.dumps(done)
        listed = pictures._s3.list_objects_v2(Bucket=pictures.bucket, Prefix=f"default/{job['id']}/")["Contents"]
        assert len(listed) >= 3, "input, output, steps"
        for entry in listed:
            assert MARKER not in pictures.read(entry["Key"]), entry["Key"]
    assert MARKER.decode() not in everything_in(store.redis)


# ---- the decoders can be killed, and bound


@pytest.fixture
def reader(settings) -> Photos:
    reader = Photos(settings)
    reader.start()
    reader.read(encoded(scene(), "PNG"))
    return reader


def program(reader: Photos) -> int:
    process = reader._decoders._program
    assert process
    return process.pid


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_killed_decoder_costs_nobody_else_anything(reader):
    for victims in (children, lambda pid: [pid], lambda pid: [*children(pid), pid]):
        for victim in victims(program(reader)):
            os.kill(victim, signal.SIGKILL)
        for _ in range(3):
            assert reader.read(encoded(scene(), "PNG")).size == scene().size


HARD = (6000, 4000)


@pytest.fixture(scope="module")
def hard() -> bytes:
    """A picture with half of the allowed pixels."""
    return encoded(Image.linear_gradient("L").resize(HARD).convert("RGB"), "PNG", compress_level=1)


def test_a_picture_that_takes_too_long_ends_its_decoder_only(reader, hard, monkeypatch):
    assert reader.read(hard).size == HARD
    usual = reader._limits
    monkeypatch.setattr(reader, "_limits", replace(usual, seconds=0.05))
    with pytest.raises(InvalidPicture, match="too much time or memory"):
        reader.read(hard)
    monkeypatch.setattr(reader, "_limits", usual)
    assert reader.read(hard).size == HARD


def frozen(reader: Photos, hard: bytes, seconds: float) -> Future[Any]:
    """Read a picture while its decoder is stopped for some time, as on an overloaded machine."""
    with ThreadPoolExecutor(1) as reading:
        photo = reading.submit(reader.read, hard)
        until(lambda: at_work(reader), what="a decoder is at work")
        stopped = descendants(program(reader))
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    return photo


def descendants(pid: int) -> list[int]:
    return [one for child in children(pid) for one in (child, *descendants(child))]


def at_work(reader: Photos) -> list[int]:
    """The decoder processes that have a picture."""
    return [pid for child in children(program(reader)) for pid in children(child)]


def test_a_picture_is_not_refused_because_the_machine_is_busy(reader, hard, monkeypatch):
    """The limit is processor time, of which a stopped process uses none."""
    monkeypatch.setattr(reader, "_limits", replace(reader._limits, seconds=2.0))
    assert frozen(reader, hard, seconds=2.1).result().size == HARD


def test_a_decoder_that_is_too_slow_or_killed_is_no_fault_of_the_picture(reader, hard, monkeypatch):
    with ThreadPoolExecutor(1) as reading:
        photo = reading.submit(reader.read, hard)
        until(lambda: at_work(reader), what="a decoder is at work")
        os.kill(at_work(reader)[0], signal.SIGKILL)
        with pytest.raises(Unavailable):
            photo.result()
    monkeypatch.setattr(decoders, "CLOCK_SECONDS", 0.2)
    with pytest.raises(Unavailable):
        frozen(reader, hard, seconds=0.3).result()
    monkeypatch.undo()
    assert reader.read(hard).size == HARD


def test_a_picture_that_takes_too_much_memory_is_refused(reader, hard, monkeypatch):
    monkeypatch.setattr(reader, "_limits", replace(reader._limits, memory=decoders.BASE_MEMORY // 4))
    with pytest.raises(InvalidPicture, match="too much time or memory"):
        reader.read(hard)


def test_pictures_that_find_no_turn_are_told_to_come_again(reader, monkeypatch):
    monkeypatch.setattr(decoders, "WAIT_SECONDS", 0.1)
    slots = reader._decoders._slots
    with slots, slots, pytest.raises(Unavailable):
        reader.read(encoded(scene(), "PNG"))


def test_nobody_else_waits_behind_the_decoders(client, settings, jpeg):
    """Sixty uploads wait for the decoders, more than the web tier has threads for everything else."""
    state = client.app.state
    with ThreadPoolExecutor(60) as pool, ExitStack() as busy:
        for _ in range(settings.decoders):
            busy.enter_context(state.services.photos._decoders._slots)
        uploads = [pool.submit(submit, client, jpeg) for _ in range(60)]
        until(lambda: state.registry.get_sample_value("darkroom_http_requests_under_way") >= 60, what="all wait")
        assert client.get("/v1/queue").status_code == 200
        assert not [upload for upload in uploads if upload.done()]


def test_a_decoder_holds_no_secret_and_no_connection(reader):
    for pid in (program(reader), *children(program(reader))):
        names = Path(f"/proc/{pid}/environ").read_bytes()
        assert [entry.split(b"=")[0] for entry in names.split(b"\0") if entry] == [b"PYTHONPATH"]
        links = [link.readlink() for link in Path(f"/proc/{pid}/fd").iterdir()]
        assert len([link for link in links if str(link).startswith("socket:")]) == 1, "the one on which calls come"


def test_a_bomb_is_refused_before_it_takes_memory(hard):
    """It runs in a new process, which has no free memory to reuse. A normal picture shows that the test can fail."""
    bombs = [
        png_that_says(13_000, 13_000),
        png_that_says(60_000, 60_000),
        webp(webp_canvas(16_000, 16_000), (b"VP8 ", b"\0" * 40)),
        webp(webp_canvas(1 << 24, 1 << 24), (b"VP8 ", b"\0" * 40)),
        gif_that_says(65_535, 65_535),
        tiff_that_says(60_000, 60_000),
        bmp_that_says(60_000, 60_000),
        heic_grid(30, 30),
    ]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as new:
        for bomb in bombs:
            kilobytes, said = new.submit(decode_measured, bomb).result()
            assert f"{MOST_PIXELS} pixels" in said
            assert kilobytes < 50_000
        kilobytes, said = new.submit(decode_measured, jpeg_that_says(65_500, 65_500)).result()
        assert ("200000000 pixels" in said, kilobytes < 50_000) == (True, True)
        kilobytes, said = new.submit(decode_measured, hard).result()
        assert (kilobytes > 100_000, said) == (True, "")


def decode_measured(picture: bytes) -> tuple[int, str]:
    """The kilobytes by which this process grows, and why the picture was refused, if it was."""
    Path("/proc/self/clear_refs").write_text("5")  # its highest memory is what it has now
    before, said = peak(), ""
    try:
        decode(picture, LIMITS)
    except Refused as refused:
        said = str(refused)
    return peak() - before, said


def peak() -> int:
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])


def test_the_decoder_knows_nothing_of_the_service():
    source = Path(decoder.__file__).read_text()
    assert not [word for word in ("import jobs", "from jobs", "from api", "import api") if word in source]
