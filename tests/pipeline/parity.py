"""Edits with diffusers' pipeline and with our own loop, on the same weights and seed, and their differences."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    StableDiffusionInstructPix2PixPipeline,
)
from PIL import Image

from pipeline.denoise import Denoising, advance
from pipeline.guidance import three_way
from pipeline.networks.clip import CLIPConfig, CLIPTextEncoder
from pipeline.networks.tokenizer import Tokenizer
from pipeline.networks.unet import UNet, UNetConfig
from pipeline.networks.vae import VAE, VAEConfig
from pipeline.pictures import to_picture, to_tensor
from pipeline.samplers import SAMPLERS
from pipeline.schedule import Schedule, Spacing
from pipeline.weight_files import read_folder
from pipeline.weights import build

SCHEDULERS = {
    "euler-a": EulerAncestralDiscreteScheduler,
    "ddim": DDIMScheduler,
    "ddpm": DDPMScheduler,
    "dpm++2m": DPMSolverMultistepScheduler,
}
SEED = 5
LATENTS_TOLERANCE, PIXEL_SHARE = 1e-4, 0.999


@dataclass(frozen=True)
class Cell:
    """One comparison. Sizes are (width, height) in pixels."""

    sampler: str
    spacing: Spacing
    steps: int = 20
    scales: tuple[float, float] = (7.5, 1.5)
    negative: str = ""
    size: tuple[int, int] = (256, 256)


@dataclass(frozen=True)
class Difference:
    """Latents: the largest difference by the largest value. Pixels: the largest difference, and the equal share."""

    latents: float
    pixels: int
    same: float

    @property
    def passes(self) -> bool:
        return self.latents <= LATENTS_TOLERANCE and self.pixels <= 1 and self.same >= PIXEL_SHARE


class Pair:
    """The library's pipeline and our networks, each with its own copy of a checkpoint's weights."""

    def __init__(self, folder: Path) -> None:
        self.theirs = StableDiffusionInstructPix2PixPipeline.from_pretrained(folder, dtype=torch.float32)
        self.theirs.set_progress_bar_config(disable=True)
        fp32 = {"dtype": torch.float32}
        self.tokenizer = Tokenizer.read(folder / "tokenizer")
        self.text_encoder = build(
            CLIPTextEncoder,
            CLIPConfig.read(folder / "text_encoder" / "config.json"),
            read_folder(folder / "text_encoder"),
            **fp32,
        )
        self.vae = build(VAE, VAEConfig.read(folder / "vae" / "config.json"), read_folder(folder / "vae"), **fp32)
        self.unet = build(UNet, UNetConfig.read(folder / "unet" / "config.json"), read_folder(folder / "unet"), **fp32)
        self.schedule = Schedule.parse(self.theirs.scheduler.config)

    def compare(self, cell: Cell, picture: Image.Image, prompt: str) -> Difference:
        picture = picture.resize(cell.size, Image.Resampling.LANCZOS)
        theirs, ours = self._theirs(cell, picture, prompt), self._ours(cell, picture, prompt)
        levels = [np.asarray(self._decode(latents)).astype(int) for latents in (theirs, ours)]
        apart = np.abs(levels[0] - levels[1])
        return Difference(
            float((theirs - ours).abs().max() / theirs.abs().max()), int(apart.max()), float((apart == 0).mean())
        )

    def _theirs(self, cell: Cell, picture: Image.Image, prompt: str) -> torch.Tensor:
        scheduler = SCHEDULERS[cell.sampler].from_config(
            self.theirs.scheduler.config, timestep_spacing=cell.spacing, clip_sample=False
        )
        # Where a schedule ends in noise alone, the library has 2^-24 there for Euler and DPM-Solver, as we do, else 0.
        scheduler.alphas_cumprod[-1] = float(self.schedule.alphas[-1])
        self.theirs.scheduler = scheduler
        return self.theirs(
            prompt,
            image=picture,
            num_inference_steps=cell.steps,
            guidance_scale=cell.scales[0],
            image_guidance_scale=cell.scales[1],
            negative_prompt=cell.negative,
            generator=torch.Generator().manual_seed(SEED),
            output_type="latent",
        ).images

    @torch.inference_mode()
    def _ours(self, cell: Cell, picture: Image.Image, prompt: str) -> torch.Tensor:
        guidance = three_way(*cell.scales)
        prompts = [prompt if branch.prompted else cell.negative for branch in guidance.branches]
        text = self.unet.read(self.text_encoder(self.tokenizer(prompts)))
        latents = self.vae.encode(to_tensor(picture))
        table = SAMPLERS[cell.sampler](self.schedule.levels(cell.steps, spacing=cell.spacing))
        generator = torch.Generator().manual_seed(SEED)
        edit = Denoising(table.start(latents, generator), latents, text, guidance, table, generator)
        while not edit.finished:
            advance(self.unet, [edit])
        return edit.x

    @torch.inference_mode()
    def _decode(self, latents: torch.Tensor) -> Image.Image:
        return to_picture(self.vae.decode(latents / self.vae.config.scaling_factor)[0])
