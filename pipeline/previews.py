"""Cheap previews: a linear map from latents to colors, which costs hundreds of times less than decoding."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from pipeline.pictures import to_bytes

Encode = Callable[[Tensor], Tensor]  # pictures (B, 3, H, W) in [-1, 1] -> scaled latents (B, C, h, w)


@dataclass(frozen=True)
class PreviewMap:
    """Colors in [0, 1] as a linear function of a latent pixel: `weight` is (C, 3), `bias` is (3,)."""

    weight: Tensor
    bias: Tensor
    _copies: dict[torch.device, tuple[Tensor, Tensor]] = field(default_factory=dict, repr=False, compare=False)

    def colors(self, latents: Tensor) -> Tensor:
        """Scaled latents (..., C, h, w) as colors (..., 3, h, w), not yet clipped to [0, 1], on the same device."""
        weight, bias = self._on(latents.device)
        return (latents.detach().float().movedim(-3, -1) @ weight + bias).movedim(-1, -3)

    def pixels(self, latents: Tensor) -> Tensor:
        """Small RGB pictures (..., h, w, 3) in bytes from latents (..., C, h, w), one pixel for each latent pixel."""
        return to_bytes((self.colors(latents) * 2 - 1).nan_to_num())

    def picture(self, latents: Tensor) -> Image.Image:
        """The small picture of latents (C, h, w)."""
        return Image.fromarray(self.pixels(latents).cpu().numpy())

    def _on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Weight and bias on a device. They are copied there once."""
        if device not in self._copies:
            self._copies[device] = self.weight.to(device), self.bias.to(device)
        return self._copies[device]

    @classmethod
    def read(cls, folder: Path) -> "PreviewMap | None":
        """The map in the checkpoint's `darkroom.json`, if it has one."""
        card = folder / "darkroom.json"
        numbers = json.loads(card.read_text(encoding="utf-8")).get("latent_rgb") if card.exists() else None
        return cls(torch.tensor(numbers["weight"]), torch.tensor(numbers["bias"])) if numbers else None

    @classmethod
    def fit(cls, encode: Encode, pictures: Tensor) -> "PreviewMap":
        """Fit the least-squares map for an encoder over pictures (B, 3, H, W) in [-1, 1]."""
        latents = encode(pictures).float().cpu()
        small = interpolate(pictures, latents.shape[-2:], mode="area") * 0.5 + 0.5
        inputs = latents.movedim(1, -1).flatten(0, 2)
        inputs = torch.cat([inputs, torch.ones(len(inputs), 1)], dim=1)
        solution = torch.linalg.lstsq(inputs, small.movedim(1, -1).flatten(0, 2)).solution
        return cls(solution[:-1], solution[-1])


def color_fields(count: int = 8, side: int = 128) -> Tensor:
    """Soft color fields (count, 3, side, side) in [-1, 1] at several scales, to fit a map without photos."""
    generator = torch.Generator().manual_seed(0)
    fields = torch.zeros(count, 3, side, side)
    for cells, strength in ((2, 1.0), (4, 0.7), (16, 0.4)):
        coarse = torch.rand(count, 3, cells, cells, generator=generator) * 2 - 1
        fields += strength * interpolate(coarse, (side, side), mode="bicubic")
    return fields.clamp(-1, 1)
