"""The web app over the real parts, and photos of every kind to send it."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from api.main import create_app
from jobs.settings import Settings
from tests.receivers import Receiver

HERE = {"base_url": "http://localhost", "client": ("127.0.0.1", 50_000)}  # where a service without keys is called from


def calling(settings: Settings, **options: Any) -> TestClient:
    """A client of the app with these settings, on this machine unless told otherwise."""
    usual: dict[str, Any] = {**HERE, "raise_server_exceptions": False, "follow_redirects": False}
    return TestClient(create_app(settings), **usual | options)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with calling(settings) as client:
        yield client


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
