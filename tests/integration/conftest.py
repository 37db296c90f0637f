"""The web app on the real servers, and photos of every kind to send to it."""

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from api.main import create_app
from jobs.pictures import Folder, PictureStore
from jobs.settings import Settings
from jobs.store import JobStore
from tests.receivers import Receiver
from tests.web_tier import as_environment
from worker.leases import Leases
from worker.run import WorkerContext

HERE = {"base_url": "http://localhost", "client": ("127.0.0.1", 50_000)}  # where a service without keys is called from


def calling(settings: Settings, **options: Any) -> TestClient:
    """A client of a new app with these settings. The app runs while the client is open."""
    return client_of(create_app(settings), **options)


def client_of(app: Any, **options: Any) -> TestClient:
    """A client of an app. It calls from this machine by default."""
    usual: dict[str, Any] = {**HERE, "raise_server_exceptions": False, "follow_redirects": False}
    return TestClient(app, **usual | options)


class Apps:
    """Apps that keep running from test to test, one for each combination of settings, because creating one is slow.

    Redis is emptied between two tests. A test that looks at what an app itself counts or remembers uses `calling`.
    """

    def __init__(self) -> None:
        self._running: dict[str, TestClient] = {}
        self._open = ExitStack()

    def __call__(self, settings: Settings, **options: Any) -> TestClient:
        """A fresh client of the app with these settings."""
        name = str(sorted(as_environment(settings).items()))
        if name not in self._running:
            self._running[name] = self._open.enter_context(calling(settings))
        running = self._running[name]
        running.app.state.services.models.forget()  # Redis was emptied since
        client = client_of(running.app, **options)
        client.portal = running.portal
        return client

    def close(self) -> None:
        self._open.close()


@pytest.fixture(scope="module")
def apps() -> Iterator[Apps]:
    apps = Apps()
    yield apps
    apps.close()


@pytest.fixture
def client(settings: Settings, apps: Apps) -> TestClient:
    return apps(settings)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


@pytest.fixture
def jpeg() -> bytes:
    """A small photo-like picture."""
    return encoded(Image.radial_gradient("L").resize((96, 64)).convert("RGB"), "JPEG")


def submit(client: TestClient, image: bytes, **fields) -> dict:
    answer = client.post("/v1/jobs", files={"image": image}, data={"prompt": "make it sepia", **fields})
    assert answer.status_code == 202, answer.text
    return answer.json()


@pytest.fixture
def context(store: JobStore, pictures: PictureStore) -> Callable[..., WorkerContext]:
    """A worker context in which one editor serves every model."""

    def make(editor: Any, pictures: PictureStore = pictures, patience: float = 60.0, lease: int = 30) -> WorkerContext:
        about = {"slots": 1, "checkpoint": {}}
        leases = Leases(store, "w", about, lease_seconds=lease, engine_worked_at=lambda: 0.0, patience=patience)
        return WorkerContext(store, pictures, leases, {"pix2pix-full": editor}, lease_seconds=lease)

    return make


@pytest.fixture
def hooks(settings: Settings) -> Callable[..., Settings]:
    """Settings that let webhooks reach these receivers."""

    def allowing(*receivers: Receiver, scale: float = 1e-4, **changes) -> Settings:
        schedule = ",".join(str(seconds * scale) for seconds in settings.webhook_delays)
        return settings.model_copy(
            update={
                "fetch_ports": ",".join(str(receiver.port) for receiver in receivers) or "443",
                "allow_private_networks": "127.0.0.1/32",
                "webhook_schedule": schedule,
                "webhook_timeout_seconds": 0.5,
                "webhook_circuit_seconds": 0.05,
                **changes,
            }
        )

    return allowing


def kept_of(pictures: PictureStore, job_id: str) -> Folder | None:
    """What the bucket has of a job; None: nothing."""
    return next((folder for folder in pictures.folders() if folder.job_id == job_id), None)
