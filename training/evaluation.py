"""How well a checkpoint edits: held-out photos, held-out wordings, every family, judged by what the edit should be.

An edit is right where, of all that could have been asked of its photo (each family's target, and the photo as it is),
its own target is the nearest (retrieval at 1), or among the three nearest. A photo counts for a family only where that
question is fair: where the target lies 2 dB or more farther from the photo and from every other target than the
autoencoder's own error.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from rich.progress import track

from pipeline.catalogue import DEFAULT_MODEL
from training.editor import Editor
from training.edits import COMPOSABLE, FAMILIES, Picture, compose
from training.metrics import gradient_energy, grain_variance, levels, psnr, ssim
from training.photos import gather, held_out
from training.sources import HERE
from training.wordings import described, held_out_composition, held_out_wordings, training_wordings

if TYPE_CHECKING:
    from training.clip_scores import ClipScores

FAIR = 2.0  # dB between the autoencoder's error and the nearest other picture
PHOTOS, LARGE = 24, 3  # at 256 px; at 512 px and not square
COMPOSITIONS = 4  # per photo
SHEET_PHOTOS = 4
LABEL, CELL, GAP = 110, 128, 2  # px, of a contact sheet
STATISTICS = {"grain": grain_variance, "sharpen": gradient_energy, "posterize": levels}
JUDGES = ("edits.py", "editor.py", "evaluation.py", "metrics.py", "wordings.py", "wordings.toml")
Size = tuple[int, int]  # height, width


@dataclass(frozen=True)
class Task:
    """One photo at one size, and what is to be asked of it."""

    photo: str
    place: int  # among the photos; chooses the wordings
    size: Size
    families: tuple[str, ...]
    compositions: tuple[tuple[str, ...], ...] = ()
    show: bool = False  # keep the pictures for a contact sheet

    @property
    def name(self) -> str:
        asked = zlib.crc32(repr((self.place, self.families, self.compositions, self.show)).encode())
        return f"{self.photo}-{self.size[0]}x{self.size[1]}-{asked:08x}"


@dataclass(frozen=True)
class Run:
    """What is the same for all tasks."""

    checkpoint: Path
    photos: Path
    clip: Path | None = None
    steps: int | None = None
    wording: str = "held-out"
    seed: int = 0

    def digest(self) -> str:
        """Changes with the weights, with what is asked of them, and with the procedures and words to judge by."""
        files = [*sorted(self.checkpoint.rglob("*.*")), *(HERE / name for name in JUDGES)]
        digest = hashlib.sha256(repr((self.clip, self.steps, self.wording, self.seed)).encode())
        for file in files:
            digest.update(file.read_bytes())
        return digest.hexdigest()[:12]


@dataclass
class Edit:
    """One edit and how it was judged; distances in dB. `rank` is 1 where the target is the nearest candidate."""

    family: str
    photo: str
    size: Size
    wording: str
    psnr: float
    psnr_input: float
    psnr_vae: float
    ssim: float
    ssim_input: float
    ssim_vae: float
    rank: int
    taken_for: str  # the nearest candidate
    fair: bool
    statistics: dict[str, float] = field(default_factory=dict)  # of input, edit, target, and the target through the VAE
    clip: dict[str, float] = field(default_factory=dict)


@dataclass
class Judged:
    """What came of a task. Pictures are kept only where it says so."""

    task: Task
    edits: list[Edit]
    vae: float  # PSNR of the photo through the autoencoder
    shift: list[float]  # the unchanged photo's mean red, green and blue, less the photo's, of 255
    strip: Image.Image | None = None  # for each edit what it should be and, to its right, what it is


# --- one photo -------------------------------------------------------------------------------------------------------


def judge(editor: Editor, photo: Picture, run: Run, task: Task) -> Judged:
    """Ask everything of one photo and compare what comes with what should."""
    asked = [(name,) for name in task.families] + list(task.compositions)
    wordings = [_wording(names, task.place, run.wording) for names in asked]
    edited = editor.edit(photo, wordings, run.steps, run.seed)
    candidates = _candidates(photo, compositions=bool(task.compositions))
    single = {name: target for name, target in candidates.items() if "+" not in name}
    edits = [
        compare("+".join(names), task, wording, result, single if len(names) == 1 else candidates, editor)
        for names, wording, result in zip(asked, wordings, edited, strict=True)
    ]
    for names, one, result in zip(asked, edits, edited, strict=True):
        if run.clip is not None:
            one.clip = _clip(run.clip)(photo, result, "a photo", f"a photo, {described(names)}")
    unchanged = [result for names, result in zip(asked, edited, strict=True) if names == ("keep",)]
    shift = [float(s) for result in unchanged for s in 255 * (result - photo).mean(axis=(0, 1))]
    targets = [candidates["+".join(names)] for names in asked]
    strip = draw_strip(targets, edited) if task.show else None
    return Judged(task, edits, psnr(editor.through_vae(photo), photo), shift, strip)


def compare(
    name: str, task: Task, wording: str, result: Picture, candidates: dict[str, Picture], editor: Editor
) -> Edit:
    """An edit beside its target, the photo, and the target as the autoencoder would give it back."""
    target, photo = candidates[name], candidates["keep"]
    ceiling = editor.through_vae(target)
    psnr_vae = psnr(ceiling, target)
    near = sorted(candidates, key=lambda other: float(np.mean(np.square(candidates[other] - result))))
    others = max(psnr(target, picture) for other, picture in candidates.items() if other != name)
    count = STATISTICS.get(name)
    numbers = {"input": photo, "edit": result, "target": target, "vae": ceiling}
    return Edit(
        family=name,
        photo=task.photo,
        size=task.size,
        wording=wording,
        psnr=psnr(result, target),
        psnr_input=psnr(photo, target),
        psnr_vae=psnr_vae,
        ssim=ssim(result, target),
        ssim_input=ssim(photo, target),
        ssim_vae=ssim(ceiling, target),
        rank=1 + near.index(name),
        taken_for=near[0],
        fair=others <= psnr_vae - FAIR,
        statistics={where: count(picture) for where, picture in numbers.items()} if count else {},
    )


@cache
def _clip(folder: Path) -> "ClipScores":
    from training.clip_scores import ClipScores  # transformers takes seconds to import

    return ClipScores(folder)


@cache
def _editor(checkpoint: Path) -> Editor:
    return Editor.load(checkpoint)


def _candidates(photo: Picture, *, compositions: bool) -> dict[str, Picture]:
    """All that could have been asked: the photo (`keep`), each family's target and, if so, each composition's."""
    names = [(name,) for name in FAMILIES] + (list(COMPOSABLE) if compositions else [])
    return {"+".join(several): compose(several)(photo) for several in names}


def _wording(names: tuple[str, ...], place: int, wording: str) -> str:
    if len(names) > 1:
        choices = held_out_composition(names)
    else:
        choices = held_out_wordings(names[0]) if wording == "held-out" else training_wordings(names[0])
    return choices[place % len(choices)]


def _judge_by_name(run: Run, task: Task) -> Judged:
    return judge(_editor(run.checkpoint), dict(held_out(run.photos, task.size))[task.photo], run, task)


# --- all of them -----------------------------------------------------------------------------------------------------


def tasks(photos: Path, count: int, large: int, families: Sequence[str]) -> list[Task]:
    """`count` photos at 256 px with compositions, and the first `large` at 512 px and, not square, at 192 x 320 px."""
    names = [name for name, _ in held_out(photos, 512)]
    pairs = [pair for pair in COMPOSABLE if set(pair) <= set(families)]
    np.random.default_rng(0).shuffle(pairs)
    found = []
    for place, name in enumerate(names[:count]):
        chosen = tuple(pairs[(place * COMPOSITIONS + i) % len(pairs)] for i in range(COMPOSITIONS)) if pairs else ()
        found.append(Task(name, place, (256, 256), tuple(families), chosen, show=place < SHEET_PHOTOS))
    for place, name in enumerate(names[:large]):
        square = Task(name, place, (512, 512), tuple(families), show=True)
        found += [square, replace(square, size=(192, 320), show=False)]
    return found


def evaluate(run: Run, wanted: Sequence[Task], processes: int, folder: Path) -> list[Judged]:
    """Every task, in processes of one thread each; those that `folder` has the results of are not done again."""
    os.environ["OMP_NUM_THREADS"] = "1"
    folder.mkdir(parents=True, exist_ok=True)
    missing = [task for task in wanted if not (folder / f"{task.name}.json").exists()]
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        running = [pool.submit(_judge_by_name, run, task) for task in missing]
        for job in track(as_completed(running), "Photos", total=len(running)):
            keep(job.result(), folder)
    return [kept(task, folder) for task in wanted]


def keep(judged: Judged, folder: Path) -> None:
    """What came of a task, as two files; the JSON is written last."""
    if judged.strip:
        judged.strip.save(folder / f"{judged.task.name}.png")
    content = {"edits": [asdict(edit) for edit in judged.edits], "vae": judged.vae, "shift": judged.shift}
    (folder / f"{judged.task.name}.json").write_text(json.dumps(content), encoding="utf-8")


def kept(task: Task, folder: Path) -> Judged:
    """What `keep` kept."""
    content = json.loads((folder / f"{task.name}.json").read_text(encoding="utf-8"))
    edits = [Edit(**{**edit, "size": tuple(edit["size"])}) for edit in content["edits"]]
    strip = Image.open(folder / f"{task.name}.png") if task.show else None
    return Judged(task, edits, content["vae"], content["shift"], strip)


def summarise(judged: Sequence[Judged]) -> dict[str, Any]:
    """The figures for each size, for each family at 256 px, for compositions, for what has no exact target."""
    sizes = sorted({one.task.size for one in judged})
    small = [edit for one in judged if one.task.size == (256, 256) for edit in one.edits]
    single = [edit for edit in small if "+" not in edit.family]
    return {
        "sizes": {f"{h}x{w}": _of_size([one for one in judged if one.task.size == (h, w)]) for h, w in sizes},
        "families": {name: _of_family([e for e in single if e.family == name]) for name in _names(single)},
        "compositions": _retrieval([edit for edit in small if "+" in edit.family]),
        "statistics": {name: _counted([e for e in single if e.family == name]) for name in STATISTICS},
        "unchanged": _unchanged([one for one in judged if one.task.size == (256, 256)]),
    }


def _of_size(judged: Sequence[Judged]) -> dict[str, Any]:
    edits = [edit for one in judged for edit in one.edits if _exact(edit.family)]
    families = {name: _of_family([e for e in edits if e.family == name]) for name in _names(edits)}
    counted = [figures for figures in families.values() if figures["counted"]]
    strong = [figures["gain"] for figures in counted if figures["psnr_input"] <= 20]
    mild = {name: figures["gain"] for name, figures in families.items() if figures["counted"]}
    losses = {name: gain for name, gain in mild.items() if gain < 0}
    return {
        "photos": len(judged),
        "vae": _mean(one.vae for one in judged),
        "families": len(counted),
        **_retrieval(edits),
        "gain_where_input_is_at_most_20_dB": _mean(strong),
        "losses": losses,
        "clip": _clip_means(edits),
    }


def _of_family(edits: Sequence[Edit]) -> dict[str, Any]:
    """Over the photos where the family can be told from every other."""
    fair = [edit for edit in edits if edit.fair]
    names = ("psnr", "psnr_input", "psnr_vae", "ssim", "ssim_input", "ssim_vae")
    return {
        **_retrieval(edits),
        **{name: _mean(getattr(edit, name) for edit in fair) for name in names},
        "gain": _mean(edit.psnr - edit.psnr_input for edit in fair),
        "taken_for": _counts(edit.taken_for for edit in fair if edit.rank > 1),
    }


def _retrieval(edits: Sequence[Edit]) -> dict[str, Any]:
    fair = [edit for edit in edits if edit.fair]
    at = {f"retrieval_at_{n}": _mean(edit.rank <= n for edit in fair) for n in (1, 3)}
    return {"asked": len(edits), "counted": len(fair), **at}


def _counted(edits: Sequence[Edit]) -> dict[str, float | None]:
    return {where: _mean(edit.statistics[where] for edit in edits) for where in ("input", "edit", "target", "vae")}


def _unchanged(judged: Sequence[Judged]) -> dict[str, Any]:
    kept = [edit for one in judged for edit in one.edits if edit.family == "keep"]
    shifts = [one.shift for one in judged if one.shift]
    return {
        "psnr": _mean(edit.psnr for edit in kept),
        "psnr_vae": _mean(edit.psnr_vae for edit in kept),
        "ssim": _mean(edit.ssim for edit in kept),
        "colour_cast_of_255": [round(float(c), 2) for c in np.mean(shifts, axis=0)] if shifts else [],
    }


def _clip_means(edits: Sequence[Edit]) -> dict[str, float | None]:
    return {name: _mean(edit.clip[name] for edit in edits if edit.clip) for name in ("image", "direction")}


def _exact(name: str) -> bool:
    return name != "keep" and all(FAMILIES[part].exact for part in name.split("+")) and "+" not in name


def _names(edits: Sequence[Edit]) -> list[str]:
    return [name for name in FAMILIES if any(edit.family == name for edit in edits)]


def _mean(values: Iterable[float]) -> float | None:
    """To four digits; None of nothing."""
    found = list(values)
    return float(f"{sum(found) / len(found):.4g}") if found else None


def _counts(values: Iterable[str]) -> dict[str, int]:
    found = list(values)
    return {value: found.count(value) for value in sorted(set(found), key=lambda v: -found.count(v))}


def assess(run: Run, wanted: Sequence[Task], processes: int, folder: Path) -> dict[str, Any]:
    """Evaluate, and leave figures (`evaluation.json`) and contact sheets in `folder`; returns the summary."""
    judged = evaluate(run, wanted, processes, folder / run.digest())
    summary = summarise(judged)
    edits = [asdict(edit) for one in judged for edit in one.edits]
    (folder / "evaluation.json").write_text(
        json.dumps({**_described(run), **summary, "edits": edits}, indent=1), encoding="utf-8"
    )
    for side in (256, 512):
        shown = [one for one in judged if one.task.size == (side, side) and one.task.show]
        if shown:
            sheet(shown).save(folder / f"sheet-{side}.jpg", quality=75)
    return summary


def _described(run: Run) -> dict[str, Any]:
    editor = _editor(run.checkpoint)
    used = editor.parameters("-", run.steps, run.seed)
    card = editor.checkpoint.card
    return {
        "checkpoint": {"name": card.name, "revision": card.revision, "model": DEFAULT_MODEL},
        "parameters": {name: used[name] for name in ("steps", "cfg_scale", "image_cfg_scale", "sampler", "seed")},
        "wording": run.wording,
        "torch": torch.__version__,
    }


# --- showing them ----------------------------------------------------------------------------------------------------


def draw_strip(targets: Sequence[Picture], edited: Sequence[Picture]) -> Image.Image:
    """A row for each edit: what it should be and, to its right, what it is."""
    strip = Image.new("RGB", (2 * (CELL + GAP), len(edited) * (CELL + GAP)), "white")
    for row, pair in enumerate(zip(targets, edited, strict=True)):
        for column, picture in enumerate(pair):
            small = Image.fromarray((picture * 255).round().astype(np.uint8)).resize((CELL, CELL))
            strip.paste(small, (column * (CELL + GAP), row * (CELL + GAP)))
    return strip


def sheet(judged: Sequence[Judged]) -> Image.Image:
    """The photos' strips side by side, as many rows as all of them have, behind the families' names."""
    shared = [edit.family for edit in judged[0].edits if "+" not in edit.family]
    height = len(shared) * (CELL + GAP)
    canvas = Image.new("RGB", (LABEL + 2 * (CELL + GAP) * len(judged), height), "white")
    pen = ImageDraw.Draw(canvas)
    for row, name in enumerate(shared):
        pen.text((4, row * (CELL + GAP) + CELL // 2 - 6), name, fill="black")
    for column, one in enumerate(judged):
        if one.strip:
            canvas.paste(one.strip.crop((0, 0, one.strip.width, height)), (LABEL + column * one.strip.width, 0))
    return canvas


def report(summary: dict[str, Any]) -> str:
    """The figures that matter most, a line each."""
    lines = []
    for size, figures in summary["sizes"].items():
        lines.append(
            f"{size}: {_right(figures)} in {figures['families']} families, "
            f"among three {_number(figures['retrieval_at_3'], '.1%')}; "
            f"gain {_number(figures['gain_where_input_is_at_most_20_dB'])} dB; "
            f"autoencoder {_number(figures['vae'])} dB"
        )
        lines += [f"  worse than the photo itself: {name} {gain:.1f} dB" for name, gain in figures["losses"].items()]
    unchanged = summary["unchanged"]
    lines.append(f"compositions: {_right(summary['compositions'])}")
    lines.append(f"nothing to change: {_number(unchanged['psnr'])} dB, autoencoder {_number(unchanged['psnr_vae'])} dB")
    weak = {name: f for name, f in summary["families"].items() if f["counted"] and f["retrieval_at_1"] < 0.8}
    lines += [f"  {name}: {_right(figures)}, else {figures['taken_for']}" for name, figures in weak.items()]
    return "\n".join(lines)


def _right(figures: dict[str, Any]) -> str:
    return f"right {_number(figures['retrieval_at_1'], '.1%')} of {figures['counted']}"


def _number(value: float | None, form: str = ".1f") -> str:
    return "-" if value is None else format(value, form)


def main() -> None:
    arguments = _arguments()
    gather(arguments.photo_folder)
    run = Run(
        arguments.checkpoint, arguments.photo_folder, arguments.clip, arguments.steps, arguments.wording, arguments.seed
    )
    families = arguments.families.split(",") if arguments.families else list(FAMILIES)
    unknown = set(families) - set(FAMILIES)
    if unknown:
        raise SystemExit(f"evaluate: no family is called {', '.join(sorted(unknown))}; they are {', '.join(FAMILIES)}")
    wanted = tasks(run.photos, arguments.photos, arguments.large, families)
    print(report(assess(run, wanted, arguments.processes, arguments.out)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev evaluate", description="Judge a checkpoint on held-out photos.")
    parser.add_argument("checkpoint", nargs="?", type=Path, default=Path("checkpoints/micro"), help="(%(default)s)")
    parser.add_argument("--photos", type=int, default=PHOTOS, help="at 256 px (%(default)s)")
    parser.add_argument("--large", type=int, default=LARGE, help="photos at 512 px and not square (%(default)s)")
    parser.add_argument("--families", help="some of them, parted by commas (all)")
    parser.add_argument("--wording", choices=("held-out", "training"), default="held-out")
    parser.add_argument("--steps", type=int, help="instead of the checkpoint's default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clip", type=Path, help="a folder with a CLIP model, to score with it too")
    parser.add_argument("--processes", type=int, default=2, help="of one thread each (%(default)s)")
    parser.add_argument("--photo-folder", type=Path, default=Path(".training/photos"), help="(%(default)s)")
    parser.add_argument("--out", type=Path, default=Path(".training/evaluation"), help="(%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
