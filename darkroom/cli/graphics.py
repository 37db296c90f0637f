"""Pictures in the terminal: as pixels where it has a protocol for them, as half blocks of 24-bit color elsewhere.

Kitty's graphics protocol (sw.kovidgoyal.net/kitty/graphics-protocol) is also Ghostty's; iTerm2's inline images
(iterm2.com/documentation-images.html) are also WezTerm's.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping

from rich.color import Color
from rich.style import Style
from rich.text import Text

CHUNK = 4096  #: characters of base64 in one of Kitty's escape sequences
ASPECT = 2  #: a character is about this many times as high as it is wide

Draw = Callable[[bytes, int, int], str]


def protocol_of(environment: Mapping[str, str]) -> Draw | None:
    """The protocol by which this terminal shows pictures. None: it names none, or a multiplexer is in between."""
    if "TMUX" in environment or environment.get("TERM", "").startswith("screen"):
        return None
    if "KITTY_WINDOW_ID" in environment or environment.get("TERM_PROGRAM") == "ghostty":
        return kitty
    return iterm if environment.get("TERM_PROGRAM") in ("iTerm.app", "WezTerm") else None


def kitty(picture: bytes, columns: int, rows: int) -> str:
    """The escape sequences that draw a picture of any kind in place of the last one. The cursor does not move."""
    data = base64.standard_b64encode(as_png(picture)).decode()
    chunks = [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)]
    head = f"a=T,f=100,i=1,p=1,q=2,C=1,c={columns},r={rows},"
    last = len(chunks) - 1
    return "".join(
        f"\x1b_G{head if number == 0 else ''}m={int(number < last)};{chunk}\x1b\\"
        for number, chunk in enumerate(chunks)
    )


def iterm(picture: bytes, columns: int, rows: int) -> str:
    """The escape sequences that draw a picture at the cursor, which does not move."""
    data = base64.standard_b64encode(picture).decode()
    settings = f"inline=1;size={len(picture)};width={columns};height={rows};preserveAspectRatio=1"
    return f"\x1b7\x1b]1337;File={settings}:{data}\x07\x1b8"


def size_in(picture: bytes, columns: int, rows: int) -> tuple[int, int]:
    """The columns and rows of a picture in its own proportions, up to the given numbers."""
    from PIL import Image

    with Image.open(io.BytesIO(picture)) as opened:
        width, height = opened.size
    wide = min(columns, max(1, round(rows * ASPECT * width / height)))
    return wide, min(rows, max(1, round(wide * height / width / ASPECT)))


def as_png(picture: bytes) -> bytes:
    """A picture as a PNG, the only format that Kitty reads."""
    from PIL import Image

    if picture.startswith(b"\x89PNG"):
        return picture
    png = io.BytesIO()
    with Image.open(io.BytesIO(picture)) as opened:
        opened.save(png, "PNG", compress_level=1)
    return png.getvalue()


def half_blocks(picture: bytes, width: int) -> Text:
    """A picture as lines of upper half blocks, each the color of one pixel on the color of the one below."""
    from PIL import Image

    with Image.open(io.BytesIO(picture)) as opened:
        height = 2 * max(1, round(opened.height * width / opened.width / 2))
        small = opened.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    colors = small.tobytes()
    lines = Text(no_wrap=True)
    for y in range(0, height, 2):
        for x in range(width):
            upper, lower = (Color.from_rgb(*colors[3 * at : 3 * at + 3]) for at in (y * width + x, (y + 1) * width + x))
            lines.append("▀", Style(color=upper, bgcolor=lower))
        lines.append("\n")
    return lines
