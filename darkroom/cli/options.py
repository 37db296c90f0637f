"""Options that commands share, and how commands end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from darkroom.cli.progress import print_json
from darkroom.client import Client
from darkroom.errors import DarkroomError

Command = Callable[..., Any]

WRONG_USAGE = 2
INTERRUPTED = 130  # the usual exit status after Ctrl-C
PATH = click.Path(path_type=Path)

job_id = click.argument("job_id", metavar="JOB")
output = click.option(
    "--output",
    "-o",
    type=PATH,
    help="A file or folder to save to, or - for standard output; if absent, a new file here, named after photo and "
    "instruction.",
)
force = click.option("--force", is_flag=True, help="Overwrite a file that is there.")
url = click.option("--url", help="The service's address; else DARKROOM_URL, else a local one's.")
data = click.option(
    "--data", type=PATH, default=".darkroom", show_default=True, help="The data folder of the local `darkroom up`."
)
as_json = click.option(
    "--json", "as_json", is_flag=True, help="Machine-readable JSON on stdout, and nothing else there."
)

# The parameters of an edit. The service knows their ranges and says so; `darkroom models` shows them.
PARAMETERS = (
    click.option("--model", help="One of `darkroom models`."),
    click.option("--steps", type=int, help="Denoising steps: more is finer and slower."),
    click.option("--temperature", type=float, help="Below 1 keeps more of the photo's pixels."),
    click.option("--cfg-scale", type=float, help="How closely to follow the instruction."),
    click.option("--image-cfg-scale", type=float, help="How closely to follow the photo."),
    click.option("--negative-prompt", help="What to stay away from."),
    click.option("--seed", type=int, help="The same seed gives the same picture."),
    click.option("-n", type=int, help="How many edits, up to 8, each with the next seed."),
    click.option("--size", help="What the model works at: auto, 512x512 or 256x256."),
    click.option("--resolution", help="own: the result has the photo's width and height; model: what the model made."),
    click.option("--strength", type=float, help="How much of the edit is laid over the photo: 0 to 1."),
    click.option("--sampler", help="How the steps are taken, where a model has the choice."),
    click.option(
        "--effort", help="exact, or fast: from 10 steps on two to three times as fast, nearly the same picture."
    ),
    click.option("--format", type=click.Choice(("png", "jpeg", "webp", "avif")), help="What the edit is stored as."),
    click.option("--priority", type=click.Choice(("low", "normal", "high")), help="How urgent it is."),
)


def combined(*decorators: Command) -> Command:
    """Several decorators as one, the first of them outermost."""

    def decorate(command: Command) -> Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


def as_box(_: click.Context, __: click.Parameter, boxes: tuple[str, ...]) -> list[dict[str, list[float]]]:
    """Typed boxes in the form that the service takes."""
    try:
        numbers = [
            [float(share.removesuffix("%")) / (100 if "%" in share else 1) for share in b.split(",")] for b in boxes
        ]
    except ValueError:
        numbers = [[]]
    if any(len(box) != 4 for box in numbers):
        raise click.BadParameter("must be LEFT,TOP,WIDTH,HEIGHT, such as 0.5,0,0.5,1 or 50%,0%,50%,100%.")
    return [{"box": box} for box in numbers]


def masked(command: Command) -> Command:
    """Give a command the argument `mask`, a picture or boxes."""

    @wraps(command)
    def with_mask(*args: Any, mask: Path | None, boxes: list[dict[str, list[float]]], **others: Any) -> Any:
        if mask and boxes:
            raise click.UsageError("--mask and --box cannot be given together.")
        return command(*args, mask=mask or boxes or None, **others)

    options: Command = combined(
        click.option("--mask", type=PATH, help="A picture that is white where the photo is to be edited."),
        click.option(
            "--box",
            "boxes",
            metavar="LEFT,TOP,WIDTH,HEIGHT",
            multiple=True,
            callback=as_box,
            help="Edit only there, in shares of the photo's width and height (0.5 or 50%). Can be repeated.",
        ),
    )(with_mask)
    return options


def as_metadata(_: click.Context, __: click.Parameter, pairs: tuple[str, ...]) -> dict[str, str]:
    """NAME=VALUE pairs in the form that the service takes."""
    if any(not name or not equals for name, equals, _ in (pair.partition("=") for pair in pairs)):
        raise click.BadParameter("must be NAME=VALUE.")
    return dict(pair.split("=", 1) for pair in pairs)


edit_arguments = combined(
    click.argument("photos", metavar="PHOTO...", nargs=-1, required=True),
    click.argument("instruction"),
    *PARAMETERS,
    masked,
    click.option("--webhook", help="An https address that is told when the job is over."),
    click.option(
        "--metadata",
        metavar="NAME=VALUE",
        multiple=True,
        callback=as_metadata,
        help="Kept with the job and told back. Can be repeated.",
    ),
)


def say_error(error: Exception, as_json: bool) -> None:
    """Report why a command failed: a sentence on stderr, or with --json an object on stdout."""
    if as_json:
        print_json({"error": told_of(error)})
    else:
        click.echo(f"darkroom: {error}", err=True)


def told_of(error: Exception) -> dict[str, Any]:
    """An error as JSON: its sentence, the exit status, and the service's problem document, if one came."""
    told = {"detail": str(error), "exit_status": getattr(error, "exit_status", 1)}
    return told | ({"problem": problem} if (problem := getattr(error, "problem", None)) else {})


def errors_are_sentences(command: Command) -> Command:
    """Report why a command failed, and exit with the status of that kind of error."""

    @wraps(command)
    def spoken(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except BrokenPipeError:  # whoever reads our output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except UnicodeEncodeError as error:  # an argument's bytes, which Python keeps as halves of surrogate pairs
            click.echo(f"darkroom: {error.object!a} is no text in {sys.getfilesystemencoding()}.", err=True)
            sys.exit(WRONG_USAGE)
        except (DarkroomError, OSError) as error:
            say_error(error, kwargs.get("as_json", False))
            sys.exit(getattr(error, "exit_status", 1))

    return spoken


def with_client(command: Command) -> Command:
    """Give a command the options `--url` and `--data`, and a client of that service as its first argument."""

    @wraps(command)
    def connected(*, url: str | None, data: Path, **options: Any) -> Any:
        with Client(url, data) as client:
            return command(client, **options)

    with_options: Command = combined(url, data, errors_are_sentences)(connected)
    return with_options
