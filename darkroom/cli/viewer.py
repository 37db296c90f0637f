"""A job's picture in the terminal while it emerges."""

from __future__ import annotations

import os

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from darkroom.cli.graphics import Draw, half_blocks, protocol_of, size_in
from darkroom.cli.progress import sentence
from darkroom.client import Job
from darkroom.events import Event

WIDEST = 64  #: characters
HIGHEST = 24  #: lines


class JobViewer:
    """Shows a job's events: as a moving picture on a terminal, as lines elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def follow(self, job: Job) -> None:
        """Show what happens until the job is over."""
        draw = protocol_of(os.environ)
        if not self.console.is_terminal:
            self._print(job)
        elif draw:
            self._draw(job, draw)
        else:
            self._paint(job)

    def _print(self, job: Job) -> None:
        for event in job.events():
            if event.type != "preview":  # its step has been told
                self.console.print(words_of(event))

    def _draw(self, job: Job, draw: Draw) -> None:
        """Pictures at one place, and a line below it: the lines are made first, and the cursor waits above them."""
        write, rows = self.console.file.write, min(HIGHEST, self.console.height - 2)
        write("\n" * rows + f"\x1b[{rows}A")

        def show(picture: bytes | None, words: str) -> None:
            if picture:
                write(draw(picture, *size_in(picture, min(WIDEST, self.console.width), rows)))
            write(f"\x1b[{rows}B\r\x1b[K{words}\r\x1b[{rows}A")
            self.console.file.flush()

        try:
            for event in job.events():
                show(job.preview() if event.type == "preview" else None, words_of(event))
            job.refresh()
            show(job.result() if job.status == "succeeded" else None, sentence(job))
        finally:
            write(f"\x1b[{rows}B\n")

    def _paint(self, job: Job) -> None:
        colored, picture = self.console.color_system == "truecolor", Text()
        width = min(WIDEST, self.console.width)
        with Live(console=self.console, refresh_per_second=8) as live:
            for event in job.events():
                if event.type == "preview" and colored and (jpeg := job.preview()):
                    picture = half_blocks(jpeg, width)
                live.update(Group(picture, Text(words_of(event))))
            job.refresh()
            if job.status == "succeeded" and colored:
                picture = half_blocks(job.result(), width)
            live.update(Group(picture, Text(sentence(job))))


def words_of(event: Event) -> str:
    """An event in a few words."""
    match event.type:
        case "progress" | "preview":
            return f"step {event.data['step']}" + (f" of {event.data['steps']}" if event.data.get("steps") else "")
        case "status" | "done":
            return str(event.data["status"])
        case _:
            return event.type
