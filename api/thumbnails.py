"""Small pictures for lists, of pictures that we have encoded ourselves."""

import io

from PIL import Image

LONGEST_SIDE = 192


def thumbnail(data: bytes) -> bytes:
    """A picture as a JPEG of at most `LONGEST_SIDE` pixels."""
    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))
        small = image.convert("RGB")
    small.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    jpeg = io.BytesIO()
    small.save(jpeg, "JPEG", quality=82)
    return jpeg.getvalue()
