"""The VAE's training: pictures, half of them edited, through a few numbers and back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss

from training.hogwild import train
from training.initial import start_autoencoder
from training.recipe import Recipe
from training.samples import Pairs, Samples

STARTING_PICTURES = 96
LOG_VARIANCE = (-12.0, 4.0)
LOG_WEIGHT = 0.02  # of the logarithm of the squared error, which makes a smooth picture's few errors count


def build(settings: dict[str, Any]) -> AutoencoderKL:
    """An untrained autoencoder, one residual block a level and no attention, from a recipe's numbers."""
    levels = len(settings["block_out_channels"])
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        layers_per_block=1,
        mid_block_add_attention=False,
        sample_size=256,
        **settings,
    )


def train_autoencoder(recipe: Recipe, samples: Samples, folder: Path, name: str = "vae") -> AutoencoderKL:
    """A trained autoencoder whose `scaling_factor` brings its latents to unit deviation."""
    table = recipe["vae"]
    torch.manual_seed(recipe["seed"])
    vae = build(table["network"]).to(memory_format=torch.channels_last)
    rng = np.random.default_rng(recipe["seed"])
    start_autoencoder(vae, samples.pictures(rng, STARTING_PICTURES, table["size"], table["edited"]))

    def loss(rng: np.random.Generator, _share: float) -> tuple[Tensor, int, dict[str, float]]:
        pictures = samples.pictures(rng, table["batch"], table["size"], table["edited"])
        with torch.autocast("cpu", torch.bfloat16, enabled=table["bf16"]):
            mean, log_variance = vae.quant_conv(vae.encoder(pictures)).float().chunk(2, dim=1)
            log_variance = log_variance.clamp(*LOG_VARIANCE)
            latents = mean + (log_variance / 2).exp() * torch.randn_like(mean)
            made = vae.decoder(vae.post_quant_conv(latents)).float()
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        value = difference(made, pictures) + table["kl"] * divergence
        return value, len(pictures), {"loss": float(value.detach()), "psnr": psnr(made, pictures)}

    train(vae, loss, recipe.plan("vae"), folder, name)
    vae.register_to_config(scaling_factor=scaling_factor(vae, samples))
    return vae.eval().requires_grad_(False)


def train_decoder(
    recipe: Recipe,
    samples: Samples,
    vae: AutoencoderKL,
    edit: Callable[[Pairs, np.random.Generator], Tensor],
    folder: Path,
) -> None:
    """Train the decoder on behind what no longer moves: on the encoder's means, and on latents as edits make them.

    `edit` makes the latter, (B, C, H / 8, W / 8) or whatever the factor is, unscaled.
    """
    table = recipe["decoder"]
    decoder = nn.ModuleList([vae.post_quant_conv, vae.decoder]).requires_grad_(True)

    def loss(rng: np.random.Generator, _share: float) -> tuple[Tensor, int, dict[str, float]]:
        size = int(rng.choice(list(table["sizes"])))
        count = table["sizes"][str(size)]
        edits = round(count * table["edits"])
        pairs = samples.pairs(rng, edits, (size, size))
        pictures = samples.pictures(rng, count - edits, size, table["edited"])
        with torch.no_grad():
            latents = torch.cat([edit(pairs, rng), vae.encode(pictures).latent_dist.mode()])
        with torch.autocast("cpu", torch.bfloat16, enabled=table["bf16"]):
            made = vae.decoder(vae.post_quant_conv(latents)).float()
        of_edits, of_pictures = made.split([edits, count - edits])
        value = difference(made, torch.cat([pairs.after, pictures]))
        value = value + LOG_WEIGHT * log_error(of_pictures, pictures)
        figures = {"psnr": psnr(of_pictures, pictures), "edits": psnr(of_edits, pairs.after)}
        return value, count, {"loss": float(value.detach()), **figures}

    train(decoder, loss, recipe.plan("decoder"), folder, "decoder")
    decoder.requires_grad_(False)


def difference(made: Tensor, pictures: Tensor) -> Tensor:
    """What is to become small: absolute and squared errors, and those of edges."""
    return l1_loss(made, pictures) + 4 * mse_loss(made, pictures) + 0.5 * edge_loss(made, pictures)


def log_error(made: Tensor, pictures: Tensor) -> Tensor:
    """The mean over pictures of the natural logarithm of the squared error: PSNR but for sign, factor and offset."""
    return ((made - pictures).square().mean((1, 2, 3)) + 1e-5).log().mean()


def psnr(made: Tensor, pictures: Tensor) -> float:
    """Of pictures in [-1, 1], in dB."""
    return float(10 * (4 / mse_loss(made.detach(), pictures)).log10())


def edge_loss(made: Tensor, pictures: Tensor) -> Tensor:
    """How far the differences between neighboring pixels are off, on average."""
    return l1_loss(made.diff(dim=2), pictures.diff(dim=2)) + l1_loss(made.diff(dim=3), pictures.diff(dim=3))


def scaling_factor(vae: AutoencoderKL, samples: Samples) -> float:
    """One over the latents' standard deviation over 256 training pictures of 128 px."""
    rng = np.random.default_rng(0)
    with torch.no_grad():
        latents = [vae.encode(samples.pictures(rng, 32, 128, 0.5)).latent_dist.mode() for _ in range(8)]
    return round(float(1 / torch.cat(latents).std()), 5)


def measure(vae: AutoencoderKL, pictures: list[np.ndarray]) -> float:
    """The mean PSNR in dB of pictures (H, W, 3) in [0, 1] after the way through the autoencoder in 8 bits."""
    figures = []
    for picture in pictures:
        with torch.no_grad():
            made = vae(torch.from_numpy(picture).permute(2, 0, 1)[None] * 2 - 1).sample
        made = ((made / 2 + 0.5).clamp(0, 1) * 255).round() / 255
        error = (made[0].permute(1, 2, 0).numpy() - picture) ** 2
        figures.append(10 * np.log10(1 / error.mean()))
    return float(np.mean(figures))
