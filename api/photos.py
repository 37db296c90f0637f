"""Checks an uploaded picture and re-encodes its pixels, in a process that the picture may crash (`decoder.py`)."""

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

CPU_SECONDS = 20.0  #: seconds of processor time for one picture
CLOCK_SECONDS = 60.0  #: seconds that a decoder may take on a busy machine, for which the picture is not refused
START_SECONDS = 10.0  #: a child must answer within this time, even if all were just killed
#: A picture waits this long for a free decoder. A client that is refused has to send it all again, and waits no less;
#: together with the wait for a thread it is the minute that clients and gateways usually allow.
WAIT_SECONDS = 30.0
BASE_MEMORY = 400 * 2**20  #: bytes of address space of a decoder without a picture
BYTES_PER_PIXEL = 16  #: four copies of a picture


class Decoders:
    """The decoder program (`api.decoder` or a similar one) of this process. It is restarted when it ends."""

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
        if not self._slots.acquire(timeout=WAIT_SECONDS):
            raise Unavailable("Too many pictures are being read at the moment.")
        try:
            with self._call() as line:
                return ask(line, json.dumps(head).encode() + b"\n", data)
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


def limits_of(settings: Settings) -> Limits:
    """The limits for one picture."""
    memory = BASE_MEMORY + BYTES_PER_PIXEL * settings.output_pixels
    return Limits(settings.max_pixels, settings.max_side, settings.output_pixels, CPU_SECONDS, memory)


class Photos:
    """Checks and re-encodes pictures, a few at a time."""

    def __init__(self, settings: Settings) -> None:
        self._limits = limits_of(settings)
        self._max_bytes = settings.max_upload_bytes
        self._decoders = decoders(settings.decoders)

    def start(self) -> None:
        """Start the decoders before the first picture."""
        self._decoders.start()

    def read(self, data: bytes, field: str = "image") -> Photo:
        """Re-encode an upload: upright, RGB, sRGB, without metadata. A `mask` becomes a grayscale PNG.

        Raises:
            PictureTooLarge: more bytes than `MAX_UPLOAD_BYTES`.
            InvalidPicture: unsupported, broken, animated, too large, or too costly to decode.
            Unavailable: no decoder was free in time, or the decoder was lost.
        """
        refuse_larger(data, self._max_bytes, field)
        head, body = self._decoders.ask(asdict(replace(self._limits, as_mask=field == "mask")), data)
        if "refused" in head:
            name = "mask" if field == "mask" else "picture"
            raise InvalidPicture(f"The {name} {head['refused']}.", FieldError(field, head["refused"]))
        return Photo(body, head["content_type"], tuple(head["size"]))


def refuse_larger(data: bytes, most: int, field: str) -> None:
    """
    Raises:
        PictureTooLarge: more bytes than this.
    """
    if len(data) > most:
        limit = f"must be at most {most} bytes"
        raise PictureTooLarge(f"The picture {limit}; it has {len(data)}.", FieldError(field, limit))


def ask(line: socket.socket, *question: bytes) -> tuple[dict[str, Any], bytes]:
    """Returns the head of the child's answer, and the re-encoded picture.

    Raises:
        Unavailable: the child was killed or is too slow. Neither says anything about the picture.
    """
    line.settimeout(CLOCK_SECONDS)
    try:
        for part in question:
            line.sendall(part)
        line.shutdown(socket.SHUT_WR)
        answer = _all_of(line, ends=time.monotonic() + CLOCK_SECONDS)
        end = answer.find(b"\n") if b"\n" in answer else len(answer)
        head = json.loads(answer[:end])
    except (OSError, ValueError) as error:
        log.warning("a picture has lost its decoder: %r", error)
        raise Unavailable("The picture could not be read right now.") from error
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
