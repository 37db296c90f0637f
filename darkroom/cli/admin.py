"""`darkroom admin`: running the service."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Column, Table
from rich.text import Text

from darkroom.cli.keys import app as keys_app
from darkroom.cli.options import AsJson, Data, Url, errors_are_sentences
from darkroom.cli.progress import plain_console, print_json
from darkroom.client import Client

app = typer.Typer(
    help="Run the service: its queue, workers, dead letters and tenants. Needs an admin key, or, where the service "
    "asks for none, its own machine.",
    no_args_is_help=True,
)
dead = typer.Typer(
    help="Jobs that broke their workers, or that we broke: look at them, run them again.", no_args_is_help=True
)
app.add_typer(dead, name="dead-letters")
app.add_typer(keys_app, name="keys")

HERE = Path(".darkroom")
Letter = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")]
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@app.command("queue")
@errors_are_sentences
def show_queue(url: Url = None, data: Data = HERE, as_json: AsJson = False) -> None:
    """What waits and runs, and what else has piled up."""
    with Client(url, data) as client:
        show(client.admin.queue(), as_json)


@app.command("pause")
@errors_are_sentences
def pause(url: Url = None, data: Data = HERE, as_json: AsJson = False) -> None:
    """Have no job begun until `resume`. What runs goes on, and what comes is accepted."""
    with Client(url, data) as client:
        show(client.admin.pause(), as_json)


@app.command("resume")
@errors_are_sentences
def resume(url: Url = None, data: Data = HERE, as_json: AsJson = False) -> None:
    """Have jobs begun again."""
    with Client(url, data) as client:
        show(client.admin.resume(), as_json)


@app.command("workers")
@errors_are_sentences
def list_workers(url: Url = None, data: Data = HERE, as_json: AsJson = False) -> None:
    """List the workers, with their checkpoint, device, free memory and step time."""
    with Client(url, data) as client:
        workers = client.admin.workers()
    columns = ("worker", "state", "jobs", "checkpoint", "device", "free memory", "a step", "version")
    table(workers, as_json, columns, worker_row)


def worker_row(worker: dict[str, Any]) -> list[str]:
    state = "silent" if not worker["alive"] else "draining" if worker["draining"] else "ready"
    held = f"{worker['holds']} of {worker['slots']}"
    free, step = worker["free_bytes"], worker["step_seconds"]
    return [
        worker["name"],
        state,
        held,
        worker["checkpoint"] or "",
        worker["device"] or "",
        f"{free / 2**30:.1f} GiB" if free is not None else "",
        f"{step * 1000:.0f} ms" if step is not None else "",
        worker["version"] or "",
    ]


@app.command("drain")
@errors_are_sentences
def drain(
    worker: Annotated[str, typer.Argument(metavar="WORKER", help="Its name, as `workers` lists it.")],
    undo: Annotated[bool, typer.Option("--undo", help="Have it claim jobs again.")] = False,
    url: Url = None,
    data: Data = HERE,
    as_json: AsJson = False,
) -> None:
    """Have a worker begin no more jobs; once it holds none it can be stopped."""
    with Client(url, data) as client:
        drained = client.admin.drain(worker, undo=undo)
    if as_json:
        return print_json(drained)
    doing = "claims jobs" if undo else f"claims no more; it holds {drained['holds']}"
    return typer.echo(f"{drained['name']} {doing}")


@app.command("prune")
@errors_are_sentences
def prune(
    older_than: Annotated[
        str, typer.Option(help="Jobs that ended before that: 90s, 30m, 12h, 7d.", show_default=False)
    ],
    status: Annotated[str | None, typer.Option(help="Only those that succeeded, failed, or were canceled.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    url: Url = None,
    data: Data = HERE,
    as_json: AsJson = False,
) -> None:
    """Remove ended jobs and their pictures before their time."""
    with Client(url, data) as client:
        removed = client.admin.prune(seconds(older_than), status, tenant)
    return print_json({"removed": removed}) if as_json else typer.echo(f"Removed {removed} jobs")


def seconds(text: str) -> int:
    """`90s`, `30m`, `12h` or `7d` in seconds."""
    number, unit = text[:-1], text[-1:]
    if not number.isdecimal() or unit not in UNITS:
        raise typer.BadParameter(f"{text}: write a number and its unit, such as 90s, 30m, 12h or 7d.")
    return int(number) * UNITS[unit]


@app.command("tenants")
@errors_are_sentences
def list_tenants(url: Url = None, data: Data = HERE, as_json: AsJson = False) -> None:
    """List the tenants, and how much they use."""
    with Client(url, data) as client:
        tenants = client.admin.tenants()
    columns = ("tenant", "queued", "running", "kept", "keys")
    table(
        tenants,
        as_json,
        (*columns, "limits"),
        lambda tenant: [*(str(tenant[name]) for name in columns), limits_line(tenant["limits"])],
    )


def limits_line(limits: dict[str, int | None]) -> str:
    """`queued 500, running 8`; nothing where the settings hold."""
    return ", ".join(f"{name} {number}" for name, number in limits.items() if number is not None)


@app.command("limits")
@errors_are_sentences
def limit_tenant(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Its name; it need not exist yet.")],
    queued: Annotated[int | None, typer.Option(help="Jobs that may wait at a time; 0: none is accepted.")] = None,
    running: Annotated[int | None, typer.Option(help="Jobs that may run at a time; 0: none is begun.")] = None,
    reads: Annotated[int | None, typer.Option("--reads-per-minute", help="GET requests of each key.")] = None,
    writes: Annotated[int | None, typer.Option("--writes-per-minute", help="Other requests of each key.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="As the settings say for all.")] = False,
    url: Url = None,
    data: Data = HERE,
    as_json: AsJson = False,
) -> None:
    """Allow a tenant more or less than the settings do; what is not named is as they say."""
    wanted = {"queued": queued, "running": running, "reads_per_minute": reads, "writes_per_minute": writes}
    if clear == any(number is not None for number in wanted.values()):
        raise typer.BadParameter("Name limits, or say --clear.")
    with Client(url, data) as client:
        if clear:
            client.admin.unlimit(tenant)
        else:
            wanted = client.admin.limit(tenant, **wanted)
    return print_json(wanted) if as_json else typer.echo(f"{tenant}: {limits_line(wanted) or 'as the settings say'}")


@dead.command("list")
@errors_are_sentences
def list_dead_letters(
    limit: Annotated[int, typer.Option(help="How many at most.")] = 100,
    url: Url = None,
    data: Data = HERE,
    as_json: AsJson = False,
) -> None:
    """List the dead letters, newest first."""
    with Client(url, data) as client:
        letters = client.admin.dead_letters(limit)
    table(
        letters,
        as_json,
        ("job", "tenant", "model", "error", "ended"),
        lambda one: [one["id"], one["tenant"], one["model"], one["error"]["type"], one["finished_at"]],
    )


@dead.command("show")
@errors_are_sentences
def show_dead_letter(job_id: Letter, url: Url = None, data: Data = HERE, as_json: AsJson = False) -> None:
    """Show a dead letter: what was asked for, what went wrong, each attempt."""
    with Client(url, data) as client:
        show(client.admin.dead_letter(job_id), as_json)


@dead.command("retry")
@errors_are_sentences
def retry_dead_letters(
    job_id: Annotated[list[str] | None, typer.Argument(metavar="JOB...", help="Their ids.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    url: Url = None,
    data: Data = HERE,
    as_json: AsJson = False,
) -> None:
    """Run dead letters again, each as a new job of its tenant; prints the new jobs' ids."""
    if bool(job_id) == every:
        raise typer.BadParameter("Name jobs, or say --all.")
    with Client(url, data) as client:
        wanted = [one["id"] for one in client.admin.dead_letters(1000)] if every else job_id or []
        again = [client.admin.retry(one) for one in wanted]
    if as_json:
        return print_json({"data": again})
    for one in again:
        typer.echo(one["id"])
    return None


def show(said: dict[str, Any], as_json: bool) -> None:
    """One thing, as JSON or a line for each of its fields."""
    if as_json:
        return print_json(said)
    grid = Table(show_header=False, box=None)
    for name, value in said.items():
        if name != "object":
            lines = [" ".join(map(str, one.values())) for one in value] if isinstance(value, list) else [str(value)]
            grid.add_row(name, Text("\n".join(lines)))
    return plain_console().print(grid)


def table(rows: Iterable[dict[str, Any]], as_json: bool, columns: Iterable[str], cells: Any) -> None:
    """Many things, as JSON or a line for each."""
    rows = list(rows)
    if as_json:
        return print_json({"data": rows})
    first, *others = columns
    lines = Table(Column(first, no_wrap=True), *others, box=None)
    for row in rows:
        lines.add_row(*(Text(cell) for cell in cells(row)))
    return plain_console().print(lines)
