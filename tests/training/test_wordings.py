"""What is held out is never said in training, and what is said in training is said in many ways."""

import re

import numpy as np
import pytest

from training.edits import COMPOSABLE, FAMILIES
from training.wordings import (
    held_out_composition,
    held_out_wordings,
    sample,
    sample_composition,
    sample_ending,
    sample_graded,
    sample_opposite,
    sample_refusal,
    training_wordings,
)


def _plain(sentence: str) -> str:
    return " ".join(re.sub(r"[^a-z0-9& ]", "", sentence.lower()).split())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_asked_for_in_hundreds_of_ways_and_three_more_are_held_out(family: str):
    said, held_out = set(map(_plain, training_wordings(family))), set(map(_plain, held_out_wordings(family)))
    assert len(said) >= 200
    assert len(held_out) >= 3
    assert not said & held_out


@pytest.mark.parametrize("family", FAMILIES)
def test_variations_are_many_and_never_a_held_out_sentence(family: str):
    rng = np.random.default_rng(0)
    drawn = {_plain(sample(family, rng)) for _ in range(1000)}
    assert len(drawn) > 500
    assert "" not in drawn
    assert not drawn & set(map(_plain, held_out_wordings(family)))


def test_a_held_out_sentence_stays_out_whatever_the_photo_is_called():
    """ "make the photo a pencil drawing" would be no news to who was trained on "make it a pencil drawing"."""
    rng = np.random.default_rng(0)
    drawn = {_plain(sample("sketch", rng)) for _ in range(20_000)}
    assert "make it look like a pencil drawing" in map(_plain, held_out_wordings("sketch"))
    for photo in ("it", "this photo", "the picture", "the image"):
        assert f"make {photo} look like a pencil drawing" not in drawn
        assert f"please make {photo} look like a pencil drawing" not in drawn
    assert any("look like a pencil sketch" in sentence for sentence in drawn)


def test_no_sentence_asks_for_two_families():
    families: dict[str, str] = {}
    for family in FAMILIES:
        for sentence in {*map(_plain, training_wordings(family)), *map(_plain, held_out_wordings(family))}:
            assert families.setdefault(sentence, family) == family, f"{sentence} also means {families[sentence]}"


def test_every_composition_names_both_edits_and_holds_two_sentences_out():
    rng = np.random.default_rng(0)
    for pair in COMPOSABLE:
        held_out = held_out_composition(pair)
        drawn = {_plain(sample_composition(pair, rng)) for _ in range(30)}
        assert len(drawn) > 20
        assert not drawn & set(map(_plain, held_out))
    assert held_out_composition(["sepia", "blur"])[0] == "make this photo look sepia, and also blurry"


def test_the_same_seed_says_the_same():
    draws = [[sample(family, np.random.default_rng(7)) for family in FAMILIES] for _ in range(2)]
    assert draws[0] == draws[1]


def test_a_strength_is_said_in_many_ways_and_never_without_its_word():
    rng = np.random.default_rng(0)
    weak = {_plain(sample_graded("darker", "weak", rng)) for _ in range(300)}
    strong = {_plain(sample_graded("darker", "strong", rng)) for _ in range(300)}
    plain = {_plain(sample("darker", rng)) for _ in range(2000)}
    assert len(weak) > 200
    assert not (weak & strong) | (weak & plain) | (strong & plain)
    assert any("slightly" in sentence for sentence in weak)
    assert not any(re.search("slightly|extremely|much|a bit|a lot", sentence) for sentence in plain)


def test_less_of_an_edit_is_its_opposite_or_cannot_be_done():
    rng = np.random.default_rng(0)
    darker = {_plain(sample_opposite("darker", rng)) for _ in range(200)}
    assert any("less bright" in sentence for sentence in darker)
    assert not any("dark" in sentence for sentence in darker)
    ended = {_plain(sample_ending(rng)) for _ in range(2000)}
    assert any(sentence.startswith("remove the ") for sentence in ended)
    refused = [_plain(sample_refusal(rng)) for _ in range(50)]
    assert any(sentence.startswith(("dont ", "do not ")) for sentence in refused)
