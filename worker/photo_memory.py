"""Limits the decoded photos that a worker holds at a time to the pixels that its memory has room for."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOOK_SECONDS = 0.5  #: a job that waits for room checks this often whether it should go on
USUAL_PIXELS = 200_000_000  #: 0.6 GB, and as much again for the edits: four photos of 50 megapixels, or 16 of 12


class Room:
    """A number of pixels, given out in the order of the requests. A larger photo takes all of them."""

    def __init__(self, pixels: int = USUAL_PIXELS) -> None:
        self._pixels = self._left = pixels
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()

    @contextmanager
    def taken(self, pixels: int, on_wait: Callable[[], None]) -> Iterator[None]:
        """Hold this many pixels in the `with` block. While they are not free, `on_wait` is called at intervals."""
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
