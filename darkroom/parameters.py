"""What an edit may be told beside its picture and its instruction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from darkroom.pictures import Picture


class Parameters(TypedDict, total=False):
    """The service knows the ranges and defaults, and `Client.models` shows them; what is None is left out.

    `mask` says where the picture is edited: a picture in its proportions, white there, or a list of shapes in shares of
    its width and height, `{"box": [left, top, width, height]}` or `{"polygon": [[x, y], ...]}`.
    `n` is how many edits the job has, 8 at most: the first has the seed, and each further one the next number.
    `idempotency_key` makes two equal submissions one job; without it each call has a key of its own.
    """

    model: str | None
    steps: int | None
    temperature: float | None
    cfg_scale: float | None
    image_cfg_scale: float | None
    negative_prompt: str | None
    seed: int | None
    n: int | None
    size: str | None
    resolution: str | None
    strength: float | None
    mask: Picture | Sequence[dict[str, Any]] | None
    sampler: str | None
    effort: str | None
    format: str | None
    priority: str | None
    deadline_seconds: int | None
    webhook: str | None
    webhook_events: Sequence[str] | None
    metadata: dict[str, Any] | None
    idempotency_key: str | None
