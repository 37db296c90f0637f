"""The command `darkroom`, for example `darkroom edit photo.jpg "make it snowy" -o snowy.png`.

Exit statuses: 0 done, 1 something here went wrong, 2 wrong usage, 3 refused (a field and its limit are named), 4 no
such thing, 5 no service answers, 6 the key is missing or not good for this, 7 busy for now, 8 the job failed, 9 it was
canceled, 10 it is still running, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
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
from darkroom.cli.edit import edit, save_and_show, submit
from darkroom.cli.keys import app as keys_app
from darkroom.cli.options import INTERRUPTED, PATH, as_json, errors_are_sentences, job_id, with_client
from darkroom.cli.pictures import check_place, file_name, format_of, is_stream, write, write_new
from darkroom.cli.progress import JobProgress, describe, plain_console, print_json, seconds, show_job
from darkroom.cli.webhooks import app as webhooks_app
from darkroom.client import Client, Job
from darkroom.errors import DarkroomError
from darkroom.models import Model, Parameter

EPILOG = (
    "Exit status: 0 done, 1 an error here, 2 wrong usage, 3 refused, 4 not found, 5 no service, 6 not allowed, "
    "7 busy, 8 job failed, 9 job canceled, 10 still running, 130 interrupted. "
    'Completion in bash: eval "$(_DARKROOM_COMPLETE=bash_source darkroom)"; zsh_source and fish_source likewise.'
)


class Commands(click.Group):
    """A group of commands. With --json it also reports wrong usage as JSON on stdout."""

    def main(self, args: Sequence[str] | None = None, *others: Any, **options: Any) -> Any:
        """Run a command; does not return."""
        words = sys.argv[1:] if args is None else list(args)
        if "--json" not in words:
            return super().main(words, *others, **options)
        try:
            status = super().main(words, *others, **{**options, "standalone_mode": False})
        except click.ClickException as error:
            print_json({"error": {"detail": error.format_message(), "exit_status": error.exit_code}})
            sys.exit(error.exit_code)
        except click.Abort:
            sys.exit(INTERRUPTED)
        sys.exit(status if isinstance(status, int) else 0)


@click.group("darkroom", cls=Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(darkroom.__version__, message="darkroom %(version)s")
def app() -> None:
    """Edit photos by instruction."""


app.add_command(edit)
app.add_command(submit)
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
    """Start again in Python's UTF-8 mode if the locale has only ASCII letters, because instructions have others."""
    if sys.getfilesystemencoding() == "ascii":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606


def write_any_letters() -> None:
    """Write letters that the terminal lacks as numbers. Write nothing if standard output is closed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until the end
        else:
            stream.reconfigure(errors="backslashreplace")


@app.command()
@job_id
@as_json
@with_client
def status(client: Client, job_id: str, as_json: bool) -> None:
    """Show a job's status."""
    show_job(client.jobs.get(job_id), as_json)


@app.command()
@job_id
@click.option("--output", "-o", type=PATH, help="Save the edited picture here.")
@options.force
@click.option("--timeout", type=click.FloatRange(0), help="Seconds to wait at most.")
@as_json
@with_client
def wait(client: Client, job_id: str, output: Path | None, force: bool, timeout: float | None, as_json: bool) -> None:
    """Follow a job to its end. Ctrl-C only stops following."""
    if output:
        check_place(output, force)
    job = client.jobs.get(job_id)
    with JobProgress(plain_console(stderr=True)) as show:
        job.wait(on_change=show, timeout=timeout)
    if output and job.status == "succeeded":
        save_and_show(job, output, force, as_json)
    elif as_json or job.status == "succeeded":
        show_job(job, as_json)
    if as_json:
        sys.exit(exit_status(job))
    job.check()


@app.command()
@job_id
@as_json
@with_client
def watch(client: Client, job_id: str, as_json: bool) -> None:
    """Show a job's previews in the terminal. Elsewhere print a line for each event, with --json as JSON."""
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
@options.force
@as_json
@with_client
def download(client: Client, job_id: str, output: Path | None, force: bool, as_json: bool) -> None:
    """Save a job's edited picture. Wait for it if the job is not over."""
    if output:
        check_place(output, force)
    save_and_show(client.jobs.get(job_id), output, force, as_json)


@app.command()
@job_id
@click.option("--strength", type=float, required=True, help="0 is the photo, 1 the edit.")
@options.output
@options.force
@as_json
@with_client
def render(client: Client, job_id: str, strength: float, output: Path | None, force: bool, as_json: bool) -> None:
    """Save a finished job's picture at another strength. The model does not run again."""
    named = output is not None and not (is_stream(output) or output.is_dir())
    if output:
        check_place(output, force)
    job = client.jobs.get(job_id)
    made = job.render(strength, format=format_of(output) if output and named else None)
    picture = job.rendered(made)
    if is_stream(output):
        sys.stdout.buffer.write(picture)
        return None
    if output and named:
        path = write(picture, output, force)
    else:
        own = Path(file_name(job))
        path = write_new(picture, (output or Path()) / own.with_stem(f"{own.stem}-{round(100 * strength)}-percent"))
    if as_json:
        return print_json({**made.json, "saved": str(path)})
    return click.echo(f"Saved {path}")


@app.command()
@job_id
@as_json
@with_client
def retry(client: Client, job_id: str, as_json: bool) -> None:
    """Run a failed or canceled job again as a new job, and print the new job's id."""
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
    """Ask a job to stop. A queued job stops at once, a running one at its next step."""
    show_job(client.jobs.cancel(job_id), as_json)


@app.command("list")
@click.option("--status", help="Only jobs in this state.")
@click.option("--search", metavar="WORDS", help="Only jobs with this in their instruction or photo's name.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many at most.")
@click.option("--after", help="Go on from here: `next` of the page before.")
@as_json
@with_client
def list_jobs(
    client: Client, status: str | None, search: str | None, limit: int, after: str | None, as_json: bool
) -> None:
    """List jobs, newest first, with time, duration and status."""
    if search:
        jobs: Sequence[Job] = list(islice((job for job in client.jobs.iterate(status) if says(job, search)), limit))
        answer = {"object": "list", "data": [job.json for job in jobs]}
        more = None
    else:
        page = client.jobs.list(status, limit, after)
        jobs, answer, more = page.data, page.json, page.next if page.has_more else None
    if as_json:
        return print_json(answer)
    console = plain_console()
    if not console.is_terminal:
        console.width = 1000  # whatever reads it takes whole lines
    words = Column("instruction", no_wrap=True, overflow="ellipsis")
    table = Table(Column("job", no_wrap=True, min_width=26), "sent", "took", "status", words, box=None)
    for job in jobs:
        took = seconds(job.timing.total_ms) if job.is_over else ""
        table.add_row(job.id, when(job.created_at), took, describe(job), str(job.params.get("prompt", "")))
    console.print(table)
    if more:
        click.echo(f"More: darkroom list --after {more}", err=True)
    return None


def says(job: Job, words: str) -> bool:
    """Whether a job's instruction, or the name of its photo, has these words."""
    texts = (job.params.get("prompt"), job.metadata.get("photo"))
    return any(words.casefold() in str(text).casefold() for text in texts)


def exit_status(job: Job) -> int:
    """The exit status that tells how a job has ended."""
    try:
        job.check()
    except DarkroomError as error:
        return error.exit_status
    return 0


def when(moment: str) -> str:
    """A time of today as hours and minutes in local time, another one with its date."""
    here = datetime.fromisoformat(moment).astimezone()
    today = datetime.now(UTC).astimezone().date()
    return f"{here:%H:%M:%S}" if here.date() == today else f"{here:%Y-%m-%d %H:%M}"


@app.command("models")
@as_json
@with_client
def list_models(client: Client, as_json: bool) -> None:
    """Show the models: each parameter with its range and default, and what the model can do, if it says so."""
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
        for kind, examples in (model.abilities or {}).items():
            console.print(f"  {kind}:", ", ".join(examples))
    return None


def served(model: Model) -> str:
    """How many workers serve a model. Empty if the service does not say."""
    if model.workers is None:
        return ""
    return f"({model.workers} worker{'' if model.workers == 1 else 's'})" if model.workers else "(no worker now)"


@app.command()
@options.url
@options.data
@as_json
@errors_are_sentences
def doctor(url: str | None, data: Path, as_json: bool) -> None:
    """Check the connection, the key and the parts of the service. Exit status 1 if there is a fault."""
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
@click.option("--gpus", metavar="N|all", help="Start a worker for each of so many GPUs.")
@as_json
@errors_are_sentences
def up(data: Path, port: int | None, once: bool, no_sample: bool, auth: bool, gpus: str | None, as_json: bool) -> None:
    """Start a whole Darkroom on this machine and serve until Ctrl-C.

    REDIS_URL, S3_ENDPOINT_URL (with S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY, S3_BUCKET) and CHECKPOINT replace the parts
    that it starts otherwise."""
    need_the_service()
    from darkroom.local import stack
    from darkroom.local.data_folder import DataFolderError
    from darkroom.local.process import ProcessError

    try:
        sys.exit(stack.up(data, port=port, sample=not no_sample, once=once, auth=auth, as_json=as_json, gpus=gpus))
    except (DataFolderError, ProcessError) as error:
        raise DarkroomError(str(error)) from error


@app.command("rebuild-from-bucket")
@options.data
@errors_are_sentences
def rebuild(data: Path) -> None:
    """Queue every unfinished job again after Redis has lost its data, and restore API keys and webhooks.

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
    """Refuse if only the client is installed, because the wheel does not hold the service."""
    if not (Path(darkroom.__file__).parents[1] / "worker" / "app.py").exists():
        raise DarkroomError(
            "Only the client is installed here: to run the service, type `./dev run` in a clone of the repository, "
            "or use its docker-compose.yml."
        )


def range_of(parameter: Parameter) -> str:
    """The values that a parameter may have, in a few words."""
    if parameter.choices:
        return ", ".join(map(str, parameter.choices))
    if parameter.minimum is None or parameter.maximum is None:
        return parameter.kind
    return f"{parameter.minimum} to {parameter.maximum}" + (" characters" if parameter.kind == "text" else "")
