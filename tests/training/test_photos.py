"""No picture without its license, and none on both sides of the line between training and judging."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.photos import attribution, gather, held_out, train_crops
from training.sources import FREE, HERE, held_out_names, sources


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of its own colors for every source, as if fetched; one is a held-out picture, paler."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "pictures").mkdir()
    rng = np.random.default_rng(0)
    names = [picture.name for picture in sources()]
    pictures = {name: np.kron(rng.random((8, 12, 3)), np.ones((16, 16, 1))) for name in names}
    pictures[names_in_training()[0]] = 0.1 + 0.9 * pictures[held_out_names()[0]]
    for name, picture in pictures.items():
        Image.fromarray((255 * picture).astype(np.uint8)).save(folder / "pictures" / f"{name}.jpg", quality=96)
    gather(folder)
    return folder


def names_in_training() -> list[str]:
    return [picture.name for picture in sources() if not picture.held_out]


def test_every_picture_has_an_author_a_source_and_a_licence_that_lets_the_model_be_passed_on():
    with (HERE / "sources.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len({row["name"] for row in rows}) >= 250
    assert len({(row["package"], row["path"]) for row in rows}) == len(rows), "a picture is listed twice"
    for row in rows:
        assert all(row.values()), row
        assert FREE.fullmatch(row["licence"]), row
        assert row["source"].startswith("https://"), row


def test_thirty_photos_and_more_are_held_out():
    assert len(set(held_out_names())) == len(held_out_names()) >= 30


def test_every_picture_that_training_reads_has_its_line_in_the_attribution(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    read = recorded_reads(monkeypatch)
    train_crops(folder, np.random.default_rng(0), 64)
    lines = attribution(folder).splitlines()
    lines_of = {picture.name: f"- {picture.credit()}" for picture in sources()}
    assert len(read) > 200
    assert all(lines_of[name] in lines for name in read)
    assert not set(read) & set(held_out_names())
    assert sum(line.startswith("- ") for line in lines) == len(read), "a credit for a picture that is not read"


def recorded_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the pictures that are opened from now on."""
    read: list[str] = []
    opened: Callable[..., Image.Image] = Image.open

    def record(path: Path) -> Image.Image:
        read.append(path.stem)
        return opened(path)

    monkeypatch.setattr(Image, "open", record)
    return read


def test_a_near_duplicate_of_a_held_out_photo_is_not_trained_on(folder: Path):
    doubles = names_in_training()[0]
    lines_of = {picture.name: picture.credit() for picture in sources()}
    assert lines_of[doubles] not in attribution(folder)


def test_crops_have_the_size_asked_for_and_the_same_seed_draws_the_same(folder: Path):
    crops = [train_crops(folder, np.random.default_rng(3), (48, 80), count=5) for _ in range(2)]
    assert crops[0].shape == (5, 48, 80, 3)
    assert crops[0].dtype == np.float32
    assert 0 <= crops[0].min() < crops[0].max() <= 1
    assert np.array_equal(*crops)


def test_held_out_photos_come_in_their_order_and_only_where_they_are_large_enough(folder: Path):
    assert [name for name, _ in held_out(folder, 128)] == list(held_out_names())
    assert all(photo.shape == (64, 128, 3) for _, photo in held_out(folder, (64, 128)))
    assert held_out(folder, 512) == []


def test_gathering_again_changes_nothing(folder: Path):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    gather(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_shipped_attribution_names_every_picture_that_is_not_held_out_and_no_other():
    """Some come twice, at two scales, and have two lines."""
    wanted = sorted(f"- {picture.credit()}" for picture in sources() if not picture.held_out)
    for shipped in (HERE.parent / "checkpoints").glob("*/ATTRIBUTION.md"):
        assert sorted(line for line in shipped.read_text().splitlines() if line.startswith("- ")) == wanted, shipped
