"""Has strangers' pictures decoded in processes that they may crash (`decoder.py`)."""

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from typing import Any

from PIL import Image

from jobs import decoder
from jobs.decoder import Limits
from jobs.errors import Unavailable

log = logging.getLogger(__name__)

CPU_SECONDS = 20.0  #: seconds of processor time for one picture
CLOCK_SECONDS = 60.0  #: seconds that a decoder may take on a busy machine, for which the picture is not refused
START_SECONDS = 10.0  #: a child must answer within this time, even if all were just killed
#: A picture waits this long for a free decoder. A client that is refused has to send it all again, and waits no less;
#: together with the wait for a thread it is the minute that clients and gateways usually allow.
WAIT_SECONDS = 30.0
BASE_MEMORY = 400 * 2**20  #: bytes of address space of a decoder without a picture
BYTES_PER_PIXEL = 16  #: four copies of a picture


class Undecodable(Exception):
    """The picture is refused. The text says why, and continues the sentence "The picture "."""


class Decoders:
    """The decoder program (`jobs.decoder` or a similar one) of this process. It is restarted when it ends."""

    def __init__(self, children: int, program: str = decoder.__name__) -> None:
        self._children = children
        self._module = program
        self._slots = threading.BoundedSemaphore(children)
        self._lock = threading.Lock()
        self._program: subprocess.Popen[bytes] | None = None
        self._calls: socket.socket | None = None

    def start(self) -> None:
        """Start the program if it does not run. It ends with this process."""
        with self._lock:
            self._running()

    def ask(self, head: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        """Let a child work on a picture. Returns the head of its answer, and the data behind it.

        Raises:
            Unavailable: no child was free in time, or the child was lost, which says nothing about the picture.
        """
        with self._line() as line:
            return ask(line, json.dumps(head).encode() + b"\n", data)

    def pixels(self, data: bytes, limits: Limits) -> Image.Image:
        """The picture as it is, in RGB. It comes in strips, because each further copy of a large one takes much memory.

        Raises:
            Undecodable
            Unavailable: as from `ask`.
        """
        question = json.dumps({**asdict(limits), "task": "pixels"}).encode() + b"\n"
        with self._line() as line, line.makefile("rb") as answer, losing_the_decoder():
            tell(line, question, data)
            line.settimeout(CLOCK_SECONDS)
            head = json.loads(answer.readline())
            if "refused" in head:
                raise Undecodable(head["refused"])
            width, height = head["size"]
            image = Image.new("RGB", (width, height))
            for top, rows in decoder.strips(height):
                strip = answer.read(3 * width * rows)
                image.paste(Image.frombytes("RGB", (width, rows), strip), (0, top))
            return image

    @contextmanager
    def _line(self) -> Iterator[socket.socket]:
        """A socket to an idle child, which is nobody else's meanwhile."""
        if not self._slots.acquire(timeout=WAIT_SECONDS):
            raise Unavailable("Too many pictures are being read at the moment.")
        try:
            with self._call() as line:
                yield line
        finally:
            self._slots.release()

    def _call(self) -> socket.socket:
        """A socket to an idle child.

        Raises:
            Unavailable: no child answers.
        """
        ends = time.monotonic() + START_SECONDS
        while time.monotonic() < ends:
            ours, theirs = socket.socketpair()
            ours.settimeout(START_SECONDS / 2)
            with theirs, self._lock:
                handed_over = _hand_over(self._running(), theirs)
            if handed_over and _answers(ours):
                return ours
            ours.close()
            time.sleep(0.02)  # a killed process takes a moment to end
        raise Unavailable("Pictures cannot be read right now.")

    def _running(self) -> socket.socket:
        if self._calls is None or self._program is None or self._program.poll() is not None:
            self._calls, theirs = socket.socketpair()
            environment = {"PYTHONPATH": os.pathsep.join(sys.path)}  # without our secrets
            with theirs:
                command = [sys.executable, "-m", self._module, str(self._children)]
                self._program = subprocess.Popen(command, stdin=theirs.fileno(), env=environment)
        return self._calls


def _hand_over(calls: socket.socket, line: socket.socket) -> bool:
    try:
        socket.send_fds(calls, [b"!"], [line.fileno()])
    except OSError:
        return False
    return True


def _answers(line: socket.socket) -> bool:
    try:
        return line.recv(1) == decoder.ALIVE
    except OSError:
        return False


@cache
def decoders(children: int, program: str = decoder.__name__) -> Decoders:
    """The one decoder program of this process."""
    return Decoders(children, program)


def limits_for(pixels: int, *, most_pixels: int, most_side: int) -> Limits:
    """The limits for a picture of which at most so many pixels are kept."""
    return Limits(most_pixels, most_side, pixels, CPU_SECONDS, BASE_MEMORY + BYTES_PER_PIXEL * pixels)


def ask(line: socket.socket, *question: bytes) -> tuple[dict[str, Any], bytes]:
    """Returns the head of the child's answer, and the re-encoded picture.

    Raises:
        Unavailable: the child was killed or is too slow. Neither says anything about the picture.
    """
    with losing_the_decoder():
        tell(line, *question)
        answer = _all_of(line, ends=time.monotonic() + CLOCK_SECONDS)
        end = answer.find(b"\n") if b"\n" in answer else len(answer)
        head = json.loads(answer[:end])
    if head.get("refused") == decoder.TOO_COSTLY:
        log.warning("a picture has ended its decoder")
    del answer[: end + 1]  # in place, because the rest may be large
    return head, bytes(answer)


def _all_of(line: socket.socket, *, ends: float) -> bytearray:
    answer = bytearray()
    while True:
        line.settimeout(max(0.01, ends - time.monotonic()))
        part = line.recv(1 << 20)
        if not part:
            return answer
        answer += part


def tell(line: socket.socket, *question: bytes) -> None:
    """Say all that a child is to work on."""
    line.settimeout(CLOCK_SECONDS)
    for part in question:
        line.sendall(part)
    line.shutdown(socket.SHUT_WR)


@contextmanager
def losing_the_decoder() -> Iterator[None]:
    """Turn a broken line into Unavailable: it says nothing about the picture."""
    try:
        yield
    except (OSError, ValueError) as error:
        log.warning("a picture has lost its decoder: %r", error)
        raise Unavailable("The picture could not be read right now.") from error
