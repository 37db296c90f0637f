"""The variational autoencoder (Kingma and Welling 2014; Rombach et al. 2022): pictures to latents and back."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn.functional import interpolate, pad, silu

from pipeline.errors import PipelineError
from pipeline.networks.config import NetworkConfig
from pipeline.networks.kernels import Attend, Linear

EPS = 1e-6  # of every group norm
BLOCKS = ("DownEncoderBlock2D", "UpDecoderBlock2D")


@dataclass(frozen=True)
class VAEConfig(NetworkConfig):
    """The defaults are Stable Diffusion 1.5's."""

    in_channels: int = 3
    out_channels: int = 3
    latent_channels: int = 4
    block_out_channels: tuple[int, ...] = (128, 256, 512, 512)
    layers_per_block: int = 2
    norm_num_groups: int = 32
    mid_block_add_attention: bool = True
    use_quant_conv: bool = True
    use_post_quant_conv: bool = True
    scaling_factor: float = 0.18215
    force_upcast: bool = False  # its activations overflow float16
    down_block_types: tuple[str, ...] = ()
    up_block_types: tuple[str, ...] = ()

    only: ClassVar = {"act_fn": "silu", "shift_factor": 0.0, "latents_mean": None, "latents_std": None}

    def __post_init__(self) -> None:
        for kind in (*self.down_block_types, *self.up_block_types):
            if kind not in BLOCKS:
                raise PipelineError(f"VAE: block type {kind!r} is not supported", field="checkpoint")

    @property
    def factor(self) -> int:
        """Pixels per latent pixel, along one side."""
        return 2 ** (len(self.block_out_channels) - 1)


class VAE(nn.Module):
    """Encoder and decoder. These latents are unscaled; multiply them by `scaling_factor` before noise is added."""

    Config = VAEConfig

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        latent = config.latent_channels
        self.encoder = Encoder(config)
        self.quant = nn.Conv2d(2 * latent, 2 * latent, 1) if config.use_quant_conv else nn.Identity()
        self.post_quant = nn.Conv2d(latent, latent, 1) if config.use_post_quant_conv else nn.Identity()
        self.decoder = Decoder(config)

    def encode(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in [-1, 1] to the mean of their latents (B, C, H / factor, W / factor)."""
        mean, _log_variance = self.quant(self.encoder(pictures)).chunk(2, dim=1)
        return mean

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, C, h, w) to pictures (B, 3, h * factor, w * factor), about in [-1, 1]."""
        return self.decoder(self.post_quant(latents))


class Encoder(nn.Module):
    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths, groups = config.block_out_channels, config.norm_num_groups
        self.conv_in = nn.Conv2d(config.in_channels, widths[0], 3, padding=1)
        self.levels = nn.ModuleList()
        for i, (before, width) in enumerate(zip((widths[0], *widths), widths, strict=False)):
            last = i == len(widths) - 1
            blocks = _blocks(before, width, config.layers_per_block, groups)
            self.levels.append(nn.Sequential(*blocks) if last else nn.Sequential(*blocks, Downsample(width)))
        self.middle = Middle(widths[-1], groups, config.mid_block_add_attention)
        self.norm_out = nn.GroupNorm(groups, widths[-1], EPS)
        self.conv_out = nn.Conv2d(widths[-1], 2 * config.latent_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.levels:
            x = level(x)  # half the size, except at the last level
        return self.conv_out(silu(self.norm_out(self.middle(x))))


class Decoder(nn.Module):
    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths, groups = config.block_out_channels[::-1], config.norm_num_groups
        self.conv_in = nn.Conv2d(config.latent_channels, widths[0], 3, padding=1)
        self.middle = Middle(widths[0], groups, config.mid_block_add_attention)
        self.levels = nn.ModuleList()
        for i, (before, width) in enumerate(zip((widths[0], *widths), widths, strict=False)):
            last = i == len(widths) - 1
            blocks = _blocks(before, width, config.layers_per_block + 1, groups)
            self.levels.append(nn.Sequential(*blocks) if last else nn.Sequential(*blocks, Upsample(width)))
        self.norm_out = nn.GroupNorm(groups, widths[-1], EPS)
        self.conv_out = nn.Conv2d(widths[-1], config.out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.middle(self.conv_in(x))
        for level in self.levels:
            x = level(x)  # twice the size, except at the last level
        return self.conv_out(silu(self.norm_out(x)))


class Middle(nn.Module):
    """A residual block on either side of single-head attention over all pixels, if there is attention."""

    def __init__(self, width: int, groups: int, attention: bool) -> None:
        super().__init__()
        self.block1 = ResidualBlock(width, width, groups)
        self.attention = SpatialAttention(width, groups) if attention else nn.Identity()
        self.block2 = ResidualBlock(width, width, groups)

    def forward(self, x: Tensor) -> Tensor:
        return self.block2(self.attention(self.block1(x)))


class ResidualBlock(nn.Module):
    def __init__(self, before: int, after: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, before, EPS)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, after, EPS)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.shortcut = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(silu(self.norm1(x)))
        return self.shortcut(x) + self.conv2(silu(self.norm2(h)))


class SpatialAttention(nn.Module):
    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, width, EPS)
        self.query, self.key, self.value, self.out = (Linear(width, width) for _ in range(4))
        self.attend = Attend(1, width)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.norm(x).flatten(2).transpose(1, 2)  # (B, h * w, width)
        tokens = self.out(self.attend(self.query(tokens), self.key(tokens), self.value(tokens)))
        return x + tokens.transpose(1, 2).unflatten(2, x.shape[-2:])


class Downsample(nn.Module):
    """A convolution of stride 2, padded on the right and the bottom only."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Each pixel becomes four equal ones, then a convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(interpolate(x, scale_factor=2.0, mode="nearest"))


def _blocks(before: int, width: int, count: int, groups: int) -> list[nn.Module]:
    """`count` residual blocks, the first from `before` channels to `width`."""
    return [ResidualBlock(before if i == 0 else width, width, groups) for i in range(count)]
