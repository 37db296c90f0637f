"""A job as a prediction, as Replicate's clients require it."""

import json
import re

import pytest

from jobs.job import Status
from jobs.links import Links
from jobs.predictions import is_prediction, message, progress_line
from jobs.settings import Settings
from tests.jobs_of import A_PICTURE, a_job

LINKS = Links(Settings(_env_file=None))
PROGRESS = re.compile(r"^\s*(\d+)%\s*\|.+?\|\s*(\d+)\/(\d+)")  # as replicate 1.0.7 and replicate-javascript read it
STATUSES = {"starting", "processing", "succeeded", "failed", "canceled"}
AT = 1_790_000_000_000


def test_addresses_begin_as_the_client_wrote_them_unless_the_operator_says_how():
    job = a_job(created_ms=AT, metadata={"replicate": {"version": "v", "base": "http://10.0.0.7:8080"}})
    for base, begins in (("", "http://10.0.0.7:8080/"), ("https://darkroom.example", "https://darkroom.example/")):
        made = json.loads(message(job, "queued", None, None, base, LINKS))
        assert all(address.startswith(begins) for address in [*made["urls"].values(), made["input"]["image"]])


def told(status: str = "queued", step: int | None = None, steps: int | None = None, **job) -> dict:
    usual = {"created_ms": AT, "metadata": {"replicate": {"version": "v"}}, "status": Status(status)}
    return json.loads(message(a_job(**usual | job), status, step, steps, "https://darkroom.example", LINKS))


@pytest.mark.parametrize("status", Status)
def test_every_status_is_one_that_clients_know(status):
    assert told(status)["status"] in STATUSES


def test_a_job_that_ran_out_of_time_counts_as_canceled_and_says_why():
    late = told("failed", error={"type": "deadline-exceeded", "title": "t", "detail": "It was not done."})
    assert (late["status"], late["error"]) == ("canceled", "It was not done.")
    broken = told("failed", error={"type": "poison", "title": "t", "detail": "It broke."})
    assert (broken["status"], broken["error"]) == ("failed", "It broke.")


@pytest.mark.parametrize(("step", "steps"), [(1, 1000), (1, 50), (25, 50), (49, 50), (50, 50), (7, 9)])
def test_clients_read_the_progress_from_the_last_line(step, steps):
    found = PROGRESS.match(told("running", step, steps, started_ms=AT)["logs"].splitlines()[-1])
    assert found.groups() == (str(round(100 * step / steps)), str(step), str(steps))
    assert len(progress_line(step, steps)) == len(progress_line(steps, steps)) - len(str(steps)) + len(str(step))


def test_a_message_tells_the_job_as_it_was_then():
    """A webhook about a job's start must not report its end, even if the job is over when it is sent."""
    over = {
        "status": Status.SUCCEEDED,
        "output": A_PICTURE,
        "started_ms": AT,
        "finished_ms": AT + 9,
        "timing": {"run_ms": 8},
    }
    started = json.loads(message(a_job(created_ms=AT, **over), "running", None, None, "", LINKS))
    assert (started["status"], started["output"], started["completed_at"], started["metrics"]) == (
        "processing",
        None,
        None,
        {},
    )
    ended = json.loads(message(a_job(created_ms=AT, **over), "succeeded", None, None, "", LINKS))
    assert ended["metrics"] == {"predict_time": 0.008, "total_time": 0.009}
    assert ended["completed_at"] > started["created_at"]


def test_parameters_have_the_names_that_clients_know():
    params = {"prompt": "p", "steps": 3, "cfg_scale": 7.5, "image_cfg_scale": 1.5, "seed": None}
    given = told(params=params, format="jpeg")["input"]
    assert given.pop("image").startswith("https://darkroom.example/replicate/v1/predictions/")
    assert given == {
        "prompt": "p",
        "num_inference_steps": 3,
        "guidance_scale": 7.5,
        "image_guidance_scale": 1.5,
        "output_format": "jpg",
    }


@pytest.mark.parametrize("mark", [None, 7, [], {}, {"version": 7}, {"version": None}])
def test_metadata_of_any_shape_makes_no_prediction_that_clients_cannot_read(mark):
    assert told(metadata={"replicate": mark})["version"] == "hidden"
    assert is_prediction({"replicate": mark}) == isinstance(mark, dict)


def test_a_link_opens_its_own_job_alone_and_not_for_ever(monkeypatch):
    access = LINKS.access("acme", "a" * 26)
    assert LINKS.tenant(access, "a" * 26) == "acme"
    assert LINKS.tenant(access, "b" * 26) is None
    assert LINKS.tenant(access.replace("acme", "acma"), "a" * 26) is None
    tenant, ends, signature = access.split(".")
    assert LINKS.tenant(f"{tenant}.{int(ends) + 1}.{signature}", "a" * 26) is None
    assert Links(Settings(_env_file=None, s3_secret_access_key="another")).tenant(access, "a" * 26) is None
    for wrong in ("", "...", access + "A", access[:-1], f"é{access}", access.replace(ends, "٣"), access + "\n"):
        assert LINKS.tenant(wrong, "a" * 26) is None
    monkeypatch.setattr("jobs.links.time.time", lambda: int(ends) + 1.0)
    assert LINKS.tenant(access, "a" * 26) is None
