"""Models of diffusers through the queue: submit, progress, cancel within a step, result and receipt."""

import io
import threading
import time

import pytest
from PIL import Image

from jobs.models import Definition
from jobs.served_models import publish
from jobs.settings import Settings
from tests import tiny_models
from tests.integration.conftest import encoded, submit
from tests.local_stack import Up
from tests.waiting import until
from worker.editors.diffusers_editor import FAMILIES, describe, load
from worker.editors.editor import Description
from worker.leases import Leases
from worker.models_file import ModelEntry
from worker.run import WorkerContext, run_next

PHOTO = encoded(Image.effect_noise((96, 64), 80).convert("RGB"))
QUICK = "StableDiffusionXLInstructPix2PixPipeline"  # the others take seconds to tens of seconds each


def defined(entry: ModelEntry, described: Description) -> Definition:
    return Definition(entry.id, "A tiny one.", described.parameters, sizes=described.sizes, facts=described.facts)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "kind", [pytest.param(one, marks=() if one == QUICK else pytest.mark.slow) for one in FAMILIES]
)
def test_a_pipeline_edits_through_the_queue(client, store, pictures, tmp_path, kind):
    entry = ModelEntry(
        id="tiny", editor="diffusers", checkpoint=str(tiny_models.make(kind, tmp_path / "tiny")), sizes=("64x64",)
    )
    definition = defined(entry, describe(entry))
    leases = Leases(store, "w", {"slots": 1, "checkpoint": {}}, lease_seconds=30, engine_worked_at=lambda: 0.0)
    editors = {"tiny": load(entry, Settings())}
    context = WorkerContext(store, pictures, leases, editors, lease_seconds=30, definitions=[definition])
    publish(store, [definition], time.time_ns() // 1_000_000)
    client.app.state.services.models.forget()
    known = {one.name: one for one in definition.parameters}
    size = {"size": "64x64"} if "64x64" in known["size"].choices else {}
    fields = {"model": "tiny", "steps": 2, "seed": 7, **size}

    job = submit(client, PHOTO, **fields)
    assert run_next(context)
    done = client.get(job["urls"]["self"]).json()
    assert done["status"] == "succeeded", done
    assert done["receipt"]["pipeline"] == kind
    assert done["receipt"]["seed"] == 7
    picture = Image.open(io.BytesIO(client.get(job["urls"]["output"], params={"proxy": 1}).content))
    assert picture.mode == "RGB"

    answer = client.post("/v1/jobs", files={"image": PHOTO}, data={"prompt": "x", "temperature": 0.5, **fields})
    assert answer.status_code == 422
    assert "temperature" in answer.text

    job, progress = submit(client, PHOTO, **{**fields, "steps": 100}), []

    def cancel() -> None:
        while not (view := client.get(job["urls"]["self"]).json())["finished_at"]:
            leases.renew(leases.held())
            progress.append((view["progress"] or {}).get("step", 0))
            if progress[-1] and view["status"] == "running":
                client.post(job["urls"]["cancel"])
            time.sleep(0.02)

    watcher = threading.Thread(target=cancel)
    watcher.start()
    run_next(context)
    watcher.join()
    done = client.get(job["urls"]["self"]).json()
    assert done["status"] == "canceled"
    assert 0 < max(progress) < 100
    assert done["output"] is None


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_worker_with_a_models_file_serves_every_class(tmp_path):
    """The whole service as processes. One worker has all nine models, and loads each when its job comes."""
    entry = (
        '[[model]]\nid = "{0}"\neditor = "diffusers"\ncheckpoint = "{0}"\nsizes = ["64x64"]\ndefaults = {{steps = 2}}\n'
    )
    for kind in FAMILIES:
        tiny_models.make(kind, tmp_path / kind)
    (tmp_path / "models.toml").write_text("".join(entry.format(kind) for kind in FAMILIES), encoding="utf-8")
    with Up(tmp_path / "data", MODELS=str(tmp_path / "models.toml")) as up:

        def served() -> set[str]:
            return {one["id"] for one in up.http.get("/v1/models").json()["data"] if one["workers"]}

        until(lambda: served() >= FAMILIES.keys(), 60, "all nine are listed")
        jobs = {}
        for kind in FAMILIES:
            size = "auto" if FAMILIES[kind].size == "own" else "64x64"
            jobs[kind] = up.submit(model=kind, size=size, steps="2")
        for kind, job in jobs.items():
            done = up.until_over(job, 900)
            assert done["status"] == "succeeded", done
            assert done["receipt"]["pipeline"] == kind
