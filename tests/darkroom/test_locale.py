"""Terminals and arguments of any encoding.

The cases: an ASCII locale, as in many containers and cron jobs; bytes that are not valid text; a terminal that cannot
show a character; a pipe that nobody reads.
"""

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
DARKROOM = str(Path(sys.executable).with_name("darkroom"))
PHOTO = str(ROOT / "examples" / "mountains.jpg")
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
    data = folder / "Daten ü"
    data.mkdir()
    (data / "address").write_text(url, encoding="utf-8")
    sent = json.loads(speak(folder, DARKROOM, "submit", "Séracs.jpg", INSTRUCTION, "--data", str(data), "--json"))
    assert sent["params"]["prompt"] == INSTRUCTION
    assert "märchenhaft: 雪" in speak(folder, DARKROOM, "list", "--data", str(data))


def run(url: str, *words: str | bytes, **environment: str) -> subprocess.CompletedProcess[bytes]:  # noqa: F811
    command = [DARKROOM, *words, "--url", url]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, timeout=60)


def test_a_terminal_without_the_letters_is_told_their_numbers_and_json_stays_json(url):  # noqa: F811
    assert run(url, "submit", PHOTO, INSTRUCTION).returncode == 0
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    told = run(url, "list", **ascii_only)
    assert (told.returncode, told.stderr) == (0, b"")
    assert b"m\\xe4rchenhaft: \\u96ea" in told.stdout
    (job,) = json.loads(run(url, "list", "--json", **ascii_only).stdout)["data"]
    assert job["params"]["prompt"] == INSTRUCTION


def test_bytes_that_are_no_text_are_a_file_s_name_or_refused_in_a_sentence(url, tmp_path):  # noqa: F811
    photo = os.fsencode(tmp_path) + b"/\xff.jpg"
    shutil.copy(PHOTO, photo)
    assert run(url, "submit", photo, "make it gray").returncode == 0
    for words in (("submit", photo, b"make it \xff"), ("status", b"\xff"), ("list", "--status", b"\xff")):
        told = run(url, *words)
        assert told.returncode == 2
        assert told.stderr.startswith(b"darkroom: '")
        assert b"\\udcff' is no text in utf-8." in told.stderr
        assert told.stderr.count(b"\n") == 1


@pytest.mark.parametrize("words", [("list",), ("list", "--json"), ("models",)])
def test_a_pipe_that_nobody_reads_ends_it_quietly(url, words):  # noqa: F811
    reads, writes = os.pipe()
    os.close(reads)
    command = [DARKROOM, *words, "--url", url]
    told = subprocess.run(command, stdout=writes, stderr=subprocess.PIPE, timeout=60)
    os.close(writes)
    assert (told.returncode, told.stderr) == (1, b"")


def test_without_any_output_it_does_its_work(url):  # noqa: F811
    script = 'exec "$0" list --json --url "$1" >&- 2>&-'
    assert subprocess.run(["sh", "-c", script, DARKROOM, url], timeout=60).returncode == 0


def test_settings_and_the_local_stack_read_env_files_with_any_letters(folder):
    script = (
        "from jobs.settings import Settings; from darkroom.local.stack import configured; "
        "print(ascii([Settings().s3_secret_access_key.get_secret_value(), configured('CHECKPOINT')]))"
    )
    assert speak(folder, sys.executable, "-c", script).strip() == ascii(["schlüssel", "modèles/petit"])
