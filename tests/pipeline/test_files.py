import json
import shutil

import huggingface_hub.constants
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from pipeline.catalogue import Card, resolve
from pipeline.checkpoint import Checkpoint
from pipeline.edit import Pipeline
from pipeline.errors import PipelineError
from pipeline.files import DiffusersFolder, OriginalFile


@pytest.fixture
def single(state, micro, tmp_path):
    """The path for an original file, with a tokenizer next to it."""
    shutil.copytree(micro / "tokenizer", tmp_path / "tokenizer")

    def write(suffix="safetensors", **changes):
        path, tensors = tmp_path / f"narrow.{suffix}", state | changes
        if suffix == "ckpt":
            torch.save({"state_dict": tensors}, path)
        else:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
        return path

    return write


@pytest.fixture(scope="module")
def loaded(folder):
    return Pipeline.load(folder, "pix2pix-full")


@pytest.mark.parametrize(
    ("suffix", "model"),
    [
        ("ckpt", "pix2pix-full"),
        ("safetensors", "pix2pix-base"),
        pytest.param("ckpt", "pix2pix-base", marks=pytest.mark.slow),
        pytest.param("safetensors", "pix2pix-full", marks=pytest.mark.slow),
    ],
)
def test_a_single_file_edits_as_its_folder_does(single, loaded, suffix, model):
    photo = Image.effect_noise((64, 64), 90).convert("RGB")
    pictures = [
        pipe.edit(photo, "make it red", steps=2, seed=3, size="256x256")
        for pipe in (Pipeline.load(single(suffix), model), loaded.with_model(model))
    ]
    assert pictures[0].tobytes() == pictures[1].tobytes()


def test_a_single_files_settings_are_those_of_its_folder(single, folder):
    file, folder = OriginalFile(single()), DiffusersFolder(folder)
    for part in ("unet", "vae", "text_encoder", "scheduler"):
        expected = folder.settings(part)
        assert {name: expected[name] for name in file.settings(part)} == file.settings(part)


def test_a_single_file_that_cannot_edit_is_refused(single):
    path = single(**{"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(32, 4, 3, 3)})
    with pytest.raises(PipelineError, match="takes 4 channels; one that edits takes 8"):
        Pipeline.load(path)


def test_a_file_of_something_else_is_refused(tmp_path):
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(PipelineError) as refusal:
        Pipeline.load(tmp_path / "other.safetensors")
    assert refusal.value.field == "checkpoint"
    assert "no original Stable Diffusion 1 checkpoint: no name in it begins with" in str(refusal.value)
    (tmp_path / "text.ckpt").write_text("hello")
    with pytest.raises(PipelineError, match=r"text\.ckpt cannot be read"):
        Pipeline.load(tmp_path / "text.ckpt")


def test_without_a_tokenizer_it_says_where_to_put_one(single, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    path = single()
    shutil.rmtree(path.parent / "tokenizer")
    with pytest.raises(PipelineError, match=r"put its vocab\.json and merges\.txt into .*tokenizer"):
        Pipeline.load(path)


def test_a_checkpoint_that_gives_no_defaults_gets_the_fast_sampler_where_its_schedule_allows(folder, micro, tmp_path):
    def defaults(path):
        return Checkpoint.find(path, torch.float32, torch.device("cpu")).card.defaults

    assert defaults(folder) == {"pix2pix-full": {"sampler": "dpm++2m", "steps": 20}}
    resolved = resolve("pix2pix-full", {"prompt": "x"}, Card(defaults=defaults(folder)))
    assert (resolved["steps"], resolved["sampler"]) == (20, "dpm++2m")
    assert defaults(micro)["pix2pix-full"] != defaults(folder)["pix2pix-full"]
    noisy = shutil.copytree(folder, tmp_path / "noisy")
    path = noisy / "scheduler" / "scheduler_config.json"
    zero_snr = {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}
    path.write_text(json.dumps(json.loads(path.read_text()) | zero_snr))
    assert defaults(noisy) == {}
