"""Models. OpenAI's own model names stand for the default model, so that existing clients work unchanged."""

from typing import Any

from fastapi import APIRouter

from api.dialects.native import Problem, Service, refusal

router = APIRouter()

VENDORS = ("gpt-image-", "dall-e-", "chatgpt-image-")


@router.get("/models")
async def list_models(native: Service) -> dict[str, Any]:
    """List the models."""
    return {"object": "list", "data": [_model(one["id"]) for one in (await native.get("/v1/models"))["data"]]}


@router.get("/models/{model}")
async def retrieve_model(model: str, native: Service) -> dict[str, Any]:
    """One model, by its own name or by one of OpenAI's."""
    find_model((await native.get("/v1/models"))["data"], model)
    return _model(model)


def find_model(models: list[dict[str, Any]], name: str | None) -> dict[str, Any]:
    """Find the model for a name.

    Raises:
        Problem: there is no such model.
    """
    default = name is None or name.startswith(VENDORS)
    for model in models:
        if model["default"] if default else model["id"] == name:
            return dict(model)
    raise unknown_model(name or "", [model["id"] for model in models])


def unknown_model(name: str, known: list[str]) -> Problem:
    wanted = f"must be one of {', '.join(known)}, or a name of OpenAI's; it is {name[:64]!r}"
    return refusal(404, "model-not-found", "There is no such model", wanted, "model")


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "darkroom"}
