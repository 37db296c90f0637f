"""The checkpoint's card: `card.md` with the figures of an evaluation, a training's log and the pictures' licenses."""

import argparse
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template
from typing import Any

from PIL import Image

from training.edits import COMPOSABLE, FAMILIES
from training.photos import trained_on
from training.recipe import STAGES
from training.sources import HERE

WEAK = 0.85  # families that are right less often are named
SHEET_SCALE, SHEET_QUALITY = 0.5, 50
SHORT_RUN = """\
What the first minutes bring: `./dev train --minutes 20` on two cores, judged by `./dev evaluate --photos 6 --large 1`.
Minutes are of the processor, for each worker."""
Figures = dict[str, Any]


def fill(evaluation: Figures, checkpoint: Path, work: Path) -> dict[str, str]:
    """What stands for each of `card.md`'s names but the pictures."""
    weights = sorted(checkpoint.rglob("*.safetensors"))
    sizes = evaluation["sizes"]
    pictures = trained_on(work / "photos")
    return {
        "megabytes": f"{sum(file.stat().st_size for file in weights) / 1e6:.1f}",
        "known": str(len(FAMILIES) - 1),
        "pairs": str(len(COMPOSABLE)),
        "pictures": str(len(pictures)),
        "photos": str(sizes["256x256"]["photos"]),
        "parameters": ", ".join(f"{name} {value}" for name, value in evaluation["parameters"].items()),
        "sizes": size_table(sizes),
        "compositions": f"right {percent(evaluation['compositions']['retrieval_at_1'])}, "
        f"among three {percent(evaluation['compositions']['retrieval_at_3'])} "
        f"of {evaluation['compositions']['counted']}",
        "unchanged": unchanged(evaluation["unchanged"]),
        "families": family_table(evaluation["families"]),
        "statistics": statistics_table(evaluation["statistics"]),
        "vae": number(sizes["256x256"]["vae"]),
        "vae_512": number(sizes.get("512x512", {}).get("vae")),
        "release": release(work / "release" / "release.json"),
        "weak": weak(evaluation["families"], sizes["256x256"]["losses"]),
        "stages": stage_table(work),
        "speed": speed_table(work / "edits.json"),
        "many_steps": many_steps(evaluation, work / "evaluation-50" / "evaluation.json"),
        "short_run": short_run(work / "short"),
        "hashes": "\n".join(f"- `{file.relative_to(checkpoint)}` `{sha256(file)}`" for file in weights),
        "licenses": table(("license", "pictures"), sorted(Counter(p.licence for p in pictures).items())),
    }


def size_table(sizes: dict[str, Figures]) -> str:
    header = ("size", "photos", "families", "counted", "right", "among three", "gain (dB)", "autoencoder (dB)")
    return table(
        header,
        [
            (
                *(size, one["photos"], one["families"], one["counted"]),
                *(percent(one["retrieval_at_1"]), percent(one["retrieval_at_3"])),
                *(number(one["gain_where_input_is_at_most_20_dB"]), number(one["vae"])),
            )
            for size, one in sizes.items()
        ],
    )


def family_table(families: dict[str, Figures]) -> str:
    header = ("family", "counted", "right", "PSNR edit", "photo", "autoencoder", "SSIM edit", "photo", "autoencoder")
    rows = [
        (
            *(name, one["counted"], percent(one["retrieval_at_1"])),
            *(number(one[key]) for key in ("psnr", "psnr_input", "psnr_vae")),
            *(number(one[key], ".2f") for key in ("ssim", "ssim_input", "ssim_vae")),
        )
        for name, one in families.items()
        if FAMILIES[name].exact and name != "keep"
    ]
    return table(header, rows)


def statistics_table(statistics: dict[str, dict[str, float | None]]) -> str:
    header = ("family", "photo", "edit", "target", "target through the autoencoder")
    return table(
        header,
        [
            (name, *(number(one[w], ".3g") for w in ("input", "edit", "target", "vae")))
            for name, one in statistics.items()
        ],
    )


def stage_table(work: Path) -> str:
    """How long each stage of a training took and how many samples it saw, by its logs."""
    rows = []
    for stage in STAGES:
        log = work / f"{stage}.jsonl"
        if log.exists():
            last = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
            rows.append((stage, number(last["seconds"] / 60), f"{last['samples']:,}"))
    return table(("stage", "minutes", "samples"), rows)


def speed_table(file: Path) -> str:
    """Seconds of an edit of 512 x 512, by `./dev bench pipeline --part edits --json`; nothing if that was not run."""
    if not file.exists():
        return ""
    measured = json.loads(file.read_text(encoding="utf-8"))
    rows = [
        (one["steps"], *one["rows"], *(number(s, ".2f") for s in one["seconds"]), number(one["ratio"], ".2f"))
        for one in measured["entries"]
    ]
    return table(("steps", "rows of diffusers", "of Darkroom", "diffusers (s)", "Darkroom (s)", "ratio"), rows)


def many_steps(evaluation: Figures, file: Path) -> str:
    """How edits with the default steps compare with those of many, on the photos of an evaluation with more steps."""
    if not file.exists():
        return ""
    other = json.loads(file.read_text(encoding="utf-8"))
    mine = {(e["family"], e["photo"], tuple(e["size"])): e["psnr"] for e in evaluation["edits"]}
    both = [
        (mine[key], e["psnr"])
        for e in other["edits"]
        if e["fair"] and (key := (e["family"], e["photo"], tuple(e["size"]))) in mine
    ]
    few, many = (sum(column) / len(both) for column in zip(*both, strict=True))
    return (
        f"Of {len(both)} edits, those in {evaluation['parameters']['steps']} steps came as near as {number(few)} dB to "
        f"their targets, those in {other['parameters']['steps']} steps {number(many)} dB."
    )


def short_run(work: Path) -> str:
    """The stages and figures of a shorter training; nothing where there was none."""
    file = work / "evaluation" / "evaluation.json"
    if not file.exists():
        return ""
    figures = json.loads(file.read_text(encoding="utf-8"))
    return "\n\n".join((SHORT_RUN, stage_table(work), size_table(figures["sizes"])))


def release(file: Path) -> str:
    """The figures of the evaluation of a release, by `python -m training.release`; nothing if that was not run."""
    if not file.exists():
        return ""
    found = json.loads(file.read_text(encoding="utf-8"))
    told = found["recognition"]
    rows = [
        ("right, 256 px", f"{percent(found['right'])} of {found['counted']} in {found['families']} families"),
        ("right, by seed", ", ".join(percent(share) for share in found["by_seed"].values())),
        ("right, 512 px", percent(found["right_at_512"])),
        ("harmful", percent(found["harmful"])),
        ("two edits in one sentence, right", percent(found["compositions"])),
        ("nothing to change, below the autoencoder", f"{number(found['no_op_below_autoencoder'])} dB"),
        ("flat error of 255, 256 and 512 px", ", ".join(number(e, ".2f") for e in found["flat_error"].values())),
        ("sentences that it can follow, flagged by mistake", percent(told["flagged_of_those_it_can"])),
        ("sentences that it cannot follow, flagged (recall)", percent(told["recall"])),
        ("flagged sentences that it cannot follow (precision)", percent(told["precision"])),
        ("sentences that it cannot follow, flagged, photo left alone", percent(found["beyond_flagged_and_left_alone"])),
        ("slightly, plainly, extremely: in this order", percent(found["strengths_in_order"])),
        ("less, no, without, don't: nothing or the opposite", percent(found["less_is_never_more"])),
    ]
    return table(("on photos and sentences that nobody had looked at", "figure"), rows)


def unchanged(figures: Figures) -> str:
    cast = ", ".join(f"{shift:+.1f}" for shift in figures["colour_cast_of_255"])
    return (
        f"{number(figures['psnr'])} dB to the photo, where the autoencoder alone has {number(figures['psnr_vae'])} dB; "
        f"mean change of red, green and blue {cast} of 255"
    )


def weak(families: dict[str, Figures], losses: dict[str, float]) -> str:
    lines = [
        f"- `{name}` is right in {percent(one['retrieval_at_1'])} of {one['counted']}; else it is nearest to "
        f"{', '.join(f'`{other}` ({count})' for other, count in one['taken_for'].items())}."
        for name, one in families.items()
        if FAMILIES[name].exact and one["counted"] and one["retrieval_at_1"] < WEAK
    ]
    lines += [
        f"- `{name}` ends {-gain:.1f} dB farther from its target than the photo is." for name, gain in losses.items()
    ]
    return "\n".join(lines)


def table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def number(value: float | None, form: str = ".1f") -> str:
    return "-" if value is None else format(value, form)


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def copied(picture: Path, images: Path, name: str, caption: str) -> str:
    """Markdown of a picture that is copied into `images`; nothing where there is none."""
    if not picture.exists():
        return ""
    shutil.copy(picture, images / name)
    return f"![{caption}]({images.name}/{name})"


def reduced(sheet: Path, images: Path, name: str, caption: str) -> str:
    """Markdown of a contact sheet that is kept small, because every clone carries all that there ever were."""
    if not sheet.exists():
        return ""
    with Image.open(sheet) as picture:
        smaller = picture.resize((round(picture.width * SHEET_SCALE), round(picture.height * SHEET_SCALE)))
    smaller.save(images / name, quality=SHEET_QUALITY, method=6)
    return f"![{caption}]({images.name}/{name})"


def write(checkpoint: Path, work: Path, output: Path) -> None:
    """The card of a checkpoint whose training and evaluation are in `work`; its pictures go into `images` beside it."""
    images = output.parent / "images"
    images.mkdir(parents=True, exist_ok=True)
    evaluation = json.loads((work / "evaluation" / "evaluation.json").read_text(encoding="utf-8"))
    pictures = {
        "sheet_256": reduced(work / "evaluation/sheet-256.jpg", images, "micro-256.webp", "Every edit at 256 px"),
        "sheet_512": reduced(work / "evaluation/sheet-512.jpg", images, "micro-512.webp", "Every edit at 512 px"),
        "losses": copied(work / "losses.png", images, "micro-losses.png", "Losses by minutes"),
    }
    text = Template((HERE / "card.md").read_text(encoding="utf-8")).substitute(
        fill(evaluation, checkpoint, work) | pictures
    )
    output.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/micro"), help="(%(default)s)")
    parser.add_argument("--work", type=Path, default=Path(".training"), help="of training and evaluation (%(default)s)")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/micro-checkpoint.md"), help="(%(default)s)")
    arguments = parser.parse_args()
    write(arguments.checkpoint, arguments.work, arguments.output)


if __name__ == "__main__":
    main()
