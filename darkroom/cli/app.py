"""What people type: `darkroom edit photo.jpg "make it snowy" -o snowy.png`.

Exit statuses: 0 done, 1 something here went wrong, 2 wrong usage, 3 refused (a field and its limit are named), 4 no
such thing, 5 no service answers, 6 the key is missing or not good for this, 7 busy for now, 8 the job failed, 9 it was
canceled, 10 it is still running, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.table import Column, Table
from rich.text import Text

import darkroom
from darkroom.cli import options
from darkroom.cli.admin import app as admin_app
from darkroom.cli.batch import batch
from darkroom.cli.credentials import app as credentials_app
from darkroom.cli.keys import app as keys_app
from darkroom.cli.options import INTERRUPTED, PATH, as_json, edit_arguments, errors_are_sentences, job_id, with_client
from darkroom.cli.pictures import check_place, ending_of, format_of, save
from darkroom.cli.progress import JobProgress, describe, plain_console, print_json
from darkroom.cli.webhooks import app as webhooks_app
from darkroom.client import Client, Job
from darkroom.errors import DarkroomError
from darkroom.models import Model, Parameter

EPILOG = (
    "Exit status: 0 done, 1 an error here, 2 wrong usage, 3 refused, 4 not found, 5 no service, 6 not allowed, "
    "7 busy, 8 job failed, 9 job canceled, 10 still running, 130 interrupted. "
    'Completion in bash: eval "$(_DARKROOM_COMPLETE=bash_source darkroom)"; zsh_source and fish_source likewise.'
)


@click.group("darkroom", epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(darkroom.__version__, message="darkroom %(version)s")
def app() -> None:
    """Edit photos by instruction."""


app.add_command(batch)
app.add_command(credentials_app)
app.add_command(keys_app)
app.add_command(webhooks_app)
app.add_command(admin_app)


def main() -> None:
    """The console script."""
    speak_utf8()
    write_any_letters()
    app(prog_name="darkroom")


def speak_utf8() -> None:
    """Where the locale has no letters but ASCII's, start again in Python's UTF-8 mode: instructions have others."""
    if sys.getfilesystemencoding() == "ascii":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606


def write_any_letters() -> None:
    """Letters that the terminal has not are written as their numbers; what goes nowhere is not written."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until the end
        else:
            stream.reconfigure(errors="backslashreplace")


@app.command()
@edit_arguments
@options.output
@as_json
@with_client
def edit(client: Client, photo: Path, instruction: str, output: Path | None, as_json: bool, **parameters: Any) -> None:
    """Edit a PHOTO as the INSTRUCTION says: send it, show how it goes, save the edited picture.

    PHOTO is a JPEG, PNG, WebP, HEIC, AVIF, GIF, TIFF or BMP file. Ctrl-C asks whether to cancel the job."""
    if output:
        check_place(output)
        parameters["format"] = parameters["format"] or format_of(output)
    job = client.jobs.create(photo, instruction, **parameters)
    with interruptible(job), JobProgress(plain_console(stderr=True)) as show:
        job.wait(on_change=show)
    save_and_show(job, output, as_json)


@app.command()
@edit_arguments
@as_json
@with_client
def submit(client: Client, photo: Path, instruction: str, as_json: bool, **parameters: Any) -> None:
    """Send a PHOTO and print the job's id at once."""
    job = client.jobs.create(photo, instruction, **parameters)
    show_job(job, as_json, text=job.id)


@app.command()
@job_id
@as_json
@with_client
def status(client: Client, job_id: str, as_json: bool) -> None:
    """Say where a job stands."""
    show_job(client.jobs.get(job_id), as_json)


@app.command()
@job_id
@click.option("--output", "-o", type=PATH, help="Save the edited picture here.")
@click.option("--timeout", type=click.FloatRange(0), help="Seconds to wait at most.")
@as_json
@with_client
def wait(client: Client, job_id: str, output: Path | None, timeout: float | None, as_json: bool) -> None:
    """Follow a job to its end. Ctrl-C only stops following."""
    job = client.jobs.get(job_id)
    with JobProgress(plain_console(stderr=True)) as show:
        job.wait(on_change=show, timeout=timeout)
    if output and job.status == "succeeded":
        save(job, output)
    show_job(job, as_json)
    job.check()


@app.command()
@job_id
@as_json
@with_client
def watch(client: Client, job_id: str, as_json: bool) -> None:
    """See a job's picture emerge in the terminal; elsewhere a line for each event, with --json as JSON."""
    from darkroom.cli.viewer import JobViewer

    job = client.jobs.get(job_id)
    if as_json:
        for event in job.events():
            print_json({"id": event.id, "type": event.type, **event.data})
    else:
        JobViewer(plain_console()).follow(job)
    job.refresh()
    job.check()


@app.command()
@job_id
@options.output
@as_json
@with_client
def download(client: Client, job_id: str, output: Path | None, as_json: bool) -> None:
    """Save a job's edited picture, waiting for it where need be."""
    if output:
        check_place(output)
    save_and_show(client.jobs.get(job_id), output, as_json)


@app.command()
@job_id
@click.option("--strength", type=float, required=True, help="0 is the photo, 1 the edit.")
@click.option("--output", "-o", type=PATH, help="Where to save; rendered.png here if absent.")
@as_json
@with_client
def render(client: Client, job_id: str, strength: float, output: Path | None, as_json: bool) -> None:
    """Save a finished job's picture in another strength. The model does not run again."""
    if output:
        check_place(output)
    job = client.jobs.get(job_id)
    path = output or Path("rendered").with_suffix(ending_of(job.content_type))
    made = job.render(strength, path=path, format=format_of(output) if output else None)
    if as_json:
        return print_json({**made.json, "saved": str(path)})
    return click.echo(f"Saved {path}")


@app.command()
@job_id
@as_json
@with_client
def retry(client: Client, job_id: str, as_json: bool) -> None:
    """Send a failed or canceled job once more, and print the new job's id."""
    job = client.jobs.retry(job_id)
    show_job(job, as_json, text=job.id)


@app.command()
@job_id
@with_client
def delete(client: Client, job_id: str) -> None:
    """Remove an ended job and its pictures."""
    client.jobs.delete(job_id)


@app.command()
@job_id
@as_json
@with_client
def cancel(client: Client, job_id: str, as_json: bool) -> None:
    """Ask a job to stop: a waiting one at once, a running one at its next step."""
    show_job(client.jobs.cancel(job_id), as_json)


@app.command("list")
@click.option("--status", help="Only jobs in this state.")
@click.option("--limit", type=int, help="How many at most.")
@click.option("--after", help="Go on from here: `next` of the page before.")
@as_json
@with_client
def list_jobs(client: Client, status: str | None, limit: int | None, after: str | None, as_json: bool) -> None:
    """List jobs, newest first."""
    page = client.jobs.list(status, limit, after)
    if as_json:
        return print_json(page.json)
    table = Table(Column("job", no_wrap=True, min_width=26), "status", "model", "instruction", box=None)
    for job in page:
        table.add_row(job.id, describe(job), job.model, str(job.params.get("prompt", "")))
    plain_console().print(table)
    if page.has_more:
        click.echo(f"More: darkroom list --after {page.next}", err=True)
    return None


@app.command("models")
@as_json
@with_client
def list_models(client: Client, as_json: bool) -> None:
    """Show the models, and each parameter with its range and default."""
    models = client.models()
    if as_json:
        return print_json(models.json)
    console = plain_console()
    for model in models:
        console.print(Text(model.id, "bold"), "(default)" if model.default else "", model.summary, served(model))
        table = Table("  parameter", "range", "default", box=None)
        for one in model.parameters:
            table.add_row(f"  {one.name}", range_of(one), "" if one.default is None else str(one.default))
        console.print(table)
    return None


def served(model: Model) -> str:
    """By how many workers a model is served; nothing of a service that does not tell."""
    if model.workers is None:
        return ""
    return f"({model.workers} worker{'' if model.workers == 1 else 's'})" if model.workers else "(no worker now)"


@app.command()
@options.url
@options.data
@as_json
@errors_are_sentences
def doctor(url: str | None, data: Path, as_json: bool) -> None:
    """Look whether everything is as it should be, and say what to do where it is not; exit status 1 if so."""
    from darkroom.cli.doctor import examine

    with Client(url, data) as client:
        findings = list(examine(client, data))
    if as_json:
        print_json({"findings": [vars(finding) for finding in findings]})
    else:
        console = plain_console()
        for finding in findings:
            console.print(Text(f"{finding.state:4}", finding.color), f"{finding.subject}: {finding.text}")
    if any(finding.state == "fail" for finding in findings):
        sys.exit(1)


@app.command()
@click.option(
    "--data", type=PATH, default=".darkroom", show_default=True, help="Where everything is kept between runs."
)
@click.option("--port", type=click.IntRange(1, 65535), help="8000 if it is free, else any.")
@click.option("--once", is_flag=True, help="End after the sample edit.")
@click.option("--no-sample", is_flag=True, help="Send no sample edit.")
@click.option("--auth", is_flag=True, help="Ask for keys; the first is in the data folder.")
@as_json
@errors_are_sentences
def up(data: Path, port: int | None, once: bool, no_sample: bool, auth: bool, as_json: bool) -> None:
    """Start a whole Darkroom on this machine and serve until Ctrl-C.

    REDIS_URL, S3_ENDPOINT_URL (with S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY, S3_BUCKET) and CHECKPOINT replace the parts
    that it would bring along."""
    need_the_service()
    from darkroom.local import stack
    from darkroom.local.data_folder import DataFolderError
    from darkroom.local.process import ProcessError

    try:
        sys.exit(stack.up(data, port=port, sample=not no_sample, once=once, auth=auth, as_json=as_json))
    except (DataFolderError, ProcessError) as error:
        raise DarkroomError(str(error)) from error


@app.command("rebuild-from-bucket")
@options.data
@errors_are_sentences
def rebuild(data: Path) -> None:
    """After Redis has lost its data: queue every unfinished job again, and bring API keys and webhooks back.

    Reads the picture store, where each job is written down before it is accepted. Run it where the settings of the
    service are in the environment, or beside a running `darkroom up`; it is safe to repeat."""
    need_the_service()
    from darkroom.local import stack
    from darkroom.local.process import ProcessError

    try:
        sys.exit(stack.rebuild_from_bucket(data))
    except ProcessError as error:
        raise DarkroomError(str(error)) from error


@app.command()
@as_json
def version(as_json: bool) -> None:
    """Print the version."""
    if as_json:
        return print_json({"version": darkroom.__version__})
    return click.echo(f"darkroom {darkroom.__version__}")


def need_the_service() -> None:
    """Refuse where only the client is installed: the service is not in the wheel."""
    if not (Path(darkroom.__file__).parents[1] / "worker" / "app.py").exists():
        raise DarkroomError(
            "Only the client is installed here: to run the service, type `./dev run` in a clone of the repository, "
            "or use its docker-compose.yml."
        )


def range_of(parameter: Parameter) -> str:
    """What a parameter may be, in a few words."""
    if parameter.choices:
        return ", ".join(map(str, parameter.choices))
    if parameter.minimum is None or parameter.maximum is None:
        return parameter.kind
    return f"{parameter.minimum} to {parameter.maximum}" + (" characters" if parameter.kind == "text" else "")


@contextmanager
def interruptible(job: Job) -> Iterator[None]:
    """Ctrl-C in the block: on a terminal ask whether to leave the job running or to cancel it, else cancel it."""
    try:
        yield
    except KeyboardInterrupt:
        if leaves(job):
            click.echo(f"darkroom: Job {job.id} goes on; `darkroom wait {job.id}` follows it.", err=True)
        else:
            job.cancel()
            click.echo(f"darkroom: Asked job {job.id} to stop.", err=True)
        sys.exit(INTERRUPTED)


def leaves(job: Job) -> bool:
    """Whether whoever pressed Ctrl-C wants the job to go on; pressed again it means no."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    try:
        answer = click.prompt(f"Job {job.id}: leave it running, or cancel it? [l/c]", default="c", err=True)
    except (KeyboardInterrupt, click.Abort):
        return False
    return str(answer).strip().lower().startswith("l")


def save_and_show(job: Job, output: Path | None, as_json: bool) -> None:
    """Save a job's pictures, and say where."""
    job.wait()
    names = [str(path) for path in save(job, output)]
    show_job(job, as_json, text="\n".join(f"Saved {name}" for name in names), saved=names[0], all_saved=names)


def show_job(job: Job, as_json: bool, text: str | None = None, **extra: str | list[str]) -> None:
    """A job on stdout, as JSON or in words; its warnings on stderr."""
    if as_json:
        print_json({**job.json, **extra})
        return
    click.echo(text or f"{job.id}  {describe(job)}  {job.error or job.status_text}")
    for warning in job.warnings:
        click.echo(f"darkroom: Warning: {warning.detail}", err=True)
