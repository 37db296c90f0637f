import shutil

import huggingface_hub.constants
import original_format
import pytest
import torch
from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

from pipeline.edit import Pipeline
from pipeline.errors import PipelineError
from pipeline.files import DiffusersFolder, OriginalFile
from pipeline.networks.tokenizer import Tokenizer

WIDTHS = (32, 64, 64, 64)


@pytest.fixture(scope="module")
def parts(micro):
    """Stable Diffusion 1's networks with random weights, narrow."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(in_channels=8, block_out_channels=WIDTHS, cross_attention_dim=64)
    vae = AutoencoderKL(
        block_out_channels=WIDTHS,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
    )
    words = len(Tokenizer.read(micro / "tokenizer").vocabulary)
    text = CLIPTextConfig(
        vocab_size=words, hidden_size=64, intermediate_size=128, num_hidden_layers=3, num_attention_heads=1
    )
    return {"unet": unet, "vae": vae, "text_encoder": CLIPTextModel(text)}


@pytest.fixture(scope="module")
def folder(parts, micro, tmp_path_factory):
    folder = tmp_path_factory.mktemp("narrow")
    for name, part in parts.items():
        part.save_pretrained(folder / name)
    PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, skip_prk_steps=True
    ).save_pretrained(folder / "scheduler")
    shutil.copytree(micro / "tokenizer", folder / "tokenizer")
    (folder / "model_index.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def state(parts):
    return (
        original_format.unet(parts["unet"].state_dict(), layers=2)
        | original_format.vae(parts["vae"].state_dict(), levels=4)
        | original_format.clip(parts["text_encoder"].state_dict())
    )


@pytest.fixture
def single(state, micro, tmp_path):
    """Where to write an original file, a tokenizer beside it."""
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
