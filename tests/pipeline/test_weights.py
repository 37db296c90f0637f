import json

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

from pipeline.errors import PipelineError
from pipeline.networks.clip import CLIPConfig, CLIPTextEncoder
from pipeline.networks.unet import UNet, UNetConfig
from pipeline.networks.vae import VAE, VAEConfig
from pipeline.weight_files import read_file, read_folder
from pipeline.weights import build, from_module, original_part
from tests.pipeline import original_format

SD = ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",), ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3


@pytest.fixture(scope="module")
def unet():
    """Stable Diffusion 1.5's blocks with InstructPix2Pix's input and very few channels."""
    torch.manual_seed(0)
    narrow = {"block_out_channels": (8, 16, 16, 16), "norm_num_groups": 4, "attention_head_dim": 2}
    return UNet2DConditionModel(
        in_channels=8, down_block_types=SD[0], up_block_types=SD[1], cross_attention_dim=12, **narrow
    )


@pytest.fixture(scope="module")
def vae():
    widths = (8, 8, 16, 16)
    return AutoencoderKL(
        block_out_channels=widths,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        norm_num_groups=4,
    )


@pytest.fixture(scope="module")
def clip():
    return CLIPTextModel(CLIPTextConfig(hidden_size=16, intermediate_size=32, num_hidden_layers=2, vocab_size=50))


@pytest.fixture(scope="module")
def original(unet, vae, clip):
    """The same weights in one original file. The UNet's averaged copies are twice as large."""
    plain = original_format.unet(unet.state_dict(), layers=2)
    return (
        plain
        | original_format.averaged(plain, lambda tensor: tensor * 2)
        | original_format.vae(vae.state_dict(), levels=4)
        | original_format.clip(clip.state_dict())
        | {"betas": torch.zeros(3), "model_ema.num_updates": torch.tensor(7)}
    )


def same(ours, expected):
    assert ours.state_dict().keys() == expected.state_dict().keys()
    assert all(
        torch.equal(a, b) for a, b in zip(ours.state_dict().values(), expected.state_dict().values(), strict=True)
    )


def unet_config(unet):
    return UNetConfig.parse(dict(unet.config))


def test_the_original_layout_of_these_tests_is_the_one_that_the_library_converts(unet, vae, original):
    theirs = convert_ldm_unet_checkpoint(dict(original), dict(unet.config))
    assert theirs.keys() == unet.state_dict().keys()
    assert all(torch.equal(theirs[name], tensor) for name, tensor in unet.state_dict().items())
    theirs = convert_ldm_vae_checkpoint(dict(original), dict(vae.config))
    assert theirs.keys() == vae.state_dict().keys()


@pytest.mark.parametrize("suffix", ["ckpt", "safetensors"])
def test_an_original_single_file_is_read_with_its_averaged_unet(tmp_path, unet, vae, clip, original, suffix):
    path = tmp_path / f"instruct.{suffix}"
    if suffix == "ckpt":
        torch.save({"state_dict": original, "global_step": 22000}, path)
    else:
        save_file({name: tensor.contiguous() for name, tensor in original.items()}, path)
    tensors = read_file(path)
    config = unet_config(unet)
    ours = build(UNet, config, original_part(tensors, UNet), original=True)
    doubled = build(UNet, config, {name: lambda t=t: t * 2 for name, t in unet.state_dict().items()})
    same(ours, doubled)
    config = VAEConfig.parse(dict(vae.config))
    same(
        build(VAE, config, original_part(tensors, VAE), original=True),
        build(VAE, config, from_module(vae)),
    )
    config = CLIPConfig.parse(clip.config.to_dict())
    same(
        build(CLIPTextEncoder, config, original_part(tensors, CLIPTextEncoder), original=True),
        build(CLIPTextEncoder, config, from_module(clip)),
    )


def test_without_averaged_copies_the_plain_ones_are_taken(unet, original):
    plain = {name: lambda t=t: t for name, t in original.items() if not name.startswith("model_ema.")}
    same(
        build(UNet, unet_config(unet), original_part(plain, UNet), original=True),
        build(UNet, unet_config(unet), from_module(unet)),
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("shard", ["10GB", "20KB"])
def test_diffusers_folders_of_any_precision_and_sharding_are_read(tmp_path, unet, dtype, shard):
    stored = UNet2DConditionModel.from_config(unet.config)
    stored.load_state_dict(unet.state_dict())
    stored.to(dtype).save_pretrained(tmp_path, max_shard_size=shard)
    assert (len(list(tmp_path.glob("*.safetensors"))) > 1) == (shard == "20KB")
    ours = build(UNet, UNetConfig.read(tmp_path / "config.json"), read_folder(tmp_path), dtype=torch.float32)
    assert {p.dtype for p in ours.parameters()} == {torch.float32}
    same(ours, build(UNet, unet_config(unet), from_module(stored), dtype=torch.float32))


def test_a_variant_is_read_where_there_is_nothing_else(tmp_path, unet):
    unet.save_pretrained(tmp_path, variant="fp16")
    same(build(UNet, unet_config(unet), read_folder(tmp_path)), build(UNet, unet_config(unet), from_module(unet)))


def test_old_names_of_the_vaes_attention_are_known(vae):
    renamed = {}
    for name, tensor in vae.state_dict().items():
        for new, old in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")):
            name = name.replace(f"attentions.0.{new}.", f"attentions.0.{old}.")
        renamed[name] = lambda t=tensor: t
    assert any("proj_attn" in name for name in renamed)
    config = VAEConfig.parse(dict(vae.config))
    same(build(VAE, config, renamed), build(VAE, config, from_module(vae)))


def test_missing_and_unexpected_weights_are_listed(unet):
    tensors = dict(from_module(unet))
    tensors["conv_in.wait"] = tensors.pop("conv_in.weight")
    with pytest.raises(PipelineError, match=r"1 missing \(conv_in\.weight\); 1 unexpected \(conv_in\.wait\)"):
        build(UNet, unet_config(unet), tensors)


def test_a_weight_of_another_shape_is_named(unet):
    tensors = dict(from_module(unet)) | {"conv_in.weight": lambda: torch.zeros(8, 4, 3, 3)}
    with pytest.raises(PipelineError, match=r"conv_in\.weight: shape \(8, 4, 3, 3\), expected \(8, 8, 3, 3\)"):
        build(UNet, unet_config(unet), tensors)


def test_a_pickle_that_would_run_code_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    torch.save({"state_dict": {}, "trap": Trap()}, tmp_path / "evil.ckpt")
    with pytest.raises(PipelineError, match="cannot be read"):
        read_file(tmp_path / "evil.ckpt")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.ckpt"])
def test_a_broken_file_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"not weights at all")
    with pytest.raises(PipelineError, match="cannot be read"):
        read_file(tmp_path / name)


def test_a_folder_without_weights_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({}))
    with pytest.raises(PipelineError, match="holds no weights"):
        read_folder(tmp_path)
