"""The editors of a models file. Each entry has its own kind of editor, which is loaded when a job needs it."""

import pkgutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jobs.cards import Card
from jobs.models import Definition
from jobs.parameters import Parameter, ParameterError, Rule
from jobs.settings import Settings
from pipeline.catalogue import COMMON, MODELS
from worker.editors import own
from worker.editors.editor import Description, Device, Editor, Editors, OnIteration
from worker.loaded_models import LoadedModels, Weights
from worker.models_file import ModelEntry, ModelsFileError, read_models


def load(settings: Settings) -> Editors:
    """Describe all entries of the file that MODELS names. Their weights are loaded later.

    Raises:
        ModelsFileError: the file cannot be read, or an entry is wrong.
        PipelineError: a checkpoint is not one that its editor can serve.
    """
    file = Path(settings.models)
    entries = read_models(file)
    for entry in entries:
        if entry.editor in ("own", "diffusers") and not entry.is_on_hub and not Path(entry.checkpoint).exists():
            raise ModelsFileError(
                f"{file}: model {entry.id}: checkpoint: there is no file or folder {entry.checkpoint}"
            )
    described = {entry.id: describe(entry, settings) for entry in entries}
    definitions = [definition(file, entry, described[entry.id]) for entry in entries]
    engines = Engines(settings)
    loaded = LoadedModels(weights_of(entries, described, engines), settings.model_memory)
    return Editors(
        {},
        Card(definitions[0].checkpoint, definitions[0].revision),
        definitions=definitions,
        worked_at=engines.worked_at,
        allowance=engines.allowance,
        watch=engines.watch,
        device=engines.device,
        graphs=engines.graphs,
        several=loaded,
    )


def describe(entry: ModelEntry, settings: Settings) -> Description:
    """Ask an entry's editor to describe its checkpoint."""
    match entry.editor:
        case "own":
            from worker.editors import diffusion  # loads torch

            return diffusion.describe_entry(entry, settings)
        case "diffusers":
            from worker.editors import diffusers_editor  # loads torch

            return diffusers_editor.describe(entry)
        case name:
            given: Callable[[ModelEntry], Description] | None = getattr(pkgutil.resolve_name(name), "describe", None)
            return given(entry) if given else Description(name, COMMON, entry.memory or 0, entry.sizes)


def definition(file: Path, entry: ModelEntry, described: Description) -> Definition:
    """The published definition of an entry: its editor's description with the entry's own defaults and ranges."""
    known = {one.name for one in described.parameters}
    for name in (*entry.defaults, *entry.ranges):
        if name not in known:
            detail = f"is not a parameter of this model, which has {', '.join(sorted(known))}"
            raise ModelsFileError(f"{file}: model {entry.id}: {name}: {detail}")
    rules: tuple[Rule, ...] = MODELS[own.base_of(entry)].rules if entry.editor == "own" else ()
    try:
        parameters = tuple(_with_own(entry, one) for one in described.parameters)
    except ParameterError as error:
        raise ModelsFileError(f"{file}: model {entry.id}: {error.field}: {error.detail}") from error
    facts = dict(described.facts)
    weights = entry.checkpoint if entry.is_on_hub else Path(entry.checkpoint).name
    return Definition(
        entry.id,
        entry.summary or str(facts.pop("summary", "")) or f"{described.kind} on {weights or entry.editor}.",
        parameters,
        rules,
        described.sizes,
        checkpoint=str(facts.pop("checkpoint", "") or weights),
        revision=str(facts.pop("revision", "") or entry.revision),
        owner=entry.owner,
        license=entry.license,
        instructions=tuple(facts.pop("instructions", ())),
        abilities=facts.pop("abilities", {}),
        facts={"kind": described.kind, **facts},
    )


def _with_own(entry: ModelEntry, parameter: Parameter) -> Parameter:
    """A parameter with the entry's own range and default. The default must lie in the range."""
    limits = entry.ranges.get(parameter.name)
    if limits:
        given = {name: value for name, value in limits.model_dump().items() if value is not None}
        parameter = replace(parameter, **given)
    name = parameter.name
    try:
        if name in entry.defaults:
            return replace(parameter, default=parameter.check(entry.defaults[name]))
    except ParameterError as error:
        raise ParameterError(f"defaults.{name}", error.detail) from error
    try:
        if limits and parameter.default is not None:
            parameter.check(parameter.default)
    except ParameterError as error:
        detail = f"its default {parameter.default} is not in it; name another under defaults"
        raise ParameterError(f"ranges.{name}", detail) from error
    return parameter


@dataclass
class Engines:
    """The loaded pipelines of this project, whose engines report what the device does."""

    settings: Settings
    observer: OnIteration = lambda _: None
    loaded: dict[Any, Any] = field(default_factory=dict)

    def load(self, key: Any, entry: ModelEntry) -> Callable[[str], Editor]:
        """Load the pipelines of one checkpoint. Entries that share it differ in their catalogue model."""
        from worker.editors import diffusion  # loads torch

        pipeline = diffusion.load_entry(entry, self.settings)
        pipeline.checkpoint.engine.on_iteration = self.observer
        self.loaded[key] = pipeline
        editors = diffusion.PipelineEditors(pipeline)
        return lambda base: editors[base]

    def unload(self, key: Any) -> None:
        self.loaded.pop(key).close()

    def watch(self, observer: OnIteration) -> None:
        self.observer = observer
        for pipeline in self.loaded.values():
            pipeline.checkpoint.engine.on_iteration = observer

    def worked_at(self) -> float:
        times = [pipeline.checkpoint.engine.worked_at() for pipeline in [*self.loaded.values()]]
        if diffusers_editor := _imported("worker.editors.diffusers_editor"):
            times.append(diffusers_editor.worked_at())
        return max(times, default=0.0)

    def allowance(self) -> float:
        return max((pipeline.checkpoint.engine.allowance for pipeline in [*self.loaded.values()]), default=0.0)

    def graphs(self) -> int:
        return sum(pipeline.checkpoint.compiler.graphs for pipeline in [*self.loaded.values()])

    def device(self) -> Device:
        pipeline = next(iter([*self.loaded.values()]), None)
        diffusion = _imported("worker.editors.diffusion")
        return diffusion.describe(pipeline) if pipeline and diffusion else Device("unknown")


def _imported(name: str) -> Any:
    """A module, if it was imported already."""
    return sys.modules.get(name)


def weights_of(entries: Sequence[ModelEntry], described: Mapping[str, Description], engines: Engines) -> list[Weights]:
    """Group the entries by the weights that are loaded together. Entries of this project's editor may share weights."""
    found: list[Weights] = []
    shared: dict[Any, list[ModelEntry]] = {}
    for entry in entries:
        if entry.editor == "own":
            lora = tuple((one.path, one.scale) for one in entry.lora)
            key = (entry.checkpoint, entry.revision, entry.variant, entry.dtype, entry.device, lora)
            shared.setdefault(key, []).append(entry)
        else:
            memory = entry.memory or described[entry.id].memory_bytes
            found.append(Weights((entry.id,), memory, _loader(entry, engines)))
    for key, group in shared.items():
        bases = {entry.id: own.base_of(entry) for entry in group}
        memory = max(entry.memory or described[entry.id].memory_bytes for entry in group)
        loader, unloader = _own_loader(key, group[0], bases, engines), _own_unloader(key, engines)
        found.append(Weights(tuple(bases), memory, loader, unloader))
    order = [entry.id for entry in entries]
    return sorted(found, key=lambda one: order.index(one.models[0]))


def _loader(entry: ModelEntry, engines: Engines) -> Callable[[], Callable[[str], Editor]]:
    def load_one() -> Callable[[str], Editor]:
        if entry.editor == "diffusers":
            from worker.editors import diffusers_editor

            editor: Editor = diffusers_editor.load(entry, engines.settings)
        else:
            editor = pkgutil.resolve_name(entry.editor)(entry, engines.settings)
        return lambda _: editor

    return load_one


def _own_loader(
    key: Any, entry: ModelEntry, bases: Mapping[str, str], engines: Engines
) -> Callable[[], Callable[[str], Editor]]:
    def load_shared() -> Callable[[str], Editor]:
        editors = engines.load(key, entry)
        return lambda model: editors(bases[model])

    return load_shared


def _own_unloader(key: Any, engines: Engines) -> Callable[[], None]:
    return lambda: engines.unload(key)
