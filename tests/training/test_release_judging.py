"""The figures of a release mean what they say."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.editor import Editor
from training.edits import FAMILIES, Picture
from training.release import __main__ as release
from training.release import judging, photos, sentences

ROOT = Path(__file__).parents[2]
MICRO = ROOT / "checkpoints" / "micro"


def photo(side: int = 64) -> Picture:
    with Image.open(ROOT / "examples" / "pagoda.jpg") as picture:
        return np.asarray(picture.convert("RGB").resize((side, side)), np.float32) / 255


def test_a_strength_is_read_off_its_word_and_off_no_other():
    asked = [said for several in sentences.of_strengths().values() for said in several]
    assert [judging.strength_of(said) for said in asked] == ["weak", "", "strong"] * (len(asked) // 3)
    assert judging.strength_of("the picture is so dark, can you brighten it") == ""


def test_an_edit_is_right_where_its_target_is_nearest_harmless_where_the_photo_is_and_else_harmful():
    editor, original = Editor.load(MICRO), photo()
    candidates = {name: FAMILIES[name].apply(original) for name in ("keep", "sepia", "night")}

    def judged(made: Picture) -> judging.Answer:
        return judging.judge(editor, "sepia", "make it sepia", made, candidates)

    right, unchanged, wrong = (judged(candidates[name]) for name in ("sepia", "keep", "night"))
    assert (right.nearest, right.harmful) == ("sepia", False)
    assert (unchanged.nearest, unchanged.harmful) == ("keep", False)
    assert (wrong.nearest, wrong.harmful) == ("night", True)
    assert right.psnr > wrong.psnr


def test_flat_error_counts_fine_texture_in_flat_parts_alone():
    target = np.full((64, 64, 3), 0.5, np.float32)
    target[:, 32:] += np.random.default_rng(0).normal(0, 0.2, (64, 32, 1)).astype(np.float32)
    mottled, busy, cast = target.copy(), target.copy(), target + np.float32(0.1)
    speckle = np.random.default_rng(1).normal(0, 4 / 255, (64, 64, 1)).astype(np.float32)
    mottled[:, :32] += speckle[:, :32]
    busy[:, 40:] += speckle[:, 40:]
    assert judging.flat_error(mottled, target) == pytest.approx(4 * (2 / np.pi) ** 0.5, rel=0.1)
    assert judging.flat_error(busy, target) < 0.1
    assert judging.flat_error(cast, target) < 0.1


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_how_far_an_edit_goes_is_a_share_of_the_way_to_the_target(share: float):
    original = photo()
    made = original + np.float32(share) * (FAMILIES["night"].apply(original) - original)
    assert judging.towards(made, original, "night") == pytest.approx(share, abs=1e-4)


def test_a_photo_is_asked_everything_and_the_figures_add_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(photos, "centered", lambda _folder, _size: [("pagoda", photo())])
    asked = {name: ["make it " + name] for name in ("keep", "sepia", "blur", "denoise")}
    monkeypatch.setattr(sentences, "of_families", lambda: asked)
    monkeypatch.setattr(sentences, "of_compositions", lambda: {("sepia", "blur"): ["sepia and blurry"]})
    monkeypatch.setattr(sentences, "beyond", lambda: {"objects": ["add a hat"]})
    monkeypatch.setattr(
        sentences, "of_strengths", lambda: {"night": ["a bit like night", "like night", "very like night"]}
    )
    monkeypatch.setattr(sentences, "of_less", lambda: {"fog": ["no fog"]})
    figures = release.summarise([release.work(MICRO, Path(), 0, large) for large in (False, True)], MICRO)
    assert figures["photos"] == 1
    assert 1 <= figures["counted"] <= 3
    assert set(figures["flat_error"]) == {256, 512}
    assert 0 < figures["flat_error"][256] < 20
    assert figures["no_op_below_autoencoder"] < 20
    known = Editor.load(MICRO).checkpoint.nearest("add a hat") is None
    assert figures["recognition"]["missed"] == (["add a hat"] if known else [])
    assert {figures["harmful"], figures["right"]} <= {k / figures["counted"] for k in range(4)}
