"""Checkpoints that our own networks do not run: one sentence that names the file or key, before weights are read."""

import json
import os
import resource
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from pipeline.checkpoint import Checkpoint
from pipeline.errors import PipelineError
from pipeline.lora import Lora
from tests.conftest import ROOT

CPU = torch.device("cpu")


def refusal_of(checkpoint, **options):
    with pytest.raises(PipelineError) as refusal:
        Checkpoint.find(checkpoint, torch.float32, CPU, **options)
    assert refusal.value.field == "checkpoint"
    assert "\n" not in refusal.value.detail
    return refusal.value.detail


@pytest.fixture
def copy(folder, tmp_path):
    """A copy of a good folder, for a test to spoil."""
    return shutil.copytree(folder, tmp_path / "narrow", symlinks=True)


def change(path, **settings):
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def no_index(folder):
    (folder / "model_index.json").unlink()


def empty(folder):
    shutil.rmtree(folder)
    folder.mkdir()


def unet_alone(folder):
    empty(folder)
    (folder / "config.json").write_text(json.dumps({"_class_name": "UNet2DConditionModel"}))


def single_file_inside(folder):
    empty(folder)
    (folder / "MagicBrush.ckpt").touch()


def class_name(name):
    return lambda folder: change(folder / "model_index.json", _class_name=name)


def setting(part, **settings):
    name = "scheduler_config.json" if part == "scheduler" else "config.json"
    return lambda folder: change(folder / part / name, **settings)


def truncated(folder):
    path = next((folder / "unet").glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-9])


def pointer(folder):
    next((folder / "vae").glob("*.safetensors")).write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"
    )


def without_weights(folder):
    next((folder / "text_encoder").glob("*.safetensors")).unlink()


def without_part(folder):
    shutil.rmtree(folder / "vae")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (empty, "narrow is an empty folder"),
        (no_index, "narrow has no model_index.json"),
        (unet_alone, "holds a UNet2DConditionModel alone"),
        (single_file_inside, "if MagicBrush.ckpt is the checkpoint, name that file"),
        (class_name("StableDiffusionXLInstructPix2PixPipeline"), "StableDiffusionXLInstructPix2PixPipeline"),
        (class_name("FluxKontextPipeline"), "model_index.json is for a FluxKontextPipeline"),
        (class_name("StableDiffusion3Pipeline"), "StableDiffusion3Pipeline"),
        (setting("unet", in_channels=4), "its UNet takes 4 channels; one that edits takes 8"),
        (setting("unet", addition_embed_type="text_time"), "addition_embed_type 'text_time' is not supported"),
        (setting("unet", cross_attention_dim=768), "cross_attention_dim"),
        (setting("scheduler", _class_name="FlowMatchEulerDiscreteScheduler"), "FlowMatchEulerDiscreteScheduler"),
        (setting("scheduler", rescale_betas_zero_snr=True), "rescale_betas_zero_snr"),
        (setting("vae", shift_factor=0.1), "shift_factor"),
        (setting("text_encoder", model_type="t5"), "model_type 't5'"),
        (truncated, "unet/diffusion_pytorch_model.safetensors cannot be read, so it is broken or cut short"),
        (pointer, "vae/diffusion_pytorch_model.safetensors cannot be read: it is a Git LFS pointer"),
        (without_weights, "text_encoder holds no weights"),
        (without_part, "vae/config.json is missing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_folder_of_another_kind_is_refused_by_name(copy, spoil, said):
    spoil(copy)
    detail = refusal_of(copy)
    assert said in detail
    assert str(copy) in detail


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("conditioner.embedders.0.transformer.weight", "Stable Diffusion XL"),
        ("model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight", "Stable Diffusion 3"),
        ("model.diffusion_model.double_blocks.0.img_attn.qkv.weight", "FLUX"),
        ("double_blocks.0.img_attn.qkv.weight", "FLUX"),
        ("cond_stage_model.model.ln_final.weight", "Stable Diffusion 2"),
        ("lora_unet_mid_block_attentions_0_proj_in.lora_down.weight", "a LoRA"),
        ("control_model.input_hint_block.0.weight", "a ControlNet"),
        ("weight", "no original Stable Diffusion 1 checkpoint"),
    ],
)
def test_a_single_file_of_another_kind_is_refused_by_a_name_in_it(tmp_path, name, said):
    path = tmp_path / "other.safetensors"
    save_file({name: torch.zeros(2, 2)}, path)
    detail = refusal_of(path)
    assert said in detail
    assert str(path) in detail
    assert name in detail or name == "weight"


def test_a_variant_that_no_part_has_and_a_lora_that_is_no_lora_are_refused(copy, tmp_path):
    assert "no weights of the variant fp16" in refusal_of(copy, variant="fp16")
    save_file({"weight": torch.zeros(2)}, tmp_path / "odd.safetensors")
    assert "odd.safetensors cannot be merged" in refusal_of(copy, loras=[Lora(tmp_path / "odd.safetensors")])


@pytest.mark.parametrize("naming", ["original", "original without a prefix", "diffusers"])
def test_a_unet_alone_is_read_with_the_parts_beside_it(copy, parts, state, naming):
    prefix = "model.diffusion_model."
    tensors = {name: tensor for name, tensor in state.items() if name.startswith(prefix)}
    if naming == "original without a prefix":
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    elif naming == "diffusers":
        tensors = parts["unet"].state_dict()
    path = copy / "unet_only.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    shutil.rmtree(copy / "unet")
    checkpoint = Checkpoint.find(path, torch.float32, CPU)
    weight = parts["unet"].state_dict()["mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"]
    assert torch.equal(checkpoint.unet.middle.transformer.blocks[0].attention2.key.weight, weight)
    assert checkpoint.vae.config.block_out_channels == (32, 64, 64, 64)
    shutil.rmtree(copy / "vae")
    if naming == "diffusers":
        assert "holds a UNet alone, so text_encoder, vae and scheduler must be beside it" in refusal_of(path)


def test_weights_that_do_not_fit_their_configuration_are_refused_with_where_they_are(copy):
    setting("unet", block_out_channels=[32, 64, 64, 128])(copy)
    with pytest.raises(PipelineError, match="weights do not fit its config") as refusal:
        _ = Checkpoint.find(copy, torch.float32, CPU).unet
    assert str(copy) in refusal.value.detail


FOR_DIFFUSERS = '[[model]]\nid = "a"\neditor = "diffusers"\ncheckpoint = "{folder}"\n'


@pytest.mark.parametrize(
    ("spoil", "models", "said"),
    [
        (setting("unet", in_channels=4), "", "its UNet takes 4 channels"),
        (lambda _: None, FOR_DIFFUSERS, "model_index.json is for None; the diffusers editor knows"),
    ],
    ids=["own", "diffusers"],
)
def test_a_worker_that_gets_one_ends_within_ten_seconds_with_one_sentence(copy, spoil, models, said):
    """The command of a real worker. Its limit is ten seconds of CPU, because other processes may slow it down."""
    spoil(copy)
    environment = {**os.environ, "CHECKPOINT": str(copy), "CREDENTIALS": "off", "OMP_NUM_THREADS": "1"}
    if models:
        (copy / "models.toml").write_text(models.format(folder=copy))
        environment["MODELS"] = str(copy / "models.toml")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run(
        [sys.executable, "-m", "worker.app"], capture_output=True, text=True, cwd=ROOT, env=environment, timeout=120
    )
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime < 10
    assert ended.returncode not in (0, 70)
    assert said in ended.stderr.splitlines()[-1]
    assert str(copy) in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
