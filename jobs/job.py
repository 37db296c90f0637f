"""A job: the request, the state, and the result."""

import dataclasses
import json
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
MAX_EDITS = 8  #: of one job
LONGEST_DEADLINE = 7 * 86_400  #: seconds
ID_PATTERN = f"^[{CROCKFORD}]{{26}}$"


class Status(StrEnum):
    """The state of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELING = "canceling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def sentence(self) -> str:
        """The state as a sentence for clients."""
        return SENTENCES[self]

    @property
    def is_over(self) -> bool:
        """Whether the job has ended. An ended job never changes its state."""
        return not NEXT[self]


SENTENCES = {
    Status.QUEUED: "Accepted and waiting for a worker.",
    Status.RUNNING: "A worker is editing the picture.",
    Status.CANCELING: "Asked to stop; it ends at the next denoising step.",
    Status.SUCCEEDED: "Done: the edited picture is ready.",
    Status.FAILED: "Ended without a picture; `error` says why.",
    Status.CANCELED: "Stopped because you asked for it.",
}

NEXT: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.RUNNING, Status.CANCELED, Status.FAILED}),
    Status.RUNNING: frozenset(
        {Status.SUCCEEDED, Status.FAILED, Status.CANCELING, Status.CANCELED, Status.QUEUED},
    ),
    Status.CANCELING: frozenset({Status.CANCELED}),
    Status.SUCCEEDED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELED: frozenset(),
}


class Priority(StrEnum):
    """How urgent a job is. A priority counts as minutes of waiting, so that no job waits forever."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"

    @property
    def head_start_ms(self) -> int:
        """A job of this priority is claimed as if it had been submitted this much earlier."""
        return {Priority.LOW: -600_000, Priority.NORMAL: 0, Priority.HIGH: 600_000}[self]


def new_id() -> str:
    """Make an id of 26 letters and digits that sorts by time: 54 bits of microseconds and 76 random bits."""
    number = (time.time_ns() // 1000 << 76) | secrets.randbits(76)
    return "".join(CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def born_ms(job_id: str) -> int:
    """When an id was made, in milliseconds since 1970."""
    number = 0
    for letter in job_id:
        number = number << 5 | CROCKFORD.index(letter)
    return (number >> 76) // 1000


def is_id(text: str) -> bool:
    """Whether a text has the form of a job's id."""
    return len(text) == 26 and all(letter in CROCKFORD for letter in text)


@dataclass(frozen=True)
class Picture:
    """A stored picture: its key in S3, its size in pixels and bytes, and its SHA-256 in hex."""

    key: str
    content_type: str
    width: int
    height: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Frames:
    """A stored sprite of small pictures, one column for each of these steps: predictions above, noise below."""

    sprite: Picture
    steps: tuple[int, ...]

    @classmethod
    def from_record(cls, text: str) -> Self:
        record = json.loads(text)
        return cls(Picture(**record["sprite"]), tuple(record["steps"]))


@dataclass(frozen=True)
class Output:
    """One of a job's edited pictures, and what is known of it; `whole` is the edit at strength 1, if it has another."""

    picture: Picture
    seed: int
    receipt: Mapping[str, Any] = field(default_factory=dict)
    whole: Picture | None = None

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> Self:
        whole = said.get("whole")
        return cls(Picture(**said["picture"]), said["seed"], said["receipt"], Picture(**whole) if whole else None)


@dataclass(frozen=True)
class Render:
    """An output of a finished job in another strength, made without the model; `output` counts from 0."""

    output: int
    strength: float
    picture: Picture
    created_ms: int
    receipt: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> Self:
        return cls(**{**said, "picture": Picture(**said["picture"])})


@dataclass(frozen=True)
class Job:
    """A job as its record has it. Times are milliseconds since 1970. None: not yet."""

    id: str
    tenant: str
    model: str
    params: Mapping[str, Any]
    input: Picture
    format: str = "png"
    priority: Priority = Priority.NORMAL
    deadline_seconds: int = 86_400
    retention_seconds: int = 86_400
    metadata: Mapping[str, Any] = field(default_factory=dict)
    parent: str | None = None
    webhook: str | None = None
    webhook_events: tuple[str, ...] = ()
    request_id: str | None = None
    traceparent: str | None = None
    n: int = 1  #: edits, each with a seed of its own: the first with the one in `params`, and so on upwards
    mask: str | None = None  #: the key of a gray picture, white where the input is to be edited
    credentials: str | None = None  #: the key of what the input's own content credentials were kept as

    status: Status = Status.QUEUED
    version: int = 0
    fence: str = ""
    crashes: int = 0
    attempts: tuple[Mapping[str, Any], ...] = ()
    step: int | None = None
    steps: int | None = None
    phase: str | None = None  #: `loading` while a worker loads the model for it
    created_ms: int = 0
    deadline_ms: int = 0
    claimed_ms: int | None = None
    started_ms: int | None = None
    finished_ms: int | None = None
    expires_ms: int | None = None
    cancel_ms: int | None = None
    output: Picture | None = None  #: the first of `outputs`
    outputs: tuple[Output, ...] = ()
    renders: tuple[Render, ...] = ()
    frames: Frames | None = None
    error: Mapping[str, str] | None = None
    cancellation: Mapping[str, Any] | None = None
    timing: Mapping[str, int] = field(default_factory=dict)
    receipt: Mapping[str, Any] | None = None
    warnings: Sequence[Mapping[str, Any]] = ()

    @property
    def folder(self) -> str:
        """The job's folder in the bucket."""
        return f"{self.tenant}/{self.id}"

    def request(self) -> dict[str, str]:
        """The client's request, as fields of the record. The transitions write all other fields."""
        return {
            "model": self.model,
            "params": json.dumps(self.params),
            "input": json.dumps(dataclasses.asdict(self.input)),
            "format": self.format,
            "priority": self.priority.value,
            "deadline_seconds": str(self.deadline_seconds),
            "retention_seconds": str(self.retention_seconds),
            "metadata": json.dumps(self.metadata),
            "folder": self.folder,
            **({"n": str(self.n)} if self.n > 1 else {}),
            **{name: value for name in ORIGINS if (value := getattr(self, name))},
            **({"webhook": self.webhook, "webhook_events": " ".join(self.webhook_events)} if self.webhook else {}),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, str]) -> Self:
        """The job that a record holds."""
        number: dict[str, Any] = {name: int(record[name]) for name in NUMBERS if name in record}
        document = {name: _document(record[name]) for name in DOCUMENTS if name in record}
        origins: dict[str, Any] = {name: record.get(name) for name in ORIGINS}
        return cls(
            id=record["id"],
            tenant=record["tenant"],
            model=record["model"],
            format=record["format"],
            priority=Priority(record["priority"]),
            status=Status(record["status"]),
            fence=record.get("fence", ""),
            phase=record.get("phase") or None,
            webhook=record.get("webhook"),
            webhook_events=tuple(record.get("webhook_events", "").split()),
            input=Picture(**json.loads(record["input"])),
            output=Picture(**json.loads(record["output"])) if "output" in record else None,
            outputs=_outputs(record),
            renders=tuple(Render.from_dict(one) for one in json.loads(record.get("renders", "[]"))),
            frames=Frames.from_record(record["frames"]) if "frames" in record else None,
            attempts=tuple(json.loads(record.get("attempts", "[]"))),
            **number,
            **document,
            **origins,
        )


def _outputs(record: Mapping[str, str]) -> tuple[Output, ...]:
    """The outputs of a record; one that ended before jobs had several names its only one `output`."""
    if "outputs" in record:
        return tuple(Output.from_dict(one) for one in json.loads(record["outputs"]))
    if "output" not in record:
        return ()
    receipt, seed = json.loads(record.get("receipt", "{}")), json.loads(record["params"]).get("seed", 0)
    return (Output(Picture(**json.loads(record["output"])), seed, receipt),)


def _document(text: str) -> Any:
    """Parse a JSON field of a record. A lone surrogate becomes U+FFFD, because no answer could carry it."""
    value = json.loads(text)
    if SURROGATE.search(text):
        whole = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return json.loads(whole)
    return value


SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  #: as JSON escapes it
ORIGINS = ("parent", "request_id", "traceparent", "mask", "credentials")
NUMBERS = (
    "version crashes step steps deadline_seconds retention_seconds created_ms deadline_ms claimed_ms started_ms "
    "finished_ms expires_ms cancel_ms n"
).split()
DOCUMENTS = "params metadata error cancellation timing receipt warnings".split()
