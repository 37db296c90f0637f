"""What `darkroom edit` accepts, where it writes the edits, and how it reports errors."""

import base64
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from darkroom.cli.app import app
from darkroom.cli.graphics import iterm, kitty
from darkroom.client import Client
from tests.conftest import ROOT
from tests.darkroom.test_client_live import url, working  # noqa: F401 - fixtures
from tests.integration.conftest import context  # noqa: F401 - a fixture
from tests.integration.test_worker import Step
from tests.waiting import until

PAGODA, MOUNTAINS = (ROOT / "examples" / f"{name}.jpg" for name in ("pagoda", "mountains"))
GRAY = ("make it gray", "--steps", "2")


@pytest.fixture
def darkroom(url, tmp_path, monkeypatch):  # noqa: F811
    """Runs a command against the service, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object, given: bytes = b"") -> Result:
        runner = CliRunner(env={"DARKROOM_URL": url, "DARKROOM_KEY": ""})
        return runner.invoke(app, list(map(str, words)), input=given)

    return run


def test_an_edit_is_named_after_photo_and_instruction_and_never_overwrites(url, darkroom, working):  # noqa: F811
    with working(Step()):
        for name in ("pagoda-make-it-gray.png", "pagoda-make-it-gray-2.png"):
            done = darkroom("edit", PAGODA, *GRAY)
            assert (done.exit_code, done.stdout) == (0, f"Saved {name}\n"), done.stderr
        Path("mine.png").write_bytes(b"mine")
        refused = darkroom("edit", PAGODA, *GRAY, "-o", "mine.png")
        assert (refused.exit_code, "mine.png is there already" in refused.stderr) == (1, True)
        assert Path("mine.png").read_bytes() == b"mine"
        with Client(url) as client:
            assert len(list(client.jobs.iterate())) == 2, "what would overwrite is refused before it is sent"
        assert darkroom("edit", PAGODA, *GRAY, "-o", "mine.png", "--force").exit_code == 0
        assert Path("mine.png").read_bytes().startswith(b"\x89PNG")
        job = json.loads(darkroom("list", "--json").stdout)["data"][0]["id"]
        for command in (["download", job], ["wait", job], ["render", job, "--strength", "0.5"]):
            before = Path("mine.png").read_bytes()
            assert darkroom(*command, "-o", "mine.png").exit_code == 1
            assert Path("mine.png").read_bytes() == before
        assert darkroom("render", job, "--strength", "0.5").stdout == "Saved pagoda-make-it-gray-50-percent.png\n"


def test_several_edits_of_a_photo_are_refused_a_place_before_they_are_made(darkroom):
    Path("gray-2.png").write_bytes(b"mine")
    taken = darkroom("edit", PAGODA, *GRAY, "-n", "2", "-o", "gray.png")
    assert (taken.exit_code, "gray-2.png is there already" in taken.stderr) == (1, True)
    mixed = darkroom("edit", PAGODA, *GRAY, "-n", "2", "-o", "-", "--format", "png")
    assert (mixed.exit_code, "takes one picture" in mixed.stderr) == (1, True)
    assert json.loads(darkroom("list", "--json").stdout)["data"] == []
    assert [path.name for path in Path().iterdir()] == ["gray-2.png"]


def test_several_photos_folders_and_edits_of_jobs_are_edited_in_one_command(darkroom, working, tmp_path):  # noqa: F811
    album, out = tmp_path / "album", tmp_path / "out"
    album.mkdir()
    out.mkdir()
    (album / "b.jpg").write_bytes(PAGODA.read_bytes())
    (album / "a.jpg").write_bytes(b"no picture")
    (album / "notes.txt").write_text("no photo")
    with working(Step()):
        job = json.loads(darkroom("edit", MOUNTAINS, *GRAY, "--json").stdout)["id"]
        done = darkroom("edit", album, MOUNTAINS, f"job:{job}", *GRAY, "-o", out)
        told = darkroom("edit", album, *GRAY, "-o", out, "--json").stdout
    assert done.exit_code == 3, "the first of them that failed tells the exit status"
    assert done.stderr.count("must be a JPEG") == 1, "no sentence is said twice"
    assert "darkroom: a.jpg: The picture must be a JPEG" in done.stderr
    assert {path.name for path in out.iterdir()} == {
        *("b-make-it-gray.png", "b-make-it-gray-2.png", "mountains-make-it-gray.png", "make-it-gray.png")
    }
    first, second = map(json.loads, told.splitlines())
    assert (first["photo"], first["error"]["exit_status"], second["status"]) == ("a.jpg", 3, "succeeded")
    refused = darkroom("edit", MOUNTAINS, PAGODA, *GRAY, "-o", "one.png")
    assert (refused.exit_code, "is no folder" in refused.stderr) == (1, True)


def test_a_photo_comes_from_a_pipe_and_its_edit_goes_into_one(darkroom, working):  # noqa: F811
    with working(Step()):
        done = darkroom("edit", "-", *GRAY, "-o", "-", "--format", "jpeg", given=PAGODA.read_bytes())
    assert done.exit_code == 0, done.stderr
    assert done.stdout_bytes.startswith(b"\xff\xd8\xff")
    assert Image.open(io.BytesIO(done.stdout_bytes)).size == Image.open(PAGODA).size
    assert not list(Path().iterdir())


def test_metadata_and_a_webhook_go_with_the_job(darkroom):
    hook = "https://hooks.example/in"
    sent = darkroom(
        "submit", PAGODA, *GRAY, "--metadata", "order=7", "--metadata", "for=a=b", "--webhook", hook, "--json"
    )
    job = json.loads(sent.stdout)
    assert job["metadata"] == {"photo": "pagoda.jpg", "order": "7", "for": "a=b"}
    assert darkroom("submit", PAGODA, *GRAY, "--metadata", "order").exit_code == 2
    assert darkroom("submit", PAGODA, *GRAY, "--webhook", "http://127.0.0.1/").exit_code == 3


def test_with_json_errors_are_json_on_stdout(darkroom):
    for words, status in (
        (("status", "nobody", "--json"), 4),
        (("submit", PAGODA, "x", "--steps", "1", "--json"), 3),
        (("submit", PAGODA, "x", "--steps", "many", "--json"), 2),
        (("submit", "nowhere.jpg", "x", "--json"), 1),
    ):
        done = darkroom(*words)
        error = json.loads(done.stdout)["error"]
        assert (done.exit_code, error["exit_status"], done.stderr) == (status, status, "")
        assert len(error["detail"]) > 10
    assert (
        json.loads(darkroom("submit", PAGODA, "x", "--steps", "1", "--json").stdout)["error"]["problem"]["status"]
        == 422
    )


def test_the_list_has_times_and_can_be_searched(darkroom, working):  # noqa: F811
    with working(Step()):
        assert darkroom("edit", PAGODA, *GRAY).exit_code == 0
        assert darkroom("edit", MOUNTAINS, "make it Snowy", "--steps", "2").exit_code == 0
    (_, first, second) = darkroom("list").stdout.splitlines()
    assert re.search(r"\d\d:\d\d:\d\d +\d+\.\d s +succeeded", first), first
    assert "gray" in second
    for words, found in (("snow", "make it Snowy"), ("PAGODA", "make it gray")):
        (job,) = json.loads(darkroom("list", "--search", words, "--json").stdout)["data"]
        assert job["params"]["prompt"] == found


@pytest.mark.parametrize(("answer", "status"), [(b"c\n", "canceled"), (b"\n", "queued"), (b"x\n", "queued")])
def test_after_ctrl_c_at_a_terminal_only_c_cancels(url, darkroom, answer, status):  # noqa: F811
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "darkroom", "edit", str(PAGODA), "make it gray", "--url", url]
    usual = "signal.signal(signal.SIGINT, signal.default_int_handler)"  # a shell's background job ignores it
    script = f"import os, signal, sys; {usual}; os.execv(sys.argv[1], sys.argv[1:])"
    process = at(theirs, [sys.executable, "-c", script, *command])
    os.close(theirs)
    until(lambda: json.loads(darkroom("list", "--json").stdout)["data"], 20, "the job is sent")
    read_until(ours, "queued")
    process.send_signal(signal.SIGINT)
    read_until(ours, "[L/c]")
    os.write(ours, answer)
    read_until(ours, "to stop" if status == "canceled" else "goes on")
    assert process.wait(20) == 130
    os.close(ours)
    assert json.loads(darkroom("list", "--json").stdout)["data"][0]["status"] == status


def at(terminal: int, command: list[str], **environment: str) -> subprocess.Popen[bytes]:
    """A command that runs at a terminal, not inside a terminal multiplexer."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    variables.pop("TMUX", None)
    return subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=variables)


def read_until(terminal: int, words: str, seconds: float = 30) -> str:
    """The output of a terminal until these words appear."""
    said, ends = "", time.monotonic() + seconds
    while words not in said:
        assert time.monotonic() < ends, said
        if select.select([terminal], [], [], 0.2)[0]:
            said += os.read(terminal, 65536).decode(errors="replace")
    return said


@pytest.mark.parametrize("draw", [kitty, iterm])
def test_a_picture_reaches_terminals_that_show_pictures_whole(draw):
    jpeg = PAGODA.read_bytes()
    said = draw(jpeg, 40, 12)
    if draw is kitty:
        parts = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", said)
        assert all(len(data) <= 4096 for _, data in parts)
        assert ["m=1" in head for head, _ in parts] == [True] * (len(parts) - 1) + [False]
        data = "".join(data for _, data in parts)
        assert "c=40,r=12" in parts[0][0]
    else:
        (data,) = re.findall(r"\x1b\]1337;File=inline=1;[^:]*width=40;height=12;[^:]*:([^\x07]*)\x07", said)
    shown, photo = Image.open(io.BytesIO(base64.b64decode(data))), Image.open(io.BytesIO(jpeg))
    assert (shown.format, shown.size) == ("PNG" if draw is kitty else "JPEG", photo.size)
    assert shown.tobytes() == photo.tobytes()


def test_watch_shows_the_result_as_pixels_where_the_terminal_can(url, darkroom, working):  # noqa: F811
    job = darkroom("submit", PAGODA, *GRAY).stdout.strip()
    with working(Step()):
        assert darkroom("wait", job).exit_code == 0
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "darkroom", "watch", job, "--url", url]
    process = at(theirs, command, TERM="xterm-kitty", KITTY_WINDOW_ID="1")
    os.close(theirs)
    said = read_until(ours, "succeeded  after")
    assert process.wait(20) == 0
    os.close(ours)
    *_, last = re.split(r"\x1b_Ga=T", said)
    data = "".join(re.findall(r"(?:^|\x1b_G)[^;\x1b]*;([^\x1b]*)\x1b\\", last))
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == Image.open(PAGODA).size
