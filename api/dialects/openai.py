"""OpenAI's images API as its clients speak it, at `/openai/v1`."""

from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp

from api.dialects.native import Service, dialect_app

router = APIRouter()


@router.get("/models")
async def list_models(native: Service) -> dict[str, Any]:
    """The models."""
    models = await native.get("/v1/models")
    return {"object": "list", "data": [_model(model) for model in models["data"]]}


def _model(model: dict[str, Any]) -> dict[str, Any]:
    return {"id": model["id"], "object": "model", "created": 0, "owned_by": "darkroom"}


def _shape(problem: dict[str, Any], status: int) -> tuple[dict[str, Any], dict[str, str]]:
    """A problem document with OpenAI's `error` beside its own members."""
    errors = problem.get("errors", ())
    error = {
        "message": problem["detail"],
        "type": "invalid_request_error" if status < 500 else "server_error",
        "param": errors[0]["field"] if errors else None,
        "code": problem["type"].rpartition(":")[2].replace("-", "_"),
    }
    return {"error": error, **problem}, {}


def app(native: ASGIApp) -> FastAPI:
    """The dialect, over the app of the native API."""
    return dialect_app("OpenAI's images API", router, native, _shape)
