"""Checks an uploaded picture and makes a fresh one of its pixels, in a process that it may break (`decoder.py`)."""

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from functools import cache
from typing import Any

from api import decoder
from api.decoder import Limits, Photo
from jobs.errors import FieldError, InvalidPicture, PictureTooLarge, Unavailable
from jobs.settings import Settings

log = logging.getLogger(__name__)

SECONDS = 20.0  #: of the processor's time that one picture may take
LONGEST = 60.0  #: seconds of the clock's until a decoder is given up: the machine is busy, which is no picture's fault
WAKING = 10.0  #: seconds until a child must answer, though all were killed just now
PATIENCE = 15.0  #: seconds that a picture waits for its turn
BASE_MEMORY = 400 * 2**20  #: bytes of address space of a decoder without a picture
BYTES_PER_PIXEL = 16  #: four copies of a picture


class Decoders:
    """A program of this process that reads pictures, `api.decoder` or one like it, started again when it is gone."""

    def __init__(self, children: int, program: str = decoder.__name__) -> None:
        self._children = children
        self._module = program
        self._lock = threading.Lock()
        self._program: subprocess.Popen[bytes] | None = None
        self._calls: socket.socket | None = None

    def start(self) -> None:
        """Start it if it does not run; it is over when this process is."""
        with self._lock:
            self._running()

    def call(self) -> socket.socket:
        """A line to a child that has nothing else to do.

        Raises:
            Unavailable: no child answers.
        """
        ends = time.monotonic() + WAKING
        while time.monotonic() < ends:
            ours, theirs = socket.socketpair()
            ours.settimeout(WAKING / 2)
            with theirs, self._lock:
                handed_over = _handed_over(self._running(), theirs)
            if handed_over and _answers(ours):
                return ours
            ours.close()
            time.sleep(0.02)  # what has been killed takes a moment to be gone
        raise Unavailable("Pictures cannot be read right now.")

    def _running(self) -> socket.socket:
        if self._calls is None or self._program is None or self._program.poll() is not None:
            self._calls, theirs = socket.socketpair()
            environment = {"PYTHONPATH": os.pathsep.join(sys.path)}  # and no secret of ours
            with theirs:
                command = [sys.executable, "-m", self._module, str(self._children)]
                self._program = subprocess.Popen(command, stdin=theirs.fileno(), env=environment)
        return self._calls


def _handed_over(calls: socket.socket, line: socket.socket) -> bool:
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
    """The program is the same for whoever asks."""
    return Decoders(children, program)


def limits_of(settings: Settings) -> Limits:
    """What one picture may ask for."""
    memory = BASE_MEMORY + BYTES_PER_PIXEL * settings.output_pixels
    return Limits(settings.max_pixels, settings.max_side, settings.output_pixels, SECONDS, memory)


class Photos:
    """Reads pictures, a few at a time."""

    def __init__(self, settings: Settings) -> None:
        self._limits = limits_of(settings)
        self._most_bytes = settings.max_upload_bytes
        self._turns = threading.BoundedSemaphore(settings.decoders)
        self._decoders = decoders(settings.decoders)

    def start(self) -> None:
        """Have the decoders ready before the first picture."""
        self._decoders.start()

    def read(self, data: bytes, field: str = "image") -> Photo:
        """A fresh picture of an upload's pixels: upright, RGB, sRGB, without metadata; a `mask` is a grey PNG.

        Raises:
            PictureTooLarge: more bytes than `MAX_UPLOAD_BYTES`.
            InvalidPicture: none of the kinds that we take; or broken, animated, too large, or too much work.
            Unavailable: so many pictures wait that this one had no turn, or its decoder was lost.
        """
        if len(data) > self._most_bytes:
            limit = f"must be at most {self._most_bytes} bytes"
            raise PictureTooLarge(f"The picture {limit}; it has {len(data)}.", FieldError(field, limit))
        if not self._turns.acquire(timeout=PATIENCE):
            raise Unavailable("Too many pictures are being read at the moment.")
        try:
            with self._decoders.call() as line:
                limits = replace(self._limits, as_mask=field == "mask")
                head, body = ask(line, json.dumps(asdict(limits)).encode() + b"\n", data)
        finally:
            self._turns.release()
        if "refused" in head:
            name = "mask" if field == "mask" else "picture"
            raise InvalidPicture(f"The {name} {head['refused']}.", FieldError(field, head["refused"]))
        return Photo(body, head["content_type"], tuple(head["size"]))


def ask(line: socket.socket, *question: bytes) -> tuple[dict[str, Any], bytes]:
    """What the child answers: its head, and the fresh picture.

    Raises:
        Unavailable: it was killed, or is too slow: neither says anything about the picture.
    """
    line.settimeout(LONGEST)
    try:
        for part in question:
            line.sendall(part)
        line.shutdown(socket.SHUT_WR)
        answer = _all_of(line, ends=time.monotonic() + LONGEST)
        end = answer.find(b"\n") if b"\n" in answer else len(answer)
        told = json.loads(answer[:end])
    except (OSError, ValueError) as error:
        log.warning("a picture has lost its decoder: %r", error)
        raise Unavailable("The picture could not be read right now.") from error
    if told.get("refused") == decoder.TOO_HARD:
        log.warning("a picture has ended its decoder")
    del answer[: end + 1]  # in place: what is left may be large
    return told, bytes(answer)


def _all_of(line: socket.socket, *, ends: float) -> bytearray:
    answer = bytearray()
    while True:
        line.settimeout(max(0.01, ends - time.monotonic()))
        part = line.recv(1 << 20)
        if not part:
            return answer
        answer += part
