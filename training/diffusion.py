"""The UNet's training: from noise, a picture and an instruction, towards the edited picture (Brooks et al. 2023)."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor

from pipeline.catalogue import DEFAULT_MODEL
from pipeline.networks.tokenizer import Tokenizer
from pipeline.samplers import ddim, following_of
from pipeline.schedule import Schedule
from training.hogwild import train
from training.initial import start_unet
from training.language import TOKENIZER, Reader
from training.recipe import Recipe
from training.samples import Pairs, Samples

STEPS = 1000
SCHEDULE: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": STEPS,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,  # ends in noise alone (Lin et al. 2024)
}
MOST_WEIGHT = 5.0  # of the error in the predicted clean latents


def build(settings: Mapping[str, Any], latents: int, text_width: int) -> UNet2DConditionModel:
    """An untrained UNet: no attention at the finest level, to the text below, to the picture itself at the coarsest.

    `settings` are the recipe's `[unet.network]`, in diffusers' words.
    """
    levels = len(settings["block_out_channels"])
    down = ["DownBlock2D"] + ["CrossAttnDownBlock2D"] * (levels - 1)
    return UNet2DConditionModel(
        in_channels=2 * latents,
        out_channels=latents,
        down_block_types=down,
        up_block_types=[kind.replace("Down", "Up") for kind in reversed(down)],
        layers_per_block=1,
        cross_attention_dim=text_width,
        only_cross_attention=[True] * (levels - 1) + [False],
        sample_size=64,
        **settings,
    )


def train_unet(
    recipe: Recipe, samples: Samples, vae: AutoencoderKL, reader: Reader, folder: Path
) -> UNet2DConditionModel:
    """A trained UNet between a trained autoencoder and a trained text encoder.

    A picture without text stays as it is, so that guidance leads from the photo through the edit, and its scale is a
    strength.
    """
    table = recipe["unet"]
    torch.manual_seed(recipe["seed"])
    latents, scale = vae.config.latent_channels, vae.config.scaling_factor
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    unet = build(table["network"], latents, reader.encoder.config.hidden_size)
    start_unet(unet, scale)
    unet = unet.to(memory_format=torch.channels_last)
    tokenizer, alphas = Tokenizer.read(TOKENIZER), training_alphas()

    def loss(rng: np.random.Generator, share: float) -> tuple[Tensor, int, dict[str, float]]:
        size, count = choose_size(table["phases"], rng, share)
        noise = torch.randn(count, latents, *(length // factor for length in size))
        scales = torch.from_numpy(choose_scales(rng, count, table["noise"], table["full_noise"]))[:, None, None, None]
        pairs = samples.pairs(rng, count, size, noise)
        wordless, pictureless = dropped(rng, count, table["drop"])
        prompts = ["" if gone else prompt for prompt, gone in zip(pairs.prompts, wordless, strict=True)]
        with torch.no_grad():
            text = reader.encoder(tokenizer(prompts)).last_hidden_state
            with torch.autocast("cpu", torch.bfloat16, enabled=table["bf16_latents"]):
                both = vae.encode(torch.cat([pairs.before, pairs.after])).latent_dist.mode().float()
        before, after = both.chunk(2)
        before, after = without_some(before, after, torch.tensor(wordless), torch.tensor(pictureless))
        clean, noise = after * scale, noise * scales
        steps = torch.from_numpy(choose_steps(rng, count, table["early_steps"], table["first_steps"]))
        alpha = alphas[steps][:, None, None, None]
        noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
        wanted = alpha.sqrt() * noise - (1 - alpha).sqrt() * clean
        error = (unet(torch.cat([noisy, before], dim=1), steps, text).sample - wanted).square().mean((1, 2, 3))
        value = (weight_of(alpha.flatten()) * error).mean()
        return value, count, {"loss": float(value.detach()), **by_quarter(steps, error.detach())}

    train(unet, loss, recipe.plan("unet"), folder, "unet")
    return unet.eval().requires_grad_(False)


def editor(
    recipe: Recipe, vae: AutoencoderKL, reader: Reader, unet: UNet2DConditionModel
) -> Callable[[Pairs, np.random.Generator], Tensor]:
    """Edits by the defaults of the card, as the service does: to unscaled latents (B, C, h, w), ready to be decoded."""
    card, tokenizer = recipe["card"], Tokenizer.read(TOKENIZER)
    steps = {**card["defaults"], **card["models"].get(DEFAULT_MODEL, {})}["steps"]
    text_scale = card["scales"]["three-way"]["cfg_scale"]
    table, scaling = ddim(Schedule.parse(SCHEDULE).levels(steps)).steps, vae.config.scaling_factor

    @torch.no_grad()
    def edit(pairs: Pairs, _rng: np.random.Generator) -> Tensor:
        before = vae.encode(pairs.before).latent_dist.mode()
        count = len(before)
        rows = 1 if text_scale == 1 else 2
        text = reader.encoder(tokenizer([*pairs.prompts, *[""] * (count * (rows - 1))])).last_hidden_state
        x = card["noise_scale"] * torch.randn_like(before)
        for step in table:
            seen = torch.cat([x, before], dim=1).repeat(rows, 1, 1, 1)
            velocities = unet(seen, torch.full((rows * count,), step.timestep), text).sample.chunk(rows)
            guided = velocities[-1] + text_scale * (velocities[0] - velocities[-1])
            predicted = step.predict(x, guided)
            x = following_of(x, predicted, None, None, step.weights)
        made: Tensor = x / scaling
        return made

    return edit


def training_alphas() -> Tensor:
    """The cumulative products of 1 - beta, (1000,), as an edit will have them."""
    return torch.from_numpy(Schedule.parse(SCHEDULE).alphas).float()


def weight_of(alpha: Tensor) -> Tensor:
    """The weight of the squared error in v: 1 while that is at most `MOST_WEIGHT` in clean latents, less above.

    An error in v is sqrt(1 - a) times as large in the clean latents, so a weight of 1 is one of 1 / (1 - a) there;
    nearly clean steps would outweigh all others (Hang et al. 2023, on noise prediction).
    """
    return (MOST_WEIGHT * (1 - alpha)).clamp(max=1)


def choose_size(phases: list[dict[str, Any]], rng: np.random.Generator, share: float) -> tuple[tuple[int, int], int]:
    """A (height, width) of the phase that this share of the time is in, and how many samples of it make a batch."""
    sizes = next(phase["sizes"] for phase in phases if share <= phase["until"] or phase is phases[-1])
    size = str(rng.choice(list(sizes)))
    height, _, width = size.partition("x")
    return (int(height), int(width or height)), sizes[size]


def choose_steps(rng: np.random.Generator, count: int, early: float, first: float) -> np.ndarray:
    """Training steps, (count,): a share at the noisiest, where every edit begins, the rest at 1000 u^early."""
    steps = (STEPS * rng.random(count) ** early).astype(np.int64)
    steps[rng.random(count) < first] = STEPS - 1
    return steps


def choose_scales(rng: np.random.Generator, count: int, most: float, full: float) -> np.ndarray:
    """How strong each sample's noise is, (count,) float32: from 0 to `most`, but for a share as strong as usual.

    An edit's noise fades slowly in what it makes, and most edits are decided by photo and instruction alone; libraries
    begin with all of it.
    """
    scales = rng.uniform(0, most, count).astype(np.float32)
    scales[rng.random(count) < full] = 1
    return scales


def dropped(rng: np.random.Generator, count: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Which samples lose their text and which their picture: a share only the one, only the other, and both."""
    chance = rng.random(count)
    return (chance < 2 * share), (chance >= share) & (chance < 3 * share)


def without_some(before: Tensor, after: Tensor, wordless: Tensor, pictureless: Tensor) -> tuple[Tensor, Tensor]:
    """Latents (B, C, h, w) before and after where some have lost text or picture, (B,) each.

    A picture without text stays as it is; what has lost its picture has zeros in its place.
    """
    alone = (wordless & ~pictureless)[:, None, None, None]
    return before * ~pictureless[:, None, None, None], torch.where(alone, before, after)


def by_quarter(steps: Tensor, error: Tensor) -> dict[str, float]:
    """The mean error in v of the steps in each quarter of the schedule that has any, from the cleanest."""
    quarters = steps * 4 // STEPS
    return {f"v{q}": float(error[quarters == q].mean()) for q in range(4) if (quarters == q).any()}
