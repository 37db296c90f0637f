"""Measures what edits at the photo's own size gain: `./dev bench fullsize [--quick] [--sheets FOLDER] [--json]`.

Held-out photos of 1,500 px and more, fetched from Debian packages into `.training/`, are edited with an instruction of
each family and the default settings. The results are compared with the family's own procedure:

- at the working size of the model, together with the model's own picture; - at the photo's size, for changes of tone,
together with the model's picture enlarged bicubically; - on plain areas (the flattest quarter of the procedure's
picture): the error, of 255; - and the seconds and megabytes that 12 megapixels take in addition to the edit.
"""

import argparse
import json
import resource
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

from benchmarks._machine import describe, keep_memory
from pipeline.edit import Pipeline
from pipeline.fullsize import apply, fit
from pipeline.pictures import fit as fitted
from training.edits import FAMILIES, TINTS, TONES
from training.metrics import psnr
from training.photos import original
from training.wordings import held_out_wordings

ROOT = Path(__file__).parents[1]
PHOTOS = ("kitten", "wine", "fig", "mountains", "dandelion", "sunset", "european-honey-bee", "red-panda")
TONE_FAMILIES = (*TONES, *TINTS)
LARGEST = 2048  # px of the long side at which procedures are applied; larger photos would take them seconds
TWELVE = (4000, 3000)
CROP = 360  # px of a crop on a sheet
SEED = 1


@dataclass(frozen=True)
class Row:
    """One edit: distances in dB, errors on plain areas of 255. `full_*` is None if the edit is not a change of tone."""

    photo: str
    family: str
    model: float
    own: float
    full_bicubic: float | None
    full_own: float | None
    plain_model: float
    plain_own: float


def photos(quick: bool) -> Iterator[tuple[str, Image.Image]]:
    if quick:
        with Image.open(ROOT / "examples" / "mountains.jpg") as picture:
            yield "mountains", picture.convert("RGB")
        return
    for name in PHOTOS:
        photo = original(ROOT / ".training", name)
        photo.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
        yield name, photo


def values(picture: Image.Image) -> NDArray[np.float32]:
    return np.asarray(picture, np.float32) / 255


def high_pass(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    return picture - cv2.GaussianBlur(picture, (0, 0), 3)


def plain_error(picture: NDArray[np.float32], target: NDArray[np.float32]) -> float:
    """The root mean square of fine texture that the target does not have, in its flattest quarter, of 255."""
    detail = cv2.GaussianBlur(np.square(high_pass(target)).mean(2), (0, 0), 8)
    flat = detail <= np.quantile(detail, 0.25)
    return float(255 * np.sqrt(np.square(high_pass(picture - target))[flat].mean()))


def measure(pipe: Pipeline, name: str, photo: Image.Image, family: str, steps: int | None, sheets: Path | None) -> Row:
    wording = held_out_wordings(family)[0]
    small = fitted(photo, "auto")
    edit = pipe.edit(photo, wording, seed=SEED, steps=steps, size="auto", resolution="model")
    own = apply(photo, fit(small, edit))
    target = FAMILIES[family].apply(values(small).copy())
    reduced = values(own.resize(small.size, Image.Resampling.LANCZOS))
    enlarged = edit.resize(photo.size, Image.Resampling.BICUBIC)
    full = FAMILIES[family].apply(values(photo).copy()) if family in TONE_FAMILIES else None
    if sheets:
        draw(sheets / f"{name}-{family}.jpg", photo, enlarged, own)
    return Row(
        name,
        family,
        psnr(values(edit), target),
        psnr(reduced, target),
        None if full is None else psnr(values(enlarged), full),
        None if full is None else psnr(values(own), full),
        plain_error(values(edit), target),
        plain_error(reduced, target),
    )


def draw(file: Path, *pictures: Image.Image) -> None:
    """Draw the same crop of each picture at 100 %, side by side: photo, model's picture, our picture at full size."""
    width, height = pictures[0].size
    left, top = (width - CROP) // 2, (height - CROP) // 2
    sheet = Image.new("RGB", (CROP * len(pictures), CROP))
    for column, picture in enumerate(pictures):
        sheet.paste(picture.crop((left, top, left + CROP, top + CROP)), (CROP * column, 0))
    sheet.save(file, quality=92)


def cost(size: tuple[int, int], rounds: int) -> dict[str, float]:
    """The seconds that a photo of this size adds to its edit, for a change that needs every part of the method."""
    with Image.open(ROOT / "examples" / "mountains.jpg") as picture:
        photo = picture.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    small = fitted(photo, "auto")
    edit = Image.fromarray((255 * FAMILIES["sketch"].apply(values(small).copy())).astype(np.uint8))
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        apply(photo, fit(small, edit))
        took.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"seconds": round(statistics.median(took), 2), "peak_megabytes_of_the_process": peak}


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Means over the photos, by family, and over the families."""
    families = {}
    for family in dict.fromkeys(row.family for row in rows):
        mine = [asdict(row) for row in rows if row.family == family]
        numbers = {key: [row[key] for row in mine] for key in mine[0] if key not in ("photo", "family")}
        families[family] = {key: round(statistics.mean(n), 2) for key, n in numbers.items() if n[0] is not None}
    gains = {family: each["own"] - each["model"] for family, each in families.items()}
    tones = [each["full_own"] - each["full_bicubic"] for each in families.values() if "full_own" in each]
    plain = [statistics.mean(each[key] for each in families.values()) for key in ("plain_model", "plain_own")]
    return {
        "families": families,
        "gain_at_the_models_size_db": round(statistics.mean(gains.values()), 2),
        "worst_family": min(gains, key=lambda family: gains[family]),
        "worst_gain_db": round(min(gains.values()), 2),
        "gain_at_full_size_of_tones_db": round(statistics.mean(tones), 2),
        "plain_areas_error": {"model": round(plain[0], 2), "own": round(plain[1], 2)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one small photo, two families, two steps")
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=list(FAMILIES), metavar="NAME")
    parser.add_argument("--sheets", type=Path, help="draw a crop of each edit at 100 %% into this folder")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    keep_memory()
    torch.set_num_threads(arguments.threads)
    if arguments.sheets:
        arguments.sheets.mkdir(parents=True, exist_ok=True)
    families, steps = (["sepia", "frame"], 2) if arguments.quick else (arguments.families, None)
    pipe = Pipeline.load(ROOT / "checkpoints" / "micro")
    size, rounds = ((640, 480), 1) if arguments.quick else (TWELVE, 5)
    result: dict[str, Any] = {"machine": describe(), "cost": {"pixels": size, **cost(size, rounds)}}
    rows = [
        measure(pipe, name, photo, family, steps, arguments.sheets)
        for name, photo in photos(arguments.quick)
        for family in track(families, name, transient=True)
    ]
    result |= summary(rows)
    print(json.dumps(result, indent=1) if arguments.json else show(result))


def show(result: dict[str, Any]) -> str:
    lines = [f"{'family':14} {'model':>7} {'own':>7} {'gain':>7}  {'bicubic':>7} {'own':>7}  plain, of 255"]
    for family, each in result["families"].items():
        full = f"{each['full_bicubic']:7.2f} {each['full_own']:7.2f}" if "full_own" in each else " " * 15
        lines.append(
            f"{family:14} {each['model']:7.2f} {each['own']:7.2f} {each['own'] - each['model']:+7.2f}  {full}  "
            f"{each['plain_model']:.2f} {each['plain_own']:.2f}"
        )
    return "\n".join(lines + [f"{name}: {value}" for name, value in result.items() if name != "families"])


if __name__ == "__main__":
    main()
