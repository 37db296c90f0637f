"""What an edit may be told beside its picture and its instruction."""

from collections.abc import Sequence
from typing import Any, TypedDict


class Parameters(TypedDict, total=False):
    """The service knows the ranges and defaults, and `Client.models` shows them; what is None is left out.

    `idempotency_key` makes two equal submissions one job; without it each call has a key of its own.
    """

    model: str | None
    steps: int | None
    temperature: float | None
    cfg_scale: float | None
    image_cfg_scale: float | None
    negative_prompt: str | None
    seed: int | None
    size: str | None
    resolution: str | None
    sampler: str | None
    format: str | None
    priority: str | None
    deadline_seconds: int | None
    webhook: str | None
    webhook_events: Sequence[str] | None
    metadata: dict[str, Any] | None
    idempotency_key: str | None
