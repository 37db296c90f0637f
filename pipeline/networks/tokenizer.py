"""CLIP's byte-pair tokenizer (Sennrich et al. 2016, on bytes as in Radford et al. 2019; Radford et al. 2021)."""

import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.errors import PipelineError

CONTRACTIONS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")
SPACES = frozenset("\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | {chr(c) for c in range(0x2000, 0x200B)}
END_OF_WORD = "</w>"


class Tokenizer:
    """Turns each prompt into `length` token numbers: start, the pieces of its words (cut if too many), end, padding."""

    def __init__(
        self,
        vocabulary: Mapping[str, int],
        merges: Sequence[tuple[str, str]],
        *,
        start: str = "<|startoftext|>",
        end: str = "<|endoftext|>",
        pad: str = "<|endoftext|>",
        length: int = 77,
    ) -> None:
        self.vocabulary = vocabulary
        self.ranks = {pair: rank for rank, pair in enumerate(merges)}
        self.start, self.end, self.pad, self.length = start, end, pad, length
        self._pieces = lru_cache(maxsize=10_000)(self._merge)

    @classmethod
    def read(cls, folder: Path) -> "Tokenizer":
        """The tokenizer in a checkpoint's `tokenizer` folder, from vocab.json and merges.txt or from tokenizer.json.

        Raises:
            PipelineError: neither is there.
        """
        if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
            vocabulary = json.loads((folder / "vocab.json").read_text("utf-8"))
            lines = (folder / "merges.txt").read_text("utf-8").split("\n")
        elif (folder / "tokenizer.json").is_file():
            model = json.loads((folder / "tokenizer.json").read_text("utf-8"))["model"]
            vocabulary, lines = model["vocab"], model["merges"]
        else:
            raise PipelineError(
                f"{folder} holds no vocab.json with merges.txt, nor a tokenizer.json", field="checkpoint"
            )
        pairs = (line.split() if isinstance(line, str) else line for line in lines)
        merges = [(pair[0], pair[1]) for pair in pairs if len(pair) == 2 and not pair[0].startswith("#version")]
        return cls(vocabulary, merges, **_special_tokens(folder))

    def __call__(self, prompts: Sequence[str]) -> Tensor:
        """Token numbers (B, length), int64."""
        return torch.tensor([self._row(prompt) for prompt in prompts])

    def _row(self, prompt: str) -> list[int]:
        start, end, pad = (self.vocabulary[token] for token in (self.start, self.end, self.pad))
        inner = self.encode(prompt)[: self.length - 2]
        return [start, *inner, end] + [pad] * (self.length - 2 - len(inner))

    def unread(self, prompt: str) -> str:
        """The words of a prompt that do not fit, from the first word that is cut. "" if all fit."""
        room, at = self.length - 2, 0
        for space, chunk in groupby(prompt, SPACES.__contains__):
            text = "".join(chunk)
            room -= 0 if space else len(self.encode(text))
            if room < 0:
                return prompt[at:].rstrip()
            at += len(text)
        return ""

    def encode(self, text: str) -> list[int]:
        """The numbers of a text's pieces, uncut and without start and end."""
        unknown = self.vocabulary[self.end]
        numbers: list[int] = []
        for part in self._split_special(text):
            if part in self.special:
                numbers.append(self.vocabulary[part])
            else:
                for word in words(normalize(part), self.special):
                    numbers += [self.vocabulary.get(piece, unknown) for piece in self._pieces(word)]
        return numbers

    @cached_property
    def special(self) -> tuple[str, ...]:
        """The tokens that stand for themselves when a text contains their names."""
        return tuple(dict.fromkeys((self.start, self.end, self.pad)))

    def _split_special(self, text: str) -> Iterator[str]:
        """The text cut before and after each special token."""
        while found := [(text.index(token), token) for token in self.special if token in text]:
            place, token = min(found)
            yield from (text[:place], token)
            text = text[place + len(token) :]
        yield text

    def _merge(self, word: str) -> tuple[str, ...]:
        """The pieces of a word: its bytes, with neighbors joined in the order in which the merges were learned."""
        alphabet = byte_alphabet()
        pieces = [alphabet[byte] for byte in word.encode("utf-8")]
        pieces[-1] += END_OF_WORD
        while len(pieces) > 1:
            best = min(pairwise(pieces), key=lambda pair: self.ranks.get(pair, len(self.ranks)))
            if best not in self.ranks:
                break
            pieces = _join(pieces, best)
        return tuple(pieces)


def _join(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    """The pieces, with each occurrence of the pair joined, from the left."""
    joined: list[str] = []
    at = 0
    while at < len(pieces):
        both = tuple(pieces[at : at + 2]) == pair
        joined.append("".join(pair) if both else pieces[at])
        at += 2 if both else 1
    return joined


def normalize(text: str) -> str:
    """Composed (NFC) and lower case, letter by letter, so that a final sigma is not special."""
    return "".join(letter.lower() for letter in unicodedata.normalize("NFC", text))


def words(text: str, special: Sequence[str] = ()) -> Iterator[str]:
    """The words of a normalized text: letters, single digits, runs of anything else but space, and 's, 't, 're...

    A special token's name may appear only after normalizing. It ends the word before it, and is split into words
    itself.
    """
    at = 0
    while at < len(text):
        kind = _kind(text[at])
        end = at + 1
        if name := next((token for token in special if text.startswith(token, at)), None):
            end = at + len(name)
            yield from words(name)
        elif contraction := next((token for token in CONTRACTIONS if text.startswith(token, at)), None):
            end = at + len(contraction)
            yield contraction
        elif kind != "S":
            while kind in "LO" and end < len(text) and _kind(text[end]) == kind:
                end += 1
            yield text[at:end]
        at = end


def _kind(letter: str) -> str:
    """L for letters, N for digits and other numbers, S for space, O for the rest."""
    if letter in SPACES:
        return "S"
    category = unicodedata.category(letter)[0]
    return category if category in "LN" else "O"


@lru_cache(maxsize=1)
def byte_alphabet() -> tuple[str, ...]:
    """A printable letter for each of the 256 bytes: itself if it is printable, otherwise one from U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return tuple(chr(byte if byte in printable else next(others)) for byte in range(256))


def _special_tokens(folder: Path) -> dict[str, Any]:
    """The names of the start, end and padding tokens, and the length, as far as the folder's settings give them."""
    settings: dict[str, Any] = {}
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (folder / name).is_file():
            settings |= json.loads((folder / name).read_text("utf-8"))
    found = {}
    for ours, theirs in (("start", "bos_token"), ("end", "eos_token"), ("pad", "pad_token")):
        if token := settings.get(theirs):
            found[ours] = token["content"] if isinstance(token, dict) else token
    if 2 < settings.get("model_max_length", 0) <= 1000:  # an absent limit is written as an astronomical number
        found["length"] = settings["model_max_length"]
    return found
