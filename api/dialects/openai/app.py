"""The app of the dialect: its routes and its errors."""

from fastapi import APIRouter, Depends, FastAPI
from starlette.types import ASGIApp

from api.dialects.native import dialect_app, known
from api.dialects.openai import batches, edits, files, models, provenance
from api.dialects.openai.errors import shape


def app(native: ASGIApp) -> FastAPI:
    """The dialect, in front of the app of the native API."""
    router = APIRouter(dependencies=[Depends(known)])
    for part in (edits, models, files, batches, provenance):
        router.include_router(part.router)
    return dialect_app("OpenAI's images API", router, native, shape)
