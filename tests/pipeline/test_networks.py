"""Our networks against diffusers' and transformers' with the same weights."""

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from pipeline.errors import PipelineError
from pipeline.networks.clip import CLIPConfig, CLIPTextEncoder
from pipeline.networks.unet import UNet, UNetConfig
from pipeline.networks.vae import VAE, VAEConfig
from pipeline.weights import build, from_module

MICRO = Path(__file__).parents[2] / "checkpoints" / "micro"
SMALL = {"block_out_channels": (32, 64), "norm_num_groups": 8, "cross_attention_dim": 24, "attention_head_dim": 4}
DOWN, UP = ("CrossAttnDownBlock2D", "DownBlock2D"), ("UpBlock2D", "CrossAttnUpBlock2D")
UNETS = {
    "as in SD 1.5": {"down_block_types": DOWN, "up_block_types": UP},
    "as in SD 2": {"down_block_types": DOWN, "up_block_types": UP, "use_linear_projection": True}
    | {"attention_head_dim": (2, 4)},
    "text to image": {"down_block_types": DOWN, "up_block_types": UP, "in_channels": 4, "layers_per_block": 1},
    "sixteen latent channels": {"down_block_types": DOWN, "up_block_types": UP, "in_channels": 32, "out_channels": 16},
    "two blocks deep, mostly text": {"down_block_types": DOWN, "up_block_types": UP, "only_cross_attention": True}
    | {"transformer_layers_per_block": 2},
    "the text as a whole beside the time": {"down_block_types": DOWN, "up_block_types": UP}
    | {"addition_embed_type": "text", "addition_embed_type_num_heads": 4},
    "time that scales": {"down_block_types": DOWN, "up_block_types": UP, "resnet_time_scale_shift": "scale_shift"},
    "sine first": {"down_block_types": DOWN, "up_block_types": UP, "flip_sin_to_cos": False, "freq_shift": 1},
}


@pytest.fixture(autouse=True)
def _inference():
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, atol=1e-5 * float(theirs.abs().max()), rtol=0)


def twins(settings):
    theirs = UNet2DConditionModel(**{"in_channels": 8} | SMALL | settings).eval()
    return build(UNet, UNetConfig.parse(dict(theirs.config)), from_module(theirs)), theirs


@pytest.mark.parametrize("settings", UNETS.values(), ids=UNETS.keys())
@pytest.mark.parametrize("size", [(16, 16), (9, 14)], ids=str)
def test_unets_of_every_kind_predict_the_same_noise(settings, size):
    ours, theirs = twins(settings)
    x, text = torch.randn(3, theirs.config.in_channels, *size), torch.randn(3, 7, 24)
    timesteps = torch.tensor([999.0, 500.25, 0.0])
    close(ours(x, timesteps, ours.read(text)), theirs(x, timesteps, text).sample)


def test_the_micro_unet_predicts_the_same_noise(base):
    theirs = base.checkpoint.library.unet
    ours = build(UNet, UNetConfig.read(MICRO / "unet" / "config.json"), from_module(theirs))
    x, text, timesteps = (
        torch.randn(2, ours.config.in_channels, 24, 40),
        torch.randn(2, 77, 128),
        torch.tensor([999.0, 1.5]),
    )
    close(ours(x, timesteps, ours.read(text)), theirs(x, timesteps, text).sample)


def test_rows_that_share_their_input_need_it_once(base):
    ours = build(UNet, UNetConfig.read(MICRO / "unet" / "config.json"), from_module(base.checkpoint.library.unet))
    x, text, timesteps = (
        torch.randn(2, ours.config.in_channels, 16, 16),
        torch.randn(3, 77, 128),
        torch.tensor([999.0, 1.5]),
    )
    source = torch.tensor([0, 0, 1])
    close(ours(x, timesteps, ours.read(text), source), ours(x[source], timesteps[source], ours.read(text)))


def test_rows_do_not_touch_each_other():
    ours, _ = twins(UNETS["as in SD 1.5"])
    x, text, timesteps = torch.randn(2, 8, 16, 16), torch.randn(2, 7, 24), torch.tensor([999.0, 1.0])
    together = ours(x, timesteps, ours.read(text))
    for row in (slice(0, 1), slice(1, 2)):
        close(together[row], ours(x[row], timesteps[row], ours.read(text[row])))


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("widths", [(16, 32, 32, 64), (16, 32, 64), (16, 32)], ids=["factor 8", "factor 4", "factor 2"])
def test_vaes_of_every_factor_encode_and_decode_alike(widths, attention):
    theirs = AutoencoderKL(
        block_out_channels=widths,
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        layers_per_block=2,
        latent_channels=6,
        norm_num_groups=4,
        mid_block_add_attention=attention,
    ).eval()
    ours = build(VAE, VAEConfig.parse(dict(theirs.config)), from_module(theirs))
    pictures = torch.rand(2, 3, 48, 64) * 2 - 1
    latents = ours.encode(pictures)
    assert latents.shape == (2, 6, 48 // ours.config.factor, 64 // ours.config.factor)
    close(latents, theirs.encode(pictures).latent_dist.mode())
    close(ours.decode(latents), theirs.decode(latents).sample)


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_text_encoders_read_alike(activation):
    settings = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4}
    theirs = CLIPTextModel(CLIPTextConfig(**settings, vocab_size=500, hidden_act=activation)).eval()
    ours = build(CLIPTextEncoder, CLIPConfig.parse(theirs.config.to_dict()), from_module(theirs))
    tokens = torch.randint(0, 500, (3, 77))
    close(ours(tokens), theirs(tokens).last_hidden_state)


@pytest.mark.parametrize(
    ("config", "settings"),
    [
        (UNetConfig, {"class_embed_type": "timestep"}),
        (UNetConfig, {"down_block_types": ["AttnDownBlock2D"]}),
        (VAEConfig, {"act_fn": "mish"}),
        (CLIPConfig, {"hidden_act": "tanh"}),
    ],
)
def test_a_config_that_asks_for_something_else_is_refused(config, settings):
    with pytest.raises(PipelineError, match="is not supported"):
        config.parse(settings)


def test_a_network_shares_the_memory_of_the_module_that_it_was_built_from(base):
    theirs = base.checkpoint.library.unet
    ours = build(UNet, UNetConfig.read(MICRO / "unet" / "config.json"), from_module(theirs))
    assert {p.data_ptr() for p in ours.parameters()} == {p.data_ptr() for p in theirs.parameters()}
