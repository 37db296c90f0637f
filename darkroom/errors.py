"""What can go wrong between a client and the service, each kind with the exit status of the command line."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, ClassVar

import httpx


class DarkroomError(Exception):
    """Something that the service refused or could not do, as a sentence that names the field and its limit.

    `status` is the HTTP status, None when no answer came; `problem` the problem+json that came with it.
    """

    exit_status: ClassVar[int] = 1

    def __init__(self, sentence: str, status: int | None = None, problem: dict[str, Any] | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.problem = problem or {}


class Refused(DarkroomError):
    """A field is wrong, or the job's state does not allow it: asking again changes nothing."""

    exit_status = 3


class NotFound(DarkroomError):
    """There is no such thing, or it is somebody else's."""

    exit_status = 4


class Unreachable(DarkroomError):
    """No service answered."""

    exit_status = 5


class NotAllowed(DarkroomError):
    """The key is missing, wrong, or not good for this."""

    exit_status = 6


class Busy(DarkroomError):
    """The service takes no more for now."""

    exit_status = 7


class JobFailed(DarkroomError):
    """The job ended without a picture."""

    exit_status = 8


class JobCanceled(JobFailed):
    """The job was canceled."""

    exit_status = 9


class StillRunning(DarkroomError):
    """The job was not over in the time that was given."""

    exit_status = 10


KINDS: dict[int, type[DarkroomError]] = {
    HTTPStatus.UNAUTHORIZED: NotAllowed,
    HTTPStatus.FORBIDDEN: NotAllowed,
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.TOO_MANY_REQUESTS: Busy,
    HTTPStatus.SERVICE_UNAVAILABLE: Busy,
}


def refusal(answer: httpx.Response) -> DarkroomError:
    """The sentence in an answer that is no success."""
    status = answer.status_code
    kind = KINDS.get(status, Refused if answer.is_client_error else DarkroomError)
    try:
        problem = answer.json()
        sentence = str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        sentence = f"{answer.request.url} answered {status} {answer.reason_phrase}, which is no Darkroom."
        return DarkroomError(sentence, status)
    errors = problem.get("errors") or []
    missing = [
        f"{error['field']}: {error['detail']}" for error in errors if error["detail"].rstrip(".") not in sentence
    ]
    return kind("; ".join([sentence.rstrip("."), *missing]) + ".", status, problem)


def unreachable(url: str, error: httpx.TransportError) -> Unreachable:
    """Why no answer came; its cause is httpx's."""
    failure = Unreachable(_why(url, error))
    failure.__cause__ = error
    return failure


def _why(url: str, error: httpx.TransportError) -> str:
    if isinstance(error, httpx.ConnectError):
        return f"There is no Darkroom at {url}; start one with `darkroom up`."
    if isinstance(error, httpx.TimeoutException):
        return f"The Darkroom at {url} did not answer in time."
    return f"The connection to the Darkroom at {url} broke: {error}."
