"""In the catalogue every parameter has a range and a default inside it, and other values are refused by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.catalogue import DEFAULT_MODEL, MODELS, Card, ParameterError, resolve
from tests.conftest import ROOT

MICRO = Card.read(ROOT / "checkpoints" / "micro")
KNOWN = {parameter.name for parameter in MODELS[DEFAULT_MODEL].parameters}


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.id)
@pytest.mark.parametrize("card", [Card(), MICRO], ids=["plain", "micro"])
def test_defaults_are_allowed_values(model, card):
    for parameter in model.with_defaults(card).parameters:
        if parameter.default is not None:
            assert parameter.check(parameter.default) == parameter.default


@pytest.mark.parametrize("model", MODELS)
def test_what_is_resolved_resolves_to_itself(model):
    once = resolve(model, {"prompt": "make it blue", "seed": 3}, MICRO)
    assert resolve(model, once, MICRO) == once


def test_a_square_that_is_asked_for_is_what_comes_back_and_else_the_photos_own_size():
    asked = [{}, {"size": "auto"}, {"size": "256x256"}, {"size": "512x512", "resolution": "own"}]
    resolved = [resolve(DEFAULT_MODEL, {"prompt": "x", **given}, Card())["resolution"] for given in asked]
    assert resolved == ["own", "own", "model", "own"]


def test_scale_one_of_the_library_model_means_image_scale_one():
    resolved = resolve("pix2pix-base", {"prompt": "x", "cfg_scale": 1}, MICRO)
    assert resolved["image_cfg_scale"] == 1
    assert resolve("pix2pix-base", resolved, MICRO) == resolved


@given(
    name=st.one_of(st.text(max_size=20), st.sampled_from(sorted(KNOWN))),
    value=st.one_of(st.none(), st.text(), st.floats(), st.integers(), st.booleans()),
)
def test_any_field_is_either_used_or_refused_by_name(name, value):
    refused = None
    try:
        resolve(DEFAULT_MODEL, {"prompt": "x", name: value}, MICRO)
    except ParameterError as error:
        refused = error.field
    assert refused in (None, name) if name in KNOWN else refused == name


@given(st.one_of(st.integers(), st.floats(), st.text(), st.booleans(), st.none(), st.lists(st.integers())))
def test_steps_are_whole_numbers_in_their_range_or_refused(value):
    steps = next(p for p in MODELS[DEFAULT_MODEL].parameters if p.name == "steps")
    checked, refused = None, ""
    try:
        checked = steps.check(value)
    except ParameterError as error:
        refused = error.detail
    assert "2 to 1000" in refused or (isinstance(checked, int) and 2 <= checked <= 1000)
