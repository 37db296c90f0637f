"""The web tier, put together: `uvicorn api.main:create_app --factory`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.deps import Parts
from api.metrics import RequestMetrics
from api.problems import BodyLimit, install_problems
from api.routes import events, jobs, pictures, service, uploads, webhooks
from jobs.settings import Settings

DESCRIPTION = """Edits photos by instruction. Post a picture and what to change; you get a job id at once,
and poll for the edited picture. Errors are problem documents (RFC 9457) that name the field and its limit."""

BASE64_GROWTH = 1.4


def create_app(settings: Settings | None = None) -> FastAPI:
    """The web app over the settings' Redis and S3, neither of which it contacts before the first request."""
    settings = settings or Settings()
    app = FastAPI(
        title="Darkroom",
        description=DESCRIPTION,
        version=version("darkroom"),
        lifespan=_run_waiters,
        redoc_url=None,
    )
    app.state.parts = Parts.connect(settings)
    app.state.registry = CollectorRegistry()
    for router in (jobs.router, pictures.router, events.router, uploads.router, webhooks.router, service.router):
        app.include_router(router)
    install_problems(app)
    app.add_middleware(BodyLimit, limit=int(settings.max_upload_bytes * BASE64_GROWTH) + 65_536)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestMetrics, registry=app.state.registry)
    return app


@asynccontextmanager
async def _run_waiters(app: FastAPI) -> AsyncIterator[None]:
    waiters = app.state.parts.waiters
    listening = asyncio.create_task(waiters.listen())
    try:
        yield
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
        await waiters.close()


class SecurityHeaders:
    """Headers that keep a browser from guessing at types, and caches from keeping jobs."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def adding(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message["headers"]}
                message["headers"] += [header for header in HEADERS if header[0] not in given]
            await send(message)

        await self.app(scope, receive, adding)


HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]
