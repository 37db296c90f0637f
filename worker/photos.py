"""Decodes the stored inputs of jobs."""

import io
import os

from PIL import Image

from jobs.decoders import Decoders, Undecodable, decoders, limits_for
from jobs.job import Picture
from pipeline.errors import PipelineError

MOST = 8  #: photos that are decoded at a time


def photo_decoders() -> Decoders:
    """The one decoder program of this process."""
    return decoders(max(2, min(MOST, os.cpu_count() or 2)))


def decoded(data: bytes, picture: Picture) -> Image.Image:
    """The pixels of a job's input.

    A JPEG may still be encoded as its owner sent it, so it is decoded in a process that it may crash. The web tier has
    encoded all other inputs.

    Raises:
        PipelineError: the picture cannot be decoded.
        Unavailable: no decoder was free in time, or the decoder died.
    """
    if picture.content_type != "image/jpeg":
        image: Image.Image = Image.open(io.BytesIO(data), formats=["PNG"])
        image.load()
        return image
    most = picture.width * picture.height
    try:
        limits = limits_for(most, most_pixels=most, most_side=max(picture.width, picture.height))
        return photo_decoders().pixels(data, limits)
    except Undecodable as error:
        raise PipelineError(str(error), field="image") from error
