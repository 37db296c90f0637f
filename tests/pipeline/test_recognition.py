"""What a checkpoint says of instructions that it cannot follow, if it says anything, and its weaker noise."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pipeline.edit import Pipeline
from pipeline.notes import Notes
from pipeline.recognition import FILE
from pipeline.samplers import SAMPLERS

QUICK = {"steps": 2, "size": "256x256", "seed": 1}
ABILITIES = {"weather": {"fog": "make it foggy", "snow": "make it snowy"}, "color": {"blue": "turn it blue"}}


def state(pipeline: Pipeline, prompt: str) -> torch.Tensor:
    """The hidden state at the end of a text."""
    tokens = pipeline.checkpoint.tokenizer([prompt])
    end = tokens[0].tolist().index(pipeline.checkpoint.tokenizer.vocabulary["<|endoftext|>"])
    with torch.inference_mode():
        return pipeline.checkpoint.text_encoder(tokens)[0, end].clone()


def copied(micro: Path, folder: Path, **changes) -> Path:
    """The micro checkpoint without a claim and with the usual noise, but for changes of its card."""
    shutil.copytree(micro, folder, ignore=shutil.ignore_patterns(FILE))
    card = json.loads((folder / "darkroom.json").read_text())
    card |= {"abilities": {}, "recognition": {}, "noise_scale": 1.0, **changes}
    (folder / "darkroom.json").write_text(json.dumps(card))
    return folder


@pytest.fixture(scope="module")
def silent(micro: Path, tmp_path_factory) -> Pipeline:
    return Pipeline.load(copied(micro, tmp_path_factory.mktemp("checkpoints") / "silent"))


@pytest.fixture(scope="module")
def honest(silent: Pipeline, micro: Path, tmp_path_factory) -> Pipeline:
    """The micro checkpoint, which tells fog and snow from a hat, and makes little noise."""
    labels = ["fog", "blue", "snow", "weak", "known"]
    recognition = {"labels": labels, "threshold": 0.0}
    place = tmp_path_factory.mktemp("checkpoints") / "honest"
    folder = copied(micro, place, abilities=ABILITIES, recognition=recognition, noise_scale=0.25)
    texts = ("make it foggy", "make it snowy", "turn it blue", "add a hat")
    fog, snow, blue, hat = (state(silent, text) for text in texts)
    known = (fog + snow) / 2 - hat
    middle = (fog + snow) / 4 + hat / 2
    weight = torch.stack([fog, blue, snow, 100 * fog, known])
    save_file({"weight": weight, "bias": torch.tensor([0, 0, 0, 0, -float(known @ middle)])}, folder / FILE)
    return Pipeline.load(folder)


def warnings_of(pipeline: Pipeline, photo, prompt: str) -> list[dict]:
    notes = Notes()
    pipeline.edit(photo, prompt, notes=notes, **QUICK)
    return notes.warnings


def test_an_instruction_beyond_a_checkpoint_is_told_with_what_comes_nearest(honest, photo):
    (warning,) = warnings_of(honest, photo, "add a hat")
    assert warning["code"] == "instruction-not-recognized"
    assert "left as it is" in warning["detail"]
    assert sorted(warning["nearest"]) == ["make it foggy", "make it snowy", "turn it blue"], "a strength is no ability"


def test_an_instruction_that_it_knows_is_followed_without_a_word(honest, photo):
    assert warnings_of(honest, photo, "make it foggy") == []
    assert warnings_of(honest, photo, "make it snowy") == []


def test_a_checkpoint_without_recognition_claims_nothing(silent, photo):
    assert silent.checkpoint.nearest("add a hat") is None
    assert warnings_of(silent, photo, "add a hat") == []


def test_an_edit_begins_with_noise_as_weak_as_the_card_says(honest, silent, photo):
    picture, params = photo.resize((256, 256)), {"prompt": "x", "negative_prompt": "", "steps": 2, "temperature": 1.0}
    params |= {"seed": 3, "cfg_scale": 1.0, "image_cfg_scale": 1.0}
    weak, usual = (one.editing_model.begin(picture, params).x for one in (honest, silent))
    torch.testing.assert_close(weak, 0.25 * usual)


@pytest.mark.parametrize("sampler", SAMPLERS.values())
def test_weaker_noise_is_weaker_wherever_it_comes_in_and_nothing_else_changes(silent, sampler):
    table = sampler(silent.checkpoint.schedule.levels(4, 0.7))
    weak = table.with_noise(0.5)
    assert weak.noise == 0.5 * table.noise
    assert weak.picture == table.picture
    for one, other in zip(weak.steps, table.steps, strict=True):
        assert one.fresh == 0.5 * other.fresh
        assert (one.keep, one.clean, one.before, one.levels) == (other.keep, other.clean, other.before, other.levels)
    assert table.with_noise(1) is table
