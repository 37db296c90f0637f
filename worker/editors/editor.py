"""The interface between the worker and whatever edits pictures. Another engine plugs in here.

The setting `EDITORS=module:factory` names a function that is called once, with the `Settings`, before the worker claims
its first job, and returns `Editors`: one `Editor` for each model that it serves. The default,
`worker.editors.diffusion:load`, is the pipeline of this project. A worker with another factory loads no torch.

    class Gray:
        def edit(self, photo, prompt, *, on_step, priority, steps, **params):
            for step in range(1, steps + 1):
                on_step(Done(step, steps))           # any `Step`; an exception that it raises has to pass through
            return Image.new("RGB", photo.size, "gray")

        def receipt(self):
            return {"checkpoint": "none"}

    def load(settings):
        return Editors(dict.fromkeys(MODELS, Gray()), Card("gray"))
"""

import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, cast

from PIL import Image

from jobs.models import Definition
from jobs.parameters import Parameter
from jobs.settings import Settings
from pipeline.catalogue import Card
from worker.editors import own

if TYPE_CHECKING:
    from worker.loaded_models import LoadedModels


class Step(Protocol):
    """A finished step of an edit: `step` of `steps`, and how the picture looks then."""

    @property
    def step(self) -> int: ...

    @property
    def steps(self) -> int: ...

    def preview(self) -> Image.Image | None:
        """The picture as it is predicted now, small. None: the editor cannot tell how it looks."""

    def noisy(self) -> Image.Image | None:
        """What is being denoised, in the same size; None where `preview` is."""


class Editor(Protocol):
    """Edits by one model. The worker's threads call it at the same time, each for a job of its own."""

    @property
    def edit(self) -> Callable[..., Image.Image]:
        """`edit(photo, prompt, *, on_step, priority, **params)`: the edited picture.

        `params` are the job's own, as the catalogue has resolved them; `priority` is `low`, `normal` or `high`.
        `on_step(step: Step)` must be called after each step. An error that it raises must reach the caller.
        If `edit` has a parameter `on_wait`, the editor calls that function at intervals while the edit waits for the
        device. If it has a parameter `notes`, the editor writes its warnings into these `Notes`. If it has a parameter
        `wants`, that function says beforehand, for (step, steps), whether the pictures of a step will be looked at.

        Raises:
            PipelineError: the client has asked for something that cannot be done.
            Fault: the client's request is not what is wrong (pipeline/errors.py).
        """

    def receipt(self) -> Mapping[str, Any]:
        """What an edit was computed with: the checkpoint, the device and the like."""


class Iteration(Protocol):
    """What the device did in one iteration: a step of `edits` edits, or a call for one edit (0 rows).

    `capacity` is the number of rows worth computing together.
    """

    @property
    def seconds(self) -> float: ...

    @property
    def edits(self) -> int: ...

    @property
    def rows(self) -> int: ...

    @property
    def capacity(self) -> int: ...


OnIteration = Callable[[Iteration], None]


@dataclass(frozen=True)
class Device:
    """The device, and its free and total memory in bytes (None: unknown)."""

    name: str
    free_bytes: int | None = None
    total_bytes: int | None = None


def zero_seconds() -> float:
    """The default for engines whose jobs do not share a device: only a job's own steps count as its progress."""
    return 0.0


@dataclass(frozen=True)
class Description:
    """What a model of the models file is, as far as its configuration files tell: no weights are read for it.

    `kind` is the model's family, such as a pipeline's class. `sizes` are those that it works at, as `512x512`.
    `facts` are shown to clients: its networks, sampler, revision and the like. `memory_bytes` is what it takes once it
    is loaded.
    """

    kind: str
    parameters: tuple[Parameter, ...]
    memory_bytes: int
    sizes: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Editors:
    """An editor for each model, and the card of the checkpoint that they serve.

    `several` takes the place of `by_model` where models are loaded and unloaded by demand. `definitions` are
    published; where there are none, `by_model` has models of this project on that checkpoint.
    `worked_at` returns when the engine last finished any piece of work, by the monotonic clock. Where jobs share one
    device, this counts as progress of the jobs that wait for it. `allowance` returns how many seconds the present piece
    of work may take, if that is more than PATIENCE_SECONDS. `watch(observer)` has the observer called after each
    iteration, `device` returns the device, and `graphs` how many graphs were compiled; these are for operators.
    """

    by_model: Mapping[str, Editor]
    card: Card
    worked_at: Callable[[], float] = zero_seconds
    allowance: Callable[[], float] = zero_seconds
    watch: Callable[[OnIteration], None] = lambda _: None
    device: Callable[[], Device] = lambda: Device("unknown")
    graphs: Callable[[], int] = lambda: 0
    definitions: Sequence[Definition] = ()
    several: "LoadedModels | None" = None

    def served(self) -> list[Definition]:
        """What the worker serves."""
        return list(self.definitions) or [one for one in own.definitions(self.card) if one.id in self.by_model]


#: Factories under the names that .env.example of the last release had, so that a copy of it still works.
RENAMED = {"worker.torch_editors:load": "worker.editors.diffusion:load"}


def load_editors(settings: Settings) -> Editors:
    """The editors of the file that MODELS names, or of the factory that EDITORS names. Takes seconds to minutes."""
    named = "worker.editors.several:load" if settings.models else settings.editors
    factory = pkgutil.resolve_name(RENAMED.get(named, named))
    return cast(Editors, factory(settings))
