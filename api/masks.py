"""The part of a picture to edit: boxes and polygons, or a picture that is white there."""

import io
from collections.abc import Sequence
from typing import Annotated, Self

from PIL import Image, ImageDraw, ImageOps
from pydantic import BaseModel, ConfigDict, Field, model_validator

MOST_SHAPES = 100
MOST_CORNERS = 500
LONGEST_SIDE = 2048  #: px; the longer side of a drawn mask, which is later enlarged to the picture's size
ALIKE = 0.02  #: share by which a mask's proportions may differ from those of its picture

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Point = tuple[Share, Share]


class Shape(BaseModel):
    """A box (left, top, width, height) or a polygon (corners). All are shares of the picture's width and height."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    box: tuple[Share, Share, Share, Share] | None = None
    polygon: Annotated[tuple[Point, ...], Field(min_length=3, max_length=MOST_CORNERS)] | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.box is None) == (self.polygon is None):
            raise ValueError("must have either box or polygon")
        return self

    @property
    def corners(self) -> tuple[Point, ...]:
        if self.polygon is not None:
            return self.polygon
        left, top, width, height = self.box or (0, 0, 0, 0)
        return ((left, top), (left + width, top), (left + width, top + height), (left, top + height))


def draw_shapes(shapes: Sequence[Shape], size: tuple[int, int]) -> bytes:
    """The shapes as a gray PNG, white inside, in the proportions of a picture of this width and height."""
    scale = min(1.0, LONGEST_SIDE / max(size))
    width, height = (max(1, round(side * scale)) for side in size)
    mask = Image.new("L", (width, height))
    draw = ImageDraw.Draw(mask)
    for shape in shapes:
        draw.polygon([(x * width - 0.5, y * height - 0.5) for x, y in shape.corners], fill=255)
    data = io.BytesIO()
    mask.save(data, "PNG")
    return data.getvalue()


def inverted(mask: bytes) -> bytes:
    """The inverse of a gray PNG."""
    data = io.BytesIO()
    ImageOps.invert(Image.open(io.BytesIO(mask)).convert("L")).save(data, "PNG")
    return data.getvalue()


def fits(mask: tuple[int, int], picture: tuple[int, int]) -> bool:
    """Whether a mask of this width and height has a picture's proportions."""
    return abs(mask[0] * picture[1] / (mask[1] * picture[0]) - 1) <= ALIKE
