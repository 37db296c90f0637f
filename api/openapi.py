"""What the OpenAPI document says beyond the routes' own types.

The fields of a submission are made from the catalogue, so that they cannot differ from it; the errors are the same few
problem documents everywhere.
"""

from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI

from api.examples import OPERATIONS, REQUESTS
from api.problems import TITLES
from api.submission import FORMATS, LONGEST_URL, SOURCES
from jobs.errors import DarkroomError, TooMany, Unavailable
from jobs.job import LONGEST_DEADLINE, Priority
from jobs.outbox import Event
from pipeline.catalogue import DEFAULT_MODEL, MODELS, Parameter


def _schema(parameter: Parameter) -> dict[str, Any]:
    schema: dict[str, Any] = {"description": parameter.summary}
    match parameter.kind:
        case "choice":
            schema |= {"type": "string", "enum": list(parameter.choices or ())}
        case "text":
            schema |= {"type": "string", "minLength": parameter.minimum, "maxLength": parameter.maximum}
        case kind:
            schema |= {"type": kind, "minimum": parameter.minimum, "maximum": parameter.maximum}
    return schema


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _fields(image: dict[str, Any], *, in_json: bool) -> dict[str, Any]:
    parameters = {p.name: _schema(p) for model in MODELS.values() for p in model.parameters}
    properties = {
        "image": image,
        "model": {"type": "string", "enum": list(MODELS), "default": DEFAULT_MODEL},
        **parameters,
        "format": {"type": "string", "enum": list(FORMATS), "default": "png"},
        "priority": {"type": "string", "enum": list(Priority), "default": Priority.NORMAL},
        "deadline_seconds": {"type": "integer", "minimum": 1, "maximum": LONGEST_DEADLINE},
        "webhook": {
            "type": "string",
            "format": "uri",
            "maxLength": LONGEST_URL,
            "description": "An https address to be told at; signed with the secret at /v1/webhooks/default/secret.",
        },
        "webhook_events": {
            "type": "array",
            "items": {"type": "string", "enum": list(Event)},
            "default": [Event.COMPLETED],
            "description": "What it is told of; in a form, separated by commas.",
        },
        "metadata": {"type": "object", "description": "Yours: kept with the job and given back with it."},
    }
    required = ["image", "prompt"]
    if in_json:  # there, null is the same as leaving a field out
        properties = {name: s if name in required else _or_null(s) for name, s in properties.items()}
    return {
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": False,
    }


WHITE = (  # a PNG of 16 x 16 pixels
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAABAAAAAQAQAAAAA3iMLMAAAA"
    "D0lEQVR42mP8z8DEQAICADIBAR/gNlhXAAAAAElFTkSuQmCC"
)

SUBMIT_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": _fields(
                {"type": "string", "format": "binary", "description": "A JPEG, PNG or WebP file."}, in_json=False
            ),
            "example": {"image": "@photo.jpg", "prompt": "make it look like winter", "seed": 7},
        },
        "application/json": {
            "schema": _fields({"type": "string", "description": SOURCES}, in_json=True),
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


def _stores(path: str, operation: dict[str, Any]) -> bool:
    return _accepts(path, operation) or path.endswith(("/output", "/input", "/steps", "/uploads", "/readyz"))


def _holds(path: str, operation: dict[str, Any]) -> bool:
    return path.endswith("/events") or any(one["name"] == "wait" for one in operation.get("parameters", ()))


ONLY: dict[str, Callable[[str, dict[str, Any]], bool]] = {  # where these can be met; the others can be met anywhere
    "invalid-picture": _submits,
    "fetch-failed": _submits,
    "too-many-jobs": _accepts,
    "queue-full": _accepts,
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
