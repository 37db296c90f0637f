"""Decodes strangers' pictures where they can do no harm: in a small pool of processes that they may break.

The web tier starts this module as a program. It has loaded Pillow's three readers and nothing of ours, holds no secret
and no connection, and keeps a few children that wait for calls. Each forks a process for each picture, which the kernel
bounds in memory and in processor time: on a busy machine a picture takes longer, and is not refused for that.

A call is a socket, handed over on standard input. On it comes one line of JSON (`Limits`), then the picture to its
end. Back come `ALIVE`, one line of JSON (`refused`, or `size` and `content_type`), then the fresh picture; nothing but
`ALIVE` when the process was killed from outside, which says nothing about the picture.
"""

import gc
import io
import json
import os
import resource
import signal
import socket
import struct
import sys
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from PIL import Image, ImageCms, JpegImagePlugin, MpoImagePlugin, PngImagePlugin, WebPImagePlugin

READERS = (JpegImagePlugin, MpoImagePlugin, PngImagePlugin, WebPImagePlugin)  # loaded once, here
SIGNATURES = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"RIFF": "WEBP"}
UNREADABLE = (OSError, ValueError, SyntaxError, struct.error, EOFError)
BROKEN = "cannot be read: it is broken or cut off"
TOO_HARD = "cannot be read: it takes too much time or memory"
SMALLEST_SIDE = 16
LONGEST_SHAPE = 8  #: the longer side may be this many times the shorter
MOST_SCANS = 64  #: of a progressive JPEG; each costs as much as a whole picture, and ten are usual
ORIENTATION = 0x0112
UPRIGHT = dict(zip(range(2, 9), (0, 3, 1, 5, 4, 6, 2), strict=True))  #: EXIF's orientations as Pillow's transposes
ALIVE = b"+"
KILLED = (-signal.SIGKILL, -signal.SIGTERM)  #: the ends of a process that somebody else wants, and no picture brings
MODESTY = 5  #: niceness beyond the web tier's, whose answers to others come first
DESERTED = 3  #: the exit status of a child that finds the web tier gone


@dataclass(frozen=True)
class Limits:
    """What one picture may ask for; `side` is the longest that a fresh one has, pixels."""

    max_pixels: int
    max_side: int
    side: int
    seconds: float  #: of the processor
    memory: int  #: bytes of address space

    def impose(self) -> None:
        """Bind this process; who goes beyond is ended by the kernel, or gets a MemoryError."""
        signal.setitimer(signal.ITIMER_PROF, self.seconds)
        if sys.platform == "linux":  # macOS has no such limit
            resource.setrlimit(resource.RLIMIT_AS, (self.memory, self.memory))


class Refused(Exception):
    """The picture is not one that we take; the text says why, and goes on from "The picture "."""


@dataclass(frozen=True)
class Photo:
    """A checked picture; `size` is its width and height."""

    data: bytes
    content_type: str
    size: tuple[int, int]


def decode(data: bytes, limits: Limits) -> Photo:
    """A fresh picture of the first frame's pixels: upright, RGB, sRGB, at most `limits.side` on its longer side.

    Raises:
        Refused: not a JPEG, PNG or WebP, broken, animated, or too large; what can be is decided before decoding.
    """
    Image.MAX_IMAGE_PIXELS = limits.max_pixels // 2  # Pillow itself refuses at twice this, before it takes memory
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    try:
        with Image.open(io.BytesIO(data), formats=[kind_of(data)]) as image:
            _check_shape(image.size, limits)
            _check_still(image, data)
            return _fresh(image, limits.side)
    except (Image.DecompressionBombError, OverflowError) as error:
        raise Refused(f"must have at most {limits.max_pixels} pixels") from error
    except MemoryError as error:
        raise Refused(TOO_HARD) from error
    except UNREADABLE as error:
        raise Refused(BROKEN) from error


def kind_of(data: bytes) -> str:
    """The format that the first bytes tell.

    Raises:
        Refused
    """
    if not data:
        raise Refused("is empty: send a JPEG, PNG or WebP file")
    for signature, kind in SIGNATURES.items():
        if data.startswith(signature) and (kind != "WEBP" or data[8:12] == b"WEBP"):
            return kind
    raise Refused("must be a JPEG, PNG or WebP file")


def _check_shape(size: tuple[int, int], limits: Limits) -> None:
    width, height = size
    if width * height > limits.max_pixels:
        raise Refused(f"must have at most {limits.max_pixels} pixels; it has {width} x {height}")
    if max(size) > limits.max_side:
        raise Refused(f"must have sides of at most {limits.max_side} pixels; it has {width} x {height}")
    if min(size) < SMALLEST_SIDE:
        raise Refused(f"must have sides of at least {SMALLEST_SIDE} pixels; it has {width} x {height}")
    if max(size) > LONGEST_SHAPE * min(size):
        raise Refused(f"must be at most {LONGEST_SHAPE} times as long as it is wide; it has {width} x {height}")


def _check_still(image: Image.Image, data: bytes) -> None:
    """The further frames of a JPEG are depth and gain maps, which phones add; those of the others are an animation."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format in ("PNG", "WEBP"):
        raise Refused(f"must be a still picture; it has {frames} frames")
    if image.format in ("JPEG", "MPO") and data.count(b"\xff\xda") > MOST_SCANS:
        raise Refused(f"must be a JPEG of at most {MOST_SCANS} scans")


def _fresh(image: Image.Image, side: int) -> Photo:
    image.draft(None, (side, side))  # lets a JPEG decode at a fraction of its size
    image.load()
    small = _resizable(image)
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    upright = _upright(_srgb(small, image.info.get("icc_profile")), image)
    clean = Image.new("RGB", upright.size)
    clean.paste(upright)
    return _encoded(clean, "JPEG" if image.format in ("JPEG", "MPO") else "PNG")


def _resizable(image: Image.Image) -> Image.Image:
    """The picture in 8 bits a channel, without a palette; transparent colours are in an alpha channel."""
    if image.mode.startswith("I"):  # 16 bits of grey; a transparent one is as rare as it is odd, and stays opaque
        return image.convert("I").point(lambda level: level / 256).convert("L")
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("L" if image.mode == "1" else "RGB")


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The colours as on a usual screen: laid on white where they are transparent, their profile applied."""
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB") or image
        except (ImageCms.PyCMSError, *UNREADABLE):
            pass  # a broken profile, or one of other channels, says nothing about the colours
    return image.convert("RGB")


def _upright(pixels: Image.Image, image: Image.Image) -> Image.Image:
    try:
        turn = UPRIGHT.get(image.getexif().get(ORIENTATION, 1))
    except (*UNREADABLE, TypeError, LookupError):
        turn = None  # broken metadata says nothing about the picture
    return pixels if turn is None else pixels.transpose(Image.Transpose(turn))


def _encoded(clean: Image.Image, kind: str) -> Photo:
    """What came as a JPEG has lost detail already and stays one, fifteen times quicker to write; the rest is exact."""
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {"compress_level": 1}
    data = io.BytesIO()
    clean.save(data, kind, **options)
    return Photo(data.getvalue(), f"image/{kind.lower()}", clean.size)


# ---- the program


class Answer(Protocol):
    """Answers a call in a process of its own, out of reach of the others; returns the exit status."""

    def __call__(self, call: socket.socket, *, others: socket.socket) -> int: ...


def serve(calls: socket.socket, answer: Answer) -> int:
    """Answer calls until the web tier is gone; returns the exit status."""
    while True:
        _, handed, *_ = socket.recv_fds(calls, 1, 1)
        if not handed:
            return DESERTED
        with socket.socket(fileno=handed[0]) as call, suppress(OSError):  # who asked may be gone
            call.sendall(ALIVE)
            _fork(partial(answer, call, others=calls))
            status = os.waitstatus_to_exitcode(os.wait()[1])
            if status and status not in KILLED:
                call.sendall(_refusal(TOO_HARD))


def answer(call: socket.socket, *, others: socket.socket) -> int:
    """Decode the one picture of a call, out of reach of the others; returns the exit status."""
    others.close()
    with call.makefile("rb") as asked:
        limits = Limits(**json.loads(asked.readline()))
        limits.impose()
        data = asked.read()
    try:
        photo = decode(data, limits)
        head = {"size": photo.size, "content_type": photo.content_type}
        told = json.dumps(head).encode() + b"\n" + photo.data
    except Refused as error:
        told = _refusal(str(error))
    signal.setitimer(signal.ITIMER_PROF, 0)  # half an answer would be none
    call.sendall(told)
    return 0


def _refusal(why: str) -> bytes:
    return json.dumps({"refused": why}).encode()


def main(children: int) -> None:
    """Keep so many children at work until the web tier is gone."""
    _warm_up()
    run(children, answer)


def run(children: int, answer: Answer) -> None:
    """Fork so many children that answer calls, and a fresh one for each that ends, until the web tier is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the web tier, which ends us by leaving
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(MODESTY)
    gc.freeze()
    with socket.socket(fileno=sys.stdin.fileno()) as calls:
        for _ in range(children):
            _fork(partial(serve, calls, answer))
        while os.waitstatus_to_exitcode(os.wait()[1]) != DESERTED:
            _fork(partial(serve, calls, answer))


def _fork(work: Callable[[], int]) -> None:
    if os.fork():
        return
    status = 1
    try:
        status = work()
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(status)


def _warm_up() -> None:
    """Decode once what we know, so that no child has to load what Pillow loads only then."""
    limits = Limits(10_000, 100, 100, 1.0, 0)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for kind in sorted(set(SIGNATURES.values())):
        data = io.BytesIO()
        Image.new("RGB", (16, 16)).save(data, kind, icc_profile=profile)
        decode(data.getvalue(), limits)


if __name__ == "__main__":
    main(int(sys.argv[1]))
