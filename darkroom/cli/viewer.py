"""A job's picture in the terminal while it emerges: two pixels to a character, in 24-bit color."""

from __future__ import annotations

import io

from rich.color import Color
from rich.console import Console, Group
from rich.live import Live
from rich.style import Style
from rich.text import Text

from darkroom.cli.progress import describe
from darkroom.client import Job
from darkroom.events import Event

WIDEST = 64  # characters


class JobViewer:
    """Shows a job's events: as a moving picture on a terminal, as lines elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.shows_pictures = console.is_terminal and console.color_system == "truecolor"
        self._picture = Text()

    def follow(self, job: Job) -> None:
        """Show what happens until the job is over."""
        if not self.console.is_terminal:
            for event in job.events():
                self.console.print(sentence(event))
            return
        with Live(console=self.console, refresh_per_second=8) as live:
            for event in job.events():
                if event.type == "preview" and self.shows_pictures and (jpeg := job.preview()):
                    self._picture = half_blocks(jpeg, self._width())
                live.update(Group(self._picture, Text(sentence(event))))
            job.refresh()
            if job.status == "succeeded" and self.shows_pictures:
                self._picture = half_blocks(job.result(), self._width())
            live.update(Group(self._picture, Text(f"{describe(job)}  {job.error or job.status_text}")))

    def _width(self) -> int:
        return min(WIDEST, self.console.width)


def sentence(event: Event) -> str:
    """An event in a few words."""
    match event.type:
        case "progress" | "preview":
            return f"step {event.data['step']}" + (f" of {event.data['steps']}" if event.data.get("steps") else "")
        case "status" | "done":
            return str(event.data["status"])
        case _:
            return event.type


def half_blocks(picture: bytes, width: int) -> Text:
    """A picture as lines of upper half blocks, each the color of one pixel on the color of the one below."""
    from PIL import Image

    with Image.open(io.BytesIO(picture)) as opened:
        height = 2 * max(1, round(opened.height * width / opened.width / 2))
        small = opened.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    colors = small.tobytes()
    lines = Text(no_wrap=True)
    for y in range(0, height, 2):
        for x in range(width):
            upper, lower = (Color.from_rgb(*colors[3 * at : 3 * at + 3]) for at in (y * width + x, (y + 1) * width + x))
            lines.append("▀", Style(color=upper, bgcolor=lower))
        lines.append("\n")
    return lines
