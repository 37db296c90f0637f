"""What cannot be done is asked for in many ways, none of them a family's, and told from what can be."""

import numpy as np
import pytest
import torch

from pipeline.networks.tokenizer import Tokenizer
from training import beyond, recognition
from training.edits import FAMILIES
from training.language import KNOWN, LABELS, TOKENIZER, build, labels_of
from training.recipe import Recipe
from training.samples import Instruction
from training.wordings import training_wordings


def test_sentences_are_many_of_every_kind_and_none_of_a_family():
    rng = np.random.default_rng(0)
    drawn = {beyond.sample(rng) for _ in range(5000)}
    assert len(drawn) > 3000
    assert not drawn & {sentence for family in FAMILIES for sentence in training_wordings(family)}
    assert any(not sentence.isascii() for sentence in drawn)


def test_no_held_out_sentence_is_trained_on():
    rng = np.random.default_rng(0)
    held_out = {sentence for sentences in beyond.held_out().values() for sentence in sentences}
    assert len(held_out) >= 60
    assert set(beyond.held_out()) == set(beyond.KINDS)
    assert not held_out & {beyond.sample(rng) for _ in range(5000)}


def test_a_sentence_is_labeled_with_its_edits_its_strength_and_whether_it_can_be_done():
    asked = [
        Instruction(("sepia", "blur"), "sepia and blurry"),
        Instruction(("fog",), "a little foggy", "weak"),
        Instruction(("keep",), "add a hat", known=False),
    ]
    said = [{LABELS[int(i)] for i in torch.nonzero(row).flatten()} for row in labels_of(asked)]
    assert said == [{"sepia", "blur", KNOWN}, {"fog", "weak", KNOWN}, set()]


def test_a_sentence_is_read_the_same_with_and_without_padding():
    """The recognizer looks at the end of the text, wherever that is; nothing behind it counts."""
    tokenizer = Tokenizer.read(TOKENIZER)
    torch.manual_seed(0)
    reader = build(Recipe.read()["text"]["network"], tokenizer).eval()
    tokens = tokenizer(["make it foggy"])
    with torch.no_grad():
        (_, whole), (_, short) = reader(tokens), reader(tokens[:, :12])
    torch.testing.assert_close(whole, short)


def test_the_threshold_parts_what_is_known_from_what_is_not(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recognition, "VARIATIONS", 0)
    tokenizer = Tokenizer.read(TOKENIZER)
    torch.manual_seed(0)
    reader = build(Recipe.read()["text"]["network"], tokenizer).eval().requires_grad_(False)
    level = recognition.threshold(reader)
    known = recognition.scores(reader, recognition.known_sentences())
    unknown = recognition.scores(reader, recognition.unknown_sentences())
    costs = [
        recognition.MISSED * (known < one).mean() + (unknown >= one).mean() for one in (level - 0.1, level, level + 0.1)
    ]
    assert costs[1] == min(costs)
