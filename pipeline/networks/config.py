"""Reads a network's settings from the JSON next to its weights."""

import dataclasses
import json
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, Self, get_args, get_origin, get_type_hints

from pipeline.errors import PipelineError


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """The base of the networks' configs. Fields are named as in the checkpoint's JSON. Absent or null: the default.

    `only` lists settings for which the network supports a single value.
    """

    only: ClassVar[dict[str, Any]] = {}

    @classmethod
    def read(cls, path: Path) -> Self:
        """The config in a JSON file.

        Raises:
            PipelineError: the file is missing, or asks for something that the network does not support.
        """
        try:
            return cls.parse(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise PipelineError(f"{path} is missing", field="checkpoint") from None

    @classmethod
    def parse(cls, settings: dict[str, Any]) -> Self:
        """The config in an already parsed JSON object."""
        for name, known in cls.only.items():
            value = settings.get(name)
            if value not in (None, known):
                raise PipelineError(
                    f"{cls.__name__}: {name} {value!r} is not supported, only {known!r}", field="checkpoint"
                )
        kinds = get_type_hints(cls)
        names = {field.name for field in dataclasses.fields(cls)}
        given = {name: value for name, value in settings.items() if name in names and value is not None}
        for name, value in given.items():
            if not _is_of(value, kinds[name]):
                raise PipelineError(f"{cls.__name__}: {name} {value!r} is not supported", field="checkpoint")
        return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in given.items()})


def _is_of(value: Any, kind: Any) -> bool:
    """Whether a JSON value has the type of a field. Integers are sizes and counts, so they must be 1 or more."""
    if isinstance(kind, UnionType):
        return any(_is_of(value, one) for one in get_args(kind))
    if get_origin(kind) is tuple:
        return isinstance(value, list | tuple) and all(_is_of(one, get_args(kind)[0]) for one in value)
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    if kind is float:
        return isinstance(value, int | float)
    return isinstance(value, kind) and not (kind is int and value < 1)
