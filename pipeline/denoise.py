"""Denoising: edits as plain data, and one step of any number of them in one pass through the UNet."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.guidance import Branch, Guidance
from pipeline.networks.unet import TextStates, UNet
from pipeline.samplers import Step, Table


@dataclass
class Denoising:
    """The state of one edit between noise and picture.

    Edits in one batch may differ in steps, sampler, scales and seed. Only the shape of their latents must agree.
    """

    x: Tensor  # (1, C, h, w), fp32
    picture: Tensor  # latents of the picture to edit, (1, C, h, w)
    text: TextStates  # a row for each branch of the guidance
    guidance: Guidance
    table: Table
    generator: torch.Generator
    step: int = 0  # finished steps
    predicted: Tensor | None = None  # clean latents as of the last step

    @property
    def next_step(self) -> Step:
        return self.table.steps[self.step]

    @property
    def steps(self) -> int:
        return len(self.table.steps)

    @property
    def finished(self) -> bool:
        return self.step == self.steps

    @property
    def rows(self) -> int:
        """Rows that a step takes in the UNet."""
        return len(self.guidance.branches)

    def inputs(self) -> Tensor:
        """The distinct inputs of the UNet, (R, 2 C, h, w): latents beside the picture, or beside zeros."""
        images = [self.picture] if any(branch.pictured for branch in self.guidance.branches) else []
        if Branch.NEITHER in self.guidance.branches:
            images.append(torch.zeros_like(self.picture))
        return torch.cat([torch.cat([self.x, other], dim=1) for other in images])

    def sources(self) -> list[int]:
        """For each branch, the index of its row in `inputs`."""
        pictured = any(branch.pictured for branch in self.guidance.branches)
        return [0 if branch.pictured or not pictured else 1 for branch in self.guidance.branches]

    def apply_noise(self, noise: Tensor) -> None:
        """Take one step with the noise predicted in each branch, (rows, C, h, w)."""
        guided = self.guidance.apply(noise.float())
        predicted = self.next_step.predict(self.x, guided)
        self.x = self.next_step.advance(self.x, predicted, self.predicted, self.generator)
        self.predicted = predicted
        self.step += 1


@torch.inference_mode()
def advance(unet: UNet, edits: Sequence[Denoising]) -> None:
    """Take one step of every edit, in one pass through the UNet."""
    for edit, noise in zip(edits, predict(unet, edits), strict=True):
        edit.apply_noise(noise)


def predict(unet: UNet, edits: Sequence[Denoising]) -> Sequence[Tensor]:
    """The noise in each branch of each edit, (rows, C, h, w) per edit."""
    inputs = [edit.inputs() for edit in edits]
    timesteps = torch.tensor([edit.next_step.timestep for edit, x in zip(edits, inputs, strict=True) for _ in x])
    first, sources = 0, []
    for edit, x in zip(edits, inputs, strict=True):
        sources += [first + source for source in edit.sources()]
        first += len(x)
    x = torch.cat(inputs).to(unet.dtype, memory_format=torch.channels_last)
    source = None if sources == list(range(first)) else torch.tensor(sources, device=x.device)
    noise = unet(x, timesteps.to(x.device), concat_texts([edit.text for edit in edits]), source)
    return noise.split([edit.rows for edit in edits])


def concat_texts(texts: Sequence[TextStates]) -> TextStates:
    """Concatenate the rows of several prompts."""
    if len(texts) == 1:
        return texts[0]
    return {
        module: tuple(torch.cat(rows) for rows in zip(*(text[module] for text in texts), strict=True))
        for module in texts[0]
    }
