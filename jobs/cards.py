"""The card of a checkpoint, which both tiers read: its name, revision, and the defaults of each model on it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Card:
    """What a checkpoint says of itself in its `darkroom.json`: name, revision, defaults for each model."""

    name: str = "unnamed"
    revision: str = ""
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    text_scale: float = 7.5  #: how strongly models with text guidance alone follow the instruction
    instructions: Sequence[str] = ()  #: examples of what it follows well
    noise_scale: float = 1.0  #: the strength of the noise in edits by this project's own models
    abilities: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  #: by kind and name, an example
    recognition: Mapping[str, Any] = field(default_factory=dict)  #: see `pipeline/recognition.py`; often empty

    @classmethod
    def from_record(cls, card: Mapping[str, Any]) -> "Card":
        """The card as any version of a worker reports it: absent fields get defaults, unknown ones are ignored."""
        kinds: dict[str, type | tuple[type, ...]] = {"name": str, "revision": str, "defaults": dict}
        kinds |= {"text_scale": (int, float), "instructions": (list, tuple), "abilities": dict}
        return cls(**{name: card[name] for name, kind in kinds.items() if isinstance(card.get(name), kind)})

    @classmethod
    def read(cls, folder: Path) -> "Card":
        """The card of a checkpoint folder; one without, or a single file, gets its own name and the common defaults."""
        try:
            card = json.loads((folder / "darkroom.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return cls(name=folder.name)
        return cls(
            card["name"],
            card.get("revision", ""),
            card.get("defaults", {}),
            card.get("text_scale", 7.5),
            tuple(card.get("instructions", ())),
            card.get("noise_scale", 1.0),
            card.get("abilities", {}),
            card.get("recognition", {}),
        )

    def examples(self) -> dict[str, tuple[str, ...]]:
        """By kind, an example instruction for each ability; empty if the checkpoint does not list its abilities."""
        return {kind: tuple(examples.values()) for kind, examples in self.abilities.items()}
