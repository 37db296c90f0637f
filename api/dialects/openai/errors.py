"""Errors in OpenAI's shape, together with the members of the problem document."""

from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers

from api.dialects.native import Problem, refusal

LONGEST_PAUSE = 20  #: seconds; clients wait this long before they retry, but not longer
TYPES = {403: "permission_error", 409: "conflict_error", 429: "rate_limit_error"}
CODES = {"unauthorized": "invalid_api_key", "too-many-requests": "rate_limit_exceeded"}


def shape(problem: dict[str, Any], headers: Headers) -> tuple[dict[str, Any], int, Mapping[str, str]]:
    """A problem document with OpenAI's `error` in addition to its own members.

    A wrong field has status 400 in OpenAI's API. Its clients repeat requests after 409, 429 and 5xx unless a header
    forbids it.
    """
    slug = problem["type"].rpartition(":")[2]
    status = 400 if slug == "invalid-request" else problem["status"]
    fields = [error["field"] for error in problem.get("errors", ())]
    error = {
        "message": problem["detail"],
        "type": TYPES.get(status, "invalid_request_error" if status < 500 else "server_error"),
        "param": fields[0] if fields else None,
        "code": CODES.get(slug, slug.replace("-", "_")),
    }
    pause = headers.get("retry-after", "")
    useless = status == 409 or "job" in problem or (status == 429 and pause.isdigit() and int(pause) > LONGEST_PAUSE)
    return {"error": error, **problem, "status": status}, status, {"x-should-retry": "false"} if useless else {}


def lacking(field: str, detail: str) -> Problem:
    """The refusal of a request with one missing or wrong field."""
    return refusal(400, "invalid-request", "The request has a field that cannot be used", detail, field)
