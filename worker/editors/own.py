"""The models of this project as definitions for the web tier.

`python -m worker.editors.own` writes them to jobs/built_in_models.json.
"""

import json
from dataclasses import asdict
from pathlib import Path

from jobs.cards import Card
from jobs.models import Definition
from pipeline.catalogue import DEFAULT_MODEL, MODELS, SAMPLER_NAMES, SQUARES, Model
from worker.models_file import ModelEntry

BUILT_IN = Path(__file__).parent.parent.parent / "jobs" / "built_in_models.json"


def definition(model: Model, card: Card | None = None) -> Definition:
    """The published definition of a catalogue model, on a checkpoint with this card."""
    facts = {
        "made_of": asdict(model.made_of),
        "sampler": SAMPLER_NAMES[model.sampler],
        "guidance": model.guidance,
        "text_scale": None,
    }
    plain = Definition(model.id, model.summary, model.parameters, model.rules, tuple(SQUARES), facts=facts)
    return plain.on(card) if card else plain


def base_of(entry: ModelEntry) -> str:
    """The catalogue model that a models file's entry runs: the one with the entry's id, otherwise the default model."""
    return entry.id if entry.id in MODELS else DEFAULT_MODEL


def definitions(card: Card) -> list[Definition]:
    """The six models on a checkpoint with this card."""
    return [definition(model, card) for model in MODELS.values()]


def write() -> None:
    """Write the six models to the file that ships with the web tier."""
    records = [definition(model).record() for model in MODELS.values()]
    BUILT_IN.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
