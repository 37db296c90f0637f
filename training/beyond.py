"""What people ask for that no family of edits is: sentences that leave the photo as it is.

Made of the patterns and words of `beyond.toml`, and of letters and words at random. Sentences that ask for an edit come
through the same slips of the finger, so that nothing but the words tells one from the other.
"""

import json
import re
import string
import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

Random = np.random.Generator
TRAINING = Path(__file__).parent
NONSENSE = "nonsense"
#: How often each kind is drawn.
KINDS = {
    "objects": 0.3,
    "people": 0.12,
    "text": 0.07,
    "questions": 0.09,
    "other": 0.14,
    "geometry": 0.06,
    "negated": 0.07,
    "languages": 0.09,
    NONSENSE: 0.06,
}
VOWELS = "aeiou"
ANY = 0.35  # share of the nouns, verbs and adjectives that are any words of the tokenizer's
OPEN = frozenset("thing things noun verb adjective subject person".split())


def sample(rng: Random) -> str:
    """A training sentence that asks for nothing that can be done, in small letters."""
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    while True:
        sentence = " ".join(_made(kind, rng).split())
        if sentence not in _all_held_out():
            return sentence


def held_out() -> dict[str, list[str]]:
    """Sentences that are never trained on, by kind."""
    return {kind: _choices(text) for kind, text in _tables()["held_out"].items()}


@cache
def _tables() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


@cache
def _all_held_out() -> set[str]:
    return {sentence for sentences in held_out().values() for sentence in sentences}


@cache
def _choices(text: str) -> list[str]:
    return [" ".join(choice.split()) for choice in text.split("|")]


def _made(kind: str, rng: Random) -> str:
    if kind == NONSENSE:
        return _nonsense(rng)
    if kind == "languages":
        return _foreign(rng)
    return _filled(_one(_choices(_tables()["sentences"][kind]), rng), rng)


def _filled(pattern: str, rng: Random) -> str:
    words = _tables()["words"]

    def word(found: re.Match[str]) -> str:
        open_ = found[1] in OPEN and rng.random() < ANY
        return _one(_other_words() if open_ else _choices(words[found[1]]), rng)

    text = re.sub(r"\{(\w+)\}", word, pattern)
    return re.sub(r"\ba (?=[aeio])", "an ", text)


@cache
def _other_words() -> list[str]:
    """Words of three letters and more that the tokenizer has a token for and that no family's wordings use."""
    known = set(re.findall("[a-z]+", (TRAINING / "wordings.toml").read_text(encoding="utf-8").lower()))
    tokens = json.loads((TRAINING / "tokenizer" / "vocab.json").read_text(encoding="utf-8"))
    words = (token.removesuffix("</w>") for token in tokens if token.endswith("</w>"))
    return [word for word in words if re.fullmatch("[a-z]{3,}", word) and word not in known]


def _foreign(rng: Random) -> str:
    languages = _tables()["languages"]
    name = _one([name for name in languages if not name.endswith("_x")], rng)
    sentence = _one(_choices(languages[name]), rng)
    return sentence.replace("{x}", _one(_choices(languages[f"{name}_x"]), rng)) if "{x}" in sentence else sentence


def _nonsense(rng: Random) -> str:
    """Letters, syllables, digits, signs, or words without a sentence."""
    kind = int(rng.integers(5))
    if kind == 0:
        return " ".join(
            _letters(string.ascii_lowercase, int(rng.integers(1, 9)), rng) for _ in range(rng.integers(1, 5))
        )
    if kind == 1:
        return " ".join(_syllables(rng) for _ in range(rng.integers(1, 6)))
    if kind == 2:
        return _letters(string.digits + "  ", int(rng.integers(1, 12)), rng) or "0"
    if kind == 3:
        return _letters("?!.,:;-()[]#*+/&%$@ ", int(rng.integers(1, 8)), rng) + _letters("ox?!", 1, rng)
    lists = [words for name, words in _tables()["words"].items() if name not in ("color", "place")]
    return " ".join(_one(_choices(_one(lists, rng)), rng) for _ in range(rng.integers(2, 6)))


def _letters(alphabet: str, count: int, rng: Random) -> str:
    return "".join(alphabet[int(rng.integers(len(alphabet)))] for _ in range(count)).strip()


def _syllables(rng: Random) -> str:
    """A word that sounds like one: "blorpi"."""
    consonants = sorted(set(string.ascii_lowercase) - set(VOWELS))
    return "".join(
        _one(consonants, rng) + _one(VOWELS, rng) + (_one(consonants, rng) if rng.random() < 0.4 else "")
        for _ in range(rng.integers(1, 4))
    )


def _one(choices: Sequence[str], rng: Random) -> str:
    return choices[int(rng.integers(len(choices)))]
