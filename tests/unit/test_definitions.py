"""The definitions of models are the catalogue as data, and check requests as it does."""

import json

import pytest

from jobs.cards import Card
from jobs.models import Definition, built_in, on_checkpoint
from jobs.parameters import ParameterError
from pipeline import catalogue
from tests.conftest import ROOT
from worker.editors import own

MICRO = Card.read(ROOT / "checkpoints" / "micro")
GIVEN = ({}, {"size": "256x256"}, {"size": "512x512", "resolution": "own"}, {"seed": 3, "steps": "9"}, {"steps": 1})
LIBRARY = ({"cfg_scale": 1}, {"cfg_scale": 1, "image_cfg_scale": 1}, {"cfg_scale": 1, "image_cfg_scale": 2})


def test_the_six_that_ship_with_the_web_tier_are_those_of_the_catalogue():
    assert list(built_in()) == [own.definition(model) for model in catalogue.MODELS.values()], (
        "python -m worker.editors.own"
    )
    assert list(on_checkpoint(MICRO)) == own.definitions(MICRO)


@pytest.mark.parametrize("definition", on_checkpoint(MICRO), ids=lambda one: one.id)
def test_a_definition_survives_its_publication_and_resolves_as_the_catalogue(definition):
    assert Definition.from_record(json.loads(json.dumps(definition.record()))) == definition
    for given in (*GIVEN, *LIBRARY):
        answers = []
        for resolve in (definition.resolve, lambda given: catalogue.resolve(definition.id, given, MICRO)):
            try:
                answers.append(resolve({"prompt": "x", **given}))
            except ParameterError as error:
                answers.append(str(error))
        assert answers[0] == answers[1]
