"""A model that runs on our UNet: its networks, and how an edit begins and ends with them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor

from pipeline.cache import TensorCache
from pipeline.catalogue import Model, Parts
from pipeline.checkpoint import Checkpoint
from pipeline.denoise import Denoising, concat_texts, whole_every
from pipeline.device import upload
from pipeline.errors import NotFinite
from pipeline.guidance import Guidance, text_only, three_way
from pipeline.networks.unet import TextStates, UNet
from pipeline.pictures import all_finite, to_bytes, to_tensor
from pipeline.samplers import SAMPLERS
from pipeline.schedule import Schedule


class Autoencoder(Protocol):
    """Pictures (1, 3, H, W) in [-1, 1] to unscaled latents (1, C, h, w) and back."""

    def encode(self, pictures: Tensor) -> Tensor: ...

    def decode(self, latents: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class EditingModel:
    """Everything that an edit needs except the loop. Threads may share it."""

    unet: UNet
    vae: Autoencoder
    encode_prompt: Callable[[str], Tensor]  # prompt to hidden states (1, n, D)
    vae_dtype: torch.dtype
    scaling: float
    schedule: Schedule
    sampler: str
    text_scale: float | None  # fixed scale of text guidance; None for three-way guidance, whose scales are parameters
    noise_scale: float  # of all noise in an edit; 1 is the library's
    device: torch.device
    sources: Parts  # whose networks these are; the caches keep the results of each source apart
    texts: TensorCache
    latents: TensorCache

    @classmethod
    def of(cls, checkpoint: Checkpoint, model: Model) -> "EditingModel":
        """Make a model of the catalogue from a checkpoint. Loads the networks that are not loaded yet."""
        parts = model.made_of
        library = checkpoint.library if "library" in (parts.text_encoder, parts.vae) else None
        vae = library.autoencoder if library and parts.vae == "library" else checkpoint.vae
        encode = library.encode_prompt if library and parts.text_encoder == "library" else _encoder(checkpoint)
        return cls(
            unet=checkpoint.unet,
            vae=vae,
            encode_prompt=encode,
            vae_dtype=next(checkpoint.vae.parameters()).dtype,
            scaling=checkpoint.vae.config.scaling_factor,
            schedule=checkpoint.schedule,
            sampler=model.sampler,
            text_scale=checkpoint.card.text_scale if model.guidance == "text" else None,
            noise_scale=checkpoint.card.noise_scale,
            device=checkpoint.device,
            sources=parts,
            texts=checkpoint.texts,
            latents=checkpoint.latents,
        )

    @torch.inference_mode()
    def begin(self, picture: Image.Image, params: dict[str, Any]) -> Denoising:
        """Begin to edit an RGB picture whose sides are multiples of the VAE's factor. `params` are all parameters."""
        guidance = self._guidance(params)
        negative = params["negative_prompt"] or ""
        texts = [self._read_prompt(params["prompt"] if branch.prompted else negative) for branch in guidance.branches]
        [latents] = self.encode([picture])
        sampler = SAMPLERS[params.get("sampler") or self.sampler]
        table = sampler(self.schedule.levels(params["steps"], params["temperature"])).with_noise(self.noise_scale)
        generator = torch.Generator().manual_seed(params["seed"])
        start = table.start(latents * self.scaling, generator)
        every = whole_every(params.get("effort", "exact"), params["steps"])
        return Denoising(start, latents, concat_texts(texts), guidance, table, generator, every=every)

    def finish(self, edit: Denoising) -> Image.Image:
        """Decode the picture of a finished edit. Raises as `decode` does."""
        [picture] = self.decode([edit.x])
        return picture

    @torch.inference_mode()
    def decode(self, latents: Sequence[Tensor]) -> list[Image.Image]:
        """The pictures of latents (1, C, h, w) of one shape.

        Raises:
            NotFinite: latents or pixels of one of them are not finite.
        """
        pixels = self.vae.decode((torch.cat(list(latents)) / self.scaling).to(self.vae_dtype))
        if not all_finite(pixels):
            raise NotFinite
        return [Image.fromarray(values) for values in to_bytes(pixels).cpu().numpy()]

    @torch.inference_mode()
    def encode(self, pictures: Sequence[Image.Image]) -> list[Tensor]:
        """Latents (1, C, h, w) in float32 of RGB pictures of one size. Those of recent pictures are cached."""
        keys = [(self.sources.vae, picture.size, sha256(picture.tobytes()).digest()) for picture in pictures]
        known = {key: self.latents.find(key) for key in keys}
        new = {key: to_tensor(picture) for key, picture in zip(keys, pictures, strict=True) if known[key] is None}
        if new:
            pixels = upload(torch.cat(list(new.values())), self.device).to(self.vae_dtype)
            for key, latents in zip(new, self.vae.encode(pixels).float().split(1), strict=True):
                known[key] = self.latents.get(key, latents.clone)
        return [known[key] for key in keys]

    def _guidance(self, params: dict[str, Any]) -> Guidance:
        if self.text_scale is not None:
            return text_only(self.text_scale)
        return three_way(params["cfg_scale"], params["image_cfg_scale"])

    def _read_prompt(self, prompt: str) -> TextStates:
        key = (self.sources.text_encoder, prompt)
        return self.texts.get(key, lambda: self.unet.read(self.encode_prompt(prompt)))


def _encoder(checkpoint: Checkpoint) -> Callable[[str], Tensor]:
    tokenizer, encoder = checkpoint.tokenizer, checkpoint.text_encoder
    return lambda prompt: encoder(tokenizer([prompt]).to(checkpoint.device))
