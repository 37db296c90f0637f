"""What the OpenAPI document says beyond the routes' own types.

The errors are the same few problem documents everywhere.
"""

from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI

from api.decoder import KINDS
from api.examples import OPERATIONS, REQUESTS
from api.problems import TITLES
from api.submission import Submission
from jobs.errors import DarkroomError, TooMany, Unavailable


def _submission(*, in_json: bool) -> dict[str, Any]:
    """The schema of a submission: a form has a file, and JSON may have null for what is left out."""
    schema = Submission.model_json_schema(ref_template="#/components/schemas/{model}")
    fields = schema["properties"]
    if in_json:
        optional = fields.keys() - set(schema["required"])
        schema["properties"] = {n: {"anyOf": [f, {"type": "null"}]} if n in optional else f for n, f in fields.items()}
    else:
        fields["image"] = {"type": "string", "format": "binary", "description": KINDS[0].upper() + KINDS[1:] + "."}
        fields["mask"] |= {"type": "string", "format": "binary"}
        del fields["mask"]["items"]
    return schema


WHITE = (  # a PNG of 16 x 16 pixels
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAABAAAAAQAQAAAAA3iMLMAAAA"
    "D0lEQVR42mP8z8DEQAICADIBAR/gNlhXAAAAAElFTkSuQmCC"
)

SUBMIT_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": _submission(in_json=False),
            "example": {"image": "@photo.jpg", "prompt": "make it look like winter", "seed": 7},
        },
        "application/json": {
            "schema": _submission(in_json=True),
            "example": {"image": WHITE, "prompt": "make it sunset", "size": "256x256"},
        },
    },
}


PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        "type": {"type": "string", "description": "a name that never changes", "pattern": "^urn:darkroom:problem:"},
        "title": {"type": "string", "description": "the same for every problem of this type"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "what went wrong this time"},
        "instance": {"type": "string", "description": "the path that was asked for"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "detail"],
                "properties": {"field": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}
HEADERS_OF = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}}},
    429: {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}},
    503: {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}},
}


class DocumentedApp(FastAPI):
    """An app whose OpenAPI document lists every error of every operation."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            schemas = super().openapi()["components"]["schemas"]
            schemas["Problem"] = PROBLEM
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
            for path, operations in self._document()["paths"].items():
                for operation in operations.values():
                    _add_errors(path, operation)
                    for content in operation.get("requestBody", {}).get("content", {}).values():
                        schemas.update(content["schema"].pop("$defs", {}))
            for (method, path), (summary, example) in OPERATIONS.items():
                _illustrate(self._document()["paths"][path][method], summary, example, REQUESTS.get((method, path)))
        return self._document()

    def _document(self) -> dict[str, Any]:
        return self.openapi_schema or {}


def _add_errors(path: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    responses.pop("422", None)  # the framework's own
    declared = {int(code) for code in responses if int(code) >= HTTPStatus.BAD_REQUEST}
    for status in sorted(declared | _errors(path, operation)):
        responses[str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": {
                "application/problem+json": {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "examples": _problems(status, path, operation),
                }
            },
        } | ({"headers": HEADERS_OF[status]} if status in HEADERS_OF else {})


def _problems(status: int, path: str, operation: dict[str, Any]) -> dict[str, Any]:
    """One example of each type of problem that an operation can answer with under this status."""
    titles = dict([TITLES[status]]) if status in TITLES and status not in NAMED else {}
    titles |= {kind.slug: kind.title for kind in _kinds(DarkroomError) if kind.status == status}
    if (path, status) == ("/readyz", 503):
        titles = {"not-ready": "A part of the service is down"}
    for slug, where in ONLY.items():
        if not where(path, operation):
            titles.pop(slug, None)
    return {
        slug: {
            "value": {
                "type": f"urn:darkroom:problem:{slug}",
                "title": title,
                "status": status,
                "detail": title + ".",
                "instance": path,
            }
        }
        for slug, title in titles.items()
    }


def _kinds(kind: type[DarkroomError]) -> Iterator[type[DarkroomError]]:
    if kind not in (TooMany, Unavailable):
        yield kind
    for narrower in kind.__subclasses__():
        yield from _kinds(narrower)


def _submits(path: str, operation: dict[str, Any]) -> bool:
    return path == "/v1/jobs" and "requestBody" in operation


def _accepts(path: str, operation: dict[str, Any]) -> bool:
    return _submits(path, operation) or path.endswith("/retry")


def _reads_pictures(path: str, operation: dict[str, Any]) -> bool:
    return _submits(path, operation) or path == "/v1/credentials/check"


def _stores(path: str, operation: dict[str, Any]) -> bool:
    pictures = ("/output", "/input", "/steps", "/renders/{place}", "/render", "/content")
    return _accepts(path, operation) or path.endswith((*pictures, "/uploads", "/files", "/readyz"))


def _holds(path: str, operation: dict[str, Any]) -> bool:
    waits = any(one["name"] == "wait" for one in operation.get("parameters", ()))
    return waits or path.endswith(("/events", "/render"))


ONLY: dict[str, Callable[[str, dict[str, Any]], bool]] = {  # where these can be met; the others can be met anywhere
    "invalid-picture": _reads_pictures,
    "fetch-failed": _submits,
    "too-many-jobs": _accepts,
    "too-many-files": lambda path, operation: path == "/v1/files" and "requestBody" in operation,
    "too-many-uploads": lambda path, _: path.endswith("/uploads"),
    "queue-full": lambda path, operation: _accepts(path, operation) or path.endswith("/render"),
    "storage-unavailable": _stores,
    "too-many-streams": _holds,
}
NAMED = {404, 413}  # the framework's name for it is ours too


def _illustrate(operation: dict[str, Any], summary: str, example: Any, request: Any) -> None:
    operation["summary"] = summary
    if request is not None:
        operation["requestBody"]["content"]["application/json"]["example"] = request
    successes = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
    for content in (content for answer in successes for content in answer.get("content", {}).values()):
        if example is not None:
            content["example"] = example


def _errors(path: str, operation: dict[str, Any]) -> set[int]:
    """The errors that an operation of this kind can answer with."""
    found = {403, 500, 503}
    if "security" in operation:
        found |= {401, 429}
    if "parameters" in operation or "requestBody" in operation:
        found |= {422}
    if "requestBody" in operation:
        found |= {400, 404, 413, 415}
    if "{" in path:
        found |= {404, 409}
    return found
