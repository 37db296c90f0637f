"""Small pictures for lists, of pictures that we have encoded ourselves."""

import io
import threading

from PIL import Image

LONGEST_SIDE = 192
ONE_AT_A_TIME = threading.Lock()  #: a large PNG takes 200 MB meanwhile


def thumbnail(data: bytes) -> bytes:
    """A picture as a JPEG of at most `LONGEST_SIDE` pixels."""
    with ONE_AT_A_TIME, Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
        small = image.convert("RGB")
    jpeg = io.BytesIO()
    small.save(jpeg, "JPEG", quality=82)
    return jpeg.getvalue()
