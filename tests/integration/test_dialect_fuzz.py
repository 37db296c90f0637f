"""Generated requests to the dialects: schemathesis reads the OpenAPI document of each and tries it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.api_keys import ApiKeys, Scope
from jobs.settings import Settings
from tests.integration.conftest import submit
from tests.integration.test_events import serving
from tests.integration.test_fuzz import PATIENT, working

CONFIG = Path(__file__).with_name("schemathesis.toml")
USER = frozenset({Scope.SUBMIT, Scope.READ})
OWN_CONFIG = """
[parameters]
"path.owner" = "darkroom"
"path.name" = "pix2pix-full"
"path.prediction_id" = "$JOB"

[phases.coverage]
unexpected-methods = ["PUT"]
"""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("prefix", [pytest.param("/openai/v1", marks=pytest.mark.slow), "/replicate/v1"])
def test_a_dialect_does_what_its_document_says(
    settings: Settings, store, pictures, jpeg, tmp_path, pytestconfig, prefix
):
    config = tmp_path / "schemathesis.toml"
    foreign, own = (ApiKeys(store.redis).make(name, USER)[1] for name in ("acme", "umbrella"))
    with serving(settings.model_copy(update={"auth": "on", **PATIENT})) as http, working(store, pictures, jpeg):
        http.headers["Authorization"] = f"Bearer {foreign}"
        theirs = submit(http, jpeg)["urls"]["self"]
        http.headers["Authorization"] = f"Bearer {own}"
        config.write_text(CONFIG.read_text() + OWN_CONFIG.replace("$JOB", submit(http, jpeg)["id"]))
        run = subprocess.run(
            [
                sys.executable,
                "-m",
                "schemathesis.cli",
                "--no-color",
                "--config-file",
                str(config),
                "run",
                *([] if pytestconfig.getoption("--slow") else ["--max-examples", "1", "--phases", "fuzzing"]),
                str(http.base_url.join(f"{prefix}/openapi.json")),
            ],
            env={**os.environ, "DARKROOM_KEY": own},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        http.headers["Authorization"] = f"Bearer {foreign}"
        assert http.get(theirs).status_code == 200, "the other tenant's job was not touched"
    assert run.returncode == 0, run.stdout + run.stderr
