"""What a worker publishes of a model that it serves: enough to list it and to check a request. Plain data."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from importlib.resources import files
from typing import Any, Self, get_args

from jobs.cards import Card
from jobs.parameters import Kind, Parameter, Rule, resolve

DEFAULT_MODEL = "pix2pix-full"  #: what a job without `model` gets where it is served


@dataclass(frozen=True)
class Definition:
    """A model as its workers publish it.

    `revision` is that of its checkpoint's card or files. `facts` are for readers: `made_of`, `sampler`, `guidance`,
    `text_scale`, and whatever else its editor tells.
    """

    id: str
    summary: str
    parameters: tuple[Parameter, ...]
    rules: tuple[Rule, ...] = ()
    sizes: tuple[str, ...] = ()
    checkpoint: str = ""
    revision: str = ""
    owner: str = ""
    license: str = ""
    instructions: tuple[str, ...] = ()
    abilities: Mapping[str, Sequence[str]] = field(default_factory=dict)  #: by kind, examples of all that it can do
    facts: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The definition that any version of a worker has published: what is absent has its default, and what is
        unknown here is ignored.

        Raises:
            KeyError, TypeError, ValueError: the record is not a definition.
        """
        known: dict[str, Any] = {name: record[name] for name in (f.name for f in fields(cls)) if name in record}
        for name in ("sizes", "instructions"):
            known[name] = tuple(known.get(name, ()))
        known["parameters"] = tuple(_parameter(one) for one in record["parameters"] if one["kind"] in get_args(Kind))
        known["rules"] = tuple(_rule(one) for one in record.get("rules", ()))
        return cls(**known)

    def record(self) -> dict[str, Any]:
        """What is published, with the parameters as JSON Schema too, for readers that are not this program."""
        return {**asdict(self), "schema": self.schema()}

    def digest(self) -> str:
        """A digest of the definition; equal ones have equal digests in every process."""
        return hashlib.sha256(json.dumps(self.record(), sort_keys=True).encode()).hexdigest()[:32]

    def schema(self) -> dict[str, Any]:
        """The parameters as JSON Schema."""
        properties = {
            one.name: one.schema() | ({} if one.default is None else {"default": one.default})
            for one in self.parameters
        }
        required = [one.name for one in self.parameters if one.required]
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}

    def resolve(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters: those given, checked, and the defaults for the rest. A seed that is not given stays None.

        Raises:
            ParameterError: for the first unknown, missing or out-of-range parameter.
        """
        return resolve(self.id, self.parameters, self.rules, given)

    def on(self, card: Card) -> Self:
        """This model on a checkpoint with this card."""
        given = card.defaults.get(self.id, {})
        facts = dict(self.facts)
        if facts.get("guidance") == "text":
            facts["text_scale"] = card.text_scale
        return replace(
            self,
            parameters=tuple(replace(one, default=given.get(one.name, one.default)) for one in self.parameters),
            checkpoint=card.name,
            revision=card.revision,
            instructions=tuple(card.instructions),
            abilities=card.examples(),
            facts=facts,
        )


def _parameter(record: Mapping[str, Any]) -> Parameter:
    known = {name: record[name] for name in (f.name for f in fields(Parameter)) if name in record}
    if known.get("choices") is not None:
        known["choices"] = tuple(known["choices"])
    return Parameter(**known)


def _rule(record: Mapping[str, Any]) -> Rule:
    known = {name: record[name] for name in (f.name for f in fields(Rule)) if name in record}
    return Rule(**{**known, "values": tuple(known["values"])})


@cache
def built_in() -> tuple[Definition, ...]:
    """The six models of this project, with their common defaults. A test holds the file against the catalogue."""
    text = (files("jobs") / "built_in_models.json").read_text(encoding="utf-8")
    return tuple(Definition.from_record(record) for record in json.loads(text))


def built_in_ids() -> tuple[str, ...]:
    """The names of the six."""
    return tuple(one.id for one in built_in())


def on_checkpoint(card: Card) -> tuple[Definition, ...]:
    """The six on a checkpoint: what a worker serves that publishes no models, because it is of an older version."""
    return tuple(one.on(card) for one in built_in())


def in_order(definitions: Iterable[Definition]) -> list[Definition]:
    """Definitions as they are listed: the six first, in their own order, then the others by name."""
    first: Sequence[str] = built_in_ids()
    return sorted(definitions, key=lambda one: (first.index(one.id) if one.id in first else len(first), one.id))
