"""Classifier-free guidance (Ho and Salimans 2022) by text and by picture (Brooks et al. 2023, equation 3).

The network sees up to three rows: c with the prompt and the picture, i with the negative prompt and the picture, and u
with the negative prompt and no picture. The guided noise is

    u + s_T (c - i) + s_I (i - u)  =  s_T c + (s_I - s_T) i + (1 - s_I) u

A row with weight 0 need not be computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from torch import Tensor


class Branch(Enum):
    """What a row shows the network: (the prompt instead of the negative prompt, the picture)."""

    TEXT = (True, True)
    PICTURE = (False, True)
    NEITHER = (False, False)

    @property
    def prompted(self) -> bool:
        return self.value[0]

    @property
    def pictured(self) -> bool:
        return self.value[1]


@dataclass(frozen=True)
class Guidance:
    """The rows that one edit needs, and the weight of each in the guided noise."""

    weights: dict[Branch, float]

    @property
    def compared(self) -> tuple[int, int, int]:
        """The numbers of the rows for `guide`: the first two and the last. A missing row is replaced by the last."""
        last = len(self.weights) - 1
        return 0, min(1, last), last

    @property
    def scales(self) -> tuple[float, float]:
        """The weights of the first two of these rows. 0 for a missing row, because the last does not differ from
        itself.
        """
        first, second, *_ = *list(self.weights.values())[:-1], 0.0, 0.0
        return first, second

    @property
    def branches(self) -> tuple[Branch, ...]:
        return tuple(self.weights)


def guide(first: Tensor, second: Tensor | None, last: Tensor, scales: Sequence[float | Tensor]) -> Tensor:
    """The guided noise from the rows of an edit, (1, C, h, w) each, or from those of several edits, (n, C, h, w) each.

    The weights add up to 1, so the sum is computed from differences to one row. These are small, which keeps rounding
    errors small where weights are large.
    """
    guided = last + scales[0] * (first - last)
    if second is not None:
        guided += scales[1] * (second - last)
    return guided


def three_way(text_scale: float, image_scale: float) -> Guidance:
    """Guidance by text and by picture. Two rows remain at image scale 1 or with equal scales, one if both are 1."""
    weights = {
        Branch.TEXT: text_scale,
        Branch.PICTURE: image_scale - text_scale,
        Branch.NEITHER: 1 - image_scale,
    }
    return Guidance({branch: weight for branch, weight in weights.items() if weight})


def text_only(text_scale: float) -> Guidance:
    """Guidance only by text, i + s (c - i), as in plain Stable Diffusion."""
    return three_way(text_scale, 1.0)
