"""Everything in docker-compose.yml, run without Docker: the same commands, environment and configuration files."""

import asyncio
import shutil
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import CertificateBuilder, Name, NameAttribute, random_serial_number
from cryptography.x509.oid import NameOID

from darkroom import Client
from tests.conftest import ROOT
from tests.deploy.compose import Compose, production
from tests.deploy.outside import SERVICES, Outside, Size, slow_clients
from tests.waiting import eventually

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin") or ""

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(not NGINX, reason="needs nginx (apt: nginx-light)"),
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compose")
    hasty = production(folder) | {"WORKER_GRACE_SECONDS": "2"}  # what it holds at the end is nobody's
    with Compose(folder / "stack", hasty, SERVICES) as stack:
        yield stack
        stack.containers["s3"].kill()  # its goodbye would take seconds, and nobody reads its files again


@pytest.fixture(scope="module")
def outside(stack) -> Outside:
    return Outside(stack)


def test_every_health_check_passes(stack, outside):
    ends = time.monotonic() + 90  # a worker warms up before it says that it is ready
    checked: dict[str, bool] = {}
    while not (checked and all(checked.values())) and time.monotonic() < ends:
        checked = {name: container.is_healthy() for name, container in stack.containers.items() if container.health}
    assert checked == {"api": True, "keeper": True, "worker": True}


def test_an_edit_from_outside_is_streamed_live_and_fetched_by_its_link(outside):
    edit = outside.edit(steps=30)  # seconds, so that a busy machine cannot have all its progress told at once
    assert edit["events"][-1] == "done"
    assert edit["events"].count("progress") >= 2, "they came in one piece"
    assert edit["first_event_ms"] < 1000 * edit["seconds"] / 2
    assert edit["picture"].startswith("200 image/png")
    assert edit["forged_link"] == 403
    assert f":{outside.stack.ports['proxy', 8081]}/" in edit["link"]


def test_without_a_key_there_is_nothing_and_metrics_are_not_for_the_outside(stack, outside):
    assert httpx.get(f"{stack.url}/v1/jobs", trust_env=False).status_code == 401
    assert outside.http.get("/metrics").status_code == 404
    inside = f"http://127.0.0.1:{stack.ports['api', 8000]}/metrics"
    for key, told in ((outside.key, False), (stack.variables["ADMIN_KEY"], True)):
        metrics = httpx.get(inside, headers={"Authorization": f"Bearer {key}"}, trust_env=False).text
        assert ("darkroom_redis_up 1" in metrics) == told
        assert "darkroom_tenant_jobs" in metrics or told
    for prometheus in (stack.ports["api", 9100], stack.ports["keeper", 9102], stack.ports["worker", 9101]):
        assert "darkroom_" in httpx.get(f"http://127.0.0.1:{prometheus}/metrics", trust_env=False).text


def test_while_the_web_tier_is_replaced_clients_are_told_when_to_come_back_and_ours_do(stack, outside):
    """Our client repeats requests by itself. Other clients can read when to repeat them."""
    api = stack.containers["api"]
    with Client(stack.url, key=outside.key) as client:
        assert client.queue()
        api.stop()
        answer = outside.http.get("/v1/queue", headers={"X-Request-Id": "in-between"})
        back = threading.Thread(target=api.start)
        back.start()
        try:
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert answer.json()["type"].endswith(":problem:unavailable")
            assert answer.headers["X-Request-Id"] == "in-between"
            assert client.queue()
        finally:
            back.join()


def test_the_proxy_says_what_is_too_large_and_the_request_has_one_name_all_the_way(outside):
    answer = outside.http.post("/v1/jobs", content=bytes(30 * 2**20), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    log = outside.stack.containers["proxy"].log
    outside.http.get("/v1/queue", headers={"X-Request-Id": "named-by-the-client"})
    assert eventually(lambda: '"request_id":"named-by-the-client"' in log.read_text(), seconds=5)


@pytest.mark.parametrize("site", ["plain", "tls"])
def test_nginx_understands_both_ways_in(site, tmp_path):
    shutil.copytree(ROOT / "docker" / "nginx", tmp_path / "nginx")
    certify(tmp_path)
    file = tmp_path / "nginx" / f"{site}.conf"
    file.write_text(file.read_text().replace("/etc/nginx/tls", str(tmp_path)))
    tested = subprocess.run([NGINX, "-t", "-c", file], capture_output=True, text=True)
    assert tested.returncode == 0, tested.stderr


def certify(folder: Path) -> None:
    """A self-signed certificate for localhost."""
    key, name = ec.generate_private_key(ec.SECP256R1()), Name([NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = CertificateBuilder(name, name, key.public_key(), random_serial_number(), now, now + timedelta(days=1))
    certificate = builder.sign(key, SHA256())
    (folder / "tls.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "tls.key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
    )


def test_slow_clients_are_waited_for_at_the_proxy_and_nobody_else_notices(outside):
    report = asyncio.run(slow_clients(outside, Size(heads=30, bodies=30, reads=15, seconds=4)))
    assert report["beside"]["failed"] == 0, report
    assert report["beside"]["requests"] == 40
    assert report["slow_clients_at_first"] >= 70
