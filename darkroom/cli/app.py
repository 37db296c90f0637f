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
from typing import Annotated, Any

import typer
from rich.table import Column, Table
from rich.text import Text

import darkroom
from darkroom.cli.admin import app as admin_app
from darkroom.cli.keys import app as keys_app
from darkroom.cli.options import (
    AsFormat,
    AsJson,
    AtPriority,
    CfgScale,
    Data,
    Format,
    ImageCfgScale,
    Instruction,
    JobId,
    Model,
    NegativePrompt,
    Output,
    Photo,
    Sampler,
    Seed,
    Size,
    Steps,
    Temperature,
    Url,
    errors_are_sentences,
)
from darkroom.cli.progress import JobProgress, describe, plain_console, print_json
from darkroom.cli.webhooks import app as webhooks_app
from darkroom.client import Client, Job
from darkroom.errors import DarkroomError
from darkroom.local.sample import save

app = typer.Typer(
    help="Edit photos by instruction.",
    epilog="Exit status: 0 done, 1 an error here, 2 wrong usage, 3 refused, 4 not found, 5 no service, 6 not allowed, "
    "7 busy, 8 job failed, 9 job canceled, 10 still running, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(keys_app, name="keys")
app.add_typer(webhooks_app, name="webhooks")
app.add_typer(admin_app, name="admin")


def main() -> None:
    """The console script."""
    speak_utf8()
    app()


def speak_utf8() -> None:
    """Where the locale has no letters but ASCII's, start again in Python's UTF-8 mode: instructions have others."""
    if sys.getfilesystemencoding() == "ascii":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606


@app.command()
@errors_are_sentences
def edit(
    photo: Photo,
    instruction: Instruction,
    output: Output = None,
    model: Model = None,
    steps: Steps = None,
    temperature: Temperature = None,
    cfg_scale: CfgScale = None,
    image_cfg_scale: ImageCfgScale = None,
    negative_prompt: NegativePrompt = None,
    seed: Seed = None,
    size: Size = None,
    sampler: Sampler = None,
    format: AsFormat = None,  # noqa: A002 - the parameter's name
    priority: AtPriority = None,
    url: Url = None,
    data: Data = Path(".darkroom"),
    as_json: AsJson = False,
) -> None:
    """Edit a photo: send it, show how it goes, save the edited picture. Ctrl-C asks whether to cancel it."""
    params = parameters(locals())
    if output:
        check_place(output)
        params["format"] = format or format_of(output)
    with Client(url, data) as client:
        job = client.jobs.create(photo, instruction, **params)
        with interruptible(job), JobProgress(plain_console(stderr=True)) as show:
            job.wait(on_change=show)
        path = write(job.result(), output) if output else save(job, Path("edited"))
    show_job(job, as_json, text=f"Saved {path}", saved=str(path))


@app.command()
@errors_are_sentences
def submit(
    photo: Photo,
    instruction: Instruction,
    model: Model = None,
    steps: Steps = None,
    temperature: Temperature = None,
    cfg_scale: CfgScale = None,
    image_cfg_scale: ImageCfgScale = None,
    negative_prompt: NegativePrompt = None,
    seed: Seed = None,
    size: Size = None,
    sampler: Sampler = None,
    format: AsFormat = None,  # noqa: A002 - the parameter's name
    priority: AtPriority = None,
    url: Url = None,
    data: Data = Path(".darkroom"),
    as_json: AsJson = False,
) -> None:
    """Send a photo and print the job's id at once."""
    params = parameters(locals())
    with Client(url, data) as client:
        job = client.jobs.create(photo, instruction, **params)
    show_job(job, as_json, text=job.id)


@app.command()
@errors_are_sentences
def status(job_id: JobId, url: Url = None, data: Data = Path(".darkroom"), as_json: AsJson = False) -> None:
    """Say where a job stands."""
    with Client(url, data) as client:
        show_job(client.jobs.get(job_id), as_json)


@app.command()
@errors_are_sentences
def wait(
    job_id: JobId,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Save the edited picture here.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds to wait at most.", min=0)] = None,
    url: Url = None,
    data: Data = Path(".darkroom"),
    as_json: AsJson = False,
) -> None:
    """Follow a job to its end. Ctrl-C only stops following."""
    with Client(url, data) as client:
        job = client.jobs.get(job_id)
        with JobProgress(plain_console(stderr=True)) as show:
            job.wait(on_change=show, timeout=timeout)
        if output and job.status == "succeeded":
            write(job.result(), output)
    show_job(job, as_json)
    job.check()


@app.command()
@errors_are_sentences
def watch(job_id: JobId, url: Url = None, data: Data = Path(".darkroom"), as_json: AsJson = False) -> None:
    """See a job's picture emerge in the terminal; elsewhere a line for each event, with --json as JSON."""
    from darkroom.cli.viewer import JobViewer

    with Client(url, data) as client:
        job = client.jobs.get(job_id)
        if as_json:
            for event in job.events():
                print_json({"id": event.id, "type": event.type, **event.data})
        else:
            JobViewer(plain_console()).follow(job)
        job.refresh()
        job.check()


@app.command()
@errors_are_sentences
def download(
    job_id: JobId,
    output: Output = None,
    url: Url = None,
    data: Data = Path(".darkroom"),
    as_json: AsJson = False,
) -> None:
    """Save a job's edited picture, waiting for it where need be."""
    if output:
        check_place(output)
    with Client(url, data) as client:
        job = client.jobs.get(job_id)
        path = write(job.result(), output) if output else save(job, Path("edited"))
    show_job(job, as_json, text=f"Saved {path}", saved=str(path))


@app.command()
@errors_are_sentences
def retry(job_id: JobId, url: Url = None, data: Data = Path(".darkroom"), as_json: AsJson = False) -> None:
    """Send a failed or canceled job once more, and print the new job's id."""
    with Client(url, data) as client:
        job = client.jobs.retry(job_id)
    show_job(job, as_json, text=job.id)


@app.command()
@errors_are_sentences
def delete(job_id: JobId, url: Url = None, data: Data = Path(".darkroom")) -> None:
    """Remove an ended job and its pictures."""
    with Client(url, data) as client:
        client.jobs.delete(job_id)


@app.command()
@errors_are_sentences
def cancel(job_id: JobId, url: Url = None, data: Data = Path(".darkroom"), as_json: AsJson = False) -> None:
    """Ask a job to stop: a waiting one at once, a running one at its next step."""
    with Client(url, data) as client:
        show_job(client.jobs.cancel(job_id), as_json)


@app.command("list")
@errors_are_sentences
def list_jobs(
    status: Annotated[str | None, typer.Option(help="Only jobs in this state.")] = None,
    limit: Annotated[int | None, typer.Option(help="How many at most.")] = None,
    after: Annotated[str | None, typer.Option(help="Go on from here: `next` of the page before.")] = None,
    url: Url = None,
    data: Data = Path(".darkroom"),
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first."""
    with Client(url, data) as client:
        page = client.jobs.list(status, limit, after)
    if as_json:
        return print_json(page.json)
    table = Table(Column("job", no_wrap=True, min_width=26), "status", "model", "instruction", box=None)
    for job in page.data:
        table.add_row(job.id, describe(job), job.model, str(job.params.get("prompt", "")))
    plain_console().print(table)
    if page.has_more:
        typer.echo(f"More: darkroom list --after {page.next}", err=True)
    return None


@app.command()
@errors_are_sentences
def models(url: Url = None, data: Data = Path(".darkroom"), as_json: AsJson = False) -> None:
    """Show the models, and each parameter with its range and default."""
    with Client(url, data) as client:
        answer = client.models()
    if as_json:
        return print_json(answer)
    console = plain_console()
    for model in answer["data"]:
        console.print(Text(model["id"], "bold"), "(default)" if model.get("default") else "", model["summary"])
        table = Table("  parameter", "range", "default", box=None)
        for parameter in model["parameters"]:
            default = "" if parameter["default"] is None else str(parameter["default"])
            table.add_row(f"  {parameter['name']}", range_of(parameter), default)
        console.print(table)
    return None


@app.command()
@errors_are_sentences
def doctor(url: Url = None, data: Data = Path(".darkroom"), as_json: AsJson = False) -> None:
    """Look whether everything is as it should be, and say what to do where it is not; exit status 1 if so."""
    from darkroom.cli.doctor import examine

    with Client(url, data) as client:
        findings = list(examine(client, data))
    if as_json:
        print_json({"findings": [vars(finding) for finding in findings]})
    else:
        console = plain_console()
        for finding in findings:
            console.print(Text(f"{finding.state:4}", finding.colour), f"{finding.subject}: {finding.text}")
    if any(finding.state == "fail" for finding in findings):
        raise typer.Exit(1)


@app.command()
@errors_are_sentences
def up(
    data: Annotated[Path, typer.Option(help="Where everything is kept between runs.")] = Path(".darkroom"),
    port: Annotated[int | None, typer.Option(help="8000 if it is free, else any.", min=1, max=65535)] = None,
    once: Annotated[bool, typer.Option("--once", help="End after the sample edit.")] = False,
    no_sample: Annotated[bool, typer.Option("--no-sample", help="Send no sample edit.")] = False,
    auth: Annotated[bool, typer.Option("--auth", help="Ask for keys; the first is in the data folder.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start a whole Darkroom on this machine and serve until Ctrl-C.

    REDIS_URL, S3_ENDPOINT_URL (with S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY, S3_BUCKET) and CHECKPOINT replace the parts
    that it would bring along."""
    from darkroom.local import stack
    from darkroom.local.data_folder import DataFolderError
    from darkroom.local.process import ProcessError

    try:
        raise typer.Exit(stack.up(data, port=port, sample=not no_sample, once=once, auth=auth, as_json=as_json))
    except (DataFolderError, ProcessError) as error:
        raise DarkroomError(str(error)) from error


@app.command("rebuild-from-bucket")
@errors_are_sentences
def rebuild(data: Data = Path(".darkroom")) -> None:
    """After Redis has lost its data: queue every unfinished job again, and bring API keys and webhooks back.

    Reads the picture store, where each job is written down before it is accepted. Run it where the settings of the
    service are in the environment, or beside a running `darkroom up`; it is safe to repeat."""
    from darkroom.local import stack
    from darkroom.local.process import ProcessError

    try:
        raise typer.Exit(stack.rebuild_from_bucket(data))
    except ProcessError as error:
        raise DarkroomError(str(error)) from error


@app.command()
def version(as_json: AsJson = False) -> None:
    """Print the version."""
    if as_json:
        return print_json({"version": darkroom.__version__})
    return typer.echo(f"darkroom {darkroom.__version__}")


NOT_PARAMETERS = ("photo", "instruction", "output", "url", "data", "as_json")


def parameters(options: dict[str, Any]) -> dict[str, Any]:
    """Of a command's options, those that are parameters of the edit."""
    return {name: value for name, value in options.items() if name not in NOT_PARAMETERS}


ENDINGS = {".png": Format.PNG, ".jpg": Format.JPEG, ".jpeg": Format.JPEG, ".webp": Format.WEBP}


def format_of(output: Path) -> Format:
    """The format that a file's ending names."""
    try:
        return ENDINGS[output.suffix.lower()]
    except KeyError:
        raise DarkroomError(f"Cannot tell the format of {output}: end it with {', '.join(ENDINGS)}.") from None


def check_place(output: Path) -> None:
    """Refuse, before the work is done, a place where nothing can be saved."""
    if not output.parent.is_dir():
        raise DarkroomError(f"Cannot write {output}: there is no folder {output.parent}.")


def range_of(parameter: dict[str, Any]) -> str:
    """What a parameter may be, in a few words."""
    if parameter.get("choices"):
        return ", ".join(map(str, parameter["choices"]))
    low, high = parameter.get("minimum"), parameter.get("maximum")
    if low is None or high is None:
        return str(parameter["kind"])
    return f"{low} to {high}" + (" characters" if parameter["kind"] == "text" else "")


@contextmanager
def interruptible(job: Job) -> Iterator[None]:
    """Ctrl-C in the block: on a terminal ask whether to leave the job running or to cancel it, else cancel it."""
    try:
        yield
    except KeyboardInterrupt:
        if leaves(job):
            typer.echo(f"darkroom: Job {job.id} goes on; `darkroom wait {job.id}` follows it.", err=True)
        else:
            job.cancel()
            typer.echo(f"darkroom: Asked job {job.id} to stop.", err=True)
        raise typer.Exit(130) from None


def leaves(job: Job) -> bool:
    """Whether whoever pressed Ctrl-C wants the job to go on; pressed again it means no."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    try:
        answer = typer.prompt(f"Job {job.id}: leave it running, or cancel it? [l/c]", default="c", err=True)
    except (KeyboardInterrupt, typer.Abort):
        return False
    return str(answer).strip().lower().startswith("l")


def write(picture: bytes, path: Path) -> Path:
    """Save the edited picture."""
    try:
        path.write_bytes(picture)
    except OSError as error:
        raise DarkroomError(f"Cannot write {path}: {error.strerror}.") from error
    return path


def show_job(job: Job, as_json: bool, text: str | None = None, **extra: str) -> None:
    """A job on stdout, as JSON or in words."""
    if as_json:
        print_json({**job.json, **extra})
    else:
        typer.echo(text or f"{job.id}  {describe(job)}  {job.error or job.status_text}")
