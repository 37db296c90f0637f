"""The sentences that a release is judged with."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def of_families() -> dict[str, list[str]]:
    """What people ask for, by family."""
    return _parted(_read("sentences.toml")["families"])


def of_compositions() -> dict[tuple[str, ...], list[str]]:
    """What asks for two families at once."""
    return {
        tuple(names.split()): sentences for names, sentences in _parted(_read("sentences.toml")["compositions"]).items()
    }


def of_less() -> dict[str, list[str]]:
    """What asks for the opposite of a family, or for none of it."""
    return _parted(_read("sentences.toml")["less"])


def of_strengths() -> dict[str, list[str]]:
    """By family one sentence in each strength, from the weakest on."""
    asked = _read("sentences.toml")["strengths"]
    return {
        family: [" ".join(sentence.format(word).split()) for word in asked["words"]]
        for family, sentence in asked["sentences"].items()
    }


def beyond() -> dict[str, list[str]]:
    """What no family can do, by kind."""
    return _parted(_read("beyond.toml"))


@cache
def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((HERE / name).read_text(encoding="utf-8"))


def _parted(table: Mapping[str, str]) -> dict[str, list[str]]:
    return {name: [" ".join(choice.split()) for choice in text.split("|")] for name, text in table.items()}
