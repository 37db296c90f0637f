"""What edits pictures, as the worker sees it: the place where another engine plugs in.

The setting `EDITORS=module:factory` names a function that is called once, with the `Settings`, before the worker claims
its first job, and returns `Editors`: one `Editor` for each model that it serves. The default,
`worker.editors.diffusion:load`, is the pipeline of this project. A worker with another factory loads no torch.

    class Grey:
        def edit(self, photo, prompt, *, on_step, priority, steps, **params):
            for step in range(1, steps + 1):
                on_step(Done(step, steps))           # any `Step`; an exception that it raises has to pass through
            return Image.new("RGB", photo.size, "grey")

        def receipt(self):
            return {"checkpoint": "none"}

    def load(settings):
        return Editors(dict.fromkeys(MODELS, Grey()), Card("grey"))
"""

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

from PIL import Image

from jobs.settings import Settings
from pipeline.catalogue import Card


class Step(Protocol):
    """A finished step of an edit: `step` of `steps`, and how the picture looks then."""

    @property
    def step(self) -> int: ...

    @property
    def steps(self) -> int: ...

    def preview(self) -> Image.Image:
        """The picture as it is predicted now, small."""

    def noisy(self) -> Image.Image:
        """What is being denoised, in the same size."""


class Editor(Protocol):
    """Edits by one model. The worker's threads call it at the same time, each for a job of its own."""

    @property
    def edit(self) -> Callable[..., Image.Image]:
        """`edit(photo, prompt, *, on_step, priority, **params)`: the edited picture.

        `params` are the job's own, as the catalogue has resolved them; `priority` is `low`, `normal` or `high`.
        `on_step(step: Step)` is to be called after each step; what it raises ends the edit and has to reach the caller.
        An editor whose `edit` names a parameter `on_wait` is given a function to call, in the same way, now and then
        while the edit waits for its turn; one whose `edit` names `notes`, `Notes` to write warnings into.

        Raises:
            PipelineError: the client has asked for something that cannot be done.
            Fault: the client's request is not what is wrong (pipeline/errors.py).
        """

    def receipt(self) -> Mapping[str, Any]:
        """What an edit was computed with: the checkpoint, the device and the like."""


class Turn(Protocol):
    """What the device did for so many seconds: a step of `edits` edits together, or something else for one of them.

    A step computed `rows` rows (0: it was none) of the `room` that are worth computing together.
    """

    @property
    def seconds(self) -> float: ...

    @property
    def edits(self) -> int: ...

    @property
    def rows(self) -> int: ...

    @property
    def room(self) -> int: ...


OnTurn = Callable[[Turn], None]


@dataclass(frozen=True)
class Device:
    """What computes, and the bytes of memory it has free and in all (None: it cannot tell)."""

    name: str
    free_bytes: int | None = None
    total_bytes: int | None = None


def zero_seconds() -> float:
    """The default for engines whose jobs do not share a device: only a job's own steps count as its progress."""
    return 0.0


@dataclass(frozen=True)
class Editors:
    """An editor for each model, and the card of the checkpoint that they serve.

    `worked_at` tells when the engine last finished a piece of work for anybody, by the monotonic clock: where jobs take
    turns on one device, that vouches for those that wait for their turn. `allowance` tells how many seconds the piece
    under way may take, by its size, where that is more than PATIENCE_SECONDS. For operators to see: `watch(observer)`
    has the observer told of each turn, and `device` tells what computes.
    """

    by_model: Mapping[str, Editor]
    card: Card
    worked_at: Callable[[], float] = zero_seconds
    allowance: Callable[[], float] = zero_seconds
    watch: Callable[[OnTurn], None] = lambda _: None
    device: Callable[[], Device] = lambda: Device("unknown")


def load_editors(settings: Settings) -> Editors:
    """Call the factory that EDITORS names; seconds to minutes."""
    factory = pkgutil.resolve_name(settings.editors)
    return cast(Editors, factory(settings))
