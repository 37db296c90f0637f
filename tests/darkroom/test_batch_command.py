"""`darkroom batch`: all photos of a folder, each sent and edited once, however often the command is run."""

import json
from pathlib import Path

import pytest
from PIL import Image

from darkroom import client
from darkroom.cli import batch as command
from tests.darkroom.test_client_live import url, working  # noqa: F401 - fixtures
from tests.darkroom.test_commands import darkroom  # noqa: F401 - a fixture
from tests.integration.conftest import context  # noqa: F401 - a fixture
from tests.integration.test_worker import Step


@pytest.fixture(autouse=True)
def hasty(monkeypatch) -> None:
    monkeypatch.setattr(command, "LOOK", 0.1)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three photos, two with the same stem, and something that is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, name in enumerate(("a.jpg", "b.png", "b.JPG")):
        Image.new("RGB", (64 + number, 48), "teal").save(folder / name)
    (folder / "notes.txt").write_text("no photo")
    return folder


def names(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir() if not path.name.startswith("."))


def test_all_photos_of_a_folder(darkroom, working, folder, tmp_path, store):  # noqa: F811
    out = tmp_path / "out"
    words = ("batch", str(folder), "make it gray", "-o", str(out), "--steps", "2", "--format", "jpeg")
    with working(Step()):
        done = darkroom(*words)
    assert done.exit_code == 0, done.stderr
    assert names(out) == ["a.jpg", "b.JPG.jpg", "b.png.jpg", "contact-sheet.jpg"]
    assert [Image.open(out / name).width for name in ("a.jpg", "b.png.jpg", "b.JPG.jpg")] == [64, 65, 66]
    assert "Saved 3 of 3" in done.stdout
    (out / "a.jpg").unlink()
    again = darkroom(*words, "--json")
    assert (again.exit_code, json.loads(again.stdout)["counts"]["completed"]) == (0, 3)
    assert (out / "a.jpg").exists(), "what is missing is fetched again, without an edit"
    assert len(store.page("default", status=None, limit=9, after=None)) == 3
    other = darkroom("batch", str(folder), "make it blue", "-o", str(out))
    assert (other.exit_code, "another batch" in other.stderr) == (1, True)


def test_an_interrupted_command_sends_nothing_twice(darkroom, working, folder, tmp_path, store, monkeypatch):  # noqa: F811
    out, sent, again = tmp_path / "out", [], []
    words = ("batch", str(folder), "make it gray", "-o", str(out), "--steps", "2")
    read = client.read_picture

    def interrupted(photo):
        if len(sent) == 2 and not again:
            raise KeyboardInterrupt
        sent.append(photo.name)
        return read(photo)

    def left(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(client, "read_picture", interrupted)
    assert darkroom(*words).exit_code == 130
    again.append(True)
    monkeypatch.setattr(command, "follow", left)
    assert darkroom(*words).exit_code == 130
    assert sorted(sent) == ["a.jpg", "b.JPG", "b.png"]
    monkeypatch.undo()
    monkeypatch.setattr(command, "LOOK", 0.1)
    with working(Step()):
        assert darkroom(*words).exit_code == 0
    assert len(names(out)) == 4
    assert len(store.page("default", status=None, limit=9, after=None)) == 3


def test_what_has_no_edit_is_named(darkroom, working, folder, tmp_path):  # noqa: F811
    (folder / "broken.png").write_bytes(b"no picture")
    with working(Step()):
        done = darkroom("batch", str(folder), "make it gray", "-o", str(tmp_path / "out"), "--steps", "2")
    assert done.exit_code == 8
    assert "broken.png: " in done.stderr
    assert "1 of 4 photos have no edit" in done.stderr
    assert "Saved 3 of 4" in done.stdout


def test_a_folder_that_cannot_be(darkroom, folder, tmp_path):  # noqa: F811
    empty = tmp_path / "empty"
    empty.mkdir()
    for place, out in ((empty, tmp_path / "out"), (folder, folder)):
        done = darkroom("batch", str(place), "make it gray", "-o", str(out))
        assert (done.exit_code, len(done.stderr) > 20) == (1, True)
    refused = darkroom("batch", str(folder), "make it gray", "-o", str(tmp_path / "out"), "--steps", "0")
    assert (refused.exit_code, "steps" in refused.stderr) == (3, True)
