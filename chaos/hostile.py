"""Hostile pictures, the same for the same seed: crafted ones, each with its fate, and good ones that were mutated."""

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import pillow_heif
from PIL import Image, ImageCms, PngImagePlugin

MOST_PIXELS = 50_000_000  #: the service's default
MARKER = b"StrangersSecret"

Fate = Literal["taken", "refused", "either"]


@dataclass(frozen=True)
class Sample:
    """A picture and what must become of it; `either`: it may be read or refused, but must break nothing."""

    name: str
    data: bytes
    fate: Fate = "either"


def corpus(seed: int, count: int) -> Iterator[Sample]:
    """All crafted pictures, then mutated ones up to `count` in all."""
    made = 0
    for sample in crafted():
        yield sample
        made += 1
    yield from mutated(seed, max(0, count - made))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """A picture file."""
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def scene(width: int = 96, height: int = 64) -> Image.Image:
    """A small picture with colors, edges and smooth parts."""
    across = Image.linear_gradient("L").resize((width, height))
    rings = Image.radial_gradient("L").resize((width, height))
    return Image.merge("RGB", (across, rings, across.transpose(Image.Transpose.ROTATE_180)))


@cache
def good() -> dict[str, bytes]:
    """One good picture of each kind that we take."""
    photo = scene()
    return {
        "jpeg": encoded(photo, "JPEG"),
        "progressive jpeg": encoded(photo, "JPEG", progressive=True),
        "gray jpeg": encoded(photo.convert("L"), "JPEG"),
        "cmyk jpeg": encoded(photo.convert("CMYK"), "JPEG"),
        "png": encoded(photo, "PNG"),
        "palette png": encoded(photo.quantize(32), "PNG", transparency=3),
        "16-bit png": encoded(Image.linear_gradient("L").convert("I;16"), "PNG"),
        "rgba png": encoded(photo.convert("RGBA"), "PNG", pnginfo=_text("comment", "hello")),
        "lossy webp": encoded(photo, "WEBP", quality=60, exif=orientation(6)),
        "lossless webp": encoded(photo.convert("RGBA"), "WEBP", lossless=True),
        "heic": heic(photo),
        "avif": encoded(photo, "AVIF", speed=10),
        "gif": encoded(photo.quantize(32), "GIF", transparency=3),
        "tiff": encoded(photo, "TIFF"),
        "packed tiff": encoded(photo, "TIFF", compression="tiff_lzw"),
        "bmp": encoded(photo, "BMP"),
    }


def heic(image: Image.Image, **options: Any) -> bytes:
    """A HEIC file."""
    data = io.BytesIO()
    pillow_heif.from_pillow(image).save(data, **options)
    return data.getvalue()


def _text(key: str, value: str, **options: Any) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text(key, value, **options)
    return info


def orientation(value: int) -> Image.Exif:
    """EXIF data that says how the picture is to be turned."""
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


# ---- mutated


def mutated(seed: int, count: int) -> Iterator[Sample]:
    """Good pictures cut, flipped, overwritten, repeated and mixed."""
    chance = random.Random(seed)
    originals = good()
    for number in range(count):
        name = chance.choice(list(originals))
        how = chance.choice(MUTATIONS)
        data = originals[name]
        for _ in range(chance.choice((1, 1, 2, 4))):
            data = how(data, chance) or data
        yield Sample(f"{number}: {name}, {how.__name__}", data)


def cut(data: bytes, chance: random.Random) -> bytes:
    return data[: len(data) * chance.randrange(1, 64) // 64]


def flip_bits(data: bytes, chance: random.Random) -> bytes:
    flipped = bytearray(data)
    for _ in range(chance.choice((1, 3, 20))):
        flipped[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(flipped)


def overwrite(data: bytes, chance: random.Random) -> bytes:
    """Four bytes of the first few hundred, where the numbers are that a reader believes."""
    at = chance.randrange(min(len(data), 400))
    extreme = chance.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\1"))
    return data[:at] + extreme[: chance.choice((1, 2, 4))] + data[at + 4 :]


def repeat(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    part = data[start : start + chance.randrange(1, 300)]
    return data[:start] + part * chance.choice((2, 10, 200)) + data[start:]


def leave_out(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    return data[:start] + data[start + chance.randrange(1, 64) :]


def mix(data: bytes, chance: random.Random) -> bytes:
    """The head of one picture on the body of another."""
    other = chance.choice(list(good().values()))
    at = chance.randrange(1, 64)
    return data[: len(data) * at // 64] + other[len(other) * at // 64 :]


def noise(data: bytes, chance: random.Random) -> bytes:
    """A good beginning, then nonsense."""
    kept = chance.randrange(8, min(len(data), 200))
    return data[:kept] + chance.randbytes(chance.randrange(1, 2000))


def lie_in_a_chunk(data: bytes, chance: random.Random) -> bytes:
    """A PNG whose chunk is changed and whose checksum is right again; else a changed JPEG segment length."""
    if not data.startswith(b"\x89PNG"):
        places = [at for at in range(len(data) - 4) if data[at] == 0xFF and data[at + 1] >= 0xC0]
        at = chance.choice(places or [0])
        return data[: at + 2] + struct.pack(">H", chance.randrange(65_536)) + data[at + 4 :]
    chunks = png_chunks(data)
    at = chance.randrange(len(chunks))
    kind, body = chunks[at]
    chunks[at] = (kind, flip_bits(body, chance) if body else chance.randbytes(8))
    return png(chunks)


MUTATIONS: list[Callable[[bytes, random.Random], bytes]] = [
    cut,
    flip_bits,
    overwrite,
    repeat,
    leave_out,
    mix,
    noise,
    lie_in_a_chunk,
]


# ---- crafted


def png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG of these chunks, with right checksums."""
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, body in chunks:
        parts.append(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)))
    return b"".join(parts)


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """The kinds and bodies of a good PNG's chunks."""
    chunks, at = [], 8
    while at + 8 <= len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return chunks


def header(width: int, height: int, depth: int = 8, color: int = 2) -> tuple[bytes, bytes]:
    """A PNG's first chunk."""
    return b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)


def png_that_says(width: int, height: int, **options: int) -> bytes:
    """A few bytes that promise a picture of this size."""
    return png([header(width, height, **options), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")])


def with_chunks(*chunks: tuple[bytes, bytes]) -> bytes:
    """A good PNG with these chunks after its header."""
    first, *rest = png_chunks(encoded(scene(), "PNG"))
    return png([first, *chunks, *rest])


def jpeg_that_says(width: int, height: int) -> bytes:
    """A small JPEG whose frame header has another size."""
    data = encoded(scene(), "JPEG")
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def segment(marker: int, body: bytes) -> bytes:
    """A JPEG segment."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def with_segments(*segments: bytes) -> bytes:
    """A good JPEG with these segments at its start."""
    data = encoded(scene(), "JPEG")
    return data[:2] + b"".join(segments) + data[2:]


def webp(*chunks: tuple[bytes, bytes]) -> bytes:
    """A RIFF container of these chunks."""
    body = b"".join(kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def webp_canvas(width: int, height: int) -> tuple[bytes, bytes]:
    """The extended header of a WebP."""
    return b"VP8X", b"\x12\0\0\0" + struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]


def gif_that_says(width: int, height: int) -> bytes:
    """A small GIF whose screen has another size."""
    data = encoded(scene().quantize(32), "GIF")
    return data[:6] + struct.pack("<HH", width, height) + data[10:]


def bmp_that_says(width: int, height: int) -> bytes:
    """A small BMP whose header has another size."""
    data = encoded(scene(), "BMP")
    return data[:18] + struct.pack("<ii", width, height) + data[26:]


def tiff_that_says(width: int, height: int, **others: int) -> bytes:
    """A small TIFF whose first page has another size, or other values in other tags."""
    data = bytearray(encoded(scene(), "TIFF", compression="tiff_lzw"))
    (at,) = struct.unpack_from("<I", data, 4)
    said = {0x100: width, 0x101: height} | {TIFF_TAGS[name]: value for name, value in others.items()}
    for entry in range(at + 2, at + 2 + 12 * struct.unpack_from("<H", data, at)[0], 12):
        (tag,) = struct.unpack_from("<H", data, entry)
        if tag in said:
            struct.pack_into("<HII", data, entry + 2, 4, 1, said[tag])
    return bytes(data)


TIFF_TAGS = {"bits": 0x102, "compression": 0x103, "offset": 0x111, "rows": 0x116, "length": 0x117}


def heic_grid(columns: int, rows: int, tile: int = 512, size: tuple[int, int] | None = None) -> bytes:
    """A HEIC of tiles, as phones make it, in which all tiles are the same data; it may say another size."""
    coded = heic(Image.linear_gradient("L").resize((tile, tile)).convert("RGB"))
    top = _boxes(coded)
    properties = _boxes(_boxes(_boxes(top[b"meta"][4:])[b"iprp"])[b"ipco"])
    width, height = size or (tile * columns, tile * rows)
    tiles = range(2, 2 + columns * rows)
    layout = struct.pack(">BBBBII", 0, 1, rows - 1, columns - 1, width, height)
    kinds = [_item(1, b"grid", hidden=False), *(_item(number, b"hvc1", hidden=True) for number in tiles)]
    known = _box(
        b"ipco",
        _box(b"hvcC", properties[b"hvcC"]),
        _full_box(b"ispe", struct.pack(">II", tile, tile)),
        _full_box(b"ispe", struct.pack(">II", width, height)),
    )
    owners = [struct.pack(">HBB", 1, 1, 3), *(struct.pack(">HBBB", number, 2, 0x81, 2) for number in tiles)]

    def head(data_at: int) -> bytes:
        places = [(1, data_at, len(layout))]
        places += [(number, data_at + len(layout), len(top[b"mdat"])) for number in tiles]
        located = [struct.pack(">HHHII", number, 0, 1, *place) for number, *place in places]
        return _box(b"ftyp", b"heic\0\0\0\0mif1heic") + _full_box(
            b"meta",
            _full_box(b"hdlr", b"\0\0\0\0pict", b"\0" * 13),
            _full_box(b"pitm", struct.pack(">H", 1)),
            _full_box(b"iloc", b"\x44\0", struct.pack(">H", len(located)), *located),
            _full_box(b"iinf", struct.pack(">H", len(kinds)), *kinds),
            _full_box(b"iref", _box(b"dimg", struct.pack(f">HH{len(tiles)}H", 1, len(tiles), *tiles))),
            _box(b"iprp", known, _full_box(b"ipma", struct.pack(">I", len(owners)), *owners)),
        )

    return head(len(head(0)) + 8) + _box(b"mdat", layout, top[b"mdat"])


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", len(body) + 8, kind) + body


def _full_box(kind: bytes, *parts: bytes) -> bytes:
    return _box(kind, b"\0\0\0\0", *parts)


def _item(number: int, kind: bytes, *, hidden: bool) -> bytes:
    return _box(b"infe", struct.pack(">IHH4sB", 2 << 24 | hidden, number, 0, kind, 0))


def _boxes(data: bytes) -> dict[bytes, bytes]:
    """The boxes of an ISO media file, or of a box, by kind."""
    found, at = {}, 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        found[kind] = data[at + 8 : at + size]
        at += size
    return found


def scans(count: int, side: int = 2000) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    data = encoded(Image.linear_gradient("L").resize((side, side)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + data[-2:]


def animation(kind: str, frames: int) -> bytes:
    """So many small frames."""
    pictures = [Image.new("RGB", (32, 32), (number * 90 % 256, 0, number * 50 % 256)) for number in range(frames)]
    return encoded(pictures[0], kind, save_all=True, append_images=pictures[1:], duration=10)


def zipped() -> bytes:
    """A ZIP archive with a marker in it."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(zipfile.ZipInfo("a.txt"), MARKER)
    return data.getvalue()


def crafted() -> Iterator[Sample]:
    """Pictures that aim at something."""
    for name, (data, fate) in (_sizes() | _bombs() | _frames() | _polyglots() | _nonsense() | _metadata()).items():
        yield Sample(name, data, fate)
    for name, data in good().items():
        yield Sample(f"a good {name}", data, "taken")


Crafted = dict[str, tuple[bytes, Fate]]


def _sizes() -> Crafted:
    flat = {size: encoded(Image.new("L", size), "PNG") for size in EDGES}
    return {f"{width} x {height}": (flat[width, height], fate) for (width, height), fate in EDGES.items()} | {
        "no width": (png_that_says(0, 100), "refused"),
        "no height": (png_that_says(100, 0), "refused"),
        "a jpeg without size": (jpeg_that_says(0, 0), "refused"),
    }


EDGES: dict[tuple[int, int], Fate] = {
    (1, 1): "taken",
    (1, 9): "refused",
    (16, 128): "taken",
    (16, 129): "refused",
    (16_383, 2048): "taken",
    (16_384, 2050): "refused",
    (10_000, 5000): "taken",
    (10_001, 5000): "refused",
}


def _bombs() -> Crafted:
    pixels = MOST_PIXELS + 1
    huge = zlib.compress(b"\0" * 200_000_000, 1)
    return {
        "169 megapixels in a png": (png_that_says(13_000, 13_000), "refused"),
        "3600 megapixels in a png": (png_that_says(60_000, 60_000), "refused"),
        "20000 x 9000": (png_that_says(20_000, 9000), "refused"),
        "2 ^ 31 pixels a side": (png_that_says(2**31 - 1, 2**31 - 1), "refused"),
        "a whole png of 169 megapixels": (
            encoded(Image.new("1", (13_000, 13_000)), "PNG", compress_level=1),
            "refused",
        ),
        "65500 x 65500 in a jpeg": (jpeg_that_says(65_500, 65_500), "refused"),
        "225 megapixels in a jpeg": (jpeg_that_says(15_000, 15_000), "refused"),
        "169 megapixels in a jpeg": (jpeg_that_says(13_000, 13_000), "either"),
        "a gif of 65535 a side": (gif_that_says(65_535, 65_535), "refused"),
        "a gif that says it is larger": (gif_that_says(5000, 5000), "either"),
        "a gif that says it is smaller": (gif_that_says(32, 32), "either"),
        "a bmp of 60000 a side": (bmp_that_says(60_000, 60_000), "refused"),
        "a bmp of less than nothing": (bmp_that_says(-96, 64), "refused"),
        "a bmp that says it is larger": (bmp_that_says(960, 640), "refused"),
        "a tiff of 60000 a side": (tiff_that_says(60_000, 60_000), "refused"),
        "a tiff that says it is larger": (tiff_that_says(5000, 5000), "refused"),
        "a tiff of one huge strip": (tiff_that_says(96, 64, rows=2**32 - 1, length=2**32 - 1), "either"),
        "a tiff whose pixels are elsewhere": (tiff_that_says(96, 64, offset=2**32 - 2), "refused"),
        "a tiff of 64 bits": (tiff_that_says(96, 64, bits=64), "refused"),
        "a tiff of old jpeg": (tiff_that_says(96, 64, compression=6), "refused"),
        "a heic of 10000 megapixels": (heic_grid(200, 200), "refused"),
        "a heic of 50000 tiles": (heic_grid(250, 200, tile=64, size=(4000, 4000)), "either"),
        "a heic smaller than its tiles": (heic_grid(4, 4, size=(100, 100)), "either"),
        "a heic larger than its tiles": (heic_grid(2, 2, size=(8000, 6000)), "either"),
        "a webp canvas of 2 ^ 24 a side": (webp(webp_canvas(1 << 24, 1 << 24), (b"VP8 ", b"\0" * 40)), "refused"),
        "a webp canvas just too large": (webp(webp_canvas(pixels // 100, 101), (b"VP8 ", b"\0" * 40)), "refused"),
        "a lossless webp of 16384 a side": (webp((b"VP8L", b"\x2f\xff\xff\xff\x0f" + b"\0" * 40)), "refused"),
        "a lossy webp of 16383 a side": (
            webp((b"VP8 ", b"\x10\0\0\x9d\x01\x2a" + struct.pack("<HH", 16383, 16383) + b"\0" * 40)),
            "refused",
        ),
        "200 MB of pixels for a small png": (png([header(96, 64), (b"IDAT", huge), (b"IEND", b"")]), "either"),
        "200 MB of text": (with_chunks((b"zTXt", b"Comment\0\0" + huge)), "either"),
        "200 MB of international text": (with_chunks((b"iTXt", b"Comment\0\1\0\0\0" + huge)), "either"),
        "200 MB of profile": (with_chunks((b"iCCP", b"profile\0\0" + huge)), "either"),
        "10000 pieces of text": (with_chunks(*[(b"tEXt", b"Comment\0" + b"a" * 100)] * 10_000), "either"),
        "64 MB of text in pieces": (with_chunks(*[(b"zTXt", b"C\0\0" + zlib.compress(b"a" * 999_000))] * 70), "either"),
        "1000 scans": (scans(1000), "refused"),
        "60 scans": (scans(50), "either"),
    }


def _frames() -> Crafted:
    control = struct.pack(">II", 10_000, 0)
    return {
        "an animated gif": (animation("GIF", 3), "taken"),
        "a gif of 500 frames": (animation("GIF", 500), "taken"),
        "an animated avif": (animation("AVIF", 3), "refused"),
        "a tiff of 20 pages": (animation("TIFF", 20), "taken"),
        "an animated webp": (animation("WEBP", 3), "refused"),
        "a webp of 100 frames": (animation("WEBP", 100), "refused"),
        "an animated png": (animation("PNG", 3), "refused"),
        "a png that promises 10000 frames": (with_chunks((b"acTL", control)), "refused"),
        "a jpeg with a second picture": (animation("MPO", 2), "taken"),
    }


def _polyglots() -> Crafted:
    tails = {"an archive": zipped(), "a page": b"<script>" + MARKER + b"</script>", "a pdf": b"%PDF-1.7\n" + MARKER}
    files = good()
    return {
        f"{tail} behind a {name}": (files[name] + tails[tail], "taken")
        for name in ("jpeg", "png", "lossless webp")
        for tail in tails
    } | {"a page before a jpeg": (b"<html>" + files["jpeg"], "refused")}


def _nonsense() -> Crafted:
    first, *rest = png_chunks(encoded(scene(), "PNG"))
    palette = Image.new("P", (32, 32), 200)
    palette.putpalette([1, 2, 3])
    return {
        "nothing": (b"", "refused"),
        "text": (b"hello, I am a picture", "refused"),
        "an svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "refused"),
        "a ppm": (encoded(scene(), "PPM"), "refused"),
        "a film": (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "refused"),
        "a heic's first bytes": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "refused"),
        "an avif's first bytes": (b"\0\0\0\x18ftypavif\0\0\0\0mif1avif", "refused"),
        "a gif's first bytes": (b"GIF89a", "refused"),
        "a bmp's first bytes": (b"BM", "refused"),
        "a tiff's first bytes": (b"II*\0", "refused"),
        "a raw file's preview": (encoded(scene(), "TIFF", tiffinfo={254: 1}), "refused"),
        "a tiff of 32 bits": (encoded(Image.new("F", (32, 32), 0.5), "TIFF"), "refused"),
        "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99999 99999\n", "refused"),
        "a jpeg's first bytes": (b"\xff\xd8\xff\xe0", "refused"),
        "a png's first bytes": (b"\x89PNG\r\n\x1a\n", "refused"),
        "a webp's first bytes": (b"RIFF\x10\0\0\0WEBPVP8 ", "refused"),
        "a webp that says it is 4 GB": (b"RIFF\xff\xff\xff\xffWEBP" + good()["lossy webp"][12:], "either"),
        "a png without pixels": (png([first, (b"IEND", b"")]), "refused"),
        "a png without an end": (png([first, *rest[:-1]]), "either"),
        "a png with two headers": (png([first, first, *rest]), "either"),
        "a png without a header": (png(rest), "refused"),
        "an impossible depth": (png_that_says(64, 64, depth=7), "refused"),
        "an impossible color type": (png_that_says(64, 64, color=5), "refused"),
        "a palette png without a palette": (png_that_says(64, 64, color=3), "refused"),
        "an index beyond the palette": (encoded(palette, "PNG"), "either"),
        "too much transparency": (with_chunks((b"tRNS", b"\0" * 1000)), "either"),
        "a jpeg of quantization tables": (with_segments(*[segment(0xDB, b"\0" + b"\1" * 64)] * 500), "either"),
        "a jpeg of broken code tables": (with_segments(segment(0xC4, b"\0" + b"\xff" * 200)), "refused"),
        "a jpeg of arithmetic coding": (encoded(scene(), "JPEG").replace(b"\xff\xc0", b"\xff\xc9", 1), "either"),
        "a lossless jpeg": (encoded(scene(), "JPEG").replace(b"\xff\xc0", b"\xff\xc3", 1), "refused"),
    }


def srgb_profile() -> bytes:
    """The profile of a usual screen, without the time at which it was made."""
    made = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return made[:24] + struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + made[36:]


def _metadata() -> Crafted:
    loop = b"Exif\0\0II*\0\x08\0\0\0\1\0\x69\x87\4\0\1\0\0\0\x08\0\0\0\x08\0\0\0"
    laughs = b"http://ns.adobe.com/xap/1.0/\0<!DOCTYPE a [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;&a;'>]><a>&b;</a>"
    srgb = srgb_profile()
    return {
        "exif that is nonsense": (with_segments(segment(0xE1, b"Exif\0\0" + b"\xff" * 100)), "taken"),
        "exif that is cut": (with_segments(segment(0xE1, b"Exif\0\0II*")), "taken"),
        "exif that points to itself": (with_segments(segment(0xE1, loop)), "taken"),
        "an orientation beyond all": (encoded(scene(), "JPEG", exif=orientation(60_000)), "taken"),
        "xmp with entities": (with_segments(segment(0xE1, laughs)), "taken"),
        "two megabytes of segments": (with_segments(*[segment(0xED, b"a" * 60_000)] * 35), "taken"),
        "a profile that is nonsense": (encoded(scene(), "JPEG", icc_profile=b"\xff" * 3000), "taken"),
        "a profile that is cut": (encoded(scene(), "PNG", icc_profile=srgb[:200]), "taken"),
        "a profile of many tags": (
            encoded(scene(), "PNG", icc_profile=srgb[:128] + b"\0\xff\xff\xff" + srgb[132:]),
            "taken",
        ),
        "a gray picture with a color profile": (encoded(scene().convert("L"), "PNG", icc_profile=srgb), "taken"),
        "a cmyk picture with a screen's profile": (
            encoded(scene().convert("CMYK"), "JPEG", icc_profile=srgb),
            "taken",
        ),
        "png exif that is nonsense": (with_chunks((b"eXIf", b"\xff" * 50)), "taken"),
    }
