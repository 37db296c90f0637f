"""Denoising: the state of each edit as plain data, and one step of several edits in one pass through the UNet."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pipeline.compiling import any_size
from pipeline.device import upload
from pipeline.guidance import Guidance, guide
from pipeline.networks.unet import TextStates, UNet
from pipeline.samplers import Step, Table, clean_of, following_of

FAST_EVERY = ((40, 5), (10, 3))  # (steps, n): a fast edit with at least so many steps computes every nth step in full


@dataclass(eq=False)
class Denoising:
    """The state of one edit between noise and picture.

    Edits in one batch may differ in steps, sampler, scales and seed. Only the shape of their latents must be the same.
    """

    x: Tensor  # (1, C, h, w), fp32
    picture: Tensor  # latents of the picture to edit, (1, C, h, w)
    text: TextStates  # one row for each branch of the guidance
    guidance: Guidance
    table: Table
    generator: torch.Generator
    step: int = 0  # finished steps
    predicted: Tensor | None = None  # the clean latents predicted at the last step
    every: int = 1  # only every nth step is computed in full, see `is_whole`
    deep: Tensor | None = field(default=None, repr=False)  # features of the last whole step, (1, C', h, w)
    residual: Tensor | None = field(default=None, repr=False)  # guidance added to the first row then, as x
    fresh: Tensor | None = field(default=None, repr=False)  # the noise drawn for the next step; kept if that step fails

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
        """The number of rows that the next step takes in the UNet."""
        return len(self.guidance.branches) if self.is_whole else 1

    @property
    def is_whole(self) -> bool:
        """Whether the next step computes all rows with the whole UNet.

        Any other step computes only the first row, with the UNet's first and last layer. The rest comes from the last
        whole step: the features between those layers (DeepCache, Ma et al. 2023), and the guidance that is added to the
        row (FasterCache, Lv et al. 2024).
        """
        return self.step % self.every == 0

    @property
    def form(self) -> tuple[int, ...]:
        """What edits must have in common to share their next step."""
        return (self.is_whole, *self.x.shape)

    def draw(self) -> Tensor | None:
        """The noise for the next step, on the CPU, the same however often the step is tried. None: it needs none."""
        if self.next_step.fresh and self.fresh is None:
            self.fresh = torch.randn(self.x.shape, generator=self.generator)
        return self.fresh

    def advance(self, x: Tensor, predicted: Tensor) -> None:
        """Finish the next step: `x` are its latents, `predicted` the clean latents that it predicts."""
        self.x, self.predicted, self.fresh = x, predicted, None
        self.step += 1


@torch.inference_mode()
def advance(unet: UNet, edits: Sequence[Denoising]) -> list[tuple[Tensor, Tensor]]:
    """Take one step of every edit, in one pass through the UNet. Returns the same as `next_latents`."""
    following = next_latents(edits, predict(unet, edits))
    for edit, latents in zip(edits, following, strict=True):
        edit.advance(*latents)
    return following


def predict(unet: UNet, edits: Sequence[Denoising]) -> Sequence[Tensor]:
    """The predicted noise of each branch of each edit, (rows, C, h, w) per edit."""
    return Predictor(unet)(edits)


def whole_every(effort: str, steps: int) -> int:
    """Every nth step is computed in full. With few steps all are, because neighboring steps then differ much."""
    return next((every for least, every in FAST_EVERY if effort == "fast" and steps >= least), 1)


class Predictor:
    """Predicts the noise of each branch of each edit, (rows, C, h, w) per edit, in one pass through a UNet.

    The texts and pictures of a batch are the same at every step, so they are kept until another batch comes.
    """

    def __init__(self, unet: UNet, row_counts: Sequence[int] = ()) -> None:
        """`row_counts`: the only row counts for which a compiled UNet has graphs. Batches are padded to the next."""
        self._unet = unet
        self._row_counts = row_counts
        self._edits: Sequence[Denoising] = ()
        self._text: TextStates = {}
        self._whole = True
        self._pictures = torch.empty(0)

    def __call__(self, edits: Sequence[Denoising]) -> Sequence[Tensor]:
        self._show(edits)
        if not edits[0].is_whole:
            return self._shallow(edits)
        # Each distinct input is the latents of an edit, with its own picture or with the zeros after the last picture.
        inputs = [(i, i if pictured else len(edits)) for i, edit in enumerate(edits) for pictured in _inputs(edit)]
        first, source = 0, []
        for edit in edits:
            kinds = _inputs(edit)
            source += [first + kinds.index(branch.pictured) for branch in edit.guidance.branches]
            first += len(kinds)
        if self._row_counts:
            inputs = [inputs[row] for row in source] + [inputs[0]] * self._added(edits)
            source = list(range(len(inputs)))
        numbers = [[edits[i].next_step.timestep for i, _ in inputs], *zip(*inputs, strict=True), source]
        packed = upload(torch.tensor([float(n) for column in numbers for n in column]), edits[0].x.device)
        timesteps, latents, pictures, rows = packed.split([len(column) for column in numbers])
        x = torch.cat([edit.x for edit in edits])
        if len(inputs) > len(edits):
            x = x[latents.long()]
        x = torch.cat([x, self._pictures[pictures.long()]], dim=1)
        x = x.to(self._unet.dtype, memory_format=torch.channels_last)
        if self._row_counts:
            x = any_size(x)
        shared = None if source == list(range(len(x))) else rows.long()
        if any(edit.every > 1 for edit in edits):
            noise, deep = self._unet.keeping(x, timesteps, self._text, shared)
            self._keep(edits, deep)
        else:
            noise = self._unet(x, timesteps, self._text, shared)
        return noise[: sum(edit.rows for edit in edits)].split([edit.rows for edit in edits])

    def _shallow(self, edits: Sequence[Denoising]) -> Sequence[Tensor]:
        timesteps = upload(torch.tensor([edit.next_step.timestep for edit in edits]), edits[0].x.device)
        x = torch.cat([torch.cat([edit.x for edit in edits]), self._pictures[:-1]], dim=1)
        x = x.to(self._unet.dtype, memory_format=torch.channels_last)
        deep = torch.cat([edit.deep for edit in edits if edit.deep is not None])
        return self._unet.shallow(x, timesteps, self._text, deep).split(1)

    @staticmethod
    def _keep(edits: Sequence[Denoising], deep: Tensor) -> None:
        """Keep the features of each fast edit's first row."""
        row = 0
        for edit in edits:
            if edit.every > 1:
                edit.deep = deep[row : row + 1].clone(memory_format=torch.preserve_format)
            row += edit.rows

    def _added(self, edits: Sequence[Denoising]) -> int:
        """The number of padding rows."""
        rows = sum(edit.rows for edit in edits)
        return min((count for count in self._row_counts if count >= rows), default=rows) - rows

    def _show(self, edits: Sequence[Denoising]) -> None:
        whole = edits[0].is_whole
        same = len(edits) == len(self._edits) and all(a is b for a, b in zip(edits, self._edits, strict=True))
        if not same or whole != self._whole:
            texts = [edit.text if whole else first_row(edit.text) for edit in edits]
            self._text = concat_texts([*texts, *[first_row(texts[0])] * (self._added(edits) if whole else 0)])
            self._whole = whole
            self._pictures = torch.cat([*(edit.picture for edit in edits), torch.zeros_like(edits[0].picture)])
            self._edits = tuple(edits)


def _inputs(edit: Denoising) -> list[bool]:
    """The distinct inputs that the branches of an edit share: with its picture, without it, or both."""
    branches = edit.guidance.branches
    return [pictured for pictured in (True, False) if any(branch.pictured == pictured for branch in branches)]


def next_latents(edits: Sequence[Denoising], noises: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Each edit's latents after its next step, and the clean latents that the step predicts, (1, C, h, w) each.

    `noises` are the UNet's predictions for the branches of each edit, (rows, C, h, w) per edit. The edits stay
    unchanged.
    """
    kinds = {edit.next_step.velocity for edit in edits}
    if len(kinds) > 1:
        return [next_latents([edit], [noise])[0] for edit, noise in zip(edits, noises, strict=True)]
    if len(edits) != len(noises):
        raise ValueError(f"{len(noises)} predictions for {len(edits)} edits")
    steps, device, shape = [edit.next_step for edit in edits], edits[0].x.device, edits[0].x.shape
    fresh = [edit.draw() for edit in edits]
    drawn = [torch.zeros(shape) if noise is None else noise for noise in fresh] if any(s.fresh for s in steps) else []
    rows = torch.tensor([edit.guidance.compared if edit.is_whole else (0, 0, 0) for edit in edits]).T + _offsets(noises)
    columns = torch.tensor([[*s.levels, *s.weights, *e.guidance.scales] for s, e in zip(steps, edits, strict=True)]).T
    packed = upload(torch.cat([rows.flatten().float(), columns.flatten(), *(n.flatten() for n in drawn)]), device)
    count = len(edits)
    chosen = packed[: 3 * count].long().view(3, count)
    signal, noise_level, *weights, first, second = packed[3 * count : 11 * count].view(8, count, 1, 1, 1)
    noise = torch.cat(list(noises)).float()
    third = noise[chosen[1]] if any(edit.rows > 2 for edit in edits) else None
    guided = guide(noise[chosen[0]], third, noise[chosen[2]], (first, second))
    if edits[0].is_whole:
        for number, edit in enumerate(edits):
            if edit.every > 1:
                edit.residual = (guided - noise[chosen[0]])[number : number + 1]
    else:
        guided = noise + torch.cat([edit.residual for edit in edits if edit.residual is not None])
    x = torch.cat([edit.x for edit in edits])
    predicted = clean_of(x, guided, signal, noise_level, velocity=steps[0].velocity)
    previous = None
    if any(step.before for step in steps):
        previous = torch.cat([edit.x if edit.predicted is None else edit.predicted for edit in edits])
    random = packed[11 * count :].view(count, *shape[1:]) if drawn else None
    following = following_of(x, predicted, previous, random, weights)
    return list(zip(following.split(1), predicted.split(1), strict=True))


def _offsets(noises: Sequence[Tensor]) -> Tensor:
    """The number of the first row of each edit."""
    counts = torch.tensor([len(noise) for noise in noises])
    return counts.cumsum(0) - counts


def first_row(text: TextStates) -> TextStates:
    """Only the first row of a text."""
    return {module: tuple(read[:1] for read in states) for module, states in text.items()}


def concat_texts(texts: Sequence[TextStates]) -> TextStates:
    """Concatenate the rows of several prompts."""
    if len(texts) == 1:
        return texts[0]
    return {
        module: tuple(torch.cat(rows) for rows in zip(*(text[module] for text in texts), strict=True))
        for module in texts[0]
    }
