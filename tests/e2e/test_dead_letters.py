"""A job that kills its workers, from its last crash until an operator runs it again successfully."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

from chaos.engine import CURED
from chaos.house import House, Plan
from darkroom.cli.app import app


def admin(house: House, *words: str) -> Any:
    """The JSON output of a `darkroom admin` command."""
    done = CliRunner(env={"DARKROOM_KEY": ""}).invoke(app, ["admin", *words, "--url", house.api.url, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


@pytest.mark.timeout(240)
def test_a_job_that_kills_its_workers_is_a_dead_letter_until_they_are_mended_and_it_is_run_again():
    with House(Plan(workers=1, settings={"MAX_CRASHES": "2", "LEASE_SECONDS": "2"})) as house:
        culprit, mate = house.submit("poison"), house.submit()
        assert house.wait_for_all(120) is not None
        assert house.job(mate).status.value == "succeeded"

        (letter,) = admin(house, "dead-letters", "list")["data"]
        assert (letter["id"], letter["error"]["type"].rsplit(":")[-1]) == (culprit.id, "poison")
        shown = admin(house, "dead-letters", "show", culprit.id)
        assert [attempt["outcome"] for attempt in shown["attempts"]] == ["crashed"] * 2
        assert admin(house, "queue")["dead_letters"] == 1

        house.ledger.with_name(CURED).touch()
        (again,) = admin(house, "dead-letters", "retry", "--all")["data"]
        assert again["parent"] == culprit.id
        job = house.http.get(f"/v1/jobs/{again['id']}?wait=60").json()
        assert job["status"] == "succeeded"
        assert house.http.get(f"/v1/jobs/{again['id']}/output?proxy=1").content == house.expected(culprit)
        assert admin(house, "dead-letters", "list")["data"] == []
