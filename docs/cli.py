"""Writes docs/cli.md: `python docs/cli.py` beside a running `darkroom up`, whose data folder is .darkroom here.

Each story is typed into one shell in a fresh folder with some photos, and the page shows what it said.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "cli.md"
END = "--- the next command ---"

HEAD = """# The command line

What a session looks like. `darkroom COMMAND --help` lists all options; results go to standard output, and how it goes
to standard error, so that both can be told apart in a script. On a terminal a moving bar takes the place of the lines
`queued` and `running`.

The service is the local one (`darkroom up`), or the one that `DARKROOM_URL` and `DARKROOM_KEY` name.

*This page is written by `python docs/cli.py`; a test compares it with what the commands say.*
"""


@dataclass(frozen=True)
class Story:
    """What somebody wants, and what they type; `$JOB` is the job that the first command names."""

    title: str
    text: str
    commands: tuple[str, ...]


STORIES = (
    Story(
        "Edit a photo",
        "The edit is named after the photo and the instruction.",
        ('darkroom edit pagoda.jpg "make it snowy"',),
    ),
    Story(
        "Nothing is overwritten",
        "A name of its own gets a number where the file is there already. A name of yours is refused, before the\n"
        "photo is sent, unless you say `--force`.",
        (
            'darkroom edit pagoda.jpg "turn it blue" --seed 1 -o blue.png',
            'darkroom edit pagoda.jpg "turn it blue" --seed 2 -o blue.png',
            'darkroom edit pagoda.jpg "turn it blue" --seed 2 -o blue.png --force',
        ),
    ),
    Story(
        "Several photos and folders",
        "Each photo is a job of its own. What cannot be edited is told, and the others go on. Thousands of photos are\n"
        "for `darkroom batch`, which also goes on after an interruption.",
        ("ls album", 'darkroom edit album pagoda.jpg "make it sepia" -o edits; echo $?', "ls edits"),
    ),
    Story(
        "In a pipe",
        "`-` is standard input and standard output.",
        (
            'cat pagoda.jpg | darkroom edit - "make it night" -o - --format jpeg > night.jpg',
            "head -c 3 night.jpg | od -tx1 -An",
        ),
    ),
    Story(
        "Send now, look later",
        "`submit` prints the job's id and ends. Ctrl-C in `edit` and `wait` leaves the job running, too.",
        (
            'JOB=$(darkroom submit pagoda.jpg "make it autumn")',
            "darkroom wait $JOB -o autumn.png",
            "darkroom status $JOB",
        ),
    ),
    Story(
        "Edit an edit",
        "`job:ID` is the edit of that job, which is waited for. The service has it already, and no photo is sent.",
        (
            'JOB=$(darkroom submit pagoda.jpg "make it night")',
            'darkroom edit job:$JOB "make it vintage" -o both.png',
        ),
    ),
    Story(
        "Only there, and less of it",
        "`--box` names a part of the photo in shares of its width and height. `render` makes another strength of a\n"
        "finished edit, without the model.",
        (
            'darkroom edit pagoda.jpg "turn it blue" --box 0,0,100%,40% -o sky.png',
            "JOB=$(darkroom list --search blue --limit 1 | grep -oE '[0-9a-z]{26}')",
            "darkroom render $JOB --strength 0.5 -o half.png",
        ),
    ),
    Story(
        "Change your mind",
        "A running job stops at its next step. `retry` sends it once more, as a new job.",
        (
            'JOB=$(darkroom submit pagoda.jpg "make it foggy" --steps 1000)',
            "darkroom cancel $JOB > /dev/null",
            "darkroom wait $JOB; echo $?",
            "JOB=$(darkroom retry $JOB)",
            "darkroom cancel $JOB > /dev/null",
        ),
    ),
    Story(
        "When something is wrong",
        "The sentence names the field and its limit; the exit status tells the kind: 2 wrong usage, 3 refused, 4 not\n"
        "found, 5 no service (`darkroom --help` lists them).",
        (
            'darkroom edit pagoda.jpg "make it snowy" --steps 1; echo $?',
            'darkroom edit moon.jpg "make it snowy"; echo $?',
            "darkroom status 00000000000000000000000000; echo $?",
        ),
    ),
    Story(
        "In a script",
        "With `--json` every command prints one line of JSON, also when it fails.",
        (
            'darkroom edit pagoda.jpg "make it snowy" --metadata order=7 --json 2> /dev/null > job.json',
            'python3 -c \'import json; job = json.load(open("job.json")); print(job["saved"], job["metadata"])\'',
            "darkroom status nobody --json | cut -d, -f 1,2",
            "darkroom list --search snowy --limit 2 | wc -l",
        ),
    ),
)


def page(data: Path) -> str:
    """The page, made with the service of this data folder."""
    return HEAD + "".join(map(section, STORIES, [data] * len(STORIES)))


def section(story: Story, data: Path) -> str:
    with tempfile.TemporaryDirectory() as name:
        lines = "\n".join(f"$ {command}\n{said}".rstrip() for command, said in typed(story, Path(name), data))
    return f"\n## {story.title}\n\n{story.text}\n\n```console\n{lines}\n```\n"


def typed(story: Story, folder: Path, data: Path) -> Iterator[tuple[str, str]]:
    """Each command of a story and what it said, on either stream."""
    (folder / ".darkroom").symlink_to(data.resolve())
    for place in ("pagoda.jpg", "album/garden.jpg", "album/lake.jpg"):
        (folder / place).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / "examples" / "pagoda.jpg", folder / place)
    (folder / "album" / "draft.jpg").write_text("no picture\n", encoding="utf-8")
    (folder / "edits").mkdir()
    script = "".join(f"{command}\necho '{END}'\n" for command in story.commands)
    environment = {
        "HOME": str(folder),
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
    }
    done = subprocess.run(
        ["sh"],
        input=script,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    yield from zip(story.commands, done.stdout.split(f"{END}\n"), strict=False)


def lasting(text: str) -> str:
    """A page without what is another one each time: ids, times, and which steps were seen."""
    text = re.sub(r"^  (\S+: )?(queued|running|canceling).*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"\b\d+(\.\d)? s\b", "N s", re.sub(r"\b[0-9a-z]{26}\b", "ID", text))


if __name__ == "__main__":
    PAGE.write_text(page(Path(os.environ.get("DATA", ".darkroom"))), encoding="utf-8")
