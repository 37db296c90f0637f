"""Decodes strangers' pictures in a small pool of processes, which a hostile picture may crash without harm.

The web tier and the worker start this module as a program. The program loads only Pillow's readers, has no secrets
and no connections, and keeps a few children that wait for calls. A child forks a process for each picture. The kernel
limits the memory and the CPU time of that process, so a busy machine takes longer but does not refuse a picture.

A call is a socket that is passed over standard input. The caller sends one line of JSON (`Limits`), then the picture.
The answer is `ALIVE`, one line of JSON (`refused`, or `size` and `content_type`), then the cleaned picture or its
pixels. If the process was killed from outside, only `ALIVE` comes; this says nothing about the picture.
"""

import gc
import io
import json
import math
import os
import re
import resource
import signal
import socket
import struct
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial, reduce
from itertools import chain
from typing import Any, Literal, Protocol

import pi_heif
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageChops,
    ImageCms,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

READERS = (  # imported here, so that they are loaded once
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
KINDS = "a JPEG, PNG, WebP, HEIC, AVIF, GIF, TIFF or BMP file"  #: the accepted kinds, for error texts
SIGNATURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"RIFF": "WEBP",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"BM": "BMP",
}
AVIF_BRANDS = {b"avif", b"avis"}  #: brands in the `ftyp` box, which comes first in a file
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
STILL = ("PNG", "WEBP", "AVIF")  #: formats in which more than one frame means an animation
LOSSY = ("JPEG", "MPO", "HEIF", "AVIF")
UNREADABLE = (OSError, ValueError, SyntaxError, struct.error, EOFError, RuntimeError)
BROKEN = "cannot be read: it is broken or cut off"
TOO_COSTLY = "cannot be read: it takes too much time or memory"
STRIP = 256  #: rows of a strip
LONGEST_SHAPE = 8  #: the longer side may be this many times as long as the shorter
MAX_SCANS = 64  #: scans of a progressive JPEG; each costs as much as a whole picture, and ten are usual
END_OF_JPEG = b"\xff\xd9"
MARKER = re.compile(rb"\xff[^\0]", re.DOTALL)  #: a marker in a scan, where a zero follows every other 0xFF
HALF = 2  #: Pillow's number for a JPEG whose colors have half the width and height
LONGEST_SIDE = 192  #: px; the longer side of a thumbnail
MAX_MISSING = 1 / 50  #: share of the pixels that may be missing in a truncated JPEG
GRAY = (127, 128)  #: libjpeg's values for missing pixels: 128, or 127 in Adobe's inverted CMYK
SUBFILE_TYPE, DNG_VERSION = 254, 50706  #: TIFF tags
ORIENTATION = 0x0112
UPRIGHT = dict(zip(range(2, 9), (0, 3, 1, 5, 4, 6, 2), strict=True))  #: Pillow's transpose for each EXIF orientation
ALIVE = b"+"
KILLED = (-signal.SIGKILL, -signal.SIGTERM)  #: signals that come from outside; no picture causes them
NICENESS = 5  #: added to the parent's niceness, because answers to other clients are more urgent
EXIT_ORPHANED = 3  #: exit status of a child whose parent process (web tier or worker) has exited


@dataclass(frozen=True)
class Limits:
    """The limits for one picture, and the task."""

    max_pixels: int  #: of a JPEG; it may have more than others, because it can be decoded at a fraction of its size
    max_side: int
    pixels: int  #: of an upload that is not a JPEG, and of each cleaned picture
    seconds: float  #: of CPU time
    memory: int  #: bytes of address space
    task: Literal["photo", "mask", "pixels", "thumbnail"] = "photo"  #: what to make of the picture

    def impose(self) -> None:
        """Set these limits for this process. If it exceeds them, the kernel ends it or it gets a MemoryError."""
        signal.setitimer(signal.ITIMER_PROF, self.seconds)
        if sys.platform == "linux":  # macOS has no such limit
            resource.setrlimit(resource.RLIMIT_AS, (self.memory, self.memory))


class Refused(Exception):
    """The picture is not accepted. The text says why, and continues the sentence "The picture "."""


@dataclass(frozen=True)
class Photo:
    """A checked picture; `size` is its width and height."""

    data: bytes
    content_type: str
    size: tuple[int, int]


def decode(data: bytes, limits: Limits) -> Photo:
    """The cleaned first frame of a picture: upright, RGB, sRGB, its own size up to `limits.pixels`.

    A JPEG that has all these properties is not encoded again; only its metadata is removed.

    Raises:
        Refused: not one of `KINDS`, broken, animated, or too large. Most checks come before the decoding.
    """
    kind = kind_of(data)
    most = limits.max_pixels if kind == "JPEG" else min(limits.max_pixels, limits.pixels)
    refuse_from(most)
    try:
        with open_picture(data, kind) as image:
            _check_shape(image.size, most, limits.max_side)
            _check_frames(image, data)
            if limits.task == "photo" and (clean := _as_it_is(image, data, limits.pixels)):
                return Photo(clean, "image/jpeg", image.size)
            loaded = _loaded(image, data, limits.pixels)
        return _mask(loaded, limits.pixels) if limits.task == "mask" else _fresh(loaded, data, limits.pixels)
    except (Image.DecompressionBombError, OverflowError) as error:
        raise Refused(f"must have at most {most} pixels") from error
    except MemoryError as error:
        raise Refused(TOO_COSTLY) from error
    except UNREADABLE as error:
        raise Refused(BROKEN) from error


def refuse_from(most: int) -> None:
    """Let Pillow refuse pictures with more pixels before it allocates memory."""
    Image.MAX_IMAGE_PIXELS = (most + 1) // 2  # Pillow refuses above twice this number
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def open_picture(data: bytes, kind: str) -> Image.Image:
    """Open the picture. Only its header is read."""
    if kind == "HEIF":  # one thread, because of the limit of CPU time, and no thumbnails or depth maps
        options = pi_heif.options
        options.DECODE_THREADS = 1
        options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False
        image: Image.Image = pi_heif.HeifImageFile(io.BytesIO(data))
        return image
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    return Image.open(io.BytesIO(data), formats=[kind])


def kind_of(data: bytes) -> str:
    """The format, from the first bytes.

    Raises:
        Refused
    """
    if not data:
        raise Refused(f"is empty: send {KINDS}")
    for signature, kind in SIGNATURES.items():
        if data.startswith(signature) and (kind != "WEBP" or data[8:12] == b"WEBP"):
            return kind
    brands = _brands(data)
    if brands & AVIF_BRANDS:
        return "AVIF"
    if brands & HEIF_BRANDS:
        return "HEIF"
    raise Refused(f"must be {KINDS}")


def _brands(data: bytes) -> set[bytes]:
    """The brands of an ISO media file; an empty set for any other file."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(data[:4]), 256)
    return {data[at : at + 4] for at in (8, *range(16, end, 4))}


def _check_shape(size: tuple[int, int], most: int, max_side: int) -> None:
    width, height = size
    if width * height > most:
        raise Refused(f"must have at most {most} pixels; it has {width} x {height}")
    if max(size) > max_side:
        raise Refused(f"must have sides of at most {max_side} pixels; it has {width} x {height}")
    if max(size) > LONGEST_SHAPE * min(size):
        raise Refused(f"must be at most {LONGEST_SHAPE} times as long as it is wide; it has {width} x {height}")


def _check_frames(image: Image.Image, data: bytes) -> None:
    """Refuse animations other than GIFs, whose first frame is used. In JPEG and HEIC, more frames are depth maps."""
    frames = getattr(image, "n_frames", 1) if image.format in STILL else 1
    if frames > 1:
        raise Refused(f"must be a still picture; it has {frames} frames")
    if image.format in ("JPEG", "MPO") and data.count(b"\xff\xda") > MAX_SCANS:
        raise Refused(f"must be a JPEG of at most {MAX_SCANS} scans")
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        _check_page(image)


def _check_page(image: TiffImagePlugin.TiffImageFile) -> None:
    """Refuse raw files of cameras, whose first page is only a small preview."""
    if image.tag_v2.get(SUBFILE_TYPE, 0) & 1 or DNG_VERSION in image.tag_v2:
        raise Refused("must be a TIFF whose first page is the whole picture, not a preview as in raw files")
    if image.mode in ("I", "F"):
        raise Refused("must have 8 or 16 bits a channel; it has 32")


def _fresh(image: Image.Image, data: bytes, most: int) -> Photo:
    pixels = _flat(_reduced(image, most))
    pixels = _upright(_srgb(pixels, image.info.get("icc_profile")), image)
    clean = Image.new("RGB", pixels.size)
    clean.paste(pixels)
    lossy = image.format in LOSSY or (image.format == "WEBP" and b"VP8L" not in data)
    is_halved = image.format in ("JPEG", "MPO") and JpegImagePlugin.get_sampling(image) == HALF
    return _encoded(clean, "JPEG" if lossy else "PNG", subsampling=HALF if is_halved else 0)


def _mask(image: Image.Image, most: int) -> Photo:
    """A gray PNG of the opacity of each pixel, or of its lightness if all pixels are opaque."""
    pixels = _reduced(image, most)
    alpha = pixels.convert("RGBA").getchannel("A") if pixels.has_transparency_data else None
    gray = alpha if alpha and alpha.getextrema() != (255, 255) else _flat(pixels).convert("L")
    upright = _upright(gray, image)
    clean = Image.new("L", upright.size)
    clean.paste(upright)
    return _encoded(clean, "PNG")


def _loaded(image: Image.Image, data: bytes, most: int) -> Image.Image:
    """Load the pixels. A JPEG that lacks its last bytes is accepted if few pixels are missing."""
    _draft(image, most)
    try:
        image.load()
    except OSError:
        if image.format not in ("JPEG", "MPO") or not _is_coarsely_whole(image, data):
            raise
        with open_picture(data + END_OF_JPEG, "JPEG") as ended:
            _draft(ended, most)
            ended.load()
        _go_on_where_it_ends(ended)
        return ended
    return image


def _draft(image: Image.Image, most: int) -> None:
    """Let libjpeg decode a JPEG of more than twice `most` pixels at a fraction of its size, which saves memory."""
    width, height = image.size
    part = 1
    while width * height > 2 * most * part * part:
        part *= 2
    if part > 1:
        image.draft(None, (width // part, height // part))


def _is_coarsely_whole(image: Image.Image, data: bytes) -> bool:
    """Whether a truncated JPEG has all colors and all but the finest details.

    Its first scan must have all channels. In a progressive JPEG, a scan with the finest details must be complete, so
    another scan must follow it.
    """
    scans = _scans(data)
    if not scans or scans[0][0] != len(image.getbands()):
        return False
    progressive = scans[0][1] == 0
    return not progressive or any(finest == 63 for _, finest in scans[:-1])


def _scans(data: bytes) -> list[tuple[int, int]]:
    """For each scan of a JPEG: its number of channels, and the highest of its 64 frequencies."""
    at, scans = 2, []
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] != b"\xda":
        at += 2 + int.from_bytes(data[at + 2 : at + 4])  # skips the segments, because one may contain a small JPEG
    while (at := data.find(b"\xff\xda", at)) >= 0:
        channels = int.from_bytes(data[at + 4 : at + 5])
        scans.append((channels, int.from_bytes(data[at + 6 + 2 * channels : at + 7 + 2 * channels])))
        at += 4
    return scans


def _go_on_where_it_ends(image: Image.Image) -> None:
    """Replace the gray of missing pixels at the end of a JPEG by the row above them.

    Raises:
        OSError: too many pixels are missing.
    """
    width, height = image.size
    top = height - min(height, max(16, height // 16))
    missing = _gray(image.crop((0, top, width, height)))
    if missing.histogram()[255] > MAX_MISSING * width * height:
        raise OSError("too much of it is missing")
    if box := missing.getbbox():
        row = image.crop((0, max(0, top + box[1] - 1), width, max(1, top + box[1])))
        image.paste(row.resize(missing.size, Image.Resampling.NEAREST), (0, top), missing)


def _gray(image: Image.Image) -> Image.Image:
    """A mask: 255 where all channels have the value that a decoder uses for missing pixels, else 0."""
    masks = [band.point([255 * (level in GRAY) for level in range(256)]) for band in image.split()]
    return reduce(ImageChops.darker, masks)


def _reduced(image: Image.Image, most: int) -> Image.Image:
    """Reduce to at most `most` pixels, in strips, because Pillow's intermediate picture takes as much memory again."""
    width, height = image.size
    if width * height <= most:
        return image
    scale = math.sqrt(most / (width * height))
    small = Image.new(image.mode, (max(1, int(width * scale)), max(1, int(height * scale))))
    for top in range(0, small.height, STRIP):
        end = min(top + STRIP, small.height)
        box = (0, top * height / small.height, width, end * height / small.height)
        small.paste(image.resize((small.width, end - top), Image.Resampling.LANCZOS, box), (0, top))
    return small


def _flat(image: Image.Image) -> Image.Image:
    """The picture with 8 bits per channel and without a palette. Transparent parts are blended with white."""
    if image.mode.startswith("I"):  # 16 bits of gray; transparency, which is rare here, is ignored
        return image.convert("I").point(lambda level: level / 256).convert("L")
    if image.has_transparency_data:
        layer = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(layer, mask=layer)
        return white
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("L" if image.mode == "1" else "RGB")


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The picture in sRGB, with its color profile applied."""
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            target, in_place = ImageCms.createProfile("sRGB"), image.mode == "RGB"
            made = ImageCms.profileToProfile(image, source, target, outputMode="RGB", inPlace=in_place)
            return image if made is None else made
        except (ImageCms.PyCMSError, *UNREADABLE):
            pass  # a broken profile, or one for other channels, is ignored
    return image.convert("RGB") if image.mode != "RGB" else image


def _upright(pixels: Image.Image, image: Image.Image) -> Image.Image:
    turn = _turn(image)
    return pixels if turn is None else pixels.transpose(Image.Transpose(turn))


def _turn(image: Image.Image) -> int | None:
    """The transpose by Pillow that turns the picture upright; None: it is upright."""
    try:
        return UPRIGHT.get(image.getexif().get(ORIENTATION, 1))
    except (*UNREADABLE, TypeError, LookupError):
        return None  # broken metadata is ignored


def _encoded(clean: Image.Image, kind: str, subsampling: int = 0) -> Photo:
    """Encode a cleaned picture as JPEG, which is fifteen times faster to write, or as PNG, which is exact.

    `subsampling` is Pillow's number for the size of a JPEG's colors. Colors that had half the size lose nothing by it.
    """
    options = {"quality": 95, "subsampling": subsampling} if kind == "JPEG" else {"compress_level": 1}
    data = io.BytesIO()
    clean.save(data, kind, **options)
    return Photo(data.getvalue(), f"image/{kind.lower()}", clean.size)


# ---- JPEGs that are not encoded again


def _as_it_is(image: Image.Image, data: bytes, most: int) -> bytes | None:
    """A JPEG without its metadata, if it needs no other change; else None."""
    width, height = image.size
    if image.format not in ("JPEG", "MPO") or image.mode != "RGB" or width * height > most:
        return None
    if _turn(image) is not None or not _is_srgb(image.info.get("icc_profile")):
        return None
    clean = without_metadata(data)
    return clean if clean and _is_used_up(clean) else None


def _is_srgb(profile: bytes | None) -> bool:
    """Whether colors of this profile are the same in sRGB. A broken profile counts as none."""
    if not profile:
        return True
    shades = range(0, 256, 51)
    colors = bytes(level for red in shades for green in shades for blue in shades for level in (red, green, blue))
    probe = Image.frombytes("RGB", (36, 6), colors)
    difference: Any = ImageChops.difference(probe, _srgb(probe.copy(), profile)).getextrema()
    return all(highest <= 1 for _, highest in difference)


@dataclass
class PlainJpeg:
    """The parts of a JPEG with one scan that its decoding needs: tables by number, and the bodies of two segments."""

    frame_marker: int = 0
    frame: bytes = b""
    scan: bytes = b""
    coded: bytes = b""  #: the data of the scan
    quantization: dict[int, bytes] = field(default_factory=dict)
    huffman: dict[int, bytes] = field(default_factory=dict)
    is_jfif: bool = False
    transform: int | None = None  #: the color transform in Adobe's segment

    def take(self, marker: int, body: bytes) -> None:
        """Keep the needed parts of a segment before the scan.

        Raises:
            LookupError, ValueError: the JPEG is not plain.
        """
        match marker:
            case 0xDB:
                self.quantization |= _tables(body, b"\0\1\2\3", lambda _: 65)
            case 0xC4:
                self.huffman |= _tables(body, b"\0\1\2\3\x10\x11\x12\x13", lambda table: 17 + sum(table[1:17]))
            case 0xC0 | 0xC1 if not self.frame:
                self.frame_marker, self.frame = marker, body
            case 0xE0:
                self.is_jfif |= body.startswith(b"JFIF\0")
            case 0xEE if body.startswith(b"Adobe"):
                self.transform = body[11]
            case _ if marker != 0xFE and not 0xE1 <= marker <= 0xEF and (marker, body) != (0xDD, b"\0\0"):
                raise ValueError("it is coded in another way")

    @property
    def channels(self) -> list[bytes]:
        """For each channel: its name, its sampling factors, and the number of its quantization table."""
        return [self.frame[place : place + 3] for place in (6, 9, 12)]

    def check(self) -> None:
        """
        Raises:
            LookupError, ValueError: the JPEG is not plain.
        """
        names = bytes(channel[0] for channel in self.channels)
        # libjpeg decides in the same way:
        is_ycbcr = self.is_jfif or (names == b"\1\2\3" if self.transform is None else self.transform == 1)
        has_three = len(self.frame) == 15 and self.frame[5] == 3 and len({*names}) == 3
        has_depth_and_height = self.frame[0] == 8 and self.frame[1:3] != b"\0\0"
        is_whole = len(self.scan) == 10 and self.scan[0] == 3 and self.scan[7:] == b"\0\x3f\0"
        if not (is_ycbcr and has_three and has_depth_and_height and is_whole and self.scan[1:7:2] == names):
            raise ValueError("its frame or scan is not plain")

    def written(self) -> bytes:
        """The file anew: each channel is named by its number, and only the tables that are used are written.

        Raises:
            LookupError: a table is missing.
        """
        frame = b"".join(bytes([number, *channel[1:]]) for number, channel in enumerate(self.channels, 1))
        scan = b"".join(bytes([number, self.scan[2 * number]]) for number in (1, 2, 3))
        tables = [table for pair in self.scan[2:8:2] for table in (pair >> 4, 0x10 | pair & 15)]
        return b"".join(
            [
                b"\xff\xd8",
                _segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0"),
                *(
                    _segment(0xDB, self.quantization[table])
                    for table in dict.fromkeys(channel[2] for channel in self.channels)
                ),
                _segment(self.frame_marker, self.frame[:6] + frame),
                *(_segment(0xC4, self.huffman[table]) for table in dict.fromkeys(tables)),
                _segment(0xDA, b"\3" + scan + self.scan[7:]),
                self.coded,
                END_OF_JPEG,
            ]
        )


def without_metadata(data: bytes) -> bytes | None:
    """The JPEG with only the parts that its decoding needs: its frame, the tables that are used, and one scan.

    None: it is not plain. A plain JPEG has one Huffman-coded scan of three channels in YCbCr, without restarts.
    """
    try:
        plain = _read_plain(data)
        plain.check()
        return plain.written()
    except (LookupError, ValueError):
        return None


def _read_plain(data: bytes) -> PlainJpeg:
    """
    Raises:
        LookupError, ValueError: it is not plain.
    """
    plain, at, marker = PlainJpeg(), 2, 0
    while marker != 0xDA:
        if data[at] != 0xFF:
            raise ValueError("a marker is missing")
        marker, end = data[at + 1], at + 2 + int.from_bytes(data[at + 2 : at + 4])
        body, at = data[at + 4 : end], end
        if marker == 0xDA:
            plain.scan = body
        else:
            plain.take(marker, body)
    last = MARKER.search(data, at)
    if last is None or last[0] != END_OF_JPEG:
        raise ValueError("its scan has no end, or another scan follows")
    plain.coded = data[at : last.start()]
    return plain


def _segment(marker: int, body: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + (len(body) + 2).to_bytes(2) + body


def _tables(body: bytes, numbers: bytes, length: Callable[[bytes], int]) -> dict[int, bytes]:
    """The tables of a segment, by their numbers (the first byte of each).

    Raises:
        ValueError: a table has an invalid number, as those of 16 bits do, or the tables do not fill the segment.
    """
    tables = {}
    while body:
        size = length(body)
        if len(body) < size or body[0] not in numbers:
            raise ValueError("a table is cut off, or has an invalid number")
        tables[body[0]], body = body[:size], body[size:]
    return tables


def _is_used_up(data: bytes) -> bool:
    """Whether a JPEG can be decoded, and its scan has at most eight bytes that no pixel needs.

    The decoder reads up to eight bytes ahead. The JPEG is decoded at an eighth of its size, which reads the whole scan
    too: first without the last byte, when it must still be incomplete, then to the end.
    """
    with open_picture(data, "JPEG") as image:
        image.draft("RGB", (max(1, image.width // 8), max(1, image.height // 8)))
        name, box, _, options = image.tile[0]  # type: ignore[attr-defined]
        image.load_prepare()  # type: ignore[attr-defined]
        decoding: Any = Image._getdecoder(image.mode, name, options, image.decoderconfig)  # type: ignore[attr-defined]
        decoding.setimage(image.im, box)
        last = len(data) - len(END_OF_JPEG) - 1
        read, _ = decoding.decode(data[:last])
        if read < 0:
            return False
        read, error = decoding.decode(data[read:])
        return bool(read < 0 and error >= 0)


# ---- the program


class Answer(Protocol):
    """Answers a call, in a forked process without other connections. Returns the exit status."""

    def __call__(self, call: socket.socket, *, others: socket.socket) -> int: ...


def serve(calls: socket.socket, answer: Answer) -> int:
    """Answer calls until the parent process exits. Returns the exit status."""
    while True:
        _, handed, *_ = socket.recv_fds(calls, 1, 1)
        if not handed:
            return EXIT_ORPHANED
        with socket.socket(fileno=handed[0]) as call, suppress(OSError):  # the caller may have closed the socket
            call.sendall(ALIVE)
            _fork(partial(answer, call, others=calls))
            status = os.waitstatus_to_exitcode(os.wait()[1])
            if status and status not in KILLED:
                call.sendall(_refusal(TOO_COSTLY))


def answer(call: socket.socket, *, others: socket.socket) -> int:
    """Decode the picture of one call. Returns the exit status."""
    others.close()
    with call.makefile("rb") as asked:
        limits = Limits(**json.loads(asked.readline()))
        limits.impose()
        data = asked.read()
    try:
        head, parts = TASKS[limits.task](data, limits)
        told: Iterator[bytes] = chain([json.dumps(head).encode() + b"\n"], parts)
    except Refused as error:
        told = iter([_refusal(str(error))])
    signal.setitimer(signal.ITIMER_PROF, 0)  # the time limit must not interrupt the answer
    for part in told:
        call.sendall(part)
    return 0


Told = tuple[dict[str, Any], Iterable[bytes]]  #: the head of an answer, and the data after it


def _photo(data: bytes, limits: Limits) -> Told:
    photo = decode(data, limits)
    return {"size": photo.size, "content_type": photo.content_type}, [photo.data]


def _pixels(data: bytes, limits: Limits) -> Told:
    """The pixels of a cleaned JPEG in RGB, in strips."""
    image = _opened(data, limits)
    return {"size": image.size}, (
        image.crop((0, top, image.width, top + rows)).tobytes() for top, rows in strips(image.height)
    )


def _thumbnail(data: bytes, limits: Limits) -> Told:
    image = _opened(data, limits, LONGEST_SIDE)
    return {"size": image.size}, [small_jpeg(image)]


def small_jpeg(image: Image.Image) -> bytes:
    """Reduces a picture to a thumbnail. Returns it as a JPEG."""
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    jpeg = io.BytesIO()
    image.convert("RGB").save(jpeg, "JPEG", quality=82)
    return jpeg.getvalue()


def _opened(data: bytes, limits: Limits, side: int = 0) -> Image.Image:
    """A cleaned JPEG, decoded. With `side`, it may be decoded at a fraction of its size, not below `side`.

    Raises:
        Refused
    """
    refuse_from(limits.max_pixels)
    try:
        with open_picture(data, "JPEG") as image:
            if side:
                image.draft("RGB", (side, side))
            return image.convert("RGB")
    except Image.DecompressionBombError as error:
        raise Refused(f"must have at most {limits.max_pixels} pixels") from error
    except MemoryError as error:
        raise Refused(TOO_COSTLY) from error
    except UNREADABLE as error:
        raise Refused(BROKEN) from error


def strips(height: int) -> Iterator[tuple[int, int]]:
    """The first row of each strip of a picture, and its number of rows."""
    return ((top, min(STRIP, height - top)) for top in range(0, height, STRIP))


TASKS: dict[str, Callable[[bytes, Limits], Told]] = {
    "photo": _photo,
    "mask": _photo,
    "pixels": _pixels,
    "thumbnail": _thumbnail,
}


def _refusal(why: str) -> bytes:
    return json.dumps({"refused": why}).encode()


def main(children: int) -> None:
    """Keep this many children running until the parent process exits."""
    _warm_up()
    run(children, answer)


def run(children: int, answer: Answer) -> None:
    """Fork this many children that answer calls, and replace each that ends, until the parent process exits."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent process; this program exits after it
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(NICENESS)
    gc.freeze()
    with socket.socket(fileno=sys.stdin.fileno()) as calls:
        for _ in range(children):
            _fork(partial(serve, calls, answer))
        while os.waitstatus_to_exitcode(os.wait()[1]) != EXIT_ORPHANED:
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
    """Decode one picture of each format, because Pillow loads modules at the first use of a format."""
    limits = Limits(10_000, 100, 10_000, 1.0, 0)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for kind in sorted(set(SIGNATURES.values())):  # HEIC and AVIF encoders start threads, which do not survive a fork
        data = io.BytesIO()
        Image.new("RGB", (16, 16)).save(data, kind, icc_profile=profile)
        decode(data.getvalue(), limits)


if __name__ == "__main__":
    main(int(sys.argv[1]))
