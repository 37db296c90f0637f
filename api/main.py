"""Assembles the web tier: `uvicorn api.main:create_app --factory --http api.http_limits:BoundedHttp`."""

import asyncio
import gc
import re
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from types import FrameType
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Mount

from api import messages
from api.access import HEADER, Access
from api.deps import Services
from api.dialects import replicate
from api.dialects.openai import app as openai
from api.feeder import Feeder
from api.guards import KnownNames, SecurityHeaders
from api.lenient_requests import Leniency
from api.link_previews import link_previews
from api.metrics import RequestMetrics, leave, own_registry, scraped, serve
from api.openapi import DocumentedApp
from api.problems import BodyLimit, install_problems
from api.routes import (
    admin,
    batches,
    credentials,
    events,
    files,
    jobs,
    keys,
    pictures,
    renders,
    service,
    session,
    uploads,
    webhooks,
)
from api.site import Site
from api.subscriptions import Subscriptions
from jobs import logs, traces
from jobs.predictions import PREFIX
from jobs.settings import Settings
from jobs.version import version

DESCRIPTION = """Edits photos by instruction. Post a picture and what to change; you get a job id at once,
and poll for the edited picture. Errors are problem documents (RFC 9457) that name the field and its limit."""

BASE64_GROWTH = 1.4
COMPRESSED_BYTES = 2048  #: worthwhile for a list of jobs, not for a single one
CORS: dict[str, Any] = {  # without credentials, because a page of another site sends a key and never our cookie
    "allow_methods": ["GET", "HEAD", "POST", "DELETE"],
    "allow_headers": ["*"],  # all headers, because libraries add their own, such as traceparent, and none is a risk
    "expose_headers": [
        "ETag",
        "Idempotent-Replayed",
        "Location",
        "Preference-Applied",
        "RateLimit",
        "RateLimit-Policy",
        "Retry-After",
        "X-Ignored-Fields",
        "X-Job-Id",
        HEADER,
    ],
}


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the web app. It does not contact Redis or S3 before the first request."""
    settings = settings or Settings()
    logs.set_up(settings.log_format)
    traces.set_up("api")
    app = DocumentedApp(
        title="Darkroom",
        description=DESCRIPTION,
        version=version(),
        lifespan=_run,
        docs_url=None,  # the site has its own page for this
        redoc_url=None,
        redirect_slashes=False,  # Leniency removes them
        webhooks=messages.router,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.services = Services.connect(settings)
    app.state.feeder = Feeder(app.state.services)
    app.state.registry = own_registry(app.state.services.pictures)
    of_jobs = (jobs, pictures, renders, batches, files, uploads, events, credentials)
    for part in (*of_jobs, webhooks, session, keys, admin, service):
        app.include_router(part.router)
    for prefix, dialect in (("/openai/v1", openai), (PREFIX, replicate)):
        mount = Mount(prefix, dialect.app(app))
        mount.path_regex = re.compile(mount.path_regex.pattern, re.DOTALL)  # a path may contain a line break
        app.router.routes.append(mount)
    app.router.default = Site(otherwise=app.router.not_found, previews=link_previews(app.state.services))
    install_problems(app)
    app.add_exception_handler(events.NothingMore, events.on_nothing_more)
    app.add_middleware(BodyLimit, limit=int(settings.max_upload_bytes * BASE64_GROWTH) + 65_536)
    if settings.allowed_origins:
        app.add_middleware(CORSMiddleware, allow_origins=settings.allowed_origins, **CORS)
    if settings.auth == "off":
        app.add_middleware(KnownNames, names=settings.own_names, open_to_network=settings.open_to_network)
    app.add_middleware(GZipMiddleware, minimum_size=COMPRESSED_BYTES, compresslevel=5)  # except streams of events
    app.add_middleware(Leniency)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestMetrics, registry=app.state.registry)
    app.add_middleware(Access)
    return app


@asynccontextmanager
async def _run(app: FastAPI) -> AsyncIterator[None]:
    app.state.services.photos.start()
    subscriptions = app.state.services.subscriptions
    if threading.current_thread() is threading.main_thread():  # otherwise the app shares its process with other code
        _warn_before_the_end(subscriptions)
        serve(scraped(app.state.registry, app.state.services.store), app.state.services.settings)
        gc.freeze()  # a full collection would visit all modules again, and delay all answers for 0.1 s
    listening = asyncio.create_task(subscriptions.listen())
    feeding = asyncio.create_task(app.state.feeder.run())
    try:
        yield
    finally:
        while not listening.done():  # redis-py can swallow a cancellation while it connects, so repeat it
            listening.cancel()
            await asyncio.wait([listening], timeout=1)
        app.state.feeder.leave()
        feeding.cancel()
        await asyncio.wait([feeding], timeout=5)
        await subscriptions.close()
        leave()
        traces.flush()


def _warn_before_the_end(subscriptions: Subscriptions) -> None:
    """Answer waiting requests when the server shuts down. It would wait for them, and then break them off."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        servers = signal.getsignal(number)
        if callable(servers):
            signal.signal(number, partial(_end, loop, subscriptions, servers))


def _end(
    loop: asyncio.AbstractEventLoop,
    subscriptions: Subscriptions,
    servers: Callable[[int, FrameType | None], Any],
    number: int,
    frame: FrameType | None,
) -> None:
    loop.call_soon_threadsafe(subscriptions.leave)
    servers(number, frame)
