"""FastAPI and Celery combined as in their guides: one route sends a task, another reads the status of its result."""

import base64
import os
import time
from pathlib import Path
from typing import Annotated

import httpx
from celery import Celery
from celery.result import AsyncResult
from celery.signals import worker_ready
from fastapi import FastAPI, File, Form
from shelf import STORES, keep

worker = Celery("peer", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])
worker.conf.worker_prefetch_multiplier = 1
app = FastAPI()


@worker_ready.connect
def tell(**_):
    Path(os.environ["READY_FILE"]).touch()


@worker.task(name="edit")
def edit(picture: str, prompt: str, webhook: str | None) -> str:
    time.sleep(0.2)
    if webhook:
        httpx.post(webhook, json={"prompt": prompt}, trust_env=False)
    return prompt


@app.post("/jobs", status_code=202)
def submit(
    image: Annotated[bytes, File()], prompt: Annotated[str, Form()], webhook: Annotated[str | None, Form()] = None
):
    picture = keep(image) if STORES else base64.b64encode(image).decode()
    return {"id": edit.delay(picture, prompt, webhook).id}


@app.get("/jobs/{job_id}")
def status(job_id: str):
    return {"id": job_id, "status": AsyncResult(job_id, app=worker).status}
