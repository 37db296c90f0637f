"""Training samples made on the fly: a crop of a photo, an instruction in some wording, and the crop after it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pixel_shuffle

from training import beyond, photos, wordings
from training.edits import COMPOSABLE, FAMILIES, SELECTIVE, SPOILED, Picture, compose, film_grain, rainy

NO_OP, GRAIN, RAIN = "keep", "grain", "rain"
CANDIDATES = 3
KINDS = tuple(sorted(set(FAMILIES) - {NO_OP}))
GRADES = ("weak", "strong")
GRADED = 0.28  # share of what can be done less and more that is asked for so
OPPOSITE = 0.08  # share of what has an opposite that is asked for as less of that
REFUSED = 0.35  # share of the sentences that change nothing that say what is not to be done
ENDED = 0.12  # share of the sentences that ask for what cannot be done that want an effect gone
SPOILT = 0.6  # share of the pictures that are spoiled where an edit repairs


@dataclass(frozen=True)
class Instruction:
    """What is asked for: edits, how strongly ("", "weak" or "strong"), in which words. `known`: it can be done."""

    names: tuple[str, ...]
    prompt: str
    strength: str = ""
    known: bool = True


@dataclass(frozen=True)
class Shares:
    """Which part of the instructions asks for two edits, for no change, and for what cannot be done."""

    composed: float
    unchanged: float
    beyond: float

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> "Shares":
        return cls(table["composed"], table["unchanged"], table["beyond"])


@dataclass(frozen=True)
class Pairs:
    """A batch: pictures before and after, (B, 3, H, W) in [-1, 1], and the instructions."""

    before: Tensor
    after: Tensor
    prompts: list[str]


@dataclass(frozen=True)
class Samples:
    """What training draws from: a folder of photos, all in memory."""

    folder: Path
    shares: Shares
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
        befores, afters, prompts = [], [], []
        for place, crop in enumerate(photos.train_crops(self.folder, rng, size, count)):
            asked = self.instruction(rng)
            if asked.names[0] in SELECTIVE:
                crop = self.telling(SELECTIVE[asked.names[0]], rng, size)
            afters.append(self.edited(asked, crop, None if noise is None else grains_of(noise[place])))
            spoil = SPOILED.get(asked.names[0])
            befores.append(spoil(crop, rng) if spoil and rng.random() < SPOILT else crop)
            prompts.append(asked.prompt)
        return Pairs(to_tensor(befores), to_tensor(afters), prompts)

    @staticmethod
    def edited(asked: Instruction, crop: Picture, grains: Picture | None) -> Picture:
        """What the instruction makes of a crop; grain and rain are those of `grains`, where there are any."""
        name, *others = asked.names
        if others:
            return compose(asked.names)(crop)
        if grains is None or name not in (GRAIN, RAIN):
            return FAMILIES[name].at(asked.strength, crop)
        if name == RAIN:
            return rainy(crop, grains)
        return FAMILIES[name].graded_by(asked.strength, crop, film_grain(crop, grains))

    def telling(self, name: str, rng: np.random.Generator, size: tuple[int, int]) -> Picture:
        """Of a few crops the one that `name`, which keeps one color, leaves most in: most photos have none of it."""
        crops = photos.train_crops(self.folder, rng, size, CANDIDATES)
        return max(crops, key=lambda crop: float(np.ptp(FAMILIES[name].apply(crop), axis=2).mean()))

    def instruction(self, rng: np.random.Generator, shares: Shares | None = None) -> Instruction:
        """One thing to ask for, and one way of asking; `shares` other than those of samples with pictures."""
        shares = shares or self.shares
        chance = rng.random()
        if (chance := chance - shares.composed) < 0:
            names = tuple(COMPOSABLE[rng.integers(len(COMPOSABLE))])
            return Instruction(names, wordings.sample_composition(names, rng))
        if (chance := chance - shares.unchanged) < 0:
            refused = rng.random() < REFUSED
            return Instruction((NO_OP,), wordings.sample_refusal(rng) if refused else wordings.sample(NO_OP, rng))
        if chance < shares.beyond:
            ended = rng.random() < ENDED
            sentence = wordings.sample_ending(rng) if ended else wordings.varied(beyond.sample(rng), rng)
            return Instruction((NO_OP,), sentence, known=False)
        return single(str(rng.choice(self.kinds)), rng)


def single(name: str, rng: np.random.Generator) -> Instruction:
    """One way of asking for an edit, sometimes for less or more of it than usual."""
    if name in wordings.OPPOSITES and rng.random() < OPPOSITE:
        return Instruction((name,), wordings.sample_opposite(name, rng))
    if FAMILIES[name].graded and rng.random() < GRADED:
        strength = str(rng.choice(GRADES))
        return Instruction((name,), wordings.sample_graded(name, strength, rng), strength)
    return Instruction((name,), wordings.sample(name, rng))


def grains_of(noise: Tensor) -> Picture:
    """The strengths of grains, (2h, 2w): the first four channels of latent noise (C, h, w), spread out."""
    grains: Picture = pixel_shuffle(noise[:4], 2)[0].numpy()
    return grains


def to_tensor(pictures: list[np.ndarray]) -> Tensor:
    """Pictures (H, W, 3) in [0, 1] as one tensor (B, 3, H, W) in [-1, 1], channels last in memory."""
    stacked = np.stack(pictures, dtype=np.float32)
    return (torch.from_numpy(stacked) * 2 - 1).permute(0, 3, 1, 2)
