"""Every error that the service tells a client about, on one page.

    DarkroomError
    ├── InvalidRequest            the client can correct it
    │   ├── FetchFailed
    │   ├── InvalidPicture
    │   ├── MalformedBody
    │   ├── PictureTooLarge
    │   └── UnsupportedMediaType
    ├── Unauthorized              who are you?
    ├── Forbidden                 not with this key, or not from there
    ├── NotFound
    ├── Conflict                  not now, or not any more
    ├── TooMany                   later
    │   ├── TooManyStreams
    │   ├── TooManyRequests
    │   ├── TooManyUploads
    │   ├── TooManyFiles
    │   ├── TooManyBatches
    │   └── TooManyJobs
    └── Unavailable               the service's fault; asking again helps
        ├── RecordsUnavailable    Redis
        │   └── ScriptFailed      one of our scripts failed: asking again does not help
        ├── StorageUnavailable    S3
        └── QueueFull

A job that ends badly carries a `JobError` instead: the same kind of sentence, kept in its record.
"""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class FieldError:
    """One thing wrong with one field: its name as the client sent it, and what would be right."""

    field: str
    detail: str


class DarkroomError(Exception):
    """A failure with a name (`slug`), a title that never changes, an HTTP status and a sentence."""

    slug: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Something went wrong on our side"
    status: ClassVar[int] = 500

    def __init__(self, detail: str, *errors: FieldError, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors
        self.retry_after = retry_after


class InvalidRequest(DarkroomError):
    """A parameter is missing, unknown or out of its range."""

    slug = "invalid-request"
    title = "The request has a field that cannot be used"
    status = 422


class InvalidPicture(InvalidRequest):
    """The picture cannot be read, or is not one that we take."""

    slug = "invalid-picture"
    title = "The picture cannot be used"


class FetchFailed(InvalidRequest):
    """The picture's address gave no picture. The reason is not told, because it could reveal our network."""

    slug = "fetch-failed"
    title = "The picture could not be fetched"


class MalformedBody(InvalidRequest):
    """The body is not the JSON or multipart form that it says it is."""

    slug = "malformed-body"
    title = "The body cannot be read"
    status = 400


class PictureTooLarge(InvalidRequest):
    """More bytes than we take."""

    slug = "content-too-large"
    title = "The body is too large"
    status = 413


class UnsupportedMediaType(InvalidRequest):
    """The body is neither multipart nor JSON."""

    slug = "unsupported-media-type"
    title = "The body has a type that we do not read"
    status = 415


class Unauthorized(DarkroomError):
    """The request has no key, or an unknown one."""

    slug = "unauthorized"
    title = "A valid key is needed"
    status = 401


class Forbidden(DarkroomError):
    """The key does not allow this, or the request comes from a place that may not ask."""

    slug = "forbidden"
    title = "This is not allowed"
    status = 403


class NotFound(DarkroomError):
    """There is no such thing, or it is not yours."""

    slug = "not-found"
    title = "There is no such thing here"
    status = 404


class Conflict(DarkroomError):
    """The job is in a state that does not allow this."""

    slug = "conflict"
    title = "The job is in a state that does not allow this"
    status = 409


class TooMany(DarkroomError):
    """More than one caller may have; asking again later helps."""

    slug = "too-many"
    title = "Too many at a time"
    status = 429


class TooManyStreams(TooMany):
    """All places for open event streams are taken."""

    slug = "too-many-streams"
    title = "Too many event streams are open"


class TooManyRequests(TooMany):
    """The key's allowance of requests is used up for now."""

    slug = "too-many-requests"
    title = "Too many requests"


class TooManyFiles(TooMany):
    """The tenant keeps as many files as it may."""

    slug = "too-many-files"
    title = "Too many of your files are kept"


class TooManyBatches(TooMany):
    """The tenant has as many batches that are not over as it may have."""

    slug = "too-many-batches"
    title = "Too many of your batches are not over"


class TooManyUploads(TooMany):
    """The tenant has as many uploads as are kept for it."""

    slug = "too-many-uploads"
    title = "Too many uploads are kept"


class TooManyJobs(TooMany):
    """The tenant has as many waiting jobs as it may have."""

    slug = "too-many-jobs"
    title = "Too many jobs are waiting"


class Unavailable(DarkroomError):
    """A part of the service does not answer. Nothing is lost, and repeating with the same idempotency key is safe."""

    slug = "unavailable"
    title = "The service cannot do this right now"
    status = 503

    def __init__(self, detail: str, *errors: FieldError, retry_after: int = 2) -> None:
        super().__init__(detail, *errors, retry_after=retry_after)


class RecordsUnavailable(Unavailable):
    """Redis does not answer."""

    slug = "records-unavailable"


class ScriptFailed(RecordsUnavailable):
    """One of our Redis scripts failed. This is a bug, so asking again does not help."""

    slug = DarkroomError.slug
    title = DarkroomError.title
    status = DarkroomError.status

    def __init__(self, detail: str) -> None:
        super().__init__(detail, retry_after=0)


class StorageUnavailable(Unavailable):
    """The picture store does not answer."""

    slug = "storage-unavailable"


class QueueFull(Unavailable):
    """The record store has no room for another job."""

    slug = "queue-full"
    title = "The queue is full"


@dataclass(frozen=True)
class JobError:
    """Why a job failed: `type` is one of a few fixed names, the rest is for people."""

    type: str
    title: str
    detail: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def internal_error() -> JobError:
    return JobError(
        "internal-error", "The edit failed", "Something broke on our side while editing; it has been logged."
    )


def unusable_input(detail: str) -> JobError:
    return JobError("invalid-input", "The edit cannot be done as asked", detail)


def missing_input() -> JobError:
    return JobError("input-missing", "The picture is gone", "The job's input is no longer in the picture store.")
