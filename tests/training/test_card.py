"""The card says what was measured, and leaves nothing out that is weak."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from training import card
from training.edits import FAMILIES
from training.evaluation import STATISTICS
from training.sources import sources

RIGHT = {"counted": 20, "retrieval_at_1": 1.0, "retrieval_at_3": 1.0, "gain": 9.0, "taken_for": {}}
RIGHT |= {"psnr": 25.0, "psnr_input": 15.0, "psnr_vae": 31.0, "ssim": 0.9, "ssim_input": 0.5, "ssim_vae": 0.95}
SIZE = {"photos": 24, "families": 37, "counted": 700, "retrieval_at_1": 0.912, "retrieval_at_3": 0.987, "vae": 30.4}
SIZE |= {"gain_where_input_is_at_most_20_dB": 9.25, "losses": {"vivid": -0.5}}
RELEASE = {"right": 0.9512, "counted": 1900, "families": 58, "harmful": 0.008, "compositions": 0.871}
RELEASE |= {"by_seed": {"0": 0.94, "1": 0.96}, "right_at_512": 0.93, "no_op_below_autoencoder": 1.24}
RELEASE |= {"flat_error": {"256": 1.13, "512": 0.987}, "beyond_flagged_and_left_alone": 0.92}
RELEASE |= {"recognition": {"flagged_of_those_it_can": 0.021, "recall": 0.955, "precision": None}}
RELEASE |= {"strengths_in_order": 0.93, "less_is_never_more": 1.0}


@pytest.fixture
def evaluation() -> dict[str, Any]:
    families = {name: dict(RIGHT) for name in FAMILIES}
    families["oil"] |= {"retrieval_at_1": 0.55, "taken_for": {"blur": 9}}
    families["keep_reds"] |= {"counted": 0, "retrieval_at_1": None, "psnr": None}
    return {
        "parameters": {"steps": 10, "cfg_scale": 2.5},
        "sizes": {"256x256": SIZE, "512x512": SIZE | {"vae": 34.2}},
        "families": families,
        "compositions": {"counted": 90, "retrieval_at_1": 0.7, "retrieval_at_3": 0.9},
        "unchanged": {"psnr": 28.9, "psnr_vae": 30.4, "colour_cast_of_255": [0.4, -0.2, 0.1]},
        "statistics": {name: dict.fromkeys(("input", "edit", "target", "vae"), 0.0123) for name in STATISTICS},
    }


@pytest.fixture
def folders(tmp_path: Path, evaluation: dict[str, Any]) -> Path:
    """A checkpoint of two weights files, and a training's work folder, beside each other."""
    for part in ("unet", "vae"):
        (tmp_path / "checkpoint" / part).mkdir(parents=True)
        (tmp_path / "checkpoint" / part / "model.safetensors").write_bytes(part.encode() * 1_000_000)
    (tmp_path / "work" / "photos").mkdir(parents=True)
    rows = [{"name": picture.name, "split": "training"} for picture in sources() if not picture.held_out]
    (tmp_path / "work" / "photos" / "index.json").write_text(json.dumps({"pictures": rows}))
    (tmp_path / "work" / "unet.jsonl").write_text(
        '{"seconds": 6, "samples": 150}\n{"seconds": 3420, "samples": 99000}\n'
    )
    (tmp_path / "work" / "evaluation").mkdir()
    (tmp_path / "work" / "evaluation" / "evaluation.json").write_text(json.dumps(evaluation))
    (tmp_path / "work" / "release").mkdir()
    (tmp_path / "work" / "release" / "release.json").write_text(json.dumps(RELEASE))
    Image.new("RGB", (8, 8)).save(tmp_path / "work" / "evaluation" / "sheet-256.jpg")
    return tmp_path


@pytest.fixture
def text(folders: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    arguments = ["--checkpoint", folders / "checkpoint", "--work", folders / "work", "-o", folders / "docs" / "card.md"]
    monkeypatch.setattr("sys.argv", ["card", *map(str, arguments)])
    card.main()
    return (folders / "docs" / "card.md").read_text()


def test_the_card_has_the_figures(text: str):
    assert "| 256x256 | 24 | 37 | 700 | 91.2% | 98.7% | 9.2 | 30.4 |" in text
    assert "30.4 dB at 256 px, 34.2 dB at 512 px" in text
    assert "right 70.0%, among three 90.0% of 90" in text
    assert "| unet | 57.0 | 99,000 |" in text
    assert "| right, 256 px | 95.1% of 1900 in 58 families |" in text
    assert "| right, by seed | 94.0%, 96.0% |" in text
    assert "| flat error of 255, 256 and 512 px | 1.13, 0.99 |" in text
    assert "(precision) | - |" in text
    assert "$" not in text
    assert "first minutes" not in text, "there was no short run"


def test_the_card_names_what_is_weak(text: str):
    assert "- `oil` is right in 55.0% of 20; else it is nearest to `blur` (9)." in text
    assert "- `vivid` ends 0.5 dB farther from its target than the photo is." in text
    assert "`night` is right" not in text


def test_the_card_has_a_row_for_every_family_with_an_exact_target(text: str):
    for name, family in FAMILIES.items():
        assert (f"\n| {name} | 20 |" in text) == (family.exact and name not in {"keep", "keep_reds"}), name
    assert "\n| keep_reds | 0 | - | - |" in text
    assert "\n| grain | 0.0123 |" in text


def test_the_card_counts_licences_hashes_weights_and_shows_only_pictures_that_there_are(text: str, folders: Path):
    counted = sum(picture.licence == "CC0-1.0" and not picture.held_out for picture in sources())
    assert f"| CC0-1.0 | {counted} |" in text
    assert f"`unet/model.safetensors` `{hashlib.sha256(b'unet' * 1_000_000).hexdigest()}`" in text
    assert "![Every edit at 256 px](images/micro-256.webp)" in text
    assert (folders / "docs" / "images" / "micro-256.webp").exists()
    assert "micro-512.webp" not in text


def test_the_card_has_what_was_measured_beside_the_library_and_after_a_short_run(folders: Path, evaluation):
    work = folders / "work"
    edits = [
        {"family": name, "photo": "p", "size": [256, 256], "psnr": 25.0, "fair": True} for name in ("sepia", "oil")
    ]
    many = {"parameters": {"steps": 50}, "edits": [edits[0] | {"psnr": 24.0}, edits[1] | {"fair": False}]}
    for place, content in (
        ("edits.json", {"entries": [{"steps": 5, "rows": [3, 2], "seconds": [2.5, 1.25], "ratio": 2.0}]}),
        ("evaluation-50/evaluation.json", many),
        ("short/evaluation/evaluation.json", evaluation),
    ):
        (work / place).parent.mkdir(parents=True, exist_ok=True)
        (work / place).write_text(json.dumps(content))
    few = evaluation | {"parameters": {"steps": 5}, "edits": edits}
    filled = card.fill(few, folders / "checkpoint", work)
    assert "| 5 | 3 | 2 | 2.50 | 1.25 | 2.00 |" in filled["speed"]
    assert filled["many_steps"].startswith("Of 1 edits, those in 5 steps came as near as 25.0 dB to their targets")
    assert filled["many_steps"].endswith("those in 50 steps 24.0 dB.")
    assert "| 256x256 | 24 | 37 | 700 | 91.2% |" in filled["short_run"]
