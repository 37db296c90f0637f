"""The denoising UNet of latent diffusion (Ronneberger et al. 2015; Ho et al. 2020; Rombach et al. 2022).

InstructPix2Pix (Brooks et al. 2023) widens its first convolution: the input is the noisy latents together with the
latents of the picture to edit.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from typing import ClassVar, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate, silu

from pipeline.errors import PipelineError
from pipeline.networks.config import NetworkConfig
from pipeline.networks.kernels import Attend, Linear, Pointwise

KeysAndValues = tuple[Tensor, Tensor]
TextStates = Mapping[nn.Module, tuple[Tensor, ...]]  # what each module that reads the prompts has computed from them
TRANSFORMER_EPS = 1e-6  # of the group norm before a transformer; all other norms use the config's

PLAIN, ATTENDING = ("DownBlock2D", "UpBlock2D"), ("CrossAttnDownBlock2D", "CrossAttnUpBlock2D")
CHOICES = {"addition_embed_type": (None, "text"), "resnet_time_scale_shift": ("default", "scale_shift")}


@dataclass(frozen=True)
class UNetConfig(NetworkConfig):
    """The defaults are Stable Diffusion 1.5's, with InstructPix2Pix's eight input channels."""

    in_channels: int = 8
    out_channels: int = 4
    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    down_block_types: tuple[str, ...] = (*("CrossAttnDownBlock2D",) * 3, "DownBlock2D")
    up_block_types: tuple[str, ...] = ("UpBlock2D", *("CrossAttnUpBlock2D",) * 3)
    layers_per_block: int = 2
    attention_head_dim: int | tuple[int, ...] = 8
    num_attention_heads: int | tuple[int, ...] | None = None
    cross_attention_dim: int = 768
    transformer_layers_per_block: int | tuple[int, ...] = 1
    only_cross_attention: bool | tuple[bool, ...] = False
    norm_num_groups: int = 32
    norm_eps: float = 1e-5
    flip_sin_to_cos: bool = True
    freq_shift: float = 0
    addition_embed_type: str | None = None
    addition_embed_type_num_heads: int = 64
    resnet_time_scale_shift: str = "default"
    upcast_attention: bool = False  # a narrow dtype overflows in the scores of its attention

    only: ClassVar = {
        "act_fn": "silu",
        "attention_type": "default",
        "center_input_sample": False,
        "class_embed_type": None,
        "class_embeddings_concat": False,
        "conv_in_kernel": 3,
        "conv_out_kernel": 3,
        "cross_attention_norm": None,
        "downsample_padding": 1,
        "dual_cross_attention": False,
        "encoder_hid_dim": None,
        "encoder_hid_dim_type": None,
        "mid_block_scale_factor": 1,
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "num_class_embeds": None,
        "resnet_out_scale_factor": 1.0,
        "resnet_skip_time_act": False,
        "reverse_transformer_layers_per_block": None,
        "time_cond_proj_dim": None,
        "time_embedding_act_fn": None,
        "time_embedding_dim": None,
        "time_embedding_type": "positional",
        "timestep_post_act": None,
    }

    def __post_init__(self) -> None:
        for kind in (*self.down_block_types, *self.up_block_types):
            if kind not in PLAIN + ATTENDING:
                raise PipelineError(f"UNet: block type {kind!r} is not supported", field="checkpoint")
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise PipelineError(f"UNet: {name} {getattr(self, name)!r} is not supported", field="checkpoint")

    @property
    def levels(self) -> int:
        return len(self.block_out_channels)

    @property
    def heads(self) -> tuple[int, ...]:
        """The number of attention heads of each level. Files keep it in `attention_head_dim`, an old misnomer."""
        return _each(self.attention_head_dim if self.num_attention_heads is None else self.num_attention_heads, self)

    @property
    def cross_only(self) -> tuple[bool, ...]:
        """For each level, whether both attentions of a transformer attend to the text, and none to the picture."""
        return _each(self.only_cross_attention, self)

    @property
    def depths(self) -> tuple[int, ...]:
        """The number of transformer blocks in the transformers of each level."""
        return _each(self.transformer_layers_per_block, self)

    @property
    def time_width(self) -> int:
        return 4 * self.block_out_channels[0]

    @property
    def summarized(self) -> bool:
        """Whether a summary of the whole text is added to the time embedding."""
        return self.addition_embed_type == "text"

    @property
    def scaled(self) -> bool:
        """Whether the time embedding also scales features, instead of only shifting them."""
        return self.resnet_time_scale_shift == "scale_shift"


T = TypeVar("T")


def _each(value: T | tuple[T, ...], config: UNetConfig) -> tuple[T, ...]:
    return value if isinstance(value, tuple) else (value,) * config.levels


class UNet(nn.Module):
    """Predicts the noise in latents, given the step that each row is at and the text of the instruction."""

    Config = UNetConfig

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.block_out_channels
        width = config.time_width
        self.time = nn.Sequential(Linear(widths[0], width), nn.SiLU(), Linear(width, width))
        self.summary = Summary(config) if config.summarized else None
        self.conv_in = nn.Conv2d(config.in_channels, widths[0], 3, padding=1)
        self.down = nn.ModuleList(Down(config, i) for i in range(config.levels))
        self.middle = Middle(config)
        self.up = nn.ModuleList(Up(config, i) for i in reversed(range(config.levels)))
        self.norm_out = nn.GroupNorm(config.norm_num_groups, widths[0], config.norm_eps)
        self.conv_out = nn.Conv2d(widths[0], config.out_channels, 3, padding=1)
        for module in self.modules():
            if isinstance(module, Attend):
                module.upcast = config.upcast_attention

    @property
    def dtype(self) -> torch.dtype:
        return self.conv_in.weight.dtype

    @property
    def device(self) -> torch.device:
        return self.conv_in.weight.device

    def read(self, text: Tensor) -> TextStates:
        """Hidden states of prompts (B, n, D) as keys and values for each cross-attention. They hold for every step."""
        return {module: module.read(text) for module in self.modules() if isinstance(module, CrossAttention | Summary)}

    def forward(self, x: Tensor, timesteps: Tensor, text: TextStates, source: Tensor | None = None) -> Tensor:
        """The noise in each row.

        Args:
            x: noisy latents and the picture's latents concatenated, (R, in_channels, h, w).
            timesteps: (R,), fractions allowed.
            text: the result of `read` for B prompts.
            source: (B,) the row of x for each prompt. A row that several prompts share is computed once until the text
                enters. Without it, B is R and each row has its own prompt.

        Returns:
            (B, out_channels, h, w)
        """
        return self.keeping(x, timesteps, text, source)[0]

    def keeping(
        self, x: Tensor, timesteps: Tensor, text: TextStates, source: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The noise in each row, and the features (B, C, h, w) before the last layer, which `shallow` takes."""
        rows = self._begin(x, timesteps, text, source)
        for level in self.down:
            level(rows, text)
        self.middle(rows, text)
        for level in self.up[:-1]:
            level(rows, text)
        *deeper, last = range(len(self.up[-1].resnets))
        self.up[-1](rows, text, deeper)
        deep = rows.x
        self.up[-1](rows, text, [last])
        return self.conv_out(silu(self.norm_out(rows.x))), deep

    def shallow(self, x: Tensor, timesteps: Tensor, text: TextStates, deep: Tensor) -> Tensor:
        """The noise in each row by the first and last layer only, with the features of an earlier step in between.

        Neighboring steps differ little in these features (DeepCache, Ma et al. 2023).
        """
        rows = self._begin(x, timesteps, text, None)
        rows.x = deep
        self.up[-1](rows, text, [len(self.up[-1].resnets) - 1])
        return self.conv_out(silu(self.norm_out(rows.x)))

    def _begin(self, x: Tensor, timesteps: Tensor, text: TextStates, source: Tensor | None) -> "Rows":
        config = self.config
        time = sinusoids(timesteps, config.block_out_channels[0], config.flip_sin_to_cos, config.freq_shift)
        time = self.time(time.to(x.dtype))
        x = self.conv_in(x)
        rows = Rows(x, time, [x], source)
        if self.summary is not None:
            rows.expand()
            rows.time = rows.time + text[self.summary][0]
        rows.time = silu(rows.time)
        return rows


def sinusoids(timesteps: Tensor, width: int, cosine_first: bool = True, shift: float = 0) -> Tensor:
    """Timesteps (R,) as (R, width) waves of falling frequency (Vaswani et al. 2017, section 3.5), in float32."""
    half = width // 2
    frequencies = torch.exp(-math.log(10_000) * torch.arange(half, device=timesteps.device) / (half - shift))
    angles = timesteps[:, None].float() * frequencies
    waves = [angles.cos(), angles.sin()] if cosine_first else [angles.sin(), angles.cos()]
    return torch.cat(waves, dim=1)


@dataclass
class Rows:
    """The data that flows through the UNet: features, each row's time, unused skips, and how the rows will multiply."""

    x: Tensor
    time: Tensor
    skips: list[Tensor]
    source: Tensor | None

    def expand(self) -> None:
        """Give every prompt a row of its own. Called before the text first enters."""
        if self.source is not None:
            self.x, self.time = _select_rows(self.x, self.source), self.time[self.source]
            self.skips = [_select_rows(skip, self.source) for skip in self.skips]
            self.source = None

    def pop_skip(self) -> None:
        """Concatenate the latest skip to the features."""
        self.x = torch.cat([self.x, self.skips.pop()], dim=1)


def _select_rows(x: Tensor, rows: Tensor) -> Tensor:
    """Select rows of (R, C, h, w) by number. The channels stay last in memory."""
    return x.permute(0, 2, 3, 1).index_select(0, rows).permute(0, 3, 1, 2)


class Down(nn.Module):
    """One level on the way down: residual blocks, each followed by a transformer if there are any, then halving."""

    def __init__(self, config: UNetConfig, level: int) -> None:
        super().__init__()
        widths = config.block_out_channels
        before, width = widths[max(level - 1, 0)], widths[level]
        attending = config.down_block_types[level] in ATTENDING
        count = config.layers_per_block
        self.resnets = nn.ModuleList(ResidualBlock(config, before if i == 0 else width, width) for i in range(count))
        self.transformers = _transformers(config, level, config.cross_only[level], count if attending else 0)
        last = level == config.levels - 1
        self.downsample = None if last else nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, rows: Rows, text: TextStates) -> None:
        for resnet, transformer in zip_longest(self.resnets, self.transformers):
            rows.x = resnet(rows.x, rows.time)
            if transformer is not None:
                rows.expand()
                rows.x = transformer(rows.x, text)
            rows.skips.append(rows.x)
        if self.downsample is not None:
            rows.x = self.downsample(rows.x)  # (B, width, h / 2, w / 2), rounded up
            rows.skips.append(rows.x)


class Middle(nn.Module):
    """The coarsest level: a transformer, always with self-attention, between two residual blocks."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        width = config.block_out_channels[-1]
        self.resnets = nn.ModuleList(ResidualBlock(config, width, width) for _ in range(2))
        self.transformer = Transformer(config, config.levels - 1, cross_only=False)

    def forward(self, rows: Rows, text: TextStates) -> None:
        rows.expand()
        rows.x = self.resnets[0](rows.x, rows.time)
        rows.x = self.transformer(rows.x, text)
        rows.x = self.resnets[1](rows.x, rows.time)


class Up(nn.Module):
    """One level on the way up: the mirrored way down, with the skips concatenated to the features, then doubling."""

    def __init__(self, config: UNetConfig, level: int) -> None:
        super().__init__()
        widths = config.block_out_channels
        width, below, above = widths[level], widths[min(level + 1, config.levels - 1)], widths[max(level - 1, 0)]
        attending = config.up_block_types[config.levels - 1 - level] in ATTENDING
        count = config.layers_per_block + 1
        widths_before = (below, *(width,) * (count - 1))
        skips = (*(width,) * (count - 1), above)
        self.resnets = nn.ModuleList(
            ResidualBlock(config, before + skip, width) for before, skip in zip(widths_before, skips, strict=True)
        )
        self.transformers = _transformers(config, level, config.cross_only[level], count if attending else 0)
        self.upsample = None if level == 0 else nn.Conv2d(width, width, 3, padding=1)

    def forward(self, rows: Rows, text: TextStates, layers: Sequence[int] | None = None) -> None:
        """`layers`: only these layers. Default: all."""
        for number in range(len(self.resnets)) if layers is None else layers:
            rows.pop_skip()
            rows.x = self.resnets[number](rows.x, rows.time)
            if self.transformers:
                rows.x = self.transformers[number](rows.x, text)
        if self.upsample is not None:
            finer = interpolate(rows.x, size=rows.skips[-1].shape[-2:], mode="nearest")  # an odd side was rounded up
            rows.x = self.upsample(finer)


class ResidualBlock(nn.Module):
    """Two convolutions and the time's shift (or scale and shift, after the norm) between them, added to the input."""

    def __init__(self, config: UNetConfig, before: int, after: int) -> None:
        super().__init__()
        groups, eps = config.norm_num_groups, config.norm_eps
        self.norm1 = nn.GroupNorm(groups, before, eps)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.scaled = config.scaled
        self.time = Linear(config.time_width, 2 * after if self.scaled else after)
        self.norm2 = nn.GroupNorm(groups, after, eps)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.shortcut = Pointwise(before, after) if before != after else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h, told = self.conv1(silu(self.norm1(x))), self.time(time)[:, :, None, None]
        if self.scaled:
            scale, shift = told.chunk(2, dim=1)
            h = torch.addcmul(shift, self.norm2(h), 1 + scale)
        else:
            h = self.norm2(h + told)
        return self.shortcut(x) + self.conv2(silu(h))


class Transformer(nn.Module):
    """Transformer blocks over all pixels of a level, added to the input."""

    def __init__(self, config: UNetConfig, level: int, cross_only: bool) -> None:
        super().__init__()
        width = config.block_out_channels[level]
        self.norm = nn.GroupNorm(config.norm_num_groups, width, TRANSFORMER_EPS)
        self.proj_in = Linear(width, width)
        self.blocks = nn.ModuleList(TransformerBlock(config, level, cross_only) for _ in range(config.depths[level]))
        self.proj_out = Linear(width, width)

    def forward(self, x: Tensor, text: TextStates) -> Tensor:
        h = self.proj_in(to_tokens(self.norm(x)))  # (B, h * w, width)
        for block in self.blocks:
            h = block(h, text)
        return x + to_map(self.proj_out(h), x)


def to_tokens(x: Tensor) -> Tensor:
    """(B, C, h, w) as (B, h * w, C), without a copy if the channels are last in memory."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def to_map(places: Tensor, like: Tensor) -> Tensor:
    """(B, h * w, C) as (B, C, h, w), a view with the channels last in memory."""
    return places.unflatten(1, like.shape[-2:]).permute(0, 3, 1, 2)


class TransformerBlock(nn.Module):
    """Attention over the picture (or the text), attention over the text, and a gated perceptron."""

    def __init__(self, config: UNetConfig, level: int, cross_only: bool) -> None:
        super().__init__()
        width, heads = config.block_out_channels[level], config.heads[level]
        across = partial(CrossAttention, width, heads, config.cross_attention_dim)
        self.norm1 = nn.LayerNorm(width)
        self.attention1 = across() if cross_only else SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.attention2 = across()
        self.norm3 = nn.LayerNorm(width)
        self.widen = Linear(width, 8 * width)
        self.narrow = Linear(4 * width, width)

    def forward(self, x: Tensor, text: TextStates) -> Tensor:
        x = x + self.attention1(self.norm1(x), text)
        x = x + self.attention2(self.norm2(x), text)
        value, gate = self.widen(self.norm3(x)).chunk(2, dim=-1)  # GEGLU (Shazeer 2020)
        return x + self.narrow(value * gelu(gate))


class SelfAttention(nn.Module):
    """Every pixel attends to every pixel."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (Linear(width, width, bias=False) for _ in range(3))
        self.out = Linear(width, width)
        self.attend = Attend(heads, width)

    def forward(self, x: Tensor, _text: TextStates) -> Tensor:
        return self.out(self.attend(self.query(x), self.key(x), self.value(x)))


class CrossAttention(nn.Module):
    """Every pixel attends to the text."""

    def __init__(self, width: int, heads: int, text_width: int) -> None:
        super().__init__()
        self.query = Linear(width, width, bias=False)
        self.key, self.value = (Linear(text_width, width, bias=False) for _ in range(2))
        self.out = Linear(width, width)
        self.attend = Attend(heads, width, across=True)

    def read(self, text: Tensor) -> KeysAndValues:
        """Keys and values (B, n, width) of hidden states (B, n, text_width)."""
        return self.key(text), self.value(text)

    def forward(self, x: Tensor, text: TextStates) -> Tensor:
        return self.out(self.attend(self.query(x), *text[self]))


class Summary(nn.Module):
    """Summarizes a text as one vector for the time embedding: its mean attends to its tokens (IF's text pooling)."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        width = config.cross_attention_dim
        self.norm1 = nn.LayerNorm(width)
        self.mean = nn.Parameter(torch.empty(1, width))  # added to the mean, to distinguish it from the tokens
        self.query, self.key, self.value = (Linear(width, width) for _ in range(3))
        self.attend = Attend(config.addition_embed_type_num_heads, width)
        self.out = Linear(width, config.time_width)
        self.norm2 = nn.LayerNorm(config.time_width)

    def read(self, text: Tensor) -> tuple[Tensor]:
        """Hidden states (B, n, D) as vectors (B, time_width)."""
        tokens = self.norm1(text)
        mean = tokens.mean(dim=1, keepdim=True) + self.mean
        tokens = torch.cat([mean, tokens], dim=1)
        drawn = self.attend(self.query(mean), self.key(tokens), self.value(tokens))
        return (self.norm2(self.out(drawn[:, 0])),)


def _transformers(config: UNetConfig, level: int, cross_only: bool, count: int) -> nn.ModuleList:
    return nn.ModuleList(Transformer(config, level, cross_only) for _ in range(count))
