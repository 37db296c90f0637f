"""Checks uploaded pictures and removes everything except their pixels, in processes that the pictures may crash."""

from dataclasses import asdict

from jobs.decoder import Limits, Photo
from jobs.decoders import decoders, limits_for
from jobs.errors import FieldError, InvalidPicture, PictureTooLarge
from jobs.settings import Settings


def limits_of(settings: Settings) -> Limits:
    """The limits for one picture."""
    return limits_for(settings.output_pixels, most_pixels=settings.max_pixels, most_side=settings.max_side)


class Photos:
    """Checks pictures and cleans them, a few at a time."""

    def __init__(self, settings: Settings) -> None:
        self._limits = limits_of(settings)
        self._max_bytes = settings.max_upload_bytes
        self._decoders = decoders(settings.decoders)

    def start(self) -> None:
        """Start the decoders before the first picture."""
        self._decoders.start()

    def read(self, data: bytes, field: str = "image") -> Photo:
        """What is kept of an upload: upright, RGB, sRGB, without metadata. A `mask` becomes a grayscale PNG.

        Raises:
            PictureTooLarge: more bytes than `MAX_UPLOAD_BYTES`.
            InvalidPicture: unsupported, broken, animated, too large, or too costly to decode.
            Unavailable: no decoder was free in time, or the decoder died.
        """
        refuse_larger(data, self._max_bytes, field)
        task = "mask" if field == "mask" else "photo"
        head, body = self._decoders.ask({**asdict(self._limits), "task": task}, data)
        if "refused" in head:
            name = "mask" if field == "mask" else "picture"
            raise InvalidPicture(f"The {name} {head['refused']}.", FieldError(field, head["refused"]))
        return Photo(body, head["content_type"], tuple(head["size"]))

    def thumbnail(self, data: bytes) -> bytes:
        """A small JPEG of a picture that a stranger may have encoded.

        Raises:
            InvalidPicture, Unavailable
        """
        head, body = self._decoders.ask({**asdict(self._limits), "task": "thumbnail"}, data)
        if "refused" in head:
            raise InvalidPicture(f"The picture {head['refused']}.")
        return body


def refuse_larger(data: bytes, most: int, field: str) -> None:
    """
    Raises:
        PictureTooLarge: more bytes than this.
    """
    if len(data) > most:
        limit = f"must be at most {most} bytes"
        raise PictureTooLarge(f"The picture {limit}; it has {len(data)}.", FieldError(field, limit))
