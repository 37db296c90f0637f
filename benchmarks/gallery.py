"""The gallery: a dozen edits and more, each an ordinary job of a running service, kept with its receipt.

`./dev bench gallery` starts a service of its own, or uses one (`--url`), and writes into docs/gallery/ a JPEG and a
JSON for every edit, an index of them all, and one picture for the README. CHECKPOINT chooses another checkpoint.
"""

import argparse
import io
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from darkroom.client import Client, Job
from darkroom.data_folder import DataFolder
from darkroom.ports import free_ports
from darkroom.stack import Stack

EXAMPLES = Path(__file__).parent.parent / "examples"
FOLDER = Path("docs/gallery")
SEED = 7
CELL, LINE, COLUMNS = 300, 26, 4


@dataclass(frozen=True)
class Wish:
    """One edit of the gallery, and what its files are called."""

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
    """All jobs at once; the service shares its engine between them."""
    photos = {name: EXAMPLES / f"{name}.jpg" for name in {wish.photo for wish in wishes}}
    jobs = {wish: client.jobs.create(photos[wish.photo], wish.prompt, size=size, seed=SEED) for wish in wishes}
    for job in jobs.values():
        job.wait()
    return jobs


def receipt(wish: Wish, job: Job) -> dict[str, Any]:
    """What was asked, by what and from what it was made, and how long that took: enough to make it again."""
    kept = {key: job.json[key] for key in ("id", "model", "params", "input", "output", "timing", "receipt")}
    kept["output"] = {key: value for key, value in kept["output"].items() if key not in {"url", "expires_at"}}
    return {"name": wish.name, "photo": f"{wish.photo}.jpg", **kept}


def keep(jobs: dict[Wish, Job], folder: Path) -> None:
    """A picture and a receipt for each edit, the index, and the sheet."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {wish: Image.open(io.BytesIO(job.result())).convert("RGB") for wish, job in jobs.items()}
    receipts = [receipt(wish, job) for wish, job in jobs.items()]
    for wish, picture in pictures.items():
        picture.save(folder / f"{wish.name}.jpg", quality=80)
    for one in receipts:
        (folder / f"{one['name']}.json").write_text(json.dumps(one, indent=1) + "\n")
    index = [{key: one[key] for key in ("name", "photo")} | {"prompt": one["params"]["prompt"]} for one in receipts]
    (folder / "index.json").write_text(json.dumps(index, indent=1) + "\n")
    sheet(pictures).save(folder / "gallery.jpg", quality=75)


def sheet(pictures: dict[Wish, Image.Image]) -> Image.Image:
    """All edits in a grid, each over its instruction."""
    rows = -(-len(pictures) // COLUMNS)
    canvas = Image.new("RGB", (COLUMNS * CELL, rows * (CELL + LINE)), "white")
    pen = ImageDraw.Draw(canvas)
    for place, (wish, picture) in enumerate(pictures.items()):
        left, top = place % COLUMNS * CELL, place // COLUMNS * (CELL + LINE)
        side = min(picture.size)
        left_over, over = (picture.width - side) // 2, (picture.height - side) // 2
        square = picture.crop((left_over, over, left_over + side, over + side)).resize((CELL - 4, CELL - 4))
        canvas.paste(square, (left + 2, top + 2))
        pen.text((left + CELL // 2, top + CELL + LINE // 2 - 2), wish.prompt, fill="black", anchor="mm")
    return canvas


@contextmanager
def service(url: str | None) -> Iterator[str]:
    """The address of the service to use; without one, that of a whole service of our own for the time being."""
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="of a running service (default: one started for this)")
    parser.add_argument("--size", default="auto", help="as the API has it (%(default)s)")
    parser.add_argument("--only", help="names of edits, parted by commas (all)")
    parser.add_argument("-o", "--output", type=Path, default=FOLDER, help="(%(default)s)")
    arguments = parser.parse_args()
    chosen = tuple(wish for wish in WISHES if not arguments.only or wish.name in arguments.only.split(","))
    with service(arguments.url) as url, Client(url) as client:
        jobs = edit_all(client, chosen, arguments.size)
        if not arguments.only:  # the site shows all that it finds there
            shutil.rmtree(arguments.output, ignore_errors=True)
        keep(jobs, arguments.output)
    print(f"{len(chosen)} edits in {arguments.output}")


if __name__ == "__main__":
    main()
