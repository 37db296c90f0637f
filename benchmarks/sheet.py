"""A contact sheet: one photo through every model and six instructions, by ordinary jobs of a running service.

Start one with `darkroom up`, then `./dev bench sheet [PHOTO] [-o sheet.jpg] [--size 256x256]`.
"""

import argparse
import io
import time
from pathlib import Path

from PIL import Image, ImageDraw

from darkroom.client import Client, Job

PHOTO = Path(__file__).parent.parent / "examples" / "pagoda.jpg"
INSTRUCTIONS = (
    "make it sunset",
    "make it look like night",
    "make it a pencil sketch",
    "make it sepia",
    "turn it blue",
    "make it snowy",
)
CELL, LINE, MARGIN = 192, 22, 190


def edit_all(client: Client, photo: Path, size: str) -> dict[tuple[str, str], Job]:
    """All jobs at once; the service shares its engine between them."""
    models = [model["id"] for model in client.models()["data"]]
    asked = {
        (model, prompt): client.jobs.create(photo, prompt, model=model, size=size, seed=1)
        for model in models
        for prompt in INSTRUCTIONS
    }
    for job in asked.values():
        job.wait()
    return asked


def draw(jobs: dict[tuple[str, str], Job]) -> Image.Image:
    """A row for each model, a column for each instruction."""
    models = list(dict.fromkeys(model for model, _ in jobs))
    sheet = Image.new("RGB", (MARGIN + CELL * len(INSTRUCTIONS), LINE + CELL * len(models)), "white")
    pen = ImageDraw.Draw(sheet)
    for column, prompt in enumerate(INSTRUCTIONS):
        pen.text((MARGIN + CELL * column + 4, 4), prompt, fill="black")
    for row, model in enumerate(models):
        pen.text((4, LINE + CELL * row + CELL // 2), model, fill="black")
        for column, prompt in enumerate(INSTRUCTIONS):
            picture = Image.open(io.BytesIO(jobs[model, prompt].result()))
            picture.thumbnail((CELL - 4, CELL - 4), Image.Resampling.LANCZOS)
            sheet.paste(picture, (MARGIN + CELL * column, LINE + CELL * row))
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo", nargs="?", type=Path, default=PHOTO)
    parser.add_argument("-o", "--output", type=Path, default=Path("sheet.jpg"))
    parser.add_argument("--size", default="256x256")
    parser.add_argument("--url", help="the service's address; else DARKROOM_URL, else the local one's")
    parser.add_argument("--data", default=".darkroom", help="the data folder of the local `darkroom up`")
    arguments = parser.parse_args()
    began = time.monotonic()
    with Client(arguments.url, arguments.data) as client:
        jobs = edit_all(client, arguments.photo, arguments.size)
        print(f"{len(jobs)} edits in {time.monotonic() - began:.1f} s")
        draw(jobs).save(arguments.output, quality=75)
    print(f"saved {arguments.output}")


if __name__ == "__main__":
    main()
