"""Makes the gallery: about a dozen edits, each an ordinary job of a running service, kept with its receipt.

`./dev bench gallery [--quick]` starts a service, or uses a running one (`--url`). It writes a JPEG and a JSON file for
each edit into docs/gallery/, an index of all, and one picture for the README. With `--models FILE` it draws one photo
instead, edited by every model with six instructions. CHECKPOINT chooses another checkpoint.
"""

import argparse
import io
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from darkroom.client import Client, Job
from darkroom.local.data_folder import DataFolder
from darkroom.local.ports import free_ports
from darkroom.local.stack import Stack
from pipeline.catalogue import DEFAULT_MODEL

EXAMPLES = Path(__file__).parent.parent / "examples"
FOLDER = Path("docs/gallery")
SEED = 7
CELL, LINE, COLUMNS = 300, 34, 4
MODELS_PHOTO = "pagoda"
INSTRUCTIONS = (
    "make it sunset",
    "make it look like night",
    "make it a pencil sketch",
    "make it sepia",
    "turn it blue",
    "make it snowy",
)


@dataclass(frozen=True)
class Wish:
    """One edit of the gallery. `name` is that of its files."""

    name: str
    photo: str
    prompt: str


WISHES = (
    Wish("pagoda-night", "pagoda", "make it look like night"),
    Wish("pagoda-snow", "pagoda", "cover everything in snow"),
    Wish("pagoda-sketch", "pagoda", "turn the picture into a pencil sketch"),
    Wish("pagoda-neon", "pagoda", "give it glowing neon edges"),
    Wish("pagoda-reds", "pagoda", "make everything gray except the red things"),
    Wish("mountains-sunset", "mountains", "make it look like sunset"),
    Wish("mountains-autumn", "mountains", "turn the green leaves orange"),
    Wish("mountains-fog", "mountains", "add some fog to the scene"),
    Wish("mountains-watercolor", "mountains", "paint this photo with watercolor"),
    Wish("mountains-vintage-frame", "mountains", "make it look vintage, and put a frame around it"),
    Wish("dandelion-black-and-white", "dandelion", "make this photo black and white"),
    Wish("dandelion-vivid", "dandelion", "make all the colors more vibrant"),
    Wish("dandelion-oil", "dandelion", "make it look like an oil painting"),
    Wish("dandelion-purple", "dandelion", "give it a strong purple tint"),
    Wish("dandelion-pixels", "dandelion", "turn the photo into big square pixels"),
    Wish("dandelion-sepia-blur", "dandelion", "make it sepia and blurry"),
)


def edit_all(client: Client, wishes: tuple[Wish, ...], size: str) -> dict[Wish, Job]:
    """Submit all jobs at once and wait for them. The service shares its engine between them."""
    photos = {name: EXAMPLES / f"{name}.jpg" for name in {wish.photo for wish in wishes}}
    jobs = {wish: client.jobs.create(photos[wish.photo], wish.prompt, size=size, seed=SEED) for wish in wishes}
    for job in jobs.values():
        job.wait()
    return jobs


def receipt(wish: Wish, job: Job) -> dict[str, Any]:
    """The request, the models and files that it was made with, and its times: enough to repeat it."""
    kept = {key: job.json[key] for key in ("id", "model", "params", "input", "output", "timing", "receipt")}
    kept["output"] = {key: value for key, value in kept["output"].items() if key not in {"url", "expires_at"}}
    return {"name": wish.name, "photo": f"{wish.photo}.jpg", **kept}


def keep(jobs: dict[Wish, Job], folder: Path) -> None:
    """Write a picture and a receipt for each edit, the index, and the sheet."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {wish: Image.open(io.BytesIO(job.result())).convert("RGB") for wish, job in jobs.items()}
    receipts = [receipt(wish, job) for wish, job in jobs.items()]
    for wish, picture in pictures.items():
        picture.save(folder / f"{wish.name}.jpg", quality=80)
    for one in receipts:
        (folder / f"{one['name']}.json").write_text(json.dumps(one, indent=1) + "\n")
    index = [{key: one[key] for key in ("name", "photo")} | {"prompt": one["params"]["prompt"]} for one in receipts]
    (folder / "index.json").write_text(json.dumps(index, indent=1) + "\n")
    sheet([(wish.prompt, picture) for wish, picture in pictures.items()], COLUMNS).save(
        folder / "gallery.jpg", quality=75
    )


def draw_models(client: Client, models: Sequence[str], instructions: Sequence[str], size: str) -> Image.Image:
    """A sheet with a row for each model and a column for each instruction."""
    photo, asked = EXAMPLES / f"{MODELS_PHOTO}.jpg", list(product(models, instructions))
    jobs = [client.jobs.create(photo, prompt, model=model, size=size, seed=SEED) for model, prompt in asked]
    for job in jobs:
        job.wait()
    pictures = [Image.open(io.BytesIO(job.result())).convert("RGB") for job in jobs]
    captions = [f"{model}\n{prompt}" for model, prompt in asked]
    return sheet(list(zip(captions, pictures, strict=True)), len(instructions))


def sheet(pictures: Sequence[tuple[str, Image.Image]], columns: int) -> Image.Image:
    """All pictures in a grid, each above its caption."""
    rows = -(-len(pictures) // columns)
    canvas = Image.new("RGB", (columns * CELL, rows * (CELL + LINE)), "white")
    pen = ImageDraw.Draw(canvas)
    for place, (caption, picture) in enumerate(pictures):
        left, top = place % columns * CELL, place // columns * (CELL + LINE)
        side = min(picture.size)
        left_over, over = (picture.width - side) // 2, (picture.height - side) // 2
        square = picture.crop((left_over, over, left_over + side, over + side)).resize((CELL - 4, CELL - 4))
        canvas.paste(square, (left + 2, top + 2))
        pen.text((left + CELL // 2, top + CELL + LINE // 2 - 2), caption, fill="black", anchor="mm", align="center")
    return canvas


@contextmanager
def service(url: str | None) -> Iterator[str]:
    """The address of the service to use. Without a `url` a whole service is started, and stopped at the end."""
    if url:
        yield url
        return
    with (
        tempfile.TemporaryDirectory(prefix="darkroom-gallery-") as place,
        DataFolder(Path(place) / "data") as folder,
        Stack(folder, free_ports(1)[0], print) as stack,
    ):
        stack.start()
        yield stack.api.url


def make(client: Client, chosen: tuple[Wish, ...], size: str, folder: Path) -> None:
    """Make and keep these edits. If they are the whole gallery, they replace the files of the last one."""
    jobs = edit_all(client, chosen, size)
    if chosen == WISHES:  # the site shows all files of the folder
        shutil.rmtree(folder, ignore_errors=True)
    keep(jobs, folder)
    print(f"{len(chosen)} edits in {folder}")


def try_out(client: Client) -> None:
    """Make one edit, and the sheet of one model, and discard them."""
    with tempfile.TemporaryDirectory() as folder:
        make(client, WISHES[:1], "256x256", Path(folder))
        draw_models(client, [DEFAULT_MODEL], INSTRUCTIONS[:1], "256x256").save(Path(folder) / "models.jpg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one edit and one small sheet, both discarded")
    parser.add_argument("--url", help="the address of a running service (default: start one)")
    parser.add_argument("--size", default="auto", help="the API's parameter `size` (%(default)s)")
    parser.add_argument("--only", help="names of edits, separated by commas (all)")
    parser.add_argument("-o", "--output", type=Path, default=FOLDER, help="(%(default)s)")
    parser.add_argument(
        "--models", type=Path, metavar="FILE", help="draw the edits of one photo by every model into this file instead"
    )
    arguments = parser.parse_args()
    chosen = tuple(wish for wish in WISHES if not arguments.only or wish.name in arguments.only.split(","))
    with service(arguments.url) as url, Client(url) as client:
        if arguments.quick:
            try_out(client)
        elif arguments.models:
            models = [model.id for model in client.models()]
            draw_models(client, models, INSTRUCTIONS, arguments.size).save(arguments.models, quality=75)
        else:
            make(client, chosen, arguments.size, arguments.output)


if __name__ == "__main__":
    main()
