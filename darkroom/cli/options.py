"""What the commands have in common: options, and how they end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import Annotated, ParamSpec

import typer

from darkroom.errors import DarkroomError

P = ParamSpec("P")


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


def errors_are_sentences(command: Callable[P, None]) -> Callable[P, None]:
    """Say on stderr, in a sentence, why a command could not do its work, and exit with the status of that kind."""

    @wraps(command)
    def spoken(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except BrokenPipeError:  # whoever reads our output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except (DarkroomError, OSError) as error:
            typer.echo(f"darkroom: {error}", err=True)
            raise typer.Exit(getattr(error, "exit_status", 1)) from None

    return spoken
