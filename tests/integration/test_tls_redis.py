"""A Redis behind TLS, as managed ones are. Every connection of ours checks its certificate."""

import asyncio
import datetime as dt
import queue
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis.exceptions import ConnectionError as RedisConnectionError

from darkroom.local.servers import Valkey
from jobs.errors import RecordsUnavailable
from jobs.settings import Settings
from jobs.store import JobStore
from jobs.wakeups import PREFIX, QUEUE, TASK, celery_app
from tests.conftest import ROOT
from tests.integration.test_worker_lives import crew
from tests.waiting import until
from tests.web_tier import web_tier

PHOTO = ROOT / "examples" / "mountains.jpg"


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test's authority")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "ca.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return certificate, private


@contextmanager
def behind_tls(port: int, certificate: Path, key: Path, *, clients: Path | None = None) -> Iterator[int]:
    """A port that terminates TLS in front of another port, because our Valkey was built without TLS.

    `clients`: the authority of the certificates that clients must show.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=clients)
    context.load_cert_chain(certificate, key)
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
    opened: queue.Queue[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = queue.Queue()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, inner[1]), pump(inner[0], writer))

    async def serve() -> None:
        over = asyncio.Event()
        server = await asyncio.start_server(connect, "127.0.0.1", 0, ssl=context)
        opened.put((server.sockets[0].getsockname()[1], asyncio.get_running_loop(), over))
        await over.wait()
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    ours, loop, over = opened.get(timeout=10)
    yield ours
    loop.call_soon_threadsafe(over.set)
    thread.join()


@pytest.fixture
def bare_url(settings: Settings, valkey: Valkey, tmp_path: Path) -> Iterator[str]:
    """The TLS address of Redis, without `?ssl_ca_certs=`, which names the trusted authority."""
    with behind_tls(valkey.port, *write_certificate(tmp_path)) as port:
        yield f"rediss://:{valkey.password}@127.0.0.1:{port}/0"


@pytest.fixture
def safe(settings: Settings, bare_url: str, tmp_path: Path) -> Settings:
    return settings.model_copy(update={"redis_url": f"{bare_url}?ssl_ca_certs={tmp_path / 'ca.pem'}"})


def test_a_certificate_that_nobody_vouches_for_is_refused_for_records_and_wake_ups(bare_url, settings):
    with pytest.raises(RecordsUnavailable):
        JobStore.connect(bare_url, timeout=2).queue()
    broker = celery_app(settings.model_copy(update={"redis_url": bare_url}))
    with broker.connection() as connection, pytest.raises(RedisConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        connection.channel().client.ping()


def test_a_client_certificate_is_shown_by_records_and_wake_ups_alike(settings, valkey, tmp_path):
    certificate, key = write_certificate(tmp_path)
    with behind_tls(valkey.port, certificate, key, clients=certificate) as port:
        vouched = f"rediss://:{valkey.password}@127.0.0.1:{port}/0?ssl_ca_certs={certificate}"
        with pytest.raises(RecordsUnavailable):
            JobStore.connect(vouched, timeout=2).queue()
        shown = f"{vouched}&ssl_certfile={certificate}&ssl_keyfile={key}"
        JobStore.connect(shown, timeout=5).queue()
        with celery_app(settings.model_copy(update={"redis_url": shown})).connection() as connection:
            assert connection.channel().client.ping()


def test_web_tier_worker_keeper_broker_and_subscription_all_speak_tls(safe, tmp_path):
    store = JobStore.connect(safe.redis_url, timeout=5)
    with web_tier(safe, tmp_path) as tier, crew(safe, store, tmp_path):
        app = celery_app(safe)
        app.send_task(TASK, queue=QUEUE)
        until(lambda: store.redis.llen(PREFIX + QUEUE) == 0, 20, "the worker takes a wake-up from the broker")
        with httpx.Client(base_url=tier.url, timeout=60, trust_env=False) as http:
            answer = http.post(
                "/v1/jobs",
                files={"image": PHOTO.read_bytes()},
                data={"prompt": "make it sepia", "steps": "3"},
                headers={"Prefer": "wait=30"},
            )
        assert answer.json()["status"] == "succeeded", f"the subscription wakes whoever waits: {answer.text}"
        until(lambda: store.alive("keeper"), 20, "the keeper makes its rounds")
        for log in tmp_path.glob("*.log"):
            assert "SSL" not in log.read_text(encoding="utf-8"), log
