"""A machine whose locale has no letters but ASCII's, as in many containers and cron jobs."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.darkroom.test_client_live import url  # noqa: F401 - a fixture

BARE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(ROOT)}
INSTRUCTION = "mach es märchenhaft: 雪 über Zürich"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a name, a photo with a name, and a `.env` with a value, all of letters beyond ASCII."""
    made = tmp_path / "Fotos für Zoë"
    made.mkdir()
    shutil.copy(ROOT / "examples" / "mountains.jpg", made / "Séracs.jpg")
    (made / ".env").write_text("S3_SECRET_ACCESS_KEY=schlüssel\nCHECKPOINT=modèles/petit\n", encoding="utf-8")
    return made


def speak(folder: Path, *command: str, **environment: str) -> str:
    """What a command prints in that locale."""
    told = subprocess.run(command, cwd=folder, env=os.environ | BARE | environment, capture_output=True, timeout=60)
    assert told.returncode == 0, told.stderr.decode(errors="replace")
    return told.stdout.decode("utf-8")


def test_photos_instructions_and_folders_may_have_any_letters(folder, url):  # noqa: F811
    program = str(Path(sys.executable).with_name("darkroom"))
    data = folder / "Daten ü"
    data.mkdir()
    (data / "address").write_text(url, encoding="utf-8")
    sent = json.loads(speak(folder, program, "submit", "Séracs.jpg", INSTRUCTION, "--data", str(data), "--json"))
    assert sent["params"]["prompt"] == INSTRUCTION
    assert "märchenhaft: 雪" in speak(folder, program, "list", "--data", str(data))


def test_settings_and_the_local_stack_read_env_files_with_any_letters(folder):
    script = (
        "from jobs.settings import Settings; from darkroom.local.stack import configured; "
        "print(ascii([Settings().s3_secret_access_key.get_secret_value(), configured('CHECKPOINT')]))"
    )
    assert speak(folder, sys.executable, "-c", script).strip() == ascii(["schlüssel", "modèles/petit"])
