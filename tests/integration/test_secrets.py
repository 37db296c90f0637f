"""Secrets stay where they belong: a canary in each of them appears in no log, record or answer."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from darkroom.local.ports import free_ports
from jobs.api_keys import KEY_PATTERN
from jobs.settings import Settings
from tests.conftest import ROOT, everything_in
from tests.integration.conftest import submit
from tests.integration.test_api import finish

ADMIN_KEY = "canary-admin-key-0123456789-0123456789"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "api.log"


@pytest.fixture
def http(settings: Settings, log: Path) -> Iterator[httpx.Client]:
    """A client of a separate web tier process that logs everything it can."""
    environment = {
        "AUTH": "on",
        "ADMIN_KEY": ADMIN_KEY,
        "REDIS_URL": settings.redis_url,
        "S3_ENDPOINT_URL": settings.s3_endpoint_url,
        "S3_BUCKET": settings.s3_bucket,
        "S3_ACCESS_KEY_ID": settings.s3_access_key_id,
        "S3_SECRET_ACCESS_KEY": settings.s3_secret_access_key.get_secret_value(),
        "PYTHONPATH": str(ROOT),
    }
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "uvicorn", "api.main:create_app", "--factory", "--port", str(port)]
    with log.open("w") as out:
        server = subprocess.Popen(
            [*command, "--log-level", "trace"], env=os.environ | environment, stdout=out, stderr=out, cwd=log.parent
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=10) as client:
            while not is_up(client):
                assert server.poll() is None, log.read_text()
                time.sleep(0.05)
            yield client
    finally:
        server.terminate()
        server.wait()


def is_up(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def test_no_secret_is_logged_kept_or_answered(http, log, settings, store, pictures, jpeg):
    def call(method: str, path: str, key: str, **options) -> httpx.Response:
        answers.append(http.request(method, path, headers={"Authorization": f"Bearer {key}"}, **options))
        return answers[-1]

    answers: list[httpx.Response] = []
    made = call("POST", "/v1/admin/keys", ADMIN_KEY, json={"tenant": "acme"}).json()["key"]
    answers.clear()  # the one answer that has to show it
    secret = KEY_PATTERN.fullmatch(made)[2]
    wrong = made[:-1] + ("0" if made[-1] != "0" else "1")
    session = call("POST", "/v1/session", made).cookies["darkroom_session"]
    http.cookies.clear()
    job = submit_as(http, made, jpeg)
    for method, path in [
        ("GET", job["urls"]["self"]),
        ("GET", f"/v1/jobs/{job['id']}/input"),
        ("GET", "/v1/jobs?limit=x"),
    ]:
        for key in (made, wrong, ADMIN_KEY, ADMIN_KEY + "x"):
            call(method, path, key)
    finish(store, pictures, job["id"])
    call("GET", f"/v1/jobs/{job['id']}/output", made)
    call("GET", "/v1/admin/keys", ADMIN_KEY)
    call("POST", "/v1/jobs", made, json={"image": "data:image/png;base64,", "prompt": made})
    answers.append(http.get("/v1/session", headers={"Cookie": f"darkroom_session={session}"}))
    assert {answer.status_code for answer in answers} >= {200, 201, 307, 401, 404, 422}

    link = next(answer.headers["location"] for answer in answers if answer.status_code == 307)
    signature = link.split("Signature=")[1]
    secrets = [secret, session, ADMIN_KEY, signature, settings.s3_secret_access_key.get_secret_value()]
    told = "".join(answer.text for answer in answers)
    held = everything_in(store.redis)
    logged = log.read_text()
    assert f"GET {job['urls']['self']}" in logged
    assert job["id"] in held
    for number, canary in enumerate(secrets):
        assert canary not in logged, f"secret {number} is in the log"
        assert canary not in held, f"secret {number} is in Redis"
        assert canary not in told, f"secret {number} is in an answer"
    assert httpx.URL(settings.redis_url).password not in logged + told


def submit_as(http: httpx.Client, key: str, jpeg: bytes) -> dict:
    http.headers["Authorization"] = f"Bearer {key}"
    job = submit(http, jpeg)
    del http.headers["Authorization"]
    return job
