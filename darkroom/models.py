"""What the service answers, typed; `json` is the whole answer, also what a newer service says beyond these fields."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """An object of the API."""

    json: dict[str, Any] = field(repr=False, kw_only=True)

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Self:
        """The object in an answer."""
        names = [one.name for one in dataclasses.fields(cls) if one.name != "json"]
        return cls(**{name: answer[name] for name in names if name in answer}, json=answer)


@dataclass(frozen=True)
class Warned(Answer):
    """Why a picture may not be what was asked for: a `code` such as `prompt-truncated`, and a `detail` to read."""

    code: str
    detail: str


@dataclass(frozen=True)
class Webhook(Answer):
    """An endpoint that is told of jobs. `secret` is there only where it was just made; times are ISO 8601."""

    id: str
    url: str | None
    events: list[str]
    enabled: bool
    disabled_because: str | None
    created_at: str | None
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Delivery(Answer):
    """A message to a webhook, and each attempt at it (`at`, `ms`, `status`, `answer`)."""

    id: str
    type: str
    job: str | None
    status: str
    created_at: str
    attempts: list[dict[str, Any]]


@dataclass(frozen=True)
class Upload(Answer):
    """Where to put one picture: post `fields`, then the picture as `file`; `image` names it in a job."""

    id: str
    image: str
    url: str
    fields: dict[str, str]
    max_bytes: int


@dataclass(frozen=True)
class Key(Answer):
    """An API key; its secret, `key`, is there only where it was just made."""

    id: str
    tenant: str
    scopes: list[str]
    name: str
    created_at: str
    key: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Preview:
    """What an edit looked like after `step` steps: a small JPEG."""

    step: int
    picture: bytes = field(repr=False)


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some of a list; `next` is where the rest begins."""

    data: list[T]
    has_more: bool
    next: str | None
    json: dict[str, Any] = field(repr=False)
