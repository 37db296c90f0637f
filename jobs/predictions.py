"""A job as a *prediction*, the shape in which Replicate's clients read one, in answers and in webhooks.

Only this module knows the names of both sides.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from jobs.job import Job, Status
from jobs.links import Links
from jobs.pictures import EXTENSIONS

PREFIX = "/replicate/v1"
OWNER = "darkroom"
MARK = "replicate"  #: in the metadata of a job that was requested as a prediction: its webhook gets one, too

RENAMED = {
    "steps": "num_inference_steps",
    "cfg_scale": "guidance_scale",
    "image_cfg_scale": "image_guidance_scale",
    "format": "output_format",
}
FORMATS = {"jpeg": "jpg"}
STATUSES = {"queued": "starting", "running": "processing", "canceling": "processing"}
CONTENT_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp", "avif": "image/avif"}


def prediction(job: Mapping[str, Any], base: str, access: str) -> dict[str, Any]:
    """The prediction that stands for a job, which is as `GET /v1/jobs/{id}` tells it.

    `base` is the API's address without its paths, and `access` lets links to the job in without a key.
    """
    status = status_of(job)
    address = f"{base}{PREFIX}/predictions/{job['id']}"
    extension = EXTENSIONS[CONTENT_TYPES[job["params"]["format"]]]
    return {
        "id": job["id"],
        "model": f"{OWNER}/{job['model']}",
        "version": _noted(job["metadata"], "version") or "hidden",
        "status": status,
        "job_status": job["status"],
        "input": {"image": f"{address}/input?access={access}", **_input(job["params"])},
        "output": f"{address}/output.{extension}?access={access}" if status == "succeeded" else None,
        "logs": logs(job),
        "error": job["error"]["detail"] if job["error"] else None,
        "metrics": _metrics(job["timing"]),
        "data_removed": False,
        "created_at": job["created_at"],
        "started_at": job["started_at"],
        "completed_at": job["finished_at"],
        "deadline": _later(job["created_at"], job["deadline_seconds"]),
        "urls": {
            "get": address,
            "cancel": f"{address}/cancel",
            "stream": f"{address}/stream?access={access}",
        },
    }


def status_of(job: Mapping[str, Any]) -> str:
    """A prediction's status. A job whose deadline has passed counts as canceled there."""
    if job["status"] == "failed" and job["error"] and job["error"]["type"] == "deadline-exceeded":
        return "canceled"
    return STATUSES.get(job["status"], str(job["status"]))


def logs(job: Mapping[str, Any]) -> str:
    """What happened, in lines. Clients read how far a prediction is from the last one that looks like tqdm's."""
    lines = [f"Using seed: {job['params'].get('seed')}"] if job["started_at"] else []
    lines += [warning["detail"] for warning in job["warnings"]]
    if job["progress"]:
        lines.append(progress_line(job["progress"]["step"], job["progress"]["steps"]))
    elif job["status"] == "succeeded" and (steps := job["params"].get("steps")):
        lines.append(progress_line(steps, steps))
    return "\n".join(lines)


def progress_line(step: int, steps: int) -> str:
    share = step / steps
    return f"{round(100 * share):3}%|{'█' * round(10 * share):10}| {step}/{steps}"


def _input(params: Mapping[str, Any]) -> dict[str, Any]:
    given = {RENAMED.get(name, name): value for name, value in params.items() if value is not None}
    return given | {"output_format": FORMATS.get(params["format"], params["format"])}


def _metrics(timing: Mapping[str, Any]) -> dict[str, float]:
    named = {"predict_time": timing.get("run_ms"), "total_time": timing.get("total_ms")}
    return {name: ms / 1000 for name, ms in named.items() if ms is not None}


def _later(moment: str, seconds: int) -> str:
    return _told(datetime.fromisoformat(moment) + timedelta(seconds=seconds))


def _told(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


# ---- in webhooks


def message(job: Job, status: str | None, step: int | None, steps: int | None, base: str, links: Links) -> bytes:
    """What the webhook of a job that was asked for as a prediction is sent: the job as it was at `status`.

    Without a `base`, addresses begin as the one did that the client asked at.
    """
    base = base or _noted(job.metadata, "base") or ""
    then = replace(job, status=Status(status or job.status), step=step, steps=steps)
    return json.dumps(prediction(_view(then), base, links.access(job.tenant, job.id)), ensure_ascii=False).encode()


def _noted(metadata: Mapping[str, Any], name: str) -> str | None:
    """What the dialect noted in the job's metadata, checked, because any client may write there."""
    noted = metadata[MARK].get(name) if is_prediction(metadata) else None
    return noted if isinstance(noted, str) else None


def is_prediction(metadata: Mapping[str, Any]) -> bool:
    """Whether a job was requested as a prediction."""
    return isinstance(metadata.get(MARK), dict)


def _view(job: Job) -> dict[str, Any]:
    """The parts of a job's view that a prediction needs, as they were at this status."""
    over = job.status.is_over
    timing = {"total_ms": job.finished_ms - job.created_ms, **job.timing} if over and job.finished_ms else {}
    return {
        "id": job.id,
        "status": job.status,
        "model": job.model,
        "params": {**job.params, "format": job.format},
        "metadata": job.metadata,
        "error": job.error if over else None,
        "warnings": job.warnings if over else (),
        "progress": {"step": job.step, "steps": job.steps} if job.step and job.steps and not over else None,
        "timing": timing,
        "created_at": _moment(job.created_ms),
        "started_at": _moment(job.started_ms),
        "finished_at": _moment(job.finished_ms) if over else None,
        "deadline_seconds": job.deadline_seconds,
    }


def _moment(ms: int | None) -> Any:
    return _told(datetime.fromtimestamp(ms / 1000, UTC)) if ms else None
