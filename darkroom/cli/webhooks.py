"""`darkroom webhooks`: who is told of jobs, and how that went."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.table import Column, Table

from darkroom.cli.options import as_json, with_client
from darkroom.cli.progress import plain_console, print_json
from darkroom.client import Client
from darkroom.models import Delivery

webhook_id = click.argument("webhook", metavar="WEBHOOK")
webhook_or_default = click.argument("webhook", metavar="[WEBHOOK]", default="default")


@click.group("webhooks")
def app() -> None:
    """Register endpoints that are told of jobs, and look what they were told.

    A WEBHOOK is named by its id; `default` stands for the addresses that jobs name."""


@app.command("add")
@click.argument("address", metavar="URL")
@click.option(
    "--event",
    "events",
    multiple=True,
    default=("job.completed",),
    show_default=True,
    help="What it is told of; can be repeated.",
)
@as_json
@with_client
def add(client: Client, address: str, events: tuple[str, ...], as_json: bool) -> None:
    """Register an https address and print its id and secret."""
    webhook = client.webhooks.create(address, events)
    if as_json:
        return print_json(webhook.json)
    return click.echo(f"{webhook.id}  {webhook.secret}")


@app.command("list")
@as_json
@with_client
def list_webhooks(client: Client, as_json: bool) -> None:
    """List the endpoints."""
    webhooks = client.webhooks.list()
    if as_json:
        return print_json({"data": [webhook.json for webhook in webhooks]})
    table = Table(Column("webhook", no_wrap=True), "state", "events", "address", box=None)
    for one in webhooks:
        state = "enabled" if one.enabled else f"disabled: {one.disabled_because}"
        table.add_row(one.id, state, " ".join(one.events), one.url or "those that jobs name")
    return plain_console().print(table)


@app.command("remove")
@webhook_id
@with_client
def remove(client: Client, webhook: str) -> None:
    """Forget an endpoint."""
    client.webhooks.delete(webhook)


@app.command("secret")
@webhook_or_default
@click.option("--rotate", is_flag=True, help="Make a new one; the old one holds for a day.")
@with_client
def secret(client: Client, webhook: str, rotate: bool) -> None:
    """Print what messages are signed with."""
    click.echo(client.webhooks.rotate(webhook) if rotate else client.webhooks.secret(webhook))


@app.command("test")
@webhook_id
@as_json
@with_client
def send_test(client: Client, webhook: str, as_json: bool) -> None:
    """Send a test message; `deliveries` then tells what became of it."""
    show([client.webhooks.test(webhook)], as_json)


@app.command("deliveries")
@webhook_or_default
@click.option(
    "--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="How many deliveries at most."
)
@as_json
@with_client
def deliveries(client: Client, webhook: str, limit: int, as_json: bool) -> None:
    """Show what an endpoint was told lately, and what it answered."""
    show(client.webhooks.deliveries(webhook, limit), as_json)


@app.command("redeliver")
@webhook_id
@click.argument("delivery", metavar="DELIVERY")
@as_json
@with_client
def redeliver(client: Client, webhook: str, delivery: str, as_json: bool) -> None:
    """Send a message again, under its old id. DELIVERY is one that `deliveries` lists."""
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
