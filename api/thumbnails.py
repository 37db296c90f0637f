"""Small pictures for lists, made of pictures that this service has encoded."""

import io
import threading

from PIL import Image

from jobs.decoder import LONGEST_SIDE, small_jpeg

ONE_AT_A_TIME = threading.Lock()  #: a large PNG takes 200 MB meanwhile


def thumbnail(data: bytes) -> bytes:
    """A picture as a JPEG of at most `LONGEST_SIDE` pixels."""
    with ONE_AT_A_TIME, Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))
        return small_jpeg(image)
