"""The first edit: one photo of examples/ through the public API, to show that everything works."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from darkroom.cli.pictures import save
from darkroom.cli.progress import JobProgress
from darkroom.client import Client
from darkroom.errors import DarkroomError

PHOTO = "pagoda.jpg"
INSTRUCTION = "make it sunset"
SIZE = "256x256"  # the model's working size: a quarter of the usual work


class Sample(threading.Thread):
    """The sample edit, made while its processes are supervised."""

    def __init__(
        self,
        url: str,
        folder: Path,
        console: Console,
        report: Callable[[dict[str, Any]], None],
        key: str | None = None,
    ) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.key = key
        self.folder = folder
        self.console = console
        self.report = report
        self.succeeded = False

    def run(self) -> None:
        """Send the photo, follow the job, save the picture, and print where."""
        photo = find_photo()
        if photo is None:
            self.console.print("There is no photo in examples/ here, so no sample edit (as with --no-sample).")
            return
        try:
            self._edit(photo)
        except (DarkroomError, OSError) as error:
            self.console.print(f"The sample edit did not work: {error}")

    def _edit(self, photo: Path) -> None:
        self.console.print(f"\nSample edit of {shown(photo)}: {INSTRUCTION!r}")
        with Client(self.url, self.folder, self.key) as client:
            with JobProgress(self.console) as show:
                job = client.jobs.create(photo, INSTRUCTION, size=SIZE, resolution="own", seed=1)
                self.console.print(f"  job {job.id}")
                job.wait(on_change=show)
            self.console.print(f"  states: {' → '.join(show.states)}")
            (saved,) = save(job, self.folder / "edited.png", force=True)
        self.console.print(f"  saved {shown(saved)}")
        self.report({**job.json, "saved": str(saved)})
        self.succeeded = True


def find_photo() -> Path | None:
    """One of the project's example photos; None in an installed wheel, which has none."""
    folders = [Path(__file__).parents[2] / "examples", Path("examples")]
    photos = [photo for folder in folders for photo in sorted(folder.glob("*.jpg"))]
    return next((photo for photo in photos if photo.name == PHOTO), photos[0] if photos else None)


def shown(path: Path) -> Path:
    """A path relative to the current folder, if it is below it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
