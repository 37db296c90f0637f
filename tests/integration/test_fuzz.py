"""schemathesis reads the OpenAPI document and tries what it allows, what it forbids, and sequences of it."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobs.job import new_id
from jobs.keyring import Keyring, Scope
from jobs.settings import Settings
from tests.integration.conftest import submit
from tests.integration.test_access import ADMIN_KEY, locked  # noqa: F401 - a fixture
from tests.integration.test_events import serving

CONFIG = Path(__file__).parent / "schemathesis.toml"
USER = frozenset({Scope.SUBMIT, Scope.READ})
PATIENT = {"reads_per_minute": 1_000_000, "writes_per_minute": 1_000_000}


@contextmanager
def working(store, pictures, picture: bytes) -> Iterator[None]:
    """Every job succeeds a moment after it was accepted, so that nothing waits long."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.02):
            while job := store.claim("w", lease_seconds=30, token=new_id()):
                store.finish(job, pictures.put_result(job, picture, "image/jpeg", (96, 64)), {}, {})

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        over.set()
        worker.join()


# An admin's key opens all that a user's does; that a user reaches nobody else's is in test_tenants.py, too.
@pytest.mark.parametrize("who", ["admin", pytest.param("user", marks=pytest.mark.slow)])
def test_the_api_does_what_its_document_says(locked: Settings, store, pictures, jpeg, tmp_path, pytestconfig, who):  # noqa: F811
    foreign, users = (Keyring(store.redis).make(name, USER)[1] for name in ("acme", "umbrella"))
    key = {"user": users, "admin": ADMIN_KEY}[who]
    with serving(locked.model_copy(update=PATIENT)) as http:
        http.headers["Authorization"] = f"Bearer {foreign}"
        theirs = submit(http, jpeg)["urls"]["self"]
        with working(store, pictures, jpeg):
            run = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "schemathesis.cli",
                    "--no-color",
                    "--config-file",
                    str(CONFIG),
                    "run",
                    *([] if pytestconfig.getoption("--slow") else ["--max-examples", "4"]),
                    str(http.base_url.join("/openapi.json")),
                ],
                env={**os.environ, "DARKROOM_KEY": key},
                cwd=tmp_path,
                capture_output=True,
                text=True,
            )
        if who == "user":  # an operator may prune anybody's ended jobs
            assert http.get(theirs).status_code == 200, "the other tenant's job was not touched"
    assert run.returncode == 0, run.stdout + run.stderr
