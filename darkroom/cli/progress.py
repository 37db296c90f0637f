"""Shows the progress of a job: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import sys
from types import TracebackType
from typing import Any, Self

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from darkroom.client import Job, JobCalls


class JobProgress:
    """Shows one job. Call it at each change of the job. `name` distinguishes several jobs."""

    def __init__(self, console: Console, name: str = "") -> None:
        self.console = console
        self._name = f"{name}: " if name else ""
        self.states: list[str] = []  # that were seen, in order
        self._quarter = 0
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("sending", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def __call__(self, job: JobCalls) -> None:
        if not self.states or self.states[-1] != job.status:
            self.states.append(job.status)
            if not self.console.is_terminal:
                self.console.print(f"  {self._name}{describe(job)}")
        elif not self.console.is_terminal:
            self._print_quarters(job)
        self._bar.update(self._task, description=self._name + describe(job), completed=job.step or 0, total=job.steps)

    def _print_quarters(self, job: JobCalls) -> None:
        if job.step and job.steps and (quarter := 4 * job.step // job.steps) > self._quarter:
            self._quarter = quarter
            self.console.print(f"  {self._name}{describe(job)}")


def show_job(job: Job, as_json: bool, text: str | None = None, **extra: str | list[str]) -> None:
    """A job on stdout, as JSON or in words; its warnings on stderr."""
    if as_json:
        print_json({**job.json, **extra})
        return
    click.echo(text or sentence(job))
    for warning in job.warnings:
        others = f" It can: {', '.join(warning.nearest)}." if warning.nearest else ""
        click.echo(f"darkroom: Warning: {warning.detail}{others}", err=True)


def sentence(job: Job) -> str:
    """A job's status, in a line."""
    told = [job.id, describe(job)]
    if job.is_over:
        told += [f"after {seconds(job.timing.total_ms)}", job.error or ""]
    elif job.status == "queued":
        told.append(job.status_text)
    return "  ".join(filter(None, told))


def seconds(milliseconds: float | None) -> str:
    """A number of seconds in words, in short."""
    if milliseconds is None:
        return ""
    return f"{milliseconds / 1000:.1f} s" if milliseconds < 99_500 else f"{milliseconds / 1000:.0f} s"


def plain_console(stderr: bool = False) -> Console:
    """A console without markup, because a photo may be called `[bold].jpg`."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True)


def print_json(answer: dict[str, Any]) -> None:
    """Print JSON on one line of stdout, escaped if stdout takes no Unicode."""
    json.dump(answer, sys.stdout, ensure_ascii=not sys.stdout.encoding.lower().startswith("utf"))
    sys.stdout.write("\n")
    sys.stdout.flush()


def describe(job: JobCalls) -> str:
    """A job's status, in a few words."""
    status: str = job.status
    if status == "queued" and job.position:
        return f"queued, {job.position} before it"
    if job.step and not job.is_over:
        return f"{status}, step {job.step} of {job.steps}"
    return status
