"""`darkroom keys`: API keys."""

from __future__ import annotations

import click
from rich.table import Column, Table
from rich.text import Text

from darkroom.cli.options import as_json, with_client
from darkroom.cli.progress import plain_console, print_json
from darkroom.client import Client

SCOPES = ("submit", "read", "admin")


@click.group("keys")
def app() -> None:
    """Make, list and revoke API keys. Needs an admin key."""


@app.command("create")
@click.argument("name", default="")
@click.option("--tenant", default="default", show_default=True, help="Whose jobs it sees.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    default=("submit", "read"),
    show_default=True,
    help="What it is good for; can be repeated.",
)
@as_json
@with_client
def create_key(client: Client, name: str, tenant: str, scopes: tuple[str, ...], as_json: bool) -> None:
    """Make a key and print it. It is not shown again. NAME helps you to tell keys apart."""
    key = client.keys.create(tenant, scopes, name)
    if as_json:
        return print_json(key.json)
    return click.echo(key.key)


@app.command("list")
@as_json
@with_client
def list_keys(client: Client, as_json: bool) -> None:
    """List the keys, without their secrets."""
    keys = client.keys.list()
    if as_json:
        return print_json({"data": [key.json for key in keys]})
    table = Table(Column("key", no_wrap=True), "tenant", "scopes", "made", "name", box=None)
    for key in keys:
        table.add_row(key.id, key.tenant, " ".join(key.scopes), key.created_at, Text(key.name))
    return plain_console().print(table)


@app.command("revoke")
@click.argument("key_id", metavar="KEY")
@with_client
def revoke_key(client: Client, key_id: str) -> None:
    """Revoke a key and its sessions at once. KEY is its id, the part between the two underscores."""
    client.keys.revoke(key_id)
