"""Training samples made on the fly: a crop of a photo, an instruction in some wording, and the crop after it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pixel_shuffle

from training import photos, wordings
from training.edits import COMPOSABLE, FAMILIES, SELECTIVE, Picture, compose, film_grain

NO_OP, GRAIN = "keep", "grain"
CANDIDATES = 3
KINDS = tuple(sorted(set(FAMILIES) - {NO_OP}))


@dataclass(frozen=True)
class Pairs:
    """A batch: pictures before and after, (B, 3, H, W) in [-1, 1], the instructions, and which edits they ask for."""

    before: Tensor
    after: Tensor
    prompts: list[str]
    families: list[tuple[str, ...]]


@dataclass(frozen=True)
class Samples:
    """What training draws from: a folder of photos, all in memory."""

    folder: Path
    composed: float
    unchanged: float
    kinds: Sequence[str] = KINDS

    def pictures(self, rng: np.random.Generator, count: int, size: int, edited: float) -> Tensor:
        """Crops (count, 3, size, size) in [-1, 1], a share of them edited."""
        crops = photos.train_crops(self.folder, rng, size, count)
        return to_tensor(
            [FAMILIES[rng.choice(self.kinds)].apply(crop) if rng.random() < edited else crop for crop in crops]
        )

    def pairs(self, rng: np.random.Generator, count: int, size: tuple[int, int], noise: Tensor | None = None) -> Pairs:
        """Pairs of crops of (height, width), each with its instruction.

        Film grain is that of the latent noise, (B, C, h, w), that an edit begins with, where it is given: what a seed
        decides can be guessed from it in one step, and of any other grain only the mean, which is none.
        """
        befores, afters, prompts, families = [], [], [], []
        for place, crop in enumerate(photos.train_crops(self.folder, rng, size, count)):
            names, prompt = self.instruction(rng)
            if names[0] in SELECTIVE:
                crop = self.telling(SELECTIVE[names[0]], rng, size)
            befores.append(crop)
            if names == (GRAIN,) and noise is not None:
                afters.append(film_grain(crop, grains_of(noise[place])))
            else:
                afters.append(compose(names)(crop))
            prompts.append(prompt)
            families.append(names)
        return Pairs(to_tensor(befores), to_tensor(afters), prompts, families)

    def telling(self, name: str, rng: np.random.Generator, size: tuple[int, int]) -> Picture:
        """Of a few crops the one that `name`, which keeps one color, leaves most in: most photos have none of it."""
        crops = photos.train_crops(self.folder, rng, size, CANDIDATES)
        return max(crops, key=lambda crop: float(np.ptp(FAMILIES[name].apply(crop), axis=2).mean()))

    def instruction(self, rng: np.random.Generator) -> tuple[tuple[str, ...], str]:
        """Which edits to ask for, and one way of asking."""
        chance = rng.random()
        if chance < self.composed:
            names = tuple(COMPOSABLE[rng.integers(len(COMPOSABLE))])
            return names, wordings.sample_composition(names, rng)
        name = NO_OP if chance < self.composed + self.unchanged else str(rng.choice(self.kinds))
        return (name,), wordings.sample(name, rng)


def grains_of(noise: Tensor) -> Picture:
    """The strengths of grains, (2h, 2w): the first four channels of latent noise (C, h, w), spread out."""
    grains: Picture = pixel_shuffle(noise[:4], 2)[0].numpy()
    return grains


def to_tensor(pictures: list[np.ndarray]) -> Tensor:
    """Pictures (H, W, 3) in [0, 1] as one tensor (B, 3, H, W) in [-1, 1], channels last in memory."""
    stacked = np.stack(pictures, dtype=np.float32)
    return (torch.from_numpy(stacked) * 2 - 1).permute(0, 3, 1, 2)
