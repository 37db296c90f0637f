"""Draws many small pictures on one, in rows."""

import io
from collections.abc import Iterable

from PIL import Image

from api.thumbnails import thumbnail
from jobs.decoder import LONGEST_SIDE

MARGIN = 8
GROUND = (24, 24, 24)
EMPTY = (64, 64, 64)


def contact_sheet(pictures: Iterable[bytes | None], columns: int) -> bytes:
    """A JPEG of the pictures in this many columns. None leaves an empty place."""
    small = [thumbnail(picture) if picture else None for picture in pictures]
    cell = LONGEST_SIDE + MARGIN
    rows = -(-len(small) // columns)
    sheet = Image.new("RGB", (columns * cell + MARGIN, rows * cell + MARGIN), GROUND)
    for place, jpeg in enumerate(small):
        left, top = MARGIN + place % columns * cell, MARGIN + place // columns * cell
        picture = Image.open(io.BytesIO(jpeg)) if jpeg else Image.new("RGB", (LONGEST_SIDE, LONGEST_SIDE), EMPTY)
        sheet.paste(picture, (left + (LONGEST_SIDE - picture.width) // 2, top + (LONGEST_SIDE - picture.height) // 2))
    data = io.BytesIO()
    sheet.save(data, "JPEG", quality=85)
    return data.getvalue()
