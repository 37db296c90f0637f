"""`darkroom webhooks`: who is told of jobs, and how that went."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table

from darkroom.cli.options import AsJson, Data, Url, errors_are_sentences
from darkroom.cli.progress import plain_console, print_json
from darkroom.client import Client
from darkroom.models import Delivery

app = typer.Typer(help="Register endpoints that are told of jobs, and look what they were told.", no_args_is_help=True)

HERE = Path(".darkroom")
Webhook = Annotated[str, typer.Argument(metavar="WEBHOOK", help="A webhook's id, or `default` for those of jobs.")]


@app.command("add")
@errors_are_sentences
def add(
    address: Annotated[str, typer.Argument(metavar="URL", help="An https address.", show_default=False)],
    event: Annotated[list[str] | None, typer.Option(help="job.completed if absent; can be repeated.")] = None,
    url: Url = None,
    data: Data = HERE,
    as_json: AsJson = False,
) -> None:
    """Register an address and print its id and secret."""
    with Client(url, data) as client:
        webhook = client.webhooks.create(address, event or ["job.completed"])
    if as_json:
        return print_json(webhook.json)
    return typer.echo(f"{webhook.id}  {webhook.secret}")


@app.command("list")
@errors_are_sentences
def list_webhooks(url: Url = None, data: Data = HERE, as_json: AsJson = False) -> None:
    """List the endpoints."""
    with Client(url, data) as client:
        webhooks = client.webhooks.list()
    if as_json:
        return print_json({"data": [webhook.json for webhook in webhooks]})
    table = Table(Column("webhook", no_wrap=True), "state", "events", "address", box=None)
    for one in webhooks:
        state = "enabled" if one.enabled else f"disabled: {one.disabled_because}"
        table.add_row(one.id, state, " ".join(one.events), one.url or "those that jobs name")
    return plain_console().print(table)


@app.command("remove")
@errors_are_sentences
def remove(webhook: Webhook, url: Url = None, data: Data = HERE) -> None:
    """Forget an endpoint."""
    with Client(url, data) as client:
        client.webhooks.delete(webhook)


@app.command("secret")
@errors_are_sentences
def secret(
    webhook: Webhook = "default",
    rotate: Annotated[bool, typer.Option("--rotate", help="Make a new one; the old one holds for a day.")] = False,
    url: Url = None,
    data: Data = HERE,
) -> None:
    """Print what messages are signed with."""
    with Client(url, data) as client:
        typer.echo(client.webhooks.rotate(webhook) if rotate else client.webhooks.secret(webhook))


@app.command("test")
@errors_are_sentences
def send_test(webhook: Webhook, url: Url = None, data: Data = HERE, as_json: AsJson = False) -> None:
    """Send a test message; `deliveries` then tells what became of it."""
    with Client(url, data) as client:
        show([client.webhooks.test(webhook)], as_json)


@app.command("deliveries")
@errors_are_sentences
def deliveries(
    webhook: Webhook = "default",
    limit: Annotated[int, typer.Option(help="How many at most.", min=1, max=100)] = 20,
    url: Url = None,
    data: Data = HERE,
    as_json: AsJson = False,
) -> None:
    """Show what an endpoint was told lately, and what it answered."""
    with Client(url, data) as client:
        show(client.webhooks.deliveries(webhook, limit), as_json)


@app.command("redeliver")
@errors_are_sentences
def redeliver(
    webhook: Webhook,
    delivery: Annotated[str, typer.Argument(metavar="DELIVERY", help="A delivery's id.", show_default=False)],
    url: Url = None,
    data: Data = HERE,
    as_json: AsJson = False,
) -> None:
    """Send a message again, under its old id."""
    with Client(url, data) as client:
        show([client.webhooks.redeliver(webhook, delivery)], as_json)


def show(found: Sequence[Delivery], as_json: bool) -> None:
    """Deliveries on stdout."""
    if as_json:
        return print_json({"data": [delivery.json for delivery in found]})
    table = Table(Column("delivery", no_wrap=True), "type", "status", "attempts", "last answer", box=None)
    for one in found:
        last = one.attempts[-1] if one.attempts else None
        answer = f"{last['status'] or 'none'} in {last['ms']} ms" if last else ""
        table.add_row(one.id, one.type, one.status, str(len(one.attempts)), answer)
    return plain_console().print(table)
