"""The models file: which models a worker serves, each with its editor, its checkpoint, its own defaults and ranges.

The setting `MODELS` names a TOML file with a `[[model]]` table for each model. An unknown or wrong field is refused
with the name of the file, the model and the field. `docs/models.md` shows an example.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Scalar = str | bool | int | float
Dtype = Literal["float32", "bfloat16", "float16"]

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
COMMIT = re.compile(r"[0-9a-f]{40}")


class ModelsFileError(ValueError):
    """The models file cannot be read, or a field of it is wrong."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Range(_Table):
    """The range of a parameter, in place of the one that its editor gives."""

    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] | None = None


class Lora(_Table):
    """Low-rank weights that are merged into the model when it is loaded."""

    path: str
    scale: float = 1.0


class ModelEntry(_Table):
    """One model of the file. Paths are relative to the file's folder."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    editor: Annotated[str, Field(pattern=r"^(own|diffusers|[\w.]+:[\w.]+)$")] = "own"  #: or `module:factory`
    checkpoint: str = ""  #: a folder, a single file or a hub id; optional if the editor is `module:factory`
    revision: Annotated[str, Field(pattern=r"^\S*$")] = ""  #: the commit of a hub id, 40 hexadecimal digits
    variant: str = ""  #: which set of the checkpoint's weight files, such as `fp16`
    dtype: Dtype | None = None
    device: str = ""
    defaults: Mapping[str, Scalar] = {}
    ranges: Mapping[str, Range] = {}
    sizes: tuple[Annotated[str, Field(pattern=r"^\d+x\d+$")], ...] = ()
    owner: str = ""
    license: str = ""
    summary: Annotated[str, Field(max_length=300)] = ""
    lora: tuple[Lora, ...] = ()
    offload: Literal["none", "model", "sequential"] = "none"
    quantization: str | None = None
    memory: Annotated[int, Field(gt=0)] | None = None  #: bytes of the loaded weights, if the estimate is wrong

    @model_validator(mode="after")
    def _names_its_weights(self) -> Self:
        if self.editor in ("own", "diffusers") and not self.checkpoint:
            raise ValueError("checkpoint: is required: a folder, a single file or a hub id")
        if self.is_on_hub and not COMMIT.fullmatch(self.revision):
            raise ValueError(
                f"revision: {self.checkpoint} is no file or folder here; as a hub id it needs its commit,"
                " 40 hexadecimal digits"
            )
        return self

    @property
    def is_on_hub(self) -> bool:
        """Whether the checkpoint is a hub id rather than a path."""
        return HUB_ID.fullmatch(self.checkpoint) is not None and not Path(self.checkpoint).exists()


def read_models(path: Path) -> tuple[ModelEntry, ...]:
    """The entries of a models file, with absolute paths.

    Raises:
        ModelsFileError: names the file, and the entry and field that are wrong.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # tomllib's own error is a ValueError, as is a wrong encoding
        raise ModelsFileError(f"MODELS: {path} cannot be read: {error}") from error
    entries = tables.pop("model", [])
    if tables or not isinstance(entries, list) or not entries:
        odd = f"it has {', '.join(tables)}" if tables else "it has none"
        raise ModelsFileError(f"MODELS: {path} must hold [[model]] tables and nothing else; {odd}")
    return _distinct(path, [_entry(path, number, table) for number, table in enumerate(entries, 1)])


def _entry(path: Path, number: int, table: Any) -> ModelEntry:
    name = table.get("id", f"number {number}") if isinstance(table, dict) else f"number {number}"
    try:
        return ModelEntry.model_validate(_absolute(path.parent, table) if isinstance(table, dict) else table)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        field = ".".join(map(str, wrong["loc"]))
        detail = wrong["msg"].removeprefix("Value error, ")
        raise ModelsFileError(f"{path}: model {name}: {field + ': ' if field else ''}{detail}") from error


def _absolute(folder: Path, table: Mapping[str, Any]) -> dict[str, Any]:
    """The table with its paths made absolute, relative to the folder of the file."""
    checkpoint, loras = table.get("checkpoint"), table.get("lora")
    changed = dict(table)
    if isinstance(checkpoint, str):
        changed["checkpoint"] = _path(folder, checkpoint)
    if isinstance(loras, list):
        changed["lora"] = [
            {**lora, "path": _path(folder, lora["path"])} if isinstance(lora, dict) and "path" in lora else lora
            for lora in loras
        ]
    return changed


def _path(folder: Path, named: Any) -> Any:
    return str(folder / named) if isinstance(named, str) and named and (folder / named).exists() else named


def _distinct(path: Path, entries: Sequence[ModelEntry]) -> tuple[ModelEntry, ...]:
    ids = [entry.id for entry in entries]
    if twice := next((name for name in ids if ids.count(name) > 1), None):
        raise ModelsFileError(f"{path}: model {twice}: id: is there twice")
    return tuple(entries)
