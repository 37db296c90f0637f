"""`darkroom keys`: API keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table
from rich.text import Text

from darkroom.cli.options import AsJson, Data, Scope, Url, errors_are_sentences
from darkroom.cli.progress import plain_console, print_json
from darkroom.client import Client

app = typer.Typer(help="Make, list and revoke API keys; needs an admin key.", no_args_is_help=True)


@app.command("create")
@errors_are_sentences
def create_key(
    name: Annotated[str, typer.Argument(help="For you, to tell keys apart.")] = "",
    tenant: Annotated[str, typer.Option(help="Whose jobs it sees.")] = "default",
    scope: Annotated[list[Scope] | None, typer.Option(help="What it is good for; submit and read if absent.")] = None,
    url: Url = None,
    data: Data = Path(".darkroom"),
    as_json: AsJson = False,
) -> None:
    """Make a key and print it: this is the only time that it is shown."""
    with Client(url, data) as client:
        key = client.keys.create(tenant, scope or [Scope.SUBMIT, Scope.READ], name)
    if as_json:
        return print_json(key.json)
    return typer.echo(key.key)


@app.command("list")
@errors_are_sentences
def list_keys(url: Url = None, data: Data = Path(".darkroom"), as_json: AsJson = False) -> None:
    """List the keys, without their secrets."""
    with Client(url, data) as client:
        keys = client.keys.list()
    if as_json:
        return print_json({"data": [key.json for key in keys]})
    table = Table(Column("key", no_wrap=True), "tenant", "scopes", "made", "name", box=None)
    for key in keys:
        table.add_row(key.id, key.tenant, " ".join(key.scopes), key.created_at, Text(key.name))
    return plain_console().print(table)


@app.command("revoke")
@errors_are_sentences
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="A key's id: the part between its two underscores.")],
    url: Url = None,
    data: Data = Path(".darkroom"),
) -> None:
    """End a key, and its sessions with it, at once."""
    with Client(url, data) as client:
        client.keys.revoke(key_id)
