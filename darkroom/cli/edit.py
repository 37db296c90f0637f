"""`darkroom edit PHOTO... "instruction"` sends photos, shows how it goes, and saves the edits; `submit` only sends."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from darkroom.cli.options import INTERRUPTED, as_json, edit_arguments, force, output, say_error, told_of, with_client
from darkroom.cli.pictures import check_place, format_of, is_stream, save
from darkroom.cli.progress import JobProgress, plain_console, print_json, show_job
from darkroom.cli.sources import Source, sources
from darkroom.client import Client, Job
from darkroom.errors import DarkroomError

MOST = 100  #: photos of one command; `darkroom batch` takes thousands


@click.command()
@edit_arguments
@output
@force
@click.option("--open", "opens", is_flag=True, help="Show the edit when it is done.")
@as_json
@with_client
def edit(
    client: Client,
    photos: tuple[str, ...],
    instruction: str,
    output: Path | None,
    force: bool,
    opens: bool,
    as_json: bool,
    **parameters: Any,
) -> None:
    """Edit a PHOTO by the INSTRUCTION: send it, show the progress, save the edited picture.

    PHOTO is a JPEG, PNG, WebP, HEIC, AVIF, GIF, TIFF or BMP file, a folder of such files, an https address, job:ID (the
    edit of that job), or - for standard input. There may be several. After Ctrl-C the job goes on, unless you answer
    that it is to be canceled."""
    chosen = choose(photos, output)
    if output:
        check_place(output, force, parameters["n"] or 1)
        if not (is_stream(output) or output.is_dir()):
            parameters["format"] = parameters["format"] or format_of(output)
    if as_json and is_stream(output):
        raise DarkroomError("The picture and --json cannot both go to standard output.")
    edits = Edits(client, instruction, parameters, output, force, as_json)
    saved = edits.make(chosen)
    if opens:
        for path in saved:
            click.launch(str(path))
    if edits.failed:
        sys.exit(edits.failed)


@click.command()
@edit_arguments
@as_json
@with_client
def submit(client: Client, photos: tuple[str, ...], instruction: str, as_json: bool, **parameters: Any) -> None:
    """Send a PHOTO and print the job's id at once. There may be several, as in `darkroom edit`."""
    for source in choose(photos, None):
        job = send(client, source, instruction, parameters)
        show_job(job, as_json, text=job.id)


def choose(words: Sequence[str], output: Path | None) -> list[Source]:
    """The photos that these words name.

    Raises:
        DarkroomError: there are too many, or too many for the one place of their edits.
    """
    chosen = list(sources(words))
    if len(chosen) > MOST:
        raise DarkroomError(f"These are {len(chosen)} photos; more than {MOST} at once are for `darkroom batch`.")
    if output and len(chosen) > 1 and not output.is_dir():
        raise DarkroomError(f"{output} is no folder, and {len(chosen)} edits do not fit into one file.")
    return chosen


def send(client: Client, source: Source, instruction: str, parameters: dict[str, Any]) -> Job:
    """Submit one photo. The job keeps the name of the file, as jobs of the site do."""
    if isinstance(source.picture, str) and source.picture.startswith("job:"):
        client.jobs.get(source.picture.removeprefix("job:")).wait()
    named = {"photo": source.name} if source.name else {}
    metadata = (named | (parameters["metadata"] or {})) or None
    return client.jobs.create(source.picture, instruction, **{**parameters, "metadata": metadata})


class Edits:
    """The edits of one command. If one fails, the others continue. `failed` is the exit status of the first failure."""

    def __init__(
        self,
        client: Client,
        instruction: str,
        parameters: dict[str, Any],
        output: Path | None,
        force: bool,
        as_json: bool,
    ) -> None:
        self._client, self._instruction, self._parameters = client, instruction, parameters
        self._output, self._force, self._as_json = output, force, as_json
        self.failed = 0

    def make(self, chosen: Sequence[Source]) -> list[Path]:
        """Send all photos, follow their jobs, save the edits; returns where. The error of an only photo is raised."""
        if len(chosen) == 1:
            return self._finish(self._send(chosen[0]), "")
        jobs: list[tuple[Source, Job]] = []
        for source in chosen:
            with self._told(source):
                jobs.append((source, self._send(source)))
        saved: list[Path] = []
        for source, job in jobs:
            with self._told(source):
                saved += self._finish(job, source.name)
        return saved

    def _send(self, source: Source) -> Job:
        return send(self._client, source, self._instruction, self._parameters)

    def _finish(self, job: Job, name: str) -> list[Path]:
        with interruptible(job), JobProgress(plain_console(stderr=True), name) as show:
            job.wait(on_change=show)
        return save_and_show(job, self._output, self._force, self._as_json)

    @contextmanager
    def _told(self, source: Source) -> Iterator[None]:
        try:
            yield
        except DarkroomError as error:
            self.failed = self.failed or error.exit_status
            if self._as_json:
                print_json({"photo": source.name, "error": told_of(error)})
            else:
                say_error(DarkroomError(f"{source.name}: {error}"), as_json=False)


def save_and_show(job: Job, output: Path | None, force: bool, as_json: bool) -> list[Path]:
    """Save a job's pictures, waited for, and say where."""
    paths = save(job, output, force)
    names = [str(path) for path in paths]
    if names:
        show_job(job, as_json, text="\n".join(f"Saved {name}" for name in names), saved=names[0], all_saved=names)
    return paths


@contextmanager
def interruptible(job: Job) -> Iterator[None]:
    """On Ctrl-C in the block, ask on a terminal whether to cancel the job. It continues unless the answer is c."""
    try:
        yield
    except KeyboardInterrupt:
        if wants_to_cancel(job):
            job.cancel()
            click.echo(f"darkroom: Asked job {job.id} to stop.", err=True)
        else:
            click.echo(f"darkroom: Job {job.id} goes on; `darkroom wait {job.id}` follows it.", err=True)
        sys.exit(INTERRUPTED)


def wants_to_cancel(job: Job) -> bool:
    """Whether the answer is c. A second Ctrl-C means no."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    try:
        question = f"Job {job.id}: leave it running, or cancel it? [L/c]"
        answer = click.prompt(question, default="l", show_default=False, err=True)
    except (KeyboardInterrupt, click.Abort):
        return False
    return str(answer).strip().lower() == "c"
