"""Weight files in every spelling that checkpoints use, and files that must be refused."""

import argparse
import os
import sys
import types
from collections import OrderedDict

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file

from pipeline.errors import PipelineError
from pipeline.weight_files import choose, read_file, read_folder

PLAIN = "diffusion_pytorch_model.safetensors"
STABLE_DIFFUSION = [  # the folder of its UNet
    "config.json",
    "diffusion_pytorch_model.bin",
    "diffusion_pytorch_model.fp16.bin",
    "diffusion_pytorch_model.fp16.safetensors",
    "diffusion_pytorch_model.non_ema.bin",
    "diffusion_pytorch_model.non_ema.safetensors",
    PLAIN,
]


@pytest.mark.parametrize(
    ("names", "variant", "chosen"),
    [
        (STABLE_DIFFUSION, "", [PLAIN]),
        (STABLE_DIFFUSION, "fp16", ["diffusion_pytorch_model.fp16.safetensors"]),
        (STABLE_DIFFUSION, "bf16", [PLAIN]),
        (STABLE_DIFFUSION[1:4:2], "", ["diffusion_pytorch_model.bin"]),
        (["model.fp16.safetensors", "model.safetensors"], "", ["model.safetensors"]),
        (["model.fp16.safetensors", "pytorch_model.bin"], "", ["pytorch_model.bin"]),
        (["pytorch_model.fp16.bin"], "", ["pytorch_model.fp16.bin"]),
        (["diffusion_pytorch_model.non_ema.bin", "diffusion_pytorch_model.fp16.bin"], "", STABLE_DIFFUSION[2:3]),
        (["pytorch_lora_weights.safetensors", "flax_model.msgpack", "optimizer.bin"], "", []),
    ],
)
def test_the_file_is_chosen_by_variant_then_format(names, variant, chosen):
    assert choose(names, variant) == chosen


@pytest.mark.parametrize(
    "index",
    [
        "diffusion_pytorch_model.safetensors.index.fp16.json",
        "diffusion_pytorch_model.fp16.safetensors.index.json",
    ],
)
@pytest.mark.parametrize("shards", ["{}.fp16-0000{}-of-00002.safetensors", "{}-0000{}-of-00002.fp16.safetensors"])
def test_shards_and_their_index_belong_together_in_every_spelling(index, shards):
    names = [shards.format("diffusion_pytorch_model", number) for number in (1, 2)]
    assert set(choose(["config.json", index, *names])) == {index, *names}


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    blocks = {"down_block_types": ("CrossAttnDownBlock2D",), "up_block_types": ("CrossAttnUpBlock2D",)}
    return UNet2DConditionModel(
        in_channels=8, block_out_channels=(8,), norm_num_groups=4, attention_head_dim=2, cross_attention_dim=8, **blocks
    )


@pytest.mark.parametrize("variant", [None, "fp16"])
@pytest.mark.parametrize("safe", [True, False], ids=["safetensors", "bin"])
@pytest.mark.parametrize("indexed", [True, False])
def test_what_the_library_saves_in_shards_is_read_whole(tmp_path, unet, variant, safe, indexed):
    unet.save_pretrained(tmp_path, variant=variant, safe_serialization=safe, max_shard_size="10KB")
    if not indexed:
        next(tmp_path.glob("*index*.json")).unlink()
    assert len(list(tmp_path.glob("*-of-*"))) > 1
    tensors, expected = read_folder(tmp_path), unet.state_dict()
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[name](), expected[name]) for name in expected)


@pytest.mark.parametrize("indexed", [True, False])
def test_a_missing_shard_is_named(tmp_path, unet, indexed):
    unet.save_pretrained(tmp_path, max_shard_size="10KB")
    shards = sorted(tmp_path.glob("*-of-*"))
    shards[1].unlink()
    if not indexed:
        next(tmp_path.glob("*index*.json")).unlink()
    with pytest.raises(PipelineError, match=shards[1].name if indexed else f"of the {len(shards)} shards"):
        read_folder(tmp_path)


@pytest.fixture
def trainer(monkeypatch):
    """A class of a training library whose objects are in such files. It must not be created when they are read."""

    class ModelCheckpoint:
        def __init__(self):
            self.best = 3

        def __setstate__(self, state):
            raise AssertionError("it was made")

    module = types.ModuleType("pytorch_lightning.callbacks")
    module.ModelCheckpoint = ModelCheckpoint
    ModelCheckpoint.__module__, ModelCheckpoint.__qualname__ = module.__name__, "ModelCheckpoint"
    monkeypatch.setitem(sys.modules, "pytorch_lightning", types.ModuleType("pytorch_lightning"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return ModelCheckpoint


@pytest.mark.parametrize("zipped", [True, False])
def test_of_a_trainers_file_the_tensors_are_read_and_nothing_else(tmp_path, monkeypatch, trainer, zipped):
    callbacks = {trainer: {"best_model_score": torch.tensor(1)}, "object": trainer()} if zipped else {}
    state = OrderedDict({"model.weight": torch.arange(4.0)})
    path = tmp_path / "epoch.ckpt"
    contents = {"state_dict": state, "callbacks": callbacks, "epoch": 3, "hyper_parameters": argparse.Namespace(lr=1)}
    if not zipped:
        del contents["hyper_parameters"]
    torch.save(contents, path, _use_new_zipfile_serialization=zipped)
    monkeypatch.delitem(sys.modules, "pytorch_lightning.callbacks")
    tensors = read_file(path)
    assert tensors.keys() == {"model.weight"}
    assert torch.equal(tensors["model.weight"](), torch.arange(4.0))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_would_run_code_is_refused_with_how_to_convert_it(tmp_path, zipped):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "sprung"),))

    path = tmp_path / "evil.ckpt"
    torch.save({"state_dict": {}, "trap": Trap()}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(PipelineError) as refusal:
        read_file(path)
    assert "evil.ckpt cannot be read: it holds more than weights (posix.mkdir)" in refusal.value.detail
    assert "safetensors.torch import save_file" in refusal.value.detail
    assert "weights_only" not in refusal.value.detail
    assert not (tmp_path / "sprung").exists()


def broken(path):
    save_file({"weight": torch.zeros(100)}, path)
    path.write_bytes(path.read_bytes()[:-50])


def pointer(path):
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3438167540\n")


def gguf(path):
    path.write_bytes(b"GGUF\x03\x00\x00\x00")


@pytest.mark.parametrize(("write", "said"), [(broken, "cut short"), (pointer, "Git LFS"), (gguf, "GGUF")])
@pytest.mark.parametrize("name", [PLAIN, "diffusion_pytorch_model.bin"])
def test_a_file_that_is_not_whole_is_named(tmp_path, write, said, name):
    write(tmp_path / name)
    if write is broken and name.endswith(".bin"):
        torch.save({"weight": torch.zeros(100)}, tmp_path / name)
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-50])
        said = "cannot be read"
    with pytest.raises(PipelineError, match=said) as refusal:
        read_folder(tmp_path)
    assert name in refusal.value.detail
    assert "\n" not in refusal.value.detail
