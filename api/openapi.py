"""What the OpenAPI document says of a submission: made from the catalogue, so that it cannot differ from it."""

from typing import Any

from api.submission import FORMATS, LONGEST_DEADLINE, LONGEST_URL, SOURCES
from jobs.job import Priority
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


def _fields(image: dict[str, Any]) -> dict[str, Any]:
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
    return {
        "type": "object",
        "required": ["image", "prompt"],
        "properties": properties,
        "additionalProperties": False,
    }


SUBMIT_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": _fields({"type": "string", "format": "binary", "description": "A JPEG, PNG or WebP file."})
        },
        "application/json": {"schema": _fields({"type": "string", "description": SOURCES})},
    },
}
