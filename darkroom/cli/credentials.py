"""`darkroom credentials`: signed data that say where a picture comes from."""

from __future__ import annotations

from pathlib import Path

import click

from darkroom.cli.options import PATH, as_json, errors_are_sentences, with_client
from darkroom.cli.progress import print_json
from darkroom.client import Client
from darkroom.errors import DarkroomError
from darkroom.models import CredentialsCheck


@click.group("credentials")
def app() -> None:
    """Content credentials (C2PA): check a picture's, prepare to sign with your own."""


@app.command("check")
@click.argument("file", type=PATH)
@as_json
@with_client
def check(client: Client, file: Path, as_json: bool) -> None:
    """Show the credentials of the picture FILE, and whether they are valid.

    The exit status is 1 if they are not valid, otherwise 0, also if there are none."""
    report = client.check_credentials(file)
    if as_json:
        print_json(report.json)
    else:
        for line in lines(report):
            click.echo(line)
    if report.present and not report.valid:
        raise click.exceptions.Exit(1)


def lines(report: CredentialsCheck) -> list[str]:
    """A report in words: the verdict, what is wrong, and the picture's history from the newest account back."""
    told = [report.sentence]
    told += [f"  wrong: {problem['text']} ({problem['code']})" for problem in report.problems]
    for manifest in report.manifests:
        actions = ", ".join(action["action"] + (" by AI" if action["by_ai"] else "") for action in manifest["actions"])
        told.append(f"  {manifest['issuer']}, with {manifest['generator']}: {actions}")
        told += [f"    {name}: {text}" for name, text in manifest["details"].items()]
    if report.made_here:
        told.append(f"  made here{': job ' + report.job if report.job else ''}")
    return told


@app.command("init")
@click.option("--data", type=PATH, default=Path(".darkroom"), show_default=True, help="Where it is kept.")
@click.option("--renew", is_flag=True, help="Make a fresh certificate, though there is one.")
@errors_are_sentences
def init(data: Path, renew: bool) -> None:
    """Make a certificate authority and a signing certificate, unless they exist. Print their settings.

    `darkroom up` does so by itself. Keep ca.key to yourself, and give ca.pem to whoever is to trust your pictures."""
    try:
        from darkroom.local.authority import Authority
    except ImportError as error:
        raise DarkroomError("This needs the package cryptography: pip install cryptography") from error
    authority = Authority(data / "credentials")
    if renew:
        authority.renew()
    else:
        authority.prepare()
    for name, value in authority.settings.items():
        click.echo(f"{name}={value}")
