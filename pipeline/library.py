"""The reference: diffusers' own InstructPix2Pix pipeline, with two departures from plain use.

Its modules use the weights of our networks, because a worker serves all models: for Stable Diffusion 1.5 a second copy
would take another 4.3 GB in float32 (1,066 million weights). Its UNet and VAE compute on the engine's thread, because
only the engine uses the device, and it serves edits by priority.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    EulerAncestralDiscreteScheduler,
    StableDiffusionInstructPix2PixPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from pipeline.errors import NotFinite, PipelineError
from pipeline.files import Files
from pipeline.pictures import all_finite, to_tensor
from pipeline.weights import lend

# (finished steps, predicted clean latents (C, h, w), latents with their noise)
OnPrediction = Callable[[int, Tensor, Tensor], None]
Run = Callable[[Callable[[], Any]], Any]  # calls a function on the engine's thread and returns its result

LAST_TRAIN_STEP = 999
PROMPT_LOCK = threading.Lock()  # the tokenizer changes its own settings in each call


class Schedule(EulerAncestralDiscreteScheduler):
    """Euler ancestral that can start from a lower noise level (SDEdit, Meng et al. 2021) and keeps its prediction.

    At temperature 1 every number is the library's. At a lower temperature the steps are spread evenly from round(999 x
    temperature) down to 0, and the latents must already have that level of noise.
    """

    temperature: float = 1.0
    predicted: Tensor | None = None

    def set_timesteps(self, num_inference_steps: int, device: str | torch.device | None = None) -> None:
        super().set_timesteps(num_inference_steps, device=device)
        if self.temperature < 1:
            steps = np.linspace(0, round(LAST_TRAIN_STEP * self.temperature), num_inference_steps, dtype=np.float32)
            steps = steps[::-1].copy()
            noise_levels = ((1 - self.alphas_cumprod) / self.alphas_cumprod).sqrt().numpy()
            sigmas = np.interp(steps, np.arange(len(noise_levels)), noise_levels)
            self.sigmas = torch.from_numpy(np.append(sigmas, 0).astype(np.float32))
            self.timesteps = torch.from_numpy(steps).to(device)

    @property
    def init_noise_sigma(self) -> Tensor | float:
        return super().init_noise_sigma if self.temperature == 1 else 1.0

    def step(
        self,
        model_output: Tensor,
        timestep: Tensor,
        sample: Tensor,
        generator: torch.Generator | None = None,  # the library's pipeline passes it only under this name
        return_dict: bool = True,
    ) -> Any:
        stepped = super().step(model_output, timestep, sample, generator, return_dict)
        self.predicted = stepped[1]
        return stepped


@dataclass(frozen=True)
class Library:
    """The library's modules of one checkpoint. Threads may share them, because they keep no state between calls."""

    tokenizer: Any
    text_encoder: Any
    vae: Any
    unet: Any
    scheduler_config: dict[str, Any] = field(repr=False)
    device: torch.device

    @classmethod
    def load(
        cls, files: Files, device: torch.device, *, text_encoder: nn.Module, vae: nn.Module, unet: nn.Module
    ) -> "Library":
        """Make the library's modules on the weights of our networks.

        Raises:
            PipelineError: they cannot be made from its files.
        """
        try:
            tokenizer = CLIPTokenizer.from_pretrained(files.tokenizer, local_files_only=True)
            with torch.device("meta"):
                theirs = (
                    CLIPTextModel(CLIPTextConfig.from_dict(files.settings("text_encoder"))),
                    AutoencoderKL.from_config(files.settings("vae")),
                    UNet2DConditionModel.from_config(files.settings("unet")),
                )
        except (OSError, ValueError, KeyError) as error:
            raise PipelineError(f"{files.path} cannot be loaded: {error}", field="checkpoint") from error
        for network, module in zip((text_encoder, vae, unet), theirs, strict=True):
            lend(network, module)
            _count_positions(module, device)
            module.eval().requires_grad_(False)
        return cls(tokenizer, *theirs, files.settings("scheduler"), device)

    @property
    def dtype(self) -> torch.dtype:
        return self.unet.dtype

    @property
    def vae_factor(self) -> int:
        """Pixels per latent pixel, along one side."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    @torch.no_grad()
    def encode(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in [-1, 1] as scaled latents (B, C, h, w): the mean that the encoder predicts."""
        latents = self.autoencoder.encode(pictures.to(self.device, self.vae.dtype))
        return (latents * self.vae.config.scaling_factor).to(self.dtype)

    @torch.no_grad()
    def encode_prompt(self, prompt: str) -> Tensor:
        """Hidden states (1, 77, D) of a prompt."""
        with PROMPT_LOCK:
            tokens = self.tokenizer(prompt, padding="max_length", max_length=77, truncation=True, return_tensors="pt")
        return self.text_encoder(tokens.input_ids.to(self.device)).last_hidden_state

    @property
    def autoencoder(self) -> "LibraryAutoencoder":
        return LibraryAutoencoder(self.vae)

    def edit(self, picture: Image.Image, params: dict[str, Any], on_prediction: OnPrediction, run: Run) -> Image.Image:
        """Edit an RGB picture whose sides are multiples of 64. `params` are all parameters of pix2pix-base.

        The loop is the library's and runs in the caller's thread. `run` makes each call of a network.
        """
        schedule = self._schedule(params["temperature"])
        generator = torch.Generator().manual_seed(params["seed"])

        def after_step(_pipe: Any, index: int, _timestep: Tensor, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            noisy = tensors["latents"][0] / (schedule.sigmas[index + 1] ** 2 + 1) ** 0.5
            on_prediction(index + 1, schedule.predicted[0], noisy)
            return {}

        return self._pipeline(schedule, run)(
            prompt_embeds=run(partial(self.encode_prompt, params["prompt"])),
            negative_prompt_embeds=run(partial(self.encode_prompt, params["negative_prompt"] or "")),
            image=picture,
            num_inference_steps=params["steps"],
            guidance_scale=params["cfg_scale"],
            image_guidance_scale=params["image_cfg_scale"],
            generator=generator,
            latents=self._noised(picture, schedule, params["steps"], generator, run),
            callback_on_step_end=after_step,
        ).images[0]

    def _noised(
        self, picture: Image.Image, schedule: Schedule, steps: int, generator: torch.Generator, run: Run
    ) -> Tensor | None:
        """The picture's latents at the schedule's first noise level. None: the edit starts from pure noise."""
        if schedule.temperature == 1:
            return None
        schedule.set_timesteps(steps)
        latents = run(partial(self.encode, to_tensor(picture)))
        noise = torch.randn(latents.shape, generator=generator, dtype=latents.dtype).to(self.device)
        return latents + schedule.sigmas[0] * noise

    def _schedule(self, temperature: float) -> Schedule:
        schedule = Schedule.from_config(self.scheduler_config, timestep_spacing="linspace")
        schedule.temperature = temperature
        return schedule

    def _pipeline(self, schedule: Schedule, run: Run) -> StableDiffusionInstructPix2PixPipeline:
        pipe = StableDiffusionInstructPix2PixPipeline(
            vae=_OnEngine(self.vae, run),
            text_encoder=self.text_encoder,
            tokenizer=self.tokenizer,
            unet=_OnEngine(self.unet, run),
            scheduler=schedule,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipe.set_progress_bar_config(disable=True)
        return pipe


@dataclass(frozen=True)
class LibraryAutoencoder:
    """The library's VAE with the interface of ours: unscaled latents."""

    vae: Any

    @torch.no_grad()
    def encode(self, pictures: Tensor) -> Tensor:
        return self.vae.encode(pictures).latent_dist.mode()

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        return self.vae.decode(latents).sample


def _count_positions(module: nn.Module, device: torch.device) -> None:
    """Fill in a text encoder's position ids, the one buffer that no checkpoint stores."""
    for part in module.modules():
        for name, buffer in list(part.named_buffers(recurse=False)):
            if buffer.is_meta:
                part.register_buffer(name, torch.arange(buffer.shape[-1], device=device)[None], persistent=False)


class _OnEngine:
    """A module of the library whose calls go through `run`. All other attributes are the module's own."""

    def __init__(self, module: Any, run: Run) -> None:
        self._module, self._run = module, run

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._run(partial(self._module, *self._in_dtype(args), **kwargs))

    def encode(self, *args: Any, **kwargs: Any) -> Any:
        return self._run(partial(self._module.encode, *self._in_dtype(args), **kwargs))

    def decode(self, *args: Any, **kwargs: Any) -> Any:
        return self._run(partial(self._decode, *self._in_dtype(args), **kwargs))

    def _decode(self, *args: Any, **kwargs: Any) -> Any:
        decoded = self._module.decode(*args, **kwargs)
        if not all_finite(decoded[0]):
            raise NotFinite
        return decoded

    def _in_dtype(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, with the first in the module's dtype, because the VAE's may be wider than the UNet's."""
        return (args[0].to(self._module.dtype), *args[1:])
