"""What people type: `darkroom edit photo.jpg "make it snowy" -o snowy.png`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer
from rich.table import Column, Table
from rich.text import Text

import darkroom
from darkroom.client import Client, DarkroomError, Job
from darkroom.progress import JobProgress, describe, plain_console, print_json
from darkroom.sample import save

P = ParamSpec("P")

app = typer.Typer(
    help="Edit photos by instruction.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
keys_app = typer.Typer(help="Make, list and revoke API keys; needs an admin key.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")


class Format(StrEnum):
    """What the edited picture is stored as."""

    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"


class Priority(StrEnum):
    """How urgent an edit is."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class Scope(StrEnum):
    """What a key is good for."""

    SUBMIT = "submit"
    READ = "read"
    ADMIN = "admin"


Photo = Annotated[Path, typer.Argument(help="A JPEG, PNG or WebP file.", show_default=False)]
Instruction = Annotated[str, typer.Argument(help="What to do with it, in plain words.", show_default=False)]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="A job's id.", show_default=False)]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Where to save; edited.png here if absent.")]
Url = Annotated[str | None, typer.Option(help="The service's address; else DARKROOM_URL, else a local one's.")]
Data = Annotated[Path, typer.Option(help="The data folder of the local `darkroom up`.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable JSON on stdout, and nothing else there.")]

# The parameters of an edit. The service knows their ranges and says so; `darkroom models` shows them.
Model = Annotated[str | None, typer.Option(help="One of `darkroom models`.")]
Steps = Annotated[int | None, typer.Option(help="Denoising steps: more is finer and slower.")]
Temperature = Annotated[float | None, typer.Option(help="Below 1 keeps more of the photo's pixels.")]
CfgScale = Annotated[float | None, typer.Option(help="How closely to follow the instruction.")]
ImageCfgScale = Annotated[float | None, typer.Option(help="How closely to follow the photo.")]
NegativePrompt = Annotated[str | None, typer.Option(help="What to stay away from.")]
Seed = Annotated[int | None, typer.Option(help="The same seed gives the same picture.")]
Size = Annotated[str | None, typer.Option(help="512x512, 256x256 or auto.")]
Sampler = Annotated[str | None, typer.Option(help="How the steps are taken, where a model has the choice.")]
AsFormat = Annotated[Format | None, typer.Option("--format", help="What the edited picture is stored as.")]
AtPriority = Annotated[Priority | None, typer.Option("--priority", help="How urgent it is.")]


def main() -> None:
    """The console script."""
    app()


def errors_are_sentences(command: Callable[P, None]) -> Callable[P, None]:
    """Say on stderr, in a sentence, why a command could not do its work, and exit with 1."""

    @wraps(command)
    def spoken(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except BrokenPipeError:  # whoever reads our output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except (DarkroomError, OSError) as error:
            typer.echo(f"darkroom: {error}", err=True)
            raise typer.Exit(1) from None

    return spoken


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
    """Edit a photo: send it, show how it goes, save the edited picture. Ctrl-C cancels the job."""
    params = parameters(locals())
    if output:
        check_place(output)
        params["format"] = format or format_of(output)
    with Client(url, data) as client:
        job = client.submit(photo, instruction, **params)
        with canceled_by_interrupt(client, job), JobProgress(plain_console(stderr=True)) as show:
            show(job)
            job = client.wait(job.id, on_change=show)
        if job.status != "succeeded":
            raise DarkroomError(f"Job {job.id} {job.status}: {job.error or job.status_text}")
        picture = client.output(job.id)
    path = write(picture, output) if output else save(picture, job, Path("edited"))
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
        job = client.submit(photo, instruction, **params)
    show_job(job, as_json, text=job.id)


@app.command()
@errors_are_sentences
def status(job_id: JobId, url: Url = None, data: Data = Path(".darkroom"), as_json: AsJson = False) -> None:
    """Say where a job stands."""
    with Client(url, data) as client:
        show_job(client.get(job_id), as_json)


@app.command()
@errors_are_sentences
def wait(
    job_id: JobId,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Save the edited picture here.")] = None,
    url: Url = None,
    data: Data = Path(".darkroom"),
    as_json: AsJson = False,
) -> None:
    """Follow a job to its end. Ctrl-C only stops following; exit status 1 unless it succeeded."""
    with Client(url, data) as client:
        with JobProgress(plain_console(stderr=True)) as show:
            job = client.wait(job_id, on_change=show)
        if output and job.status == "succeeded":
            write(client.output(job.id), output)
    show_job(job, as_json)
    if job.status != "succeeded":
        raise typer.Exit(1)


@app.command()
@errors_are_sentences
def cancel(job_id: JobId, url: Url = None, data: Data = Path(".darkroom"), as_json: AsJson = False) -> None:
    """Ask a job to stop: a waiting one at once, a running one at its next step."""
    with Client(url, data) as client:
        show_job(client.cancel(job_id), as_json)


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
        page = client.list(status, limit, after)
    if as_json:
        return print_json(page)
    table = Table(Column("job", no_wrap=True, min_width=26), "status", "model", "instruction", box=None)
    for job in map(Job.of, page["data"]):
        table.add_row(job.id, describe(job), job.model, str(job.params.get("prompt", "")))
    plain_console().print(table)
    if page["has_more"]:
        typer.echo(f"More: darkroom list --after {page['next']}", err=True)
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


@keys_app.command("create")
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
        key = client.create_key(tenant, scope or [Scope.SUBMIT, Scope.READ], name)
    if as_json:
        return print_json(key)
    return typer.echo(key["key"])


@keys_app.command("list")
@errors_are_sentences
def list_keys(url: Url = None, data: Data = Path(".darkroom"), as_json: AsJson = False) -> None:
    """List the keys, without their secrets."""
    with Client(url, data) as client:
        answer = client.keys()
    if as_json:
        return print_json(answer)
    table = Table(Column("key", no_wrap=True), "tenant", "scopes", "made", "name", box=None)
    for key in answer["data"]:
        table.add_row(key["id"], key["tenant"], " ".join(key["scopes"]), key["created_at"], Text(key["name"]))
    return plain_console().print(table)


@keys_app.command("revoke")
@errors_are_sentences
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="A key's id: the part between its two underscores.")],
    url: Url = None,
    data: Data = Path(".darkroom"),
) -> None:
    """End a key, and its sessions with it, at once."""
    with Client(url, data) as client:
        client.revoke_key(key_id)


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
    from darkroom import stack
    from darkroom.data_folder import DataFolderError
    from darkroom.process import ProcessError

    try:
        raise typer.Exit(stack.up(data, port=port, sample=not no_sample, once=once, auth=auth, as_json=as_json))
    except (DataFolderError, ProcessError) as error:
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
def canceled_by_interrupt(client: Client, job: Job) -> Iterator[None]:
    """Ctrl-C in the block cancels the job, and says so."""
    try:
        yield
    except KeyboardInterrupt:
        client.cancel(job.id)
        typer.echo(f"darkroom: Asked job {job.id} to stop.", err=True)
        raise typer.Exit(130) from None


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


if __name__ == "__main__":
    main()
