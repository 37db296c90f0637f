"""Samplers: from noise to a picture in steps, each step a weighted sum.

For every sampler, a step needs the latents x, the network's prediction for them (the noise, or v; either gives the
clean latents x_0), sometimes the x_0 of the previous step, and sometimes fresh noise:

    x_0    = (x - sqrt(1 - a) noise) / sqrt(a)  =  sqrt(a) x - sqrt(1 - a) v
    x_next = keep x + clean x_0 + before x_0(previous step) + fresh noise

So a sampler is a function from noise levels to a table of those four weights. Only x and x_0 are remembered between
steps, and edits at different steps of different samplers can share a batch. `docs/math.md` derives the tables.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pipeline.schedule import Floats, Levels


@dataclass(frozen=True)
class Step:
    """One row of a table: the timestep at which the network is evaluated, and the weights of the sum above."""

    timestep: float
    alpha: float
    keep: float
    clean: float
    before: float
    fresh: float
    velocity: bool = False

    def predict(self, x: Tensor, output: Tensor) -> Tensor:
        """The clean latents behind x, from the network's output: the noise in x, or v."""
        return clean_of(x, output, *self.levels, velocity=self.velocity)

    @property
    def levels(self) -> tuple[float, float]:
        """The strength of the picture in x, and that of the noise."""
        return self.alpha**0.5, (1 - self.alpha) ** 0.5

    def advance(self, x: Tensor, predicted: Tensor, previous: Tensor | None, generator: torch.Generator) -> Tensor:
        """The latents at the next level. Fresh noise is drawn from the generator only if it has a weight."""
        noise = draw(x, generator) if self.fresh else None
        return following_of(x, predicted, previous if self.before else None, noise, self.weights)

    @property
    def weights(self) -> tuple[float, float, float, float]:
        return self.keep, self.clean, self.before, self.fresh


Weight = float | Tensor  # of one edit, or a column for a batch of edits


def clean_of(x: Tensor, output: Tensor, signal: Weight, noise: Weight, *, velocity: bool) -> Tensor:
    """The clean latents behind x, from the network's output: the noise in x, or v."""
    return signal * x - noise * output if velocity else (x - noise * output) / signal


def following_of(
    x: Tensor, predicted: Tensor, previous: Tensor | None, noise: Tensor | None, weights: Sequence[Weight]
) -> Tensor:
    """The latents at the next level: the weighted sum. A term without weight may be None."""
    keep, clean, before, fresh = weights
    following = keep * x + clean * predicted
    if previous is not None:
        following += before * previous
    if noise is not None:
        following += fresh * noise
    return following


@dataclass(frozen=True)
class Table:
    """A sampler's steps for one edit, and the mixture of its first latents: `noise` of noise, `picture` of latents."""

    steps: tuple[Step, ...]
    noise: float
    picture: float

    def start(self, picture: Tensor, generator: torch.Generator) -> Tensor:
        """The first latents for the scaled latents of a picture, (1, C, h, w)."""
        noise = self.noise * draw(picture, generator)
        return noise + self.picture * picture if self.picture else noise

    def with_noise(self, scale: float) -> "Table":
        """This table with all its noise scaled, for networks that were trained with weaker noise."""
        if scale == 1:
            return self
        steps = tuple(replace(step, fresh=scale * step.fresh) for step in self.steps)
        return Table(steps, scale * self.noise, self.picture)


Sampler = Callable[[Levels], Table]


def draw(like: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal noise in float32, the same on every device."""
    return torch.randn(like.shape, generator=generator, device=generator.device).to(like.device)


def ddpm(levels: Levels) -> Table:
    """Ancestral sampling of the training process's own posterior (Ho et al. 2020, equations 6 and 7)."""
    now, then = levels.alphas, np.append(levels.alphas[1:], 1.0)
    beta = 1 - now / then
    clean = np.sqrt(then) * beta / (1 - now)
    keep = np.sqrt(now / then) * (1 - then) / (1 - now)
    fresh = np.sqrt((1 - then) / (1 - now) * beta)
    return _table(levels, keep, clean, fresh=fresh)


def ddim(levels: Levels, eta: float = 0.0) -> Table:
    """Denoising diffusion implicit models (Song et al. 2021, equations 12 and 16). Eta 0 adds no random noise."""
    now, then = levels.alphas, levels.following
    fresh = eta * np.sqrt((1 - then) / (1 - now) * (1 - now / then).clip(min=0))
    keep = np.sqrt(((1 - then - fresh**2) / (1 - now)).clip(min=0))
    return _table(levels, keep, np.sqrt(then) - keep * np.sqrt(now), fresh=fresh)


def euler_ancestral(levels: Levels) -> Table:
    """Euler steps beyond the next level, completed with fresh noise (Karras et al. 2022, algorithm 1; k-diffusion).

    The method is defined for x = x_0 + sigma noise with sigma^2 = (1 - a) / a. Its weights are scaled back to our x.
    """
    now, then = levels.alphas, np.append(levels.alphas[1:], 1.0)
    sigma, target = np.sqrt(1 / now - 1), np.sqrt(1 / then - 1)
    up = np.sqrt(target**2 * (sigma**2 - target**2) / sigma**2)
    ratio = np.sqrt(target**2 - up**2) / sigma
    table = _table(levels, np.sqrt(then / now) * ratio, np.sqrt(then) * (1 - ratio), fresh=np.sqrt(then) * up)
    return Table(table.steps, noise=float(np.sqrt(1 - now[0])), picture=table.picture)


def dpm_solver_2m(levels: Levels) -> Table:
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2): x_0 is extrapolated from its last change."""
    now, then = levels.alphas, np.append(levels.alphas[1:], 1.0)
    log_ratio = np.log(now / (1 - now)) / 2  # lambda, half the log of signal to noise
    ahead = np.append(np.diff(log_ratio), np.inf)  # h of each step
    behind = np.append(np.inf, np.diff(log_ratio))  # h of the step before
    whole = np.sqrt(then) * -np.expm1(-ahead)
    correction = whole * ahead / (2 * behind)
    correction[[0, -1]] = 0
    return _table(levels, np.sqrt((1 - then) / (1 - now)), whole + correction, before=-correction)


SAMPLERS: dict[str, Sampler] = {"ddpm": ddpm, "ddim": ddim, "euler-a": euler_ancestral, "dpm++2m": dpm_solver_2m}


def _table(
    levels: Levels, keep: Floats, clean: Floats, before: Floats | None = None, fresh: Floats | None = None
) -> Table:
    """The table of these weights. An edit from pure noise starts with noise of strength 1, as in training."""
    none = np.zeros(len(levels))
    columns = (
        levels.timesteps,
        levels.alphas,
        keep,
        clean,
        none if before is None else before,
        none if fresh is None else fresh,
    )
    rows = zip(*columns, strict=True)
    steps = tuple(Step(*(float(value) for value in row), velocity=levels.velocity) for row in rows)
    first = float(levels.alphas[0])
    return Table(steps, 1.0, 0.0) if levels.whole else Table(steps, (1 - first) ** 0.5, first**0.5)
