"""Sends strangers' pictures to processes (`decoder.py`) that decode them and that they may crash."""

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

CPU_SECONDS = 20.0  #: CPU time for one picture
CLOCK_SECONDS = 60.0  #: time after which a decoder is given up; the picture is not refused for it
START_SECONDS = 10.0  #: time in which a child must answer, even if all children were just killed
#: The longest wait for a free decoder. It is long because a refused client must send the picture again. Together with
#: the wait for a thread it makes up the minute that clients and gateways usually allow.
WAIT_SECONDS = 30.0
BASE_MEMORY = 400 * 2**20  #: bytes of address space of a decoder without a picture
BYTES_PER_PIXEL = 16  #: four copies of a picture


class Undecodable(Exception):
    """The picture is refused. The text says why, and continues the sentence "The picture "."""


class Decoders:
    """The decoder program of this process: `jobs.decoder` or a similar one. It is restarted if it ends."""

    def __init__(self, children: int, program: str = decoder.__name__) -> None:
        self._children = children
        self._module = program
        self._slots = threading.BoundedSemaphore(children)
        self._lock = threading.Lock()
        self._program: subprocess.Popen[bytes] | None = None
        self._calls: socket.socket | None = None

    def start(self) -> None:
        """Start the program if it is not running. It ends with this process."""
        with self._lock:
            self._running()

    def ask(self, head: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        """Send a picture to a child. Returns the head of its answer, and the data after it.

        Raises:
            Unavailable: no child was free in time, or the child died, which says nothing about the picture.
        """
        with self._line() as line:
            return ask(line, json.dumps(head).encode() + b"\n", data)

    def pixels(self, data: bytes, limits: Limits) -> Image.Image:
        """The pixels of a picture in RGB. They come in strips, because a second copy of a large one takes much memory.

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
        """A socket to an idle child, which no other call uses at the same time."""
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
            environment = {"PYTHONPATH": os.pathsep.join(sys.path)}  # without the secrets of this process
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
    """The limits for a picture that has at most this many `pixels` when it is cleaned."""
    return Limits(most_pixels, most_side, pixels, CPU_SECONDS, BASE_MEMORY + BYTES_PER_PIXEL * pixels)


def ask(line: socket.socket, *question: bytes) -> tuple[dict[str, Any], bytes]:
    """Ask a child. Returns the head of its answer, and the data after it.

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
    """Send a child its task and the picture."""
    line.settimeout(CLOCK_SECONDS)
    for part in question:
        line.sendall(part)
    line.shutdown(socket.SHUT_WR)


@contextmanager
def losing_the_decoder() -> Iterator[None]:
    """Raise Unavailable if the connection to a child breaks, because this says nothing about the picture."""
    try:
        yield
    except (OSError, ValueError) as error:
        log.warning("a picture has lost its decoder: %r", error)
        raise Unavailable("The picture could not be read right now.") from error
