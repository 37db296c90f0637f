"""Parts of the OpenAPI document that do not come from the types of the routes.

The errors are the same few problem documents everywhere.
"""

from collections.abc import Mapping
from copy import deepcopy
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI

from api.problems import BadRequest, all_routes
from api.submission import Submission
from jobs.decoder import KINDS
from jobs.errors import (
    DarkroomError,
    Forbidden,
    InvalidRequest,
    MalformedBody,
    NotFound,
    PictureTooLarge,
    RecordsUnavailable,
    ScriptFailed,
    TooManyRequests,
    Unauthorized,
    UnsupportedMediaType,
)


def _submission(*, in_json: bool) -> dict[str, Any]:
    """The schema of a submission. A form has a file; JSON may have null for omitted fields."""
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


#: Errors that any operation can answer with; those of its key; of its parameters; of its body; of an id in its path.
ALWAYS = (Forbidden, DarkroomError, RecordsUnavailable, ScriptFailed)
OF_KEYS = (Unauthorized, TooManyRequests)
OF_PARAMETERS = (InvalidRequest,)
OF_BODIES = (BadRequest, MalformedBody, PictureTooLarge, UnsupportedMediaType)
OF_IDS = (NotFound,)


def answers(example: Any, status: int = 200, *, media: str = "application/json") -> dict[int | str, dict[str, Any]]:
    """An example of success, for the `responses` of a route."""
    return {status: {"content": {media: {"example": example}}}}


def raises(*errors: type[DarkroomError]) -> dict[int | str, dict[str, Any]]:
    """The errors of one route, for its `responses`. The usual errors are added to every operation."""
    found: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        answer = found.setdefault(error.status, _problem_answer(error.status))
        answer["content"]["application/problem+json"]["examples"][error.slug] = {
            "value": {
                "type": f"urn:darkroom:problem:{error.slug}",
                "title": error.title,
                "status": error.status,
                "detail": error.title + ".",
            }
        }
    return found


def _problem_answer(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    content = {"application/problem+json": {"schema": schema, "examples": {}}}
    headers = {"headers": HEADERS_OF[status]} if status in HEADERS_OF else {}
    return {"description": HTTPStatus(status).phrase, "content": content, **headers}


class DocumentedApp(FastAPI):
    """An app whose OpenAPI document lists every error of every operation."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document = super().openapi()
            schemas = document["components"]["schemas"]
            schemas["Problem"] = PROBLEM
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
            for message in document["webhooks"].values():
                message["post"]["responses"] = {"2XX": {"description": "Taken. Any other answer is an error."}}
            routes = {route.name: route for route in all_routes(self.routes)}
            for path, operations in document["paths"].items():
                for operation in operations.values():
                    _add_errors(path, operation)
                    _keep_nulls(operation, routes[operation["operationId"]].responses)
                    for content in operation.get("requestBody", {}).get("content", {}).values():
                        schemas.update(content["schema"].pop("$defs", {}))
        return self.openapi_schema or {}


def _add_errors(path: str, operation: dict[str, Any]) -> None:
    """Add the usual errors of an operation to its own, and the operation's path to all."""
    responses = operation["responses"]
    if "application/json" in responses.get("422", {}).get("content", {}):  # FastAPI's own error
        del responses["422"]
    for code, usual in raises(*_usual_errors(path, operation)).items():
        own = responses.pop(str(code), {}).get("content", {}).get("application/problem+json", {}).get("examples", {})
        usual["content"]["application/problem+json"]["examples"].update(own)
        responses[str(code)] = usual
    for code in sorted(code for code in responses if code >= "400"):
        answer = responses[code] = deepcopy(responses.pop(code))
        for example in answer["content"]["application/problem+json"]["examples"].values():
            example["value"]["instance"] = path


def _keep_nulls(operation: dict[str, Any], declared: Mapping[int | str, dict[str, Any]]) -> None:
    """Restore the declared examples of an operation, because FastAPI drops null values."""
    for status, answer in declared.items():
        for media, content in answer.get("content", {}).items():
            if "example" in content:
                operation["responses"][str(status)]["content"][media]["example"] = content["example"]


def _usual_errors(path: str, operation: dict[str, Any]) -> tuple[type[DarkroomError], ...]:
    """The possible errors of an operation's key, parameters, body and id."""
    has_body = "requestBody" in operation
    return (
        *ALWAYS,
        *(OF_KEYS if "security" in operation else ()),
        *(OF_PARAMETERS if has_body or "parameters" in operation else ()),
        *(OF_BODIES if has_body else ()),
        *(OF_IDS if "{" in path else ()),
    )
