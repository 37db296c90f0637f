"""`darkroom doctor`: checks this machine and the service."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import darkroom
from darkroom.client import Client
from darkroom.errors import Busy, DarkroomError, NotAllowed, Unreachable
from darkroom.models import Models

LITTLE_DISK = 2 * 1024**3
LONG_WAIT = 600
EXPIRES_SOON = 30  # days
COLORS = {"ok": "green", "warn": "yellow", "fail": "red"}


@dataclass(frozen=True)
class Finding:
    """The result of one check, and what to do if it found a fault."""

    state: Literal["ok", "warn", "fail"]
    subject: str
    text: str

    @property
    def color(self) -> str:
        return COLORS[self.state]


def examine(client: Client, data: Path) -> Iterator[Finding]:
    """Check this machine, then the service, as far as the key allows."""
    yield Finding(
        "ok", "client", f"darkroom {darkroom.__version__}, Python {platform.python_version()}, {sys.platform}"
    )
    yield disk(data)
    try:
        parts = client.ready().parts
        yield Finding("ok", "service", f"{client.url} is ready: {', '.join(parts)}")
    except Busy as error:
        yield Finding("fail", "service", f"{client.url} accepts no jobs: {error} See its log, and that of this part.")
    except DarkroomError as error:
        yield Finding("fail", "service", str(error))
        if isinstance(error, Unreachable):
            return
    yield from jobs(client)


def disk(data: Path) -> Finding:
    """Check the disk for the pictures of a local service."""
    here = next(folder for folder in (data.absolute(), *data.absolute().parents) if folder.exists())
    free = shutil.disk_usage(here).free
    text = f"{free / 1024**3:.1f} GB free in {here}"
    return Finding("ok", "disk", text) if free > LITTLE_DISK else Finding("warn", "disk", f"only {text}")


def jobs(client: Client) -> Iterator[Finding]:
    """Check what needs a key: workers, queue, models, webhooks."""
    try:
        queue = client.queue()
        models = client.models()
    except NotAllowed as error:
        yield Finding("fail", "key", f"{error} Set DARKROOM_KEY, or ask whoever runs the service for a key.")
        return
    except DarkroomError as error:
        yield Finding("fail", "queue", str(error))
        return
    wait = queue.estimated_wait_seconds or 0
    line = f"{queue.queued} waiting, {queue.running} running, a new job waits about {wait} s"
    if queue.workers:
        yield Finding("ok", "workers", f"{queue.workers} with {queue.slots} slots")
    else:
        yield Finding("fail", "workers", "none is alive: jobs wait. Start one, or look into its log.")
    yield Finding("warn" if wait > LONG_WAIT else "ok", "queue", line)
    default = f"{models.checkpoint.name} {models.checkpoint.revision[:12]}".rstrip()
    yield Finding("ok", "models", f"{len(models.data)}; the default runs on {default}")
    yield from served(models)
    yield from records(client)
    yield from credentials(client)
    yield from webhooks(client)


def served(models: Models) -> Iterator[Finding]:
    """Report models that cannot be loaded, or that workers serve in several revisions."""
    anything = any(model.workers for model in models)
    for model in models:
        for trouble in model.troubles or ():
            yield Finding("fail", "models", f"{model.id} cannot be loaded: {trouble}")
        if model.rivals:
            text = f"{model.id} is served in several revisions; the newest counts, the others are {model.rivals}"
            yield Finding("warn", "models", f"{text}: restart their workers with the same models file")
        if anything and model.workers == 0:
            yield Finding("warn", "models", f"{model.id} is served by no worker now: its jobs wait")


def records(client: Client) -> Iterator[Finding]:
    """Report incomplete records. Only an operator's key can see them."""
    try:
        broken = client.admin.broken_records()
    except DarkroomError:
        return
    for record in broken:
        text = f"job {record.id} of {record.tenant or 'nobody'} {record.wrong}. {record.repair}"
        yield Finding("warn", "record", text)
    if not broken:
        yield Finding("ok", "records", "all are whole")


def credentials(client: Client) -> Iterator[Finding]:
    """Report who signs outputs, and until when. Only an operator's key can see it."""
    try:
        workers = [worker for worker in client.admin.workers() if worker.alive]
    except DarkroomError:
        return
    for worker in workers:
        if not worker.signer:
            text = f"{worker.name} signs no outputs: `darkroom credentials init`, or CREDENTIALS_CERT"
            yield Finding("warn", "credentials", text)
            continue
        left = datetime.fromisoformat(worker.signer_expires_at or "") - datetime.now(UTC)
        text = f"{worker.name} signs as {worker.signer}, whose certificate is valid for {left.days} more days"
        if left.days < EXPIRES_SOON:
            yield Finding("warn", "credentials", f"{text}: renew it, or outputs are unsigned then, or jobs fail")
        else:
            yield Finding("ok", "credentials", text)


def webhooks(client: Client) -> Iterator[Finding]:
    """Report disabled webhook endpoints."""
    try:
        disabled = [webhook for webhook in client.webhooks.list() if not webhook.enabled]
    except DarkroomError:
        return
    for webhook in disabled:
        text = f"{webhook.url} is disabled ({webhook.disabled_because}): remove it and add it again"
        yield Finding("warn", "webhook", text)
