"""The service's answers as types; `json` is the whole answer, with fields that only a newer service has.

Times are ISO 8601.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")


def nested(kind: type[Answer]) -> dict[str, type[Answer]]:
    """The metadata of a field that holds an object of this kind, or a list of them."""
    return {"kind": kind}


@dataclass(frozen=True)
class Answer:
    """An object of the API."""

    json: dict[str, Any] = field(repr=False, kw_only=True)

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Self:
        """Read the object from an answer; a field that an older service lacks is None."""
        fields = [one for one in dataclasses.fields(cls) if one.name != "json"]
        return cls(**{one.name: _read(answer.get(one.name), one.metadata.get("kind")) for one in fields}, json=answer)


def _read(value: Any, kind: type[Answer] | None) -> Any:
    if kind is None or value is None:
        return value
    return [kind.of(one) for one in value] if isinstance(value, list) else kind.of(value)


@dataclass(frozen=True)
class Output(Answer):
    """An edited picture: its address until `expires_at`, its size in pixels and bytes, and its digest."""

    url: str
    content_type: str
    width: int
    height: int
    bytes: int
    sha256: str
    expires_at: str


@dataclass(frozen=True)
class EachOutput(Output):
    """One of a job's edited pictures: its seed, and its path, which is valid as long as the job is kept."""

    seed: int
    path: str


@dataclass(frozen=True)
class Render(Output):
    """A job's output, the one of this number, in another strength. `path` is valid as long as the job is kept."""

    output: int
    strength: float
    path: str
    created_at: str


@dataclass(frozen=True)
class Timing(Answer):
    """Where a job's time went, in milliseconds."""

    queued_ms: int | None
    load_ms: int | None
    run_ms: int | None
    upload_ms: int | None
    total_ms: int | None


@dataclass(frozen=True)
class JobWarning(Answer):
    """Why a picture may differ from the request: a `code` such as `prompt-truncated`, and a `detail` to read.

    `nearest` has instructions that the model follows, where it did not recognize the one that it was given.
    """

    code: str
    detail: str
    nearest: list[str] | None


@dataclass(frozen=True)
class Webhook(Answer):
    """An endpoint that gets messages about jobs. `secret` is present only when it has just been made."""

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
class CredentialsCheck(Answer):
    """What a picture's content credentials say: `sentence` is the verdict, `problems` what is wrong with them.

    `trusted` is said of valid ones whose issuer an authority of the service's vouches for; `made_here` of pictures that
    the service has made, by the `job` if it is the caller's and still kept.
    """

    present: bool
    valid: bool
    trusted: bool
    sentence: str
    issuer: str | None
    edited_by_ai: bool
    problems: list[dict[str, str]]
    manifests: list[dict[str, Any]]
    made_here: bool
    job: str | None


@dataclass(frozen=True)
class Upload(Answer):
    """Where to upload one picture: post `fields`, then the picture as `file`; `image` names it in a job."""

    id: str
    image: str
    url: str
    fields: dict[str, str]
    max_bytes: int


@dataclass(frozen=True)
class Key(Answer):
    """An API key; its secret, `key`, is present only when it has just been made."""

    id: str
    tenant: str
    scopes: list[str]
    name: str
    created_at: str
    key: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Parameter(Answer):
    """A parameter of a model: its range, or its choices, and its default."""

    name: str
    kind: str
    summary: str
    required: bool
    default: Any
    minimum: float | None
    maximum: float | None
    choices: list[str] | None


@dataclass(frozen=True)
class Model(Answer):
    """A model of the service; `workers` serve it now, and `troubles` say why others that should cannot.

    `abilities` have, by kind, an instruction for each thing that it can do, if its checkpoint claims to know them all.
    """

    id: str
    summary: str
    default: bool
    sampler: str
    parameters: list[Parameter] = field(metadata=nested(Parameter))
    workers: int | None
    served_since: str | None
    rivals: list[str] | None
    troubles: list[str] | None
    abilities: dict[str, list[str]] | None


@dataclass(frozen=True)
class Checkpoint(Answer):
    """What the default model runs on."""

    name: str
    revision: str
    instructions: list[str]


@dataclass(frozen=True)
class Models(Answer):
    """All models, and the checkpoint of the default one."""

    data: list[Model] = field(metadata=nested(Model))
    checkpoint: Checkpoint = field(metadata=nested(Checkpoint))

    def __iter__(self) -> Iterator[Model]:
        return iter(self.data)


@dataclass(frozen=True)
class Queue(Answer):
    """How many jobs wait and run, how many edits they have, and how many workers there are."""

    queued: int
    running: int
    edits: int
    workers: int
    slots: int
    paused: bool
    oldest_seconds: float
    estimated_wait_seconds: int | None


@dataclass(frozen=True)
class Readiness(Answer):
    """Whether jobs can be accepted, and each part's state."""

    status: str
    parts: dict[str, Any]


@dataclass(frozen=True)
class OperatedQueue(Queue):
    """The queue as its operators see it; `kinds` counts jobs by model and priority."""

    kinds: list[dict[str, Any]]
    dead_letters: int
    redis_bytes: int
    redis_limit_bytes: int | None
    webhook_receivers_waiting: int


@dataclass(frozen=True)
class Worker(Answer):
    """A worker: whether it is alive, how many jobs it holds, and its checkpoint and device."""

    name: str
    alive: bool
    draining: bool
    holds: int
    slots: int | None
    checkpoint: str | None
    revision: str | None
    device: str | None
    free_bytes: int | None
    step_seconds: float | None
    version: str | None
    started_at: str | None
    seen_at: str | None
    signer: str | None
    signer_expires_at: str | None


@dataclass(frozen=True)
class BrokenRecord(Answer):
    """A job with a damaged record, what is wrong with it, and what happens to it."""

    id: str
    tenant: str | None
    status: str | None
    wrong: str
    repair: str


@dataclass(frozen=True)
class DeadLetter(Answer):
    """A job that failed through no fault of its client."""

    id: str
    tenant: str
    model: str
    params: dict[str, Any]
    error: dict[str, Any] | None
    attempts: list[dict[str, Any]]
    created_at: str | None
    finished_at: str | None
    expires_at: str | None


@dataclass(frozen=True)
class Redriven(Answer):
    """The new job of a dead letter, its tenant, and the job that it repeats."""

    id: str
    tenant: str
    parent: str


@dataclass(frozen=True)
class Limits(Answer):
    """A tenant's own limits; None: the settings' limit holds."""

    queued: int | None
    running: int | None
    reads_per_minute: int | None
    writes_per_minute: int | None


@dataclass(frozen=True)
class Tenant(Answer):
    """A tenant, and how much it uses."""

    tenant: str
    queued: int
    running: int
    kept: int
    keys: int
    limits: Limits = field(metadata=nested(Limits))


@dataclass(frozen=True)
class Preview:
    """What an edit looked like after `step` steps: a small JPEG."""

    step: int
    picture: bytes = field(repr=False)


@dataclass(frozen=True)
class Page(Generic[T]):
    """A page of a list; iterate over it. `next` is the `after` of the following page."""

    data: list[T]
    has_more: bool
    next: str | None
    json: dict[str, Any] = field(repr=False)

    def __iter__(self) -> Iterator[T]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)
