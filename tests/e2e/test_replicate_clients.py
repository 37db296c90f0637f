"""Replicate's own clients, unchanged, against a whole running service. Each does what users do and prints the results.

The programs are in `clients/`. A client is installed once, from its registry, next to the project's packages.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from darkroom.local.ports import free_ports
from tests.conftest import ROOT
from tests.local_stack import OBEDIENT, PHOTO, Up

pytestmark = pytest.mark.timeout(300)

PROGRAMS = Path(__file__).with_name("clients")
PNG, JPEG = b"\x89PNG".hex(), b"\xff\xd8\xff".hex()
INSTALL = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target"]
HOOK_PORT = free_ports(1)[0]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    allowed = {"FETCH_PORTS": str(HOOK_PORT), "ALLOW_PRIVATE_NETWORKS": "127.0.0.1/32"}
    with Up(tmp_path_factory.mktemp("replicate") / "stack", "--auth", **OBEDIENT, **allowed) as running:
        yield running


def run(command: list[str], up: Up, **environment: str) -> Any:
    """The output of a client's program."""
    key = up.http.headers["authorization"].removeprefix("Bearer ")
    ours = {"REPLICATE_API_TOKEN": key, "REPLICATE_POLL_INTERVAL": "0.05", "PHOTO": str(PHOTO)}
    given = {**os.environ, **ours, "HOOK_PORT": str(HOOK_PORT), "no_proxy": "*", **environment}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=given)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def installed(command: list[str]) -> None:
    """Skip the tests of a client that cannot be installed here."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"not installed: {command[-1]}: {done.stderr.strip()[-200:]}")


def python_client(folder: Path, up: Up, base: str, program: Path) -> Any:
    return run([sys.executable, str(program)], up, PYTHONPATH=str(folder), REPLICATE_BASE_URL=up.url + base)


@pytest.fixture(scope="module")
def first_installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("replicate-1")
    installed([*INSTALL, str(folder), "replicate==1.0.7"])
    return folder


@pytest.fixture(scope="module")
def first(up: Up, first_installed: Path) -> dict[str, Any]:
    return python_client(first_installed, up, "/replicate", PROGRAMS / "replicate_1.py")


@pytest.fixture(scope="module")
def second(up: Up, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("replicate-2")
    installed([*INSTALL, str(folder), "replicate==2.0.0b4", "distro==1.9.0", "sniffio==1.3.1"])
    return python_client(folder, up, "/replicate/v1", PROGRAMS / "replicate_2.py")


@pytest.fixture(scope="module")
def javascript(up: Up, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    npm, node = shutil.which("npm"), shutil.which("node")
    if not npm or not node:
        pytest.skip("replicate-javascript needs npm and node")
    folder = tmp_path_factory.mktemp("replicate-javascript")
    installed([npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), "replicate@1.4.0"])
    program = shutil.copy(PROGRAMS / "replicate.cjs", folder)
    return run([node, program], up, BASE_URL=f"{up.url}/replicate/v1")


# ---- 1.0.7


def test_first_run_gives_pictures_however_the_photo_is_sent(first):
    assert [first[way] for way in ("run", "run by version", "run in asyncio")] == [PNG] * 3
    assert first["run with base64"].startswith(JPEG)


def test_first_run_waits_on_when_its_wait_is_over(first):
    assert first["run that outlasts its wait"] == PNG


def test_first_refusals_are_told_in_full(first):
    assert first["unknown"]["status"] == 404
    wrong = first["out of range"]
    assert (wrong["status"], wrong["type"]) == (422, "urn:darkroom:problem:invalid-request")
    assert wrong["detail"].startswith("input.num_inference_steps: must be")


def test_first_predictions_are_made_got_listed_and_canceled(first):
    assert first["created"] == "starting"
    assert first["canceled"] == ["canceled", None, None]
    assert first["by model, by deployment"] == ["succeeded", first["version"], "succeeded", "darkroom/pix2pix-1"]
    assert first["got again"] is True
    assert first["listed"] is True


def test_first_what_a_prediction_tells_can_be_asked_again(first):
    assert first["its own input again"] == ["succeeded", 1.0]
    assert first["an output as an input"] == "succeeded"


def test_first_stream_tells_of_progress_and_then_the_output(first):
    *logs, output, done = first["stream"]
    assert {kind for kind, _, _ in logs} == {"logs"}
    assert [output, done] == [["output", True, "data:"], ["done", True, "{}"]]


def test_first_files_live_their_life(first):
    assert first["file"] == [PHOTO.name, "image/jpeg", PHOTO.stat().st_size, {"order": 7}, True]
    assert first["file listed"] is True
    assert first["file deleted"] == [True, 404]


def test_first_webhooks_are_predictions_and_pass_the_clients_own_check(first):
    begun, *logs, completed = first["webhooks"]
    assert {told["id"] for told in first["webhooks"]} == {first["told of"]}
    assert (begun["status"], begun["output"], begun["completed_at"]) == ("processing", None, None)
    assert (completed["status"], completed["version"]) == ("succeeded", first["version"])
    assert completed["logs"].endswith("| 40/40")
    assert all("|" in told["logs"] for told in logs)


def test_first_account_and_hardware(first):
    assert (first["account"], first["hardware"]) == ("default", ["darkroom"])
    assert {"image", "prompt", "guidance_scale", "image_guidance_scale", "seed"} <= set(first["inputs"])


def test_first_the_pages_own_programs_run(first_installed, up, tmp_path):
    page = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8").partition("## Replicate")[2]
    programs = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(programs) == 3
    assert all(len(program.strip().splitlines()) <= 10 for program in programs)
    here = "\n".join(programs).replace("https://example.com/told", f"http://127.0.0.1:{HOOK_PORT}/told")
    show = "import json\nprint(json.dumps([picture[:4].hex(), prediction.status]))"
    program = tmp_path / "page.py"
    program.write_text(f"import os\nos.chdir({str(tmp_path)!r})\n{here}\n{show}")
    shutil.copy(PHOTO, tmp_path / "photo.jpg")
    assert python_client(first_installed, up, "/replicate", program) == [PNG, "starting"]
    assert (tmp_path / "winter.png").read_bytes()[:4].hex() == PNG


# ---- 2.0.0b4


def test_second_run_and_use_give_pictures(second):
    assert second["run"] == second["run that outlasts its wait"] == PNG
    assert second["use"] == "data:image/png;base64,"


def test_second_refusals_have_the_clients_own_classes(second):
    assert second["unknown"]["status"] == 404
    assert second["out of range"]["errors"][0]["field"] == "input.num_inference_steps"


def test_second_a_version_may_be_an_id_or_a_name_or_both(second):
    assert second["three forms"] == [["succeeded", second["version"], 300.0]] * 3


def test_second_predictions_end_as_they_should(second):
    assert (second["by deployment"], second["canceled"]) == ("succeeded", "canceled")
    assert second["overdue"][0] == "canceled"
    assert "deadline" in second["overdue"][1]
    assert second["listed"] is True


def test_second_the_clients_own_retries_make_one_prediction(second):
    assert second["a call that timed out and was repeated"] is True


def test_second_models_are_listed_and_found(second):
    assert "pix2pix-full" in second["models"]
    assert second["found"] == ["pix2pix-base"]


def test_second_files_live_their_life(second):
    assert second["file"] == ["image/jpeg", PHOTO.stat().st_size, True, True]
    assert (second["file listed"], second["file deleted"]) == (True, 404)


def test_second_the_rest(second):
    assert second["webhooks"] == ["succeeded"]
    assert (second["secret"], second["account"], second["hardware"]) == ("whsec_", "default", ["darkroom"])


# ---- JavaScript


def test_javascript_run_gives_pictures_and_waits_on_when_its_wait_is_over(javascript):
    assert javascript["run"] == javascript["run by polling"] == PNG
    picture, seen = javascript["run that outlasts its wait"]
    assert picture == PNG
    assert seen == ["processing", "starting", "succeeded"]


def test_javascript_stream_needs_no_key_for_its_link(javascript):
    assert javascript["stream"][-2:] == [["output", True, "data:"], ["done", True, "{}"]]


def test_javascript_predictions_and_files_live_their_lives(javascript):
    assert (javascript["canceled"], javascript["listed"], javascript["refused"]) == ("canceled", 0, 422)
    assert javascript["file"] == [PHOTO.stat().st_size, {"order": 7}, True]
    assert (javascript["file listed"], javascript["file deleted"]) == (True, True)
    assert (javascript["found"], javascript["account"]) == (["pix2pix-base"], "default")


def test_javascript_webhooks_pass_the_clients_own_check(javascript):
    assert javascript["webhook"] == ["succeeded", True]
