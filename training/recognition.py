"""From which score on an instruction counts as understood: chosen by sentences that are never trained on."""

import numpy as np
import torch

from pipeline.networks.tokenizer import Tokenizer
from training import beyond, wordings
from training.edits import FAMILIES
from training.language import KNOWN, LABELS, TOKENIZER, Reader

VARIATIONS = 6  # of each sentence, as people type
MISSED = 3.0  # an instruction that could be followed and is flagged counts as much as so many that are followed wrongly


def threshold(reader: Reader) -> float:
    """The logit of `KNOWN` that parts held-out sentences best."""
    known, unknown = scores(reader, known_sentences()), scores(reader, unknown_sentences())
    candidates = np.sort(np.concatenate([known, unknown]))
    levels = (candidates[1:] + candidates[:-1]) / 2
    costs = np.array([MISSED * (known < level).mean() + (unknown >= level).mean() for level in levels])
    best = np.flatnonzero(costs == costs.min())
    return round(float(levels[best[len(best) // 2]]), 3)


def known_sentences() -> list[str]:
    """Held-out sentences of every family, as they are written and varied."""
    return _varied([sentence for family in FAMILIES for sentence in wordings.held_out_wordings(family)])


def unknown_sentences() -> list[str]:
    """Held-out sentences beyond all families, as they are written and varied."""
    return _varied([sentence for sentences in beyond.held_out().values() for sentence in sentences])


@torch.no_grad()
def scores(reader: Reader, sentences: list[str]) -> np.ndarray:
    """The recognizer's logit of `KNOWN` for each sentence."""
    _, recognized = reader(Tokenizer.read(TOKENIZER)(sentences))
    column: np.ndarray = recognized[:, LABELS.index(KNOWN)].numpy()
    return column


def _varied(sentences: list[str]) -> list[str]:
    rng = np.random.default_rng(0)
    return [*sentences, *(wordings.varied(sentence, rng) for sentence in sentences for _ in range(VARIATIONS))]
