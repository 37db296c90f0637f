"""Writes a diffusers checkpoint as an original single file. This is the tests' own description of that layout."""

import re

import torch

INNER = [
    ("norm1.", "in_layers.0."),
    ("conv1.", "in_layers.2."),
    ("time_emb_proj.", "emb_layers.1."),
    ("norm2.", "out_layers.0."),
    ("conv2.", "out_layers.3."),
    ("conv_shortcut.", "skip_connection."),
]
PLAIN = {
    "time_embedding.linear_1.": "time_embed.0.",
    "time_embedding.linear_2.": "time_embed.2.",
    "conv_in.": "input_blocks.0.0.",
    "conv_norm_out.": "out.0.",
    "conv_out.": "out.2.",
    "mid_block.resnets.0.": "middle_block.0.",
    "mid_block.attentions.0.": "middle_block.1.",
    "mid_block.resnets.1.": "middle_block.2.",
}


def unet(state: dict[str, torch.Tensor], layers: int) -> dict[str, torch.Tensor]:
    return {"model.diffusion_model." + _unet_name(name, layers, state): tensor for name, tensor in state.items()}


def _unet_name(name: str, layers: int, state) -> str:
    if "resnets" in name:
        block, inner = re.match(r"(.*resnets\.\d+\.)(.*)", name).groups()
        for theirs, original in INNER:
            inner = original + inner.removeprefix(theirs) if inner.startswith(theirs) else inner
        name = block + inner
    for theirs, original in PLAIN.items():
        if name.startswith(theirs):
            return original + name.removeprefix(theirs)
    side, level, part, index, rest = re.match(r"(down|up)_blocks\.(\d+)\.(\w+?)\.(\d+)\.(.*)", name).groups()
    level, index = int(level), int(index)
    if side == "down":
        number = 1 + level * (layers + 1) + (layers if part == "downsamplers" else index)
        place = {"resnets": "0.", "attentions": "1.", "downsamplers": "0.op."}[part]
        return f"input_blocks.{number}.{place}" + rest.removeprefix("conv." if part == "downsamplers" else "")
    number = level * (layers + 1) + (layers if part == "upsamplers" else index)
    attending = any(other.startswith(f"up_blocks.{level}.attentions.") for other in state)
    place = {"resnets": "0.", "attentions": "1.", "upsamplers": "2." if attending else "1."}[part]
    return f"output_blocks.{number}.{place}{rest}"


def averaged(original_unet: dict[str, torch.Tensor], change) -> dict[str, torch.Tensor]:
    """The EMA copies of a UNet's weights: the same names without dots, with other values to tell them apart."""
    return {"model_ema." + name.removeprefix("model.").replace(".", ""): change(t) for name, t in original_unet.items()}


def vae(state: dict[str, torch.Tensor], levels: int) -> dict[str, torch.Tensor]:
    renamed = {}
    for name, tensor in state.items():
        name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
        name = re.sub(r"mid_block\.attentions\.0\.", "mid.attn_1.", name)
        name = re.sub(r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2", name)
        name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
        name = re.sub(r"up_blocks\.(\d)\.resnets\.(\d)", lambda m: f"up.{levels - 1 - int(m[1])}.block.{m[2]}", name)
        name = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{levels - 1 - int(m[1])}.upsample", name)
        name = name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
        if "attn_1" in name:
            for theirs, original in (("group_norm", "norm"), ("to_out.0", "proj_out")):
                name = name.replace(theirs, original)
            name = re.sub(r"\.to_(.)\.", r".\1.", name)
            if tensor.ndim == 2:
                tensor = tensor[:, :, None, None]  # 1 x 1 convolutions there
        renamed["first_stage_model." + name] = tensor
    return renamed


def clip(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    prefix = "cond_stage_model.transformer.text_model."
    named = {prefix + name.removeprefix("text_model."): tensor for name, tensor in state.items()}
    return named | {prefix + "embeddings.position_ids": torch.arange(77)[None]}
