"""The judge, by editors whose edits are known: one that does all as asked, one that does nothing, one that mistakes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.edits import FAMILIES, Picture, compose
from training.evaluation import Run, Task, judge, keep, kept, report, sheet, summarise
from training.metrics import gradient_energy, grain_variance, levels, noise_variance, psnr, ssim
from training.wordings import held_out_composition, held_out_wordings

PAIRS = (("sepia", "blur"), ("night", "frame"))
MEANT = {sentence: (name,) for name in FAMILIES for sentence in held_out_wordings(name)}
MEANT |= {sentence: pair for pair in PAIRS for sentence in held_out_composition(pair)}
TASK = Task("pagoda", 0, (256, 256), tuple(FAMILIES), PAIRS, show=True)


@dataclass
class KnownEditor:
    """Does what the sentence means, or always the same thing, and loses a little in its autoencoder."""

    always: str | None = None

    def edit(self, photo: Picture, prompts: Sequence[str], steps: int | None, seed: int) -> list[Picture]:
        return [self.through_vae(compose((self.always,) if self.always else MEANT[p])(photo)) for p in prompts]

    def through_vae(self, picture: Picture) -> Picture:
        noise = np.random.default_rng(0).normal(0, 0.02, picture.shape)
        return (picture + noise).clip(0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def photo() -> Picture:
    with Image.open("examples/pagoda.jpg") as picture:
        return np.asarray(picture.convert("RGB").resize((96, 96)), np.float32) / 255


def judged_by(editor: KnownEditor, photo: Picture) -> dict:
    return summarise([judge(editor, photo, Run(Path(), Path()), TASK)])  # type: ignore[arg-type]


def test_who_does_as_asked_is_always_right(photo: Picture):
    summary = judged_by(KnownEditor(), photo)
    figures = summary["sizes"]["256x256"]
    assert figures["families"] >= 30
    assert figures["retrieval_at_1"] == figures["retrieval_at_3"] == 1
    assert figures["gain_where_input_is_at_most_20_dB"] > 10
    assert figures["losses"] == {}
    assert summary["compositions"] == {"asked": 2, "counted": 2, "retrieval_at_1": 1, "retrieval_at_3": 1}
    assert summary["unchanged"]["psnr"] == pytest.approx(summary["unchanged"]["psnr_vae"], abs=0.1)
    assert np.abs(summary["unchanged"]["colour_cast_of_255"]).max() < 1


def test_who_does_nothing_is_never_right_and_gains_nothing(photo: Picture):
    figures = judged_by(KnownEditor("keep"), photo)["sizes"]["256x256"]
    assert figures["retrieval_at_1"] == 0
    assert figures["gain_where_input_is_at_most_20_dB"] < 0


def test_a_mistake_is_named(photo: Picture):
    summary = judged_by(KnownEditor("night"), photo)
    assert summary["families"]["sunset"]["taken_for"] == {"night": 1}
    assert summary["families"]["night"]["retrieval_at_1"] == 1
    assert "sunset: right 0.0% of 1, else {'night': 1}" in report(summary)


def test_a_photo_does_not_count_where_the_family_changes_nothing_in_it(photo: Picture):
    """Of a gray photo nobody can tell whether its colors were removed."""
    gray = FAMILIES["bw"].apply(photo)
    families = judged_by(KnownEditor(), gray)["families"]
    assert families["bw"]["counted"] == families["vivid"]["counted"] == 0
    assert families["night"]["counted"] == 1


def test_a_result_is_kept_and_the_sheet_shows_every_edit_beside_what_it_should_be(photo: Picture, tmp_path: Path):
    judged = judge(KnownEditor(), photo, Run(Path(), Path()), TASK)  # type: ignore[arg-type]
    keep(judged, tmp_path)
    again = kept(TASK, tmp_path)
    assert again.edits == judged.edits
    assert summarise([again]) == summarise([judged])
    picture = np.asarray(sheet([judged, again]), np.float32)
    assert picture.shape == (130 * len(FAMILIES), 110 + 4 * 130, 3)
    row = 130 * list(FAMILIES).index("night")
    target, edit = picture[row : row + 128, 110:238], picture[row : row + 128, 240:368]
    assert np.abs(target - edit).mean() < 8 < target.std(), "two pictures of the same night"
    assert np.array_equal(picture[:, 110:368], picture[:, 370:628])


def test_distances_are_the_textbook_ones(photo: Picture):
    assert psnr(photo, photo) == 60
    assert psnr(np.zeros((8, 8, 3), np.float32), np.full((8, 8, 3), 0.1, np.float32)) == pytest.approx(20)
    assert ssim(photo, photo) == pytest.approx(1)
    assert ssim(photo, 1 - photo) < ssim(photo, 0.8 * photo) < 1


def test_statistics_tell_grain_sharpening_and_few_levels_from_the_photo(photo: Picture):
    assert noise_variance(FAMILIES["grain"].apply(photo)) > 1.5 * noise_variance(photo)
    assert grain_variance(FAMILIES["grain"].apply(photo)) > 1.5 * grain_variance(photo)
    assert gradient_energy(FAMILIES["sharpen"].apply(photo)) > 1.5 * gradient_energy(photo)
    assert gradient_energy(FAMILIES["blur"].apply(photo)) < gradient_energy(photo)
    assert levels(FAMILIES["posterize"].apply(photo)) <= 4 < levels(photo)
    noise = np.random.default_rng(0).normal(0.5, 0.05, (64, 64)).astype(np.float32)
    assert noise_variance(np.dstack([noise] * 3)) == pytest.approx(0.05**2, rel=0.1)
