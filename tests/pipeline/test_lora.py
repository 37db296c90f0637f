"""LoRAs merged into our networks: every layer that a file changes, in every spelling of its name."""

import json

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

from pipeline.errors import PipelineError
from pipeline.lora import Lora
from pipeline.networks.clip import CLIPConfig, CLIPTextEncoder
from pipeline.networks.unet import UNet, UNetConfig
from pipeline.weights import build, diffusers_rules, from_module, translate

RANK, ALPHA, SCALE = 2, 1.0, 0.7
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0", "q_proj", "k_proj", "v_proj", "out_proj")


def kohya(part, layer):
    prefix = "lora_unet_" if part == "unet" else "lora_te_"
    stem = prefix + layer.replace(".", "_")
    return f"{stem}.lora_down.weight", f"{stem}.lora_up.weight", f"{stem}.alpha"


def peft(part, layer):
    return f"{part}.{layer}.lora_A.weight", f"{part}.{layer}.lora_B.weight", f"{part}.{layer}.alpha"


def older(part, layer):
    if part == "unet":
        block, _, projection = layer.removesuffix(".0").rpartition(".")
        stem = f"unet.{block}.processor.{projection}_lora"
    else:
        stem = f"text_encoder.{layer}.lora_linear_layer"
    return f"{stem}.down.weight", f"{stem}.up.weight", None


@pytest.fixture(scope="module")
def modules():
    torch.manual_seed(0)
    narrow = {"block_out_channels": (8, 16), "norm_num_groups": 4, "attention_head_dim": 2, "cross_attention_dim": 16}
    blocks = {
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    }
    text = CLIPTextConfig(hidden_size=16, intermediate_size=32, num_hidden_layers=2, vocab_size=50)
    return {"unet": UNet2DConditionModel(in_channels=8, **narrow, **blocks), "text_encoder": CLIPTextModel(text)}


def network(modules, part):
    if part == "unet":
        return build(UNet, UNetConfig.parse(dict(modules["unet"].config)), from_module(modules["unet"]))
    config = CLIPConfig.parse(modules["text_encoder"].config.to_dict())
    return build(CLIPTextEncoder, config, from_module(modules["text_encoder"]))


def matrices(modules, part):
    """The names of its layers with matrices or kernels, as files spell them, with their weights."""
    prefix = "" if part == "unet" else "text_model."
    for name, weight in modules[part].state_dict().items():
        layer = name.removesuffix(".weight")
        if name.endswith(".weight") and weight.ndim > 1 and "embedding." not in layer:
            yield prefix + layer.removeprefix("text_model."), weight


def written(path, modules, spelling, only=None):
    """A LoRA of every layer in a file, and the resulting value of each weight, under our names."""
    generator, tensors, expected = torch.Generator().manual_seed(1), {}, {}
    for part in modules:
        rules = diffusers_rules(network(modules, part))
        for layer, weight in matrices(modules, part):
            if only and not layer.endswith(only):
                continue
            down = torch.randn(RANK, *weight.shape[1:], generator=generator)
            up = torch.randn(weight.shape[0], RANK, *[1] * (weight.ndim - 2), generator=generator)
            names = spelling(part, layer)
            tensors |= {names[0]: down, names[1]: up}
            if names[2]:
                tensors[names[2]] = torch.tensor(ALPHA)
            factor = SCALE * (ALPHA / RANK if names[2] else 1)
            change = torch.einsum("ur,r...->u...", up.flatten(1), down)
            ours = translate(layer + ".weight", rules)
            expected[part, ours] = weight + factor * change
    save_file(tensors, path)
    return expected


@pytest.mark.parametrize(("spelling", "only"), [(kohya, None), (peft, None), (older, ATTENTION)])
def test_each_layer_that_a_file_changes_is_changed_and_no_other(tmp_path, modules, spelling, only):
    path = tmp_path / "style.safetensors"
    expected = written(path, modules, spelling, only)
    lora = Lora(path, SCALE)
    assert {part for part, _ in expected} == {"unet", "text_encoder"}
    for part in modules:
        merged, before = network(modules, part), network(modules, part).state_dict()
        lora.merge(merged)
        for name, weight in merged.state_dict().items():
            wanted = expected.get((part, name), before[name])
            torch.testing.assert_close(weight, wanted.reshape(weight.shape), rtol=1e-5, atol=1e-5)


def test_the_alpha_that_is_noted_in_a_files_head_counts(tmp_path, modules):
    down, up = torch.ones(RANK, 16), torch.ones(16, RANK)
    name = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    note = {"unet.lora_alpha": 6, "unet.r": RANK, "unet.use_dora": False}
    for metadata, change in ((note, 6.0), ({}, 2.0)):
        path = tmp_path / f"{change}.safetensors"
        head = {"lora_adapter_metadata": json.dumps(metadata)}
        save_file({f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}, path, metadata=head)
        merged, before = network(modules, "unet"), network(modules, "unet")
        Lora(path).merge(merged)
        layer = "middle.transformer.blocks.0.attention1.query.weight"
        difference = merged.state_dict()[layer] - before.state_dict()[layer]
        torch.testing.assert_close(difference, torch.full((16, 16), change))


DOWN = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight"


@pytest.mark.parametrize(
    ("tensors", "note", "said"),
    [
        ({"lora_unet_mid_block_attentions_0_proj_in.hada_w1_a": torch.ones(2)}, {}, "hada_w1_a"),
        ({DOWN.replace("lora_A.weight", "dora_scale"): torch.ones(2)}, {}, "dora_scale"),
        ({"lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": torch.ones(2, 2)}, {}, "lora_te2_"),
        ({"transformer.blocks.0.lora_A.weight": torch.ones(2, 2)}, {}, "transformer.blocks.0"),
        ({DOWN: torch.ones(2, 99), DOWN.replace("A", "B"): torch.ones(16, 2)}, {}, "attention1.query"),
        ({DOWN: torch.ones(2, 16)}, {}, "attention1.query"),
        ({DOWN.replace("mid_block", "midst"): torch.ones(2, 16)}, {}, "midst"),
        ({DOWN: torch.ones(2, 16)}, {"unet.use_dora": True}, "unet.use_dora"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_merged_is_refused_by_name(tmp_path, modules, tensors, note, said):
    path = tmp_path / "odd.safetensors"
    save_file(tensors, path, metadata={"lora_adapter_metadata": json.dumps(note)})
    with pytest.raises(PipelineError, match=said) as refusal:
        Lora(path).merge(network(modules, "unet"))
    assert "odd.safetensors cannot be merged" in str(refusal.value)
