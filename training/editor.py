"""A checkpoint as evaluation uses it: several edits of one photo at once, at any size, and its autoencoder alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from pipeline.catalogue import DEFAULT_MODEL, MODELS, resolve
from pipeline.checkpoint import Checkpoint
from pipeline.denoise import advance
from pipeline.model import EditingModel
from training.edits import Picture

BATCH = 4  # edits that share a step


@dataclass(frozen=True)
class Editor:
    """A checkpoint that edits several times at once, at any size whose sides its autoencoder can halve."""

    checkpoint: Checkpoint
    model: EditingModel

    @classmethod
    def load(cls, folder: Path) -> "Editor":
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        checkpoint = Checkpoint.find(folder, torch.float32, device)
        return cls(checkpoint, EditingModel.of(checkpoint, MODELS[DEFAULT_MODEL]))

    def parameters(self, prompt: str, steps: int | None, seed: int) -> dict[str, Any]:
        """The checkpoint's defaults but for the seed and, if given, the steps."""
        given = {"prompt": prompt, "seed": seed, **({"steps": steps} if steps else {})}
        return resolve(DEFAULT_MODEL, given, self.checkpoint.card)

    def edit(self, photo: Picture, prompts: Sequence[str], steps: int | None, seed: int) -> list[Picture]:
        """The photo's edits, one for each prompt."""
        picture = Image.fromarray((photo * 255).round().astype(np.uint8))
        edited = []
        for first in range(0, len(prompts), BATCH):
            several = [
                self.model.begin(picture, self.parameters(p, steps, seed)) for p in prompts[first : first + BATCH]
            ]
            while not several[0].finished:
                advance(self.checkpoint.unet, several)
            edited += [np.asarray(self.model.finish(one), np.float32) / np.float32(255) for one in several]
        return edited

    @torch.inference_mode()
    def through_vae(self, picture: Picture) -> Picture:
        """A picture encoded and decoded: the best that an edit by this checkpoint could look."""
        unet = self.checkpoint.unet
        tensor = torch.from_numpy(picture).permute(2, 0, 1)[None].to(unet.device, unet.dtype) * 2 - 1
        decoded = self.model.vae.decode(self.model.vae.encode(tensor))[0].float().cpu()
        return (decoded.permute(1, 2, 0) / 2 + 0.5).clamp(0, 1).numpy()
