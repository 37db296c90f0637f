"""What `darkroom doctor` and `darkroom models` report about the served models."""

import pytest

from darkroom.cli import doctor
from darkroom.cli.app import served
from darkroom.models import Models


def models(**changes: object) -> Models:
    usual = {"id": "a", "workers": 1, "rivals": [], "troubles": [], "parameters": []}
    other = {**usual, "id": "b", "workers": 2}
    return Models.of({"data": [usual | changes, other], "checkpoint": {}})


@pytest.mark.parametrize(
    ("changes", "state", "says"),
    [
        ({"workers": 0}, "warn", "a is served by no worker now"),
        ({"troubles": ["the file is cut short"]}, "fail", "a cannot be loaded: the file is cut short"),
        ({"rivals": ["3"]}, "warn", "a is served in several revisions"),
    ],
)
def test_doctor_tells_of_models_that_are_not_served_as_they_should_be(changes, state, says):
    (found,) = doctor.served(models(**changes))
    assert (found.state, found.subject) == (state, "models")
    assert says in found.text
    assert not list(doctor.served(models()))


def test_a_list_of_models_tells_by_how_many_workers_each_is_served():
    assert [served(one) for one in models(workers=0)] == ["(no worker now)", "(2 workers)"]
    assert served(next(iter(models(workers=None)))) == "", "an older service does not say"
