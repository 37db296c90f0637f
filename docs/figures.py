"""Lists the figures in the documentation whose code has changed since they were measured: `python docs/figures.py`.

A page says where its figures come from in one line: *Measured at `commit`, date, by `command`.*
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
MEASURED = re.compile(r"\*Measured at `([0-9a-f]{7,40})`,\s+(\d{4}-\d\d-\d\d),\s+by\s+`([^`]+)`")

#: What each command measures, by what it begins with; the longest beginning counts.
CODE = {
    "./dev bench": ("api", "jobs", "worker", "pipeline"),
    "./dev bench api": ("api", "jobs"),
    "./dev bench effort": ("pipeline",),
    "./dev bench engine": ("pipeline",),
    "./dev bench fullsize": ("pipeline",),
    "./dev bench memory": ("pipeline",),
    "./dev bench pipeline": ("pipeline",),
    "./dev bench streams": ("api", "jobs"),
    "./dev chaos": ("api", "jobs", "worker", "chaos"),
    "./dev evaluate": ("checkpoints/micro", "training/evaluation.py", "training/edits.py"),
    "./dev test": ("api", "jobs", "worker", "darkroom"),
    "./dev train": ("training",),
}


@dataclass(frozen=True)
class Figure:
    """One line that says where figures come from."""

    page: str
    commit: str
    date: str
    command: str

    @property
    def code(self) -> tuple[str, ...]:
        """The folders and files that the command measures.

        Raises:
            KeyError: the command is none that is listed above.
        """
        known = [start for start in CODE if f"{self.command} ".startswith(f"{start} ")]
        if not known:
            raise KeyError(f"{self.page}: docs/figures.py does not say what `{self.command}` measures")
        return CODE[max(known, key=len)]

    def changed(self) -> list[str] | None:
        """The measured files that differ now; None where this clone does not have the commit."""
        command = ["git", "diff", "--name-only", self.commit, "--", *self.code]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.split() if done.returncode == 0 else None


def figures() -> Iterator[Figure]:
    """All of them, page by page."""
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for found in MEASURED.findall(path.read_text(encoding="utf-8")):
            yield Figure(path.relative_to(ROOT).as_posix(), *found)


def main() -> None:
    for figure in figures():
        changed = figure.changed()
        if changed is None:
            sys.stdout.write(f"{figure.page}: {figure.command}: this clone does not have {figure.commit}\n")
        elif changed:
            what = f"{len(changed)} files of {', '.join(figure.code)} have changed since {figure.commit}, {figure.date}"
            sys.stdout.write(f"{figure.page}: {figure.command}: {what}\n")


if __name__ == "__main__":
    main()
