"""Jobs for tests."""

from typing import Any

from jobs.job import Job, Picture, new_id

A_PICTURE = Picture("default/x/input.png", "image/png", 64, 64, 100, "0" * 64)
WORKER = "a-worker"


def a_job(**changes: Any) -> Job:
    """A job that was accepted a moment ago."""
    job_id = new_id()
    params = {"prompt": "make it sepia", "seed": 1, "steps": 4}
    fields: dict[str, Any] = {"id": job_id, "tenant": "default", "model": "pix2pix-full", "params": params}
    return Job(**{**fields, "input": A_PICTURE, **changes})
