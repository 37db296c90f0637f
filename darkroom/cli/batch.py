"""`darkroom batch FOLDER "instruction" -o OUT`: the same edit of all photos in a folder.

What it has done so far is in a file in OUT, so that the same command goes on after an interruption, without sending a
photo or doing an edit twice.
"""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from darkroom.batches import Batch, Line
from darkroom.cli.options import PARAMETERS, PATH, as_json, combined, with_client
from darkroom.cli.pictures import ending_of, write
from darkroom.cli.progress import plain_console, print_json
from darkroom.cli.sources import photos_in
from darkroom.client import Client
from darkroom.errors import DarkroomError, JobFailed

STATE = ".darkroom-batch.json"
SHEET = "contact-sheet.jpg"
LOOK = 1.0  #: seconds between two looks
NOTED = 20  #: photos after which what was sent is written down
KEPT_SECONDS = 7 * 86_400


class State:
    """The state of a batch in a folder: the photos that were sent, and the batch itself, if it exists."""

    def __init__(self, out: Path, photos: list[str], asked: dict[str, Any]) -> None:
        self.path = out / STATE
        self.asked = {"photos": photos, **asked}
        self.sent: dict[str, str] = {}
        self.key = uuid.uuid4().hex
        self.batch: str | None = None
        if self.path.exists():
            self._go_on()

    def _go_on(self) -> None:
        try:
            known = json.loads(self.path.read_text(encoding="utf-8"))
            same = known["asked"] == self.asked
            self.sent, self.key, self.batch = known["sent"], known["key"], known["batch"]
        except (ValueError, KeyError, TypeError) as error:
            raise DarkroomError(f"{self.path} cannot be read: remove it, or take another folder.") from error
        if not same:
            raise DarkroomError(
                f"{self.path.parent} has the edits of another batch (other photos, instruction or parameters): "
                f"take another folder, or remove {self.path}."
            )

    def save(self) -> None:
        """Write the state to its file, which is replaced in one step."""
        said = {"asked": self.asked, "sent": self.sent, "key": self.key, "batch": self.batch}
        new = self.path.with_suffix(".new")
        write(json.dumps(said).encode(), new, force=True)
        new.replace(self.path)


class BatchProgress:
    """A bar on a terminal, a line for each quarter elsewhere."""

    def __init__(self, console: Console, total: int) -> None:
        self.console, self.total, self._quarter = console, total, 0
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
        self._bar = Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def __call__(self, what: str, done: int) -> None:
        self._bar.update(self._task, description=what, completed=done)
        if not self.console.is_terminal and (quarter := 4 * done // max(1, self.total)) > self._quarter:
            self._quarter = quarter
            self.console.print(f"  {what}: {done} of {self.total}")

    def restart(self) -> None:
        """Count something else, from 0."""
        self._quarter = 0


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("instruction")
@click.option("--output", "-o", "out", type=PATH, required=True, help="The folder for the edited photos.")
@combined(*PARAMETERS)
@click.option("--webhook", help="An https address that is told once, when all are done.")
@as_json
@with_client
def batch(
    client: Client, folder: Path, instruction: str, out: Path, webhook: str | None, as_json: bool, **given: Any
) -> None:
    """Edit all photos in FOLDER by the INSTRUCTION. Put the edits and a contact sheet into another folder.

    Ctrl-C only stops following. The same command continues later and sends no photo twice."""
    if out.resolve() == folder.resolve():
        raise DarkroomError("The edits need a folder of their own: name another one with -o.")
    photos = photos_in(folder)
    out.mkdir(parents=True, exist_ok=True)
    parameters = {name: value for name, value in given.items() if value is not None}
    state = State(out, [photo.name for photo in photos], {"instruction": instruction, "parameters": parameters})
    with BatchProgress(plain_console(stderr=True), len(photos)) as show:
        send(client, photos, state, show)
        if state.batch is None:
            options = {"priority": parameters.pop("priority", None), "webhook": webhook}
            images = [state.sent[photo.name] for photo in photos]
            made = client.batches.create(images, [instruction], [parameters], idempotency_key=state.key, **options)
            state.batch = made.id
            state.save()
        show.restart()
        over, lines = follow(client, state.batch, photos, out, show)
    if over.counts["completed"]:
        write(client.batches.contact_sheet(over.id), out / SHEET, force=True)
    report(over, lines, photos, out, as_json)


def send(client: Client, photos: list[Path], state: State, show: BatchProgress) -> None:
    """Send the photos that were not sent before."""
    left = [photo for photo in photos if photo.name not in state.sent] if state.batch is None else []
    try:
        for photo in left:
            state.sent[photo.name] = client.keep(photo, KEPT_SECONDS)
            show("sending", len(state.sent))
            if len(state.sent) % NOTED == 0:
                state.save()
    finally:
        state.save()


def follow(
    client: Client, batch_id: str, photos: list[Path], out: Path, show: BatchProgress
) -> tuple[Batch, list[Line]]:
    """Save the edits as they are done, until the batch is over."""
    seen, lines = -1, list[Line]()
    while True:
        now = client.batches.get(batch_id)
        if now.counts["completed"] != seen or now.is_over:
            seen, lines = now.counts["completed"], list(client.batches.lines(batch_id))
            for line in lines:
                if line.status == "succeeded":
                    fetch(client, line, photos, out)
        show("editing", now.counts["completed"] + now.counts["failed"])
        if now.is_over:
            return now, lines
        time.sleep(LOOK)


def fetch(client: Client, line: Line, photos: list[Path], out: Path) -> None:
    """Save one edit, unless it is there."""
    name = name_of(photos[line.number], photos)
    if any((out / (name + ending)).exists() for ending in (".png", ".jpg", ".webp", ".avif")):
        return
    job = client.jobs.get(str(line.job))
    place = out / (name + ending_of(job.content_type))
    new = place.with_name(f".{place.name}.new")
    write(job.result(), new, force=True)
    new.replace(place)


def name_of(photo: Path, photos: list[Path]) -> str:
    """The name of an edit, without its ending: the photo's, with its own ending if two photos have the same name."""
    alike = [other for other in photos if other.stem == photo.stem]
    return photo.stem if len(alike) == 1 else photo.name


def report(over: Batch, lines: list[Line], photos: list[Path], out: Path, as_json: bool) -> None:
    """Report the result of the batch.

    Raises:
        JobFailed: some photos have no edit.
    """
    bad = [line for line in lines if line.status != "succeeded"]
    for line in bad:
        why = (line.problem or {}).get("detail") or line.status
        click.echo(f"{photos[line.number].name}: {why}", err=True)
    if as_json:
        print_json({**over.json, "saved": str(out)})
    else:
        click.echo(f"Saved {over.counts['completed']} of {over.counts['total']} in {out}")
    if bad:
        raise JobFailed(f"{len(bad)} of {len(lines)} photos have no edit.")
