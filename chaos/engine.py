"""Editors for the harness, which write down each run in a ledger of their own: a fake one, and the real one watched.

`EDITORS=chaos.engine:fake` answers by a hash of what it was given, after `CHAOS_SECONDS`; torch is not loaded. The
ledger is the file that `CHAOS_LEDGER` names; the service knows nothing of it. The number of a job is in its prompt, and
so is how it is to misbehave, if it is.
"""

import hashlib
import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from jobs.settings import Settings
from pipeline.catalogue import MODELS, Card
from pipeline.notes import Notes
from worker.editors.editor import Editor, Editors

SIDE = 8
CURED = "cured"


@dataclass(frozen=True)
class Done:
    """A step of the fake engine."""

    step: int
    steps: int

    def preview(self) -> Image.Image:
        return Image.new("RGB", (SIDE, SIDE))

    noisy = preview


@dataclass(frozen=True)
class Run:
    """One run of one of a job's edits, as in the ledger; the seed identifies the edit.

    Times are seconds since 1970; `ended` is None if the run never ended.
    """

    number: int
    pid: int
    started: float
    ended: float | None = None
    seed: int = 0


def note(event: str, prompt: str, seed: int = 0) -> None:
    """Append one line to the ledger in one write, so that lines of several processes do not mix."""
    said = {"event": event, "number": number_of(prompt), "seed": seed, "pid": os.getpid(), "at": time.time()}
    line = json.dumps(said) + "\n"
    ledger = os.open(os.environ["CHAOS_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(ledger, line.encode())
    finally:
        os.close(ledger)


def read_ledger(file: Path) -> list[Run]:
    """All runs, in the order in which they began."""
    runs: list[Run] = []
    open_runs: dict[tuple[int, int, int], int] = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        entry = json.loads(line)
        key = (entry["number"], entry.get("seed", 0), entry["pid"])
        if entry["event"] == "start":
            open_runs[key] = len(runs)
            runs.append(Run(entry["number"], entry["pid"], entry["at"], seed=entry.get("seed", 0)))
        elif key in open_runs:
            at = open_runs.pop(key)
            runs[at] = replace(runs[at], ended=entry["at"])
    return runs


def number_of(prompt: str) -> int:
    """The number behind the first word of a prompt, such as "job 17 hang"."""
    return int(prompt.split()[1])


def answer(pixels: bytes, prompt: str, seed: int) -> Image.Image:
    """The fake engine's picture for these arguments."""
    digest = hashlib.sha256(pixels + f"{prompt} {seed}".encode()).digest()
    return Image.frombytes("RGB", (SIDE, SIDE), (digest * 6)[: 3 * SIDE * SIDE])


class Fake:
    """Waits, then answers with a picture made from a hash."""

    def edit(
        self, photo: Image.Image, prompt: str, *, on_step: Callable[[Done], None], seed: int, steps: int, **_others: Any
    ) -> Image.Image:
        note("start", prompt, seed)
        manners = prompt.split()[2:]
        pause = float(manners[1] if manners[:1] == ["takes"] else os.environ.get("CHAOS_SECONDS", "0.2")) / steps
        for step in range(1, steps + 1):
            time.sleep(pause)
            misbehave(manners)
            on_step(Done(step, steps))
        note("end", prompt, seed)
        return answer(photo.convert("RGB").tobytes(), prompt, seed)

    def receipt(self) -> Mapping[str, Any]:
        return {"checkpoint": "fake"}


def misbehave(manners: list[str]) -> None:
    """Misbehave as the prompt says. Poison is harmless once the file `CURED` is beside the ledger."""
    if manners == ["hang"]:
        time.sleep(3600)
    if manners == ["poison"] and not Path(os.environ["CHAOS_LEDGER"]).with_name(CURED).exists():
        os.kill(os.getpid(), signal.SIGSEGV)


def fake(_: Settings) -> Editors:
    """One fake editor for all models."""
    return Editors(dict.fromkeys(MODELS, Fake()), Card("fake"))


class Failing:
    """Waits, then fails, for every prompt."""

    def edit(self, _: Image.Image, prompt: str, **_others: Any) -> Image.Image:
        note("start", prompt)
        time.sleep(float(os.environ.get("CHAOS_SECONDS", "0.2")))
        raise RuntimeError("this engine makes no picture")

    def receipt(self) -> Mapping[str, Any]:
        return {"checkpoint": "failing"}


def failing(_: Settings) -> Editors:
    """An editor that fails every job, for a control: such a run has to fail."""
    return Editors(dict.fromkeys(MODELS, Failing()), Card("failing"))


@dataclass(frozen=True)
class Watched:
    """A real editor whose runs are recorded in the ledger."""

    editor: Editor

    def edit(
        self, photo: Image.Image, prompt: str, *, on_wait: Callable[[], None], notes: Notes, **params: Any
    ) -> Image.Image:
        note("start", prompt, params["seed"])
        edited = self.editor.edit(photo, prompt, on_wait=on_wait, notes=notes, **params)
        note("end", prompt, params["seed"])
        return edited

    def receipt(self) -> Mapping[str, Any]:
        return self.editor.receipt()


def real(settings: Settings) -> Editors:
    """The project's pipeline, with its first model watched."""
    from worker.editors import diffusion  # loads torch

    return watched(diffusion.load(settings))


def watched(editors: Editors) -> Editors:
    """Only the first of these models, with its runs recorded in the ledger."""
    return replace(editors, by_model={"pix2pix-full": Watched(editors.by_model["pix2pix-full"])}, definitions=())
