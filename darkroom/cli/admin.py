"""`darkroom admin`: the commands of operators."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import click
from rich.table import Column, Table
from rich.text import Text

from darkroom.cli.keys import app as keys_app
from darkroom.cli.options import as_json, with_client
from darkroom.cli.progress import plain_console, print_json
from darkroom.client import Client
from darkroom.models import Answer, Worker

A = TypeVar("A", bound=Answer)

ALL = 10**9

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@click.group("admin")
def app() -> None:
    """Run the service: its queue, workers, dead letters and tenants.

    Needs an admin key. A service without keys takes these commands from its own machine."""


@app.group("dead-letters")
def dead() -> None:
    """Look at jobs that failed through no fault of their client, and run them again."""


app.add_command(keys_app)


@app.command("queue")
@as_json
@with_client
def show_queue(client: Client, as_json: bool) -> None:
    """Show how many jobs wait and run, and how many webhooks, dead letters and others wait."""
    show(client.admin.queue(), as_json)


@app.command("pause")
@as_json
@with_client
def pause(client: Client, as_json: bool) -> None:
    """Let no job begin until `resume`. Running jobs go on, and new ones are accepted."""
    show(client.admin.pause(), as_json)


@app.command("resume")
@as_json
@with_client
def resume(client: Client, as_json: bool) -> None:
    """Let jobs begin again."""
    show(client.admin.resume(), as_json)


@app.command("workers")
@as_json
@with_client
def list_workers(client: Client, as_json: bool) -> None:
    """List the workers, with their checkpoint, device, free memory and step time."""
    workers = client.admin.workers()
    columns = ("worker", "state", "jobs", "checkpoint", "device", "free memory", "a step", "version")
    table(workers, as_json, columns, worker_row)


def worker_row(worker: Worker) -> list[str]:
    state = "silent" if not worker.alive else "draining" if worker.draining else "ready"
    return [
        worker.name,
        state,
        f"{worker.holds} of {worker.slots}",
        worker.checkpoint or "",
        worker.device or "",
        f"{worker.free_bytes / 2**30:.1f} GiB" if worker.free_bytes is not None else "",
        f"{worker.step_seconds * 1000:.0f} ms" if worker.step_seconds is not None else "",
        worker.version or "",
    ]


@app.command("drain")
@click.argument("worker", metavar="WORKER")
@click.option("--undo", is_flag=True, help="Have it claim jobs again.")
@as_json
@with_client
def drain(client: Client, worker: str, undo: bool, as_json: bool) -> None:
    """Keep a worker from beginning further jobs. Stop it when it holds none. WORKER is its name in `workers`."""
    drained = client.admin.drain(worker, undo=undo)
    if as_json:
        return print_json(drained.json)
    doing = "claims jobs" if undo else f"claims no more; it holds {drained.holds}"
    return click.echo(f"{drained.name} {doing}")


@app.command("prune")
@click.option("--older-than", required=True, help="Jobs that ended before that: 90s, 30m, 12h, 7d.")
@click.option("--status", help="Only those that succeeded, failed, or were canceled.")
@click.option("--tenant", help="Only this tenant's.")
@as_json
@with_client
def prune(client: Client, older_than: str, status: str | None, tenant: str | None, as_json: bool) -> None:
    """Remove ended jobs and their pictures before they expire."""
    removed = client.admin.prune(seconds(older_than), status, tenant)
    return print_json({"removed": removed}) if as_json else click.echo(f"Removed {removed} jobs")


def seconds(text: str) -> int:
    """`90s`, `30m`, `12h` or `7d` in seconds."""
    number, unit = text[:-1], text[-1:]
    if not number.isdecimal() or unit not in UNITS:
        raise click.UsageError(f"{text}: write a number and its unit, such as 90s, 30m, 12h or 7d.")
    return int(number) * UNITS[unit]


@app.command("tenants")
@as_json
@with_client
def list_tenants(client: Client, as_json: bool) -> None:
    """List the tenants, and how much they use."""
    tenants = client.admin.tenants()
    columns = ("tenant", "queued", "running", "kept", "keys")
    table(
        tenants,
        as_json,
        (*columns, "limits"),
        lambda tenant: [*(str(tenant.json[name]) for name in columns), limits_line(tenant.limits.json)],
    )


def limits_line(limits: dict[str, int | None]) -> str:
    """Limits in words, such as `queued 500, running 8`. Empty if the settings apply."""
    return ", ".join(f"{name} {number}" for name, number in limits.items() if number is not None)


@app.command("limits")
@click.argument("tenant", metavar="TENANT")
@click.option("--queued", type=int, help="Jobs that may wait at a time; 0: none is accepted.")
@click.option("--running", type=int, help="Jobs that may run at a time; 0: none is begun.")
@click.option("--reads-per-minute", type=int, help="GET requests of each key.")
@click.option("--writes-per-minute", type=int, help="Other requests of each key.")
@click.option("--clear", is_flag=True, help="As the settings say for all.")
@as_json
@with_client
def limit_tenant(client: Client, tenant: str, clear: bool, as_json: bool, **limits: int | None) -> None:
    """Set a tenant's limits. The settings decide all others. TENANT need not exist yet."""
    if clear == any(number is not None for number in limits.values()):
        raise click.UsageError("Name limits, or say --clear.")
    if clear:
        client.admin.unlimit(tenant)
    else:
        limits = client.admin.limit(tenant, **limits).json
    return print_json(limits) if as_json else click.echo(f"{tenant}: {limits_line(limits) or 'as the settings say'}")


@dead.command("list")
@click.option("--limit", type=int, default=100, show_default=True, help="How many at most.")
@as_json
@with_client
def list_dead_letters(client: Client, limit: int, as_json: bool) -> None:
    """List the dead letters, newest first."""
    letters = client.admin.dead_letters(limit)
    table(
        letters,
        as_json,
        ("job", "tenant", "model", "error", "ended"),
        lambda one: [one.id, one.tenant, one.model, (one.error or {}).get("type", ""), one.finished_at or ""],
    )


@dead.command("show")
@click.argument("job_id", metavar="JOB")
@as_json
@with_client
def show_dead_letter(client: Client, job_id: str, as_json: bool) -> None:
    """Show a dead letter: the request, the error, and each attempt."""
    show(client.admin.dead_letter(job_id), as_json)


@dead.command("retry")
@click.argument("job_ids", metavar="JOB...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All of them.")
@as_json
@with_client
def retry_dead_letters(client: Client, job_ids: tuple[str, ...], every: bool, as_json: bool) -> None:
    """Run dead letters again, each as a new job of its tenant; prints the new jobs' ids."""
    if bool(job_ids) == every:
        raise click.UsageError("Name jobs, or say --all.")
    wanted = [one.id for one in client.admin.dead_letters(ALL)] if every else job_ids
    again = [client.admin.retry(one) for one in wanted]
    if as_json:
        return print_json({"data": [one.json for one in again]})
    for one in again:
        click.echo(one.id)
    return None


def show(answer: Answer, as_json: bool) -> None:
    """Print one object, as JSON or with a line for each of its fields."""
    if as_json:
        return print_json(answer.json)
    grid = Table(show_header=False, box=None)
    for name, value in answer.json.items():
        if name != "object":
            lines = [" ".join(map(str, one.values())) for one in value] if isinstance(value, list) else [str(value)]
            grid.add_row(name, Text("\n".join(lines)))
    return plain_console().print(grid)


def table(rows: Sequence[A], as_json: bool, columns: Iterable[str], cells: Callable[[A], list[str]]) -> None:
    """Print several objects, as JSON or with a line for each."""
    if as_json:
        return print_json({"data": [row.json for row in rows]})
    first, *others = columns
    lines = Table(Column(first, no_wrap=True), *others, box=None)
    for row in rows:
        lines.add_row(*(Text(cell) for cell in cells(row)))
    return plain_console().print(lines)
