"""Room for decoded photos: a worker holds as many pixels at a time as its memory has room for, whoever sent them."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOOK_SECONDS = 0.5  #: after which a job that waits for room looks whether it is to go on
USUAL_PIXELS = 200_000_000  #: 0.6 GB, and as much for their edits: four photos of 50 megapixels, or 16 of 12


class Room:
    """So many pixels, given in the order in which they are asked for; more than that is given to one who is alone."""

    def __init__(self, pixels: int = USUAL_PIXELS) -> None:
        self._pixels = self._left = pixels
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()

    @contextmanager
    def taken(self, pixels: int, on_wait: Callable[[], None]) -> Iterator[None]:
        """Room for so many pixels. While there is none, `on_wait` is called at times; what it raises ends the wait."""
        wanted, place = min(pixels, self._pixels), object()
        with self._changed:
            self._waiting.append(place)
            try:
                while self._waiting[0] is not place or self._left < wanted:
                    self._changed.wait(LOOK_SECONDS)
                    on_wait()
                self._left -= wanted
            finally:
                self._waiting.remove(place)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._left += wanted
                self._changed.notify_all()
