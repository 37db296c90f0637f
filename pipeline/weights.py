"""Loads weights into the networks. Only this module knows the names that other code uses.

It reads two layouts: diffusers' folders and the single file of the original Stable Diffusion code. Tables of
substitutions translate either one's names to ours. Missing and surplus tensors are reported by name.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from pipeline.errors import PipelineError
from pipeline.networks.clip import CLIPTextEncoder
from pipeline.networks.unet import ATTENDING, UNet, UNetConfig
from pipeline.networks.vae import VAE, VAEConfig
from pipeline.weight_files import Tensors

Rules = list[tuple[str, str]]  # (pattern, replacement), applied in order
Network = TypeVar("Network", CLIPTextEncoder, VAE, UNet)

ATTENTION: Rules = [
    (r"\.(?:to_q|q|q_proj|query)\.", ".query."),
    (r"\.(?:to_k|k|k_proj|key)\.", ".key."),
    (r"\.(?:to_v|v|v_proj|value)\.", ".value."),
    (r"\.(?:to_out\.0|out_proj|proj_attn)\.", ".out."),
]

CLIP: Rules = [
    (r"^text_model\.", ""),
    (r"^embeddings\.token_embedding\.", "tokens."),
    (r"^embeddings\.position_embedding\.", "positions."),
    (r"^encoder\.layers\.", "layers."),
    (r"\.self_attn\.", ".attention."),
    (r"\.layer_norm(\d)\.", r".norm\1."),
    (r"\.mlp\.fc1\.", ".widen."),
    (r"\.mlp\.fc2\.", ".narrow."),
    (r"^final_layer_norm\.", "norm."),
    *ATTENTION,
]

TRANSFORMER: Rules = [
    (r"\.transformer_blocks\.", ".blocks."),
    (r"\.attn(\d)\.", r".attention\1."),
    (r"\.ff\.net\.0\.proj\.", ".widen."),
    (r"\.ff\.net\.2\.", ".narrow."),
    *ATTENTION,
]

UNET: Rules = [
    (r"^add_embedding\.pool\.positional_embedding$", "summary.mean"),
    (r"^add_embedding\.proj\.", "summary.out."),
    (r"^add_embedding\.(?:pool\.)?", "summary."),
    (r"^time_embedding\.linear_1\.", "time.0."),
    (r"^time_embedding\.linear_2\.", "time.2."),
    (r"^conv_norm_out\.", "norm_out."),
    (r"^mid_block\.attentions\.0\.", "middle.transformer."),
    (r"^mid_block\.", "middle."),
    (r"^(down|up)_blocks\.", r"\1."),
    (r"\.attentions\.", ".transformers."),
    (r"\.downsamplers\.0\.conv\.", ".downsample."),
    (r"\.upsamplers\.0\.conv\.", ".upsample."),
    (r"\.time_emb_proj\.", ".time."),
    (r"\.conv_shortcut\.", ".shortcut."),
    *TRANSFORMER,
]


def vae_rules(config: VAEConfig) -> Rules:
    """Diffusers' names for the VAE."""
    blocks = config.layers_per_block
    return [
        (r"^quant_conv\.", "quant."),
        (r"^post_quant_conv\.", "post_quant."),
        (r"\.conv_norm_out\.", ".norm_out."),
        (r"\.mid_block\.resnets\.0\.", ".middle.block1."),
        (r"\.mid_block\.resnets\.1\.", ".middle.block2."),
        (r"\.mid_block\.attentions\.0\.group_norm\.", ".middle.attention.norm."),
        (r"\.mid_block\.attentions\.0\.", ".middle.attention."),
        (r"\.(?:down|up)_blocks\.(\d+)\.resnets\.(\d+)\.", r".levels.\1.\2."),
        (r"\.down_blocks\.(\d+)\.downsamplers\.0\.", rf".levels.\1.{blocks}."),
        (r"\.up_blocks\.(\d+)\.upsamplers\.0\.", rf".levels.\1.{blocks + 1}."),
        (r"\.conv_shortcut\.", ".shortcut."),
        *ATTENTION,
    ]


def original_vae_rules(config: VAEConfig) -> Rules:
    """The original code's names for the VAE. Its decoder counts levels from the finest."""
    blocks, levels = config.layers_per_block, len(config.block_out_channels)
    return [
        (r"^quant_conv\.", "quant."),
        (r"^post_quant_conv\.", "post_quant."),
        (r"\.mid\.block_(\d)\.", r".middle.block\1."),
        (r"\.mid\.attn_1\.proj_out\.", ".middle.attention.out."),
        (r"\.mid\.attn_1\.", ".middle.attention."),
        *((rf"^decoder\.up\.{i}\.", f"decoder.levels.{levels - 1 - i}.") for i in range(levels)),
        (r"^encoder\.down\.", "encoder.levels."),
        (r"\.block\.(\d+)\.", r".\1."),
        (r"\.downsample\.", f".{blocks}."),
        (r"\.upsample\.", f".{blocks + 1}."),
        (r"\.nin_shortcut\.", ".shortcut."),
        *ATTENTION,
    ]


def original_unet_rules(config: UNetConfig) -> Rules:
    """The original code's names for the UNet, which numbers blocks continuously over all levels."""
    return [
        (r"^time_embed\.", "time."),
        (r"^input_blocks\.0\.0\.", "conv_in."),
        (r"^out\.0\.", "norm_out."),
        (r"^out\.2\.", "conv_out."),
        (r"^middle_block\.0\.", "middle.resnets.0."),
        (r"^middle_block\.1\.", "middle.transformer."),
        (r"^middle_block\.2\.", "middle.resnets.1."),
        *_original_down(config),
        *_original_up(config),
        (r"\.in_layers\.0\.", ".norm1."),
        (r"\.in_layers\.2\.", ".conv1."),
        (r"\.emb_layers\.1\.", ".time."),
        (r"\.out_layers\.0\.", ".norm2."),
        (r"\.out_layers\.3\.", ".conv2."),
        (r"\.skip_connection\.", ".shortcut."),
        *TRANSFORMER,
    ]


def _original_down(config: UNetConfig) -> Iterable[tuple[str, str]]:
    block = 1
    for level in range(config.levels):
        for i in range(config.layers_per_block):
            yield rf"^input_blocks\.{block}\.0\.", f"down.{level}.resnets.{i}."
            yield rf"^input_blocks\.{block}\.1\.", f"down.{level}.transformers.{i}."
            block += 1
        if level < config.levels - 1:
            yield rf"^input_blocks\.{block}\.0\.op\.", f"down.{level}.downsample."
            block += 1


def _original_up(config: UNetConfig) -> Iterable[tuple[str, str]]:
    block = 0
    for level, kind in enumerate(config.up_block_types):
        for i in range(config.layers_per_block + 1):
            yield rf"^output_blocks\.{block}\.\d\.conv\.", f"up.{level}.upsample."
            yield rf"^output_blocks\.{block}\.0\.", f"up.{level}.resnets.{i}."
            if kind in ATTENDING:
                yield rf"^output_blocks\.{block}\.1\.", f"up.{level}.transformers.{i}."
            block += 1


ORIGINAL_PREFIXES = {
    CLIPTextEncoder: "cond_stage_model.transformer.",
    VAE: "first_stage_model.",
    UNet: "model.diffusion_model.",
}
PARTS: dict[type[nn.Module], str] = {CLIPTextEncoder: "text_encoder", VAE: "vae", UNet: "unet"}  # their folders
OTHER_KINDS = {  # the kind of a single file, by a name in it
    r"conditioner\.embedders\.|model\.diffusion_model\.label_emb\.": "Stable Diffusion XL",
    r"cond_stage_model\.model\.": "Stable Diffusion 2",
    r"(model\.diffusion_model\.)?joint_blocks\.": "Stable Diffusion 3",
    r"(model\.diffusion_model\.)?double_blocks\.": "FLUX",
    r"transformer_blocks\.": "a diffusion transformer, such as FLUX or Qwen-Image",
    r"lora_|(unet|transformer|text_encoder)\..*lora": "a LoRA, not a model (name it in `lora`)",
    r"control_model\.|controlnet_": "a ControlNet",
}
ORIGINAL_SCHEDULE = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "prediction_type": "epsilon",
}
EMA = "model_ema."
NO_WEIGHTS = re.compile(r"(^|\.)position_ids$|^loss\.")


def diffusers_rules(network: nn.Module) -> Rules:
    """The substitutions from diffusers' (and transformers') names for a network."""
    if isinstance(network, VAE):
        return vae_rules(network.config)
    return UNET if isinstance(network, UNet) else CLIP


def original_rules(network: nn.Module) -> Rules:
    """The substitutions from the original single file's names for a network, without its prefix."""
    if isinstance(network, VAE):
        return original_vae_rules(network.config)
    return original_unet_rules(network.config) if isinstance(network, UNet) else CLIP


def translate(name: str, rules: Rules) -> str:
    """Translate a foreign name to ours."""
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def from_module(module: nn.Module) -> Tensors:
    """The tensors of another library's module. A network loaded with them shares its memory."""
    return {name: partial(_itself, tensor) for name, tensor in module.state_dict().items()}


def _itself(tensor: Tensor) -> Tensor:
    return tensor


def lend(network: nn.Module, module: nn.Module) -> None:
    """Give a network's weights to another library's module, which was built without memory. Both share the tensors."""
    ours, rules = network.state_dict(), diffusers_rules(network)
    wanted = {name: tensor.shape for name, tensor in module.state_dict().items() if not NO_WEIGHTS.search(name)}
    state = {name: ours[translate(name, rules)].reshape(shape) for name, shape in wanted.items()}
    module.load_state_dict(state, assign=True, strict=False)


def original_part(tensors: Tensors, kind: type[nn.Module]) -> Tensors:
    """The tensors of one network in an original single file, without its prefix. Of the UNet, EMA weights come first.

    Averaged weights have names without dots.
    """
    prefix = ORIGINAL_PREFIXES[kind]
    part = {name.removeprefix(prefix): read for name, read in tensors.items() if name.startswith(prefix)}
    if kind is UNet:
        averaged = {name: EMA + f"diffusion_model{name.replace('.', '')}" for name in part}
        part = {name: tensors.get(averaged[name], read) for name, read in part.items()}
    return part


def original_configs(tensors: Tensors) -> dict[str, dict[str, Any]]:
    """The settings of the parts in an original single file, with diffusers' names. Tensors give widths and depths.

    Values that no shape implies, such as the number of heads, are the same in every Stable Diffusion 1 model. A file
    may hold only the UNet.

    Raises:
        PipelineError: the file does not have the tensors of such a model. It names the kind of file, if that is known.
    """
    for pattern, kind in OTHER_KINDS.items():
        if name := next((name for name in tensors if re.match(pattern, name)), None):
            raise PipelineError(f"it holds {kind} ({name}), which our own networks do not run", field="checkpoint")
    shapes = {kind: _Shapes(original_part(tensors, kind)) for kind in ORIGINAL_PREFIXES}
    if not shapes[UNet].tensors:
        known = f"no name in it begins with {ORIGINAL_PREFIXES[UNet]}"
        raise PipelineError(f"it is no original Stable Diffusion 1 checkpoint: {known}", field="checkpoint")
    readers = {UNet: _original_unet_config, VAE: _original_vae_config, CLIPTextEncoder: _original_clip_config}
    try:
        configs = {PARTS[kind]: read(shapes[kind]) for kind, read in readers.items() if shapes[kind].tensors}
    except (KeyError, IndexError) as error:
        detail = f"it is no original Stable Diffusion 1 checkpoint: its tensors are not those of one ({error})"
        raise PipelineError(detail, field="checkpoint") from error
    return configs | {"scheduler": ORIGINAL_SCHEDULE}


def with_original_names(tensors: Tensors) -> Tensors:
    """Add the prefix to the tensors of a file that may hold only the UNet without it."""
    if "input_blocks.0.0.weight" in tensors:
        return {ORIGINAL_PREFIXES[UNet] + name: read for name, read in tensors.items()}
    return tensors


def diffusers_unet_config(tensors: Tensors) -> dict[str, Any]:
    """The settings of a Stable Diffusion 1 UNet that is alone in a file, with diffusers' names.

    Raises:
        PipelineError: it is another kind of UNet.
    """
    shapes = _Shapes(tensors)
    levels = range(shapes.count(r"down_blocks\.(\d+)\."))
    try:
        return _unet_config(
            shapes["conv_in.weight"][1],
            shapes["conv_out.weight"][0],
            [shapes[f"down_blocks.{i}.resnets.0.conv1.weight"][0] for i in levels],
            shapes.count(r"down_blocks\.0\.resnets\.(\d+)\."),
            [f"down_blocks.{i}.attentions.0.norm.weight" in shapes for i in levels],
            shapes["mid_block.attentions.0.proj_in.weight"],
            shapes["mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"][1],
        )
    except KeyError as error:
        raise PipelineError(f"it is no UNet of Stable Diffusion 1: {error} is missing", field="checkpoint") from error


@dataclass(frozen=True)
class _Shapes:
    """The shapes of one network's tensors, by their original names."""

    tensors: Tensors

    def __getitem__(self, name: str) -> torch.Size:
        return self.tensors[name]().shape

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def count(self, pattern: str) -> int:
        """The number of distinct numbers that the pattern's group matches."""
        return len({found[1] for name in self.tensors if (found := re.match(pattern, name))})


def _original_unet_config(shapes: _Shapes) -> dict[str, Any]:
    levels: list[list[int]] = [[]]  # the blocks of each level
    for block in range(1, shapes.count(r"input_blocks\.(\d+)\.")):
        if f"input_blocks.{block}.0.op.weight" in shapes:
            levels.append([])
        else:
            levels[-1].append(block)
    return _unet_config(
        shapes["input_blocks.0.0.weight"][1],
        shapes["out.2.weight"][0],
        [shapes[f"input_blocks.{blocks[0]}.0.out_layers.3.weight"][0] for blocks in levels],
        len(levels[0]),
        [f"input_blocks.{blocks[0]}.1.norm.weight" in shapes for blocks in levels],
        shapes["middle_block.1.proj_in.weight"],
        shapes["middle_block.1.transformer_blocks.0.attn2.to_k.weight"][1],
    )


def _unet_config(
    inputs: int, outputs: int, widths: list[int], layers: int, attending: list[bool], proj_in: torch.Size, text: int
) -> dict[str, Any]:
    if len(proj_in) == 2:
        raise PipelineError("it is a UNet of Stable Diffusion 2: give it as a folder", field="checkpoint")
    return {
        "in_channels": inputs,
        "out_channels": outputs,
        "block_out_channels": widths,
        "layers_per_block": layers,
        "down_block_types": ["CrossAttnDownBlock2D" if attends else "DownBlock2D" for attends in attending],
        "up_block_types": ["CrossAttnUpBlock2D" if attends else "UpBlock2D" for attends in reversed(attending)],
        "cross_attention_dim": text,
        "attention_head_dim": 8,
    }


def _original_vae_config(shapes: _Shapes) -> dict[str, Any]:
    levels = shapes.count(r"encoder\.down\.(\d+)\.")
    return {
        "block_out_channels": [shapes[f"encoder.down.{i}.block.0.conv1.weight"][0] for i in range(levels)],
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "layers_per_block": shapes.count(r"encoder\.down\.0\.block\.(\d+)\."),
        "latent_channels": shapes["post_quant_conv.weight"][0],
        "scaling_factor": 0.18215,
    }


def _original_clip_config(shapes: _Shapes) -> dict[str, Any]:
    words, width = shapes["text_model.embeddings.token_embedding.weight"]
    return {
        "vocab_size": words,
        "hidden_size": width,
        "max_position_embeddings": shapes["text_model.embeddings.position_embedding.weight"][0],
        "intermediate_size": shapes["text_model.encoder.layers.0.mlp.fc1.weight"][0],
        "num_hidden_layers": shapes.count(r"text_model\.encoder\.layers\.(\d+)\."),
        "num_attention_heads": width // 64,
        "hidden_act": "quick_gelu",
    }


def build(
    kind: type[Network], config: Any, tensors: Tensors, *, original: bool = False, dtype: torch.dtype | None = None
) -> Network:
    """Build a network with its weights, ready to compute. At most one tensor at a time is in memory twice.

    `dtype` None keeps that of the files.

    Raises:
        PipelineError: it lists missing and unexpected tensors, and those of another shape.
    """
    with torch.device("meta"):
        network = kind(config)
    rules = original_rules(network) if original else diffusers_rules(network)
    named = {translate(name, rules): read for name, read in tensors.items() if not NO_WEIGHTS.search(name)}
    wanted = network.state_dict()
    _check(kind.__name__, wanted.keys() - named.keys(), named.keys() - wanted.keys())
    state = {name: _shaped(name, read().to(dtype), wanted[name].shape) for name, read in named.items()}
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False)


def _check(network: str, missing: set[str], unexpected: set[str]) -> None:
    if missing or unexpected:
        parts = [
            f"{len(names)} {what} ({', '.join(sorted(names)[:8])}{', ...' if len(names) > 8 else ''})"
            for what, names in (("missing", missing), ("unexpected", unexpected))
            if names
        ]
        raise PipelineError(f"{network}: weights do not fit its config: {'; '.join(parts)}", field="checkpoint")


def _shaped(name: str, tensor: Tensor, shape: torch.Size) -> Tensor:
    """The tensor in the expected shape, because a linear layer may be stored as a 1 x 1 convolution and vice versa."""
    if [side for side in tensor.shape if side != 1] != [side for side in shape if side != 1]:
        raise PipelineError(f"{name}: shape {tuple(tensor.shape)}, expected {tuple(shape)}", field="checkpoint")
    return tensor.reshape(shape)
