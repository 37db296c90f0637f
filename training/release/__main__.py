"""Judge a checkpoint for a release, by photos and sentences that nothing else has seen. Once for each release:

.venv/bin/python -m training.release checkpoints/micro
"""

import argparse
import hashlib
import json
import multiprocessing
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from rich.progress import track

from training import photos as training_photos
from training.editor import Editor
from training.edits import FAMILIES
from training.metrics import psnr
from training.release import judging, photos, sentences

SMALL, LARGE = (256, 256), (512, 512)
AT_LARGE = 6  # photos that are asked at 512 px too
GRADED = 8  # photos that are asked in several strengths, and for less
CLOSE = 3.0  # dB that a photo may lose more than by an instruction to change nothing
NOTHING = 0.2  # of a family's way: less than this is nothing
Figures = dict[str, Any]


def work(checkpoint: Path, folder: Path, place: int, large: bool) -> Figures:
    """Everything that is asked of one photo."""
    editor, (name, photo) = _editor(checkpoint), photos.centered(folder, LARGE if large else SMALL)[place]
    figures: Figures = {
        "photo": name,
        "large": large,
        "place": place,
        "vae": psnr(editor.through_vae(photo), photo),
        "families": [_plain(answer) for answer in judging.ask_families(editor, photo, place)],
    }
    if not large:
        count = len(photos.listed())
        figures["compositions"] = [_plain(answer) for answer in judging.ask_compositions(editor, photo, place)]
        figures["beyond"] = judging.ask_beyond(editor, photo, place, count)
        if place < GRADED:
            figures["strengths"] = judging.ask_strengths(editor, photo, place)
            figures["less"] = judging.ask_for_less(editor, photo, place)
    return figures


def _plain(answer: judging.Answer) -> Figures:
    return {**asdict(answer), "harmful": answer.harmful}


@cache
def _editor(checkpoint: Path) -> Editor:
    return Editor.load(checkpoint)


def evaluate(checkpoint: Path, folder: Path, processes: int, out: Path, limit: int) -> list[Figures]:
    """Every photo, in processes of one thread each; what `out` has already is not done again."""
    os.environ["OMP_NUM_THREADS"] = "1"
    out.mkdir(parents=True, exist_ok=True)
    wanted = [(place, False) for place in range(min(limit, len(photos.listed())))]
    wanted += [(place, True) for place in range(min(limit, AT_LARGE))]
    files = {each: out / f"{each[0]:02}-{'512' if each[1] else '256'}.json" for each in wanted}
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        running = {
            pool.submit(work, checkpoint, folder, *each): file for each, file in files.items() if not file.exists()
        }
        for job in track(as_completed(running), "Photos", total=len(running)):
            running[job].write_text(json.dumps(job.result()), encoding="utf-8")
    return [json.loads(file.read_text(encoding="utf-8")) for file in files.values()]


def summarise(judged: list[Figures], checkpoint: Path) -> Figures:
    """The figures that a release is judged by."""
    small = [one for one in judged if not one["large"]]
    answers = [answer for one in small for answer in one["families"]]
    exact = [answer for answer in answers if answer["asked"] != "keep" and FAMILIES[answer["asked"]].exact]
    fair = [answer for answer in exact if answer["fair"]]
    beyond = [answer for one in small for answer in one["beyond"]]
    strengths = [reached for one in small for reached in one.get("strengths", {}).values()]
    return {
        "photos": len(small),
        "families": len({answer["asked"] for answer in fair}),
        "counted": len(fair),
        "right": _share(answer["nearest"] == answer["asked"] for answer in fair),
        "harmful": _share(answer["harmful"] for answer in fair),
        "by_family": {name: _of_family([a for a in fair if a["asked"] == name]) for name in FAMILIES},
        "by_seed": {
            seed: _share(
                a["nearest"] == a["asked"] for one in small if one["place"] % judging.SEEDS == seed for a in _fair(one)
            )
            for seed in range(judging.SEEDS)
        },
        "compositions": _share(a["nearest"] == a["asked"] for one in small for a in one["compositions"] if a["fair"]),
        "no_op_below_autoencoder": fmean(a["psnr_vae"] - a["psnr"] for a in answers if a["asked"] == "keep"),
        "flat_error": {side: _flat([one for one in judged if one["large"] == (side == 512)]) for side in (256, 512)},
        "autoencoder": {side: _vae([one for one in judged if one["large"] == (side == 512)]) for side in (256, 512)},
        "right_at_512": _right([one for one in judged if one["large"]]),
        "recognition": recognition(checkpoint),
        "beyond_left_alone": _share(one["below_no_op"] <= CLOSE for one in beyond),
        "beyond_flagged_and_left_alone": _share(one["flagged"] and one["below_no_op"] <= CLOSE for one in beyond),
        "strengths_in_order": _share(weak < usual < strong for weak, usual, strong in strengths),
        "less_is_never_more": _share(one["towards"] < NOTHING for photo in small for one in photo.get("less", ())),
    }


def recognition(checkpoint: Path) -> Figures:
    """Which sentences are flagged: those of the families, by mistake, and those beyond them."""
    editor = _editor(checkpoint)

    def flagged(several: dict[str, list[str]]) -> list[bool]:
        return [editor.checkpoint.nearest(sentence) is not None for said in several.values() for sentence in said]

    wrongly, rightly = flagged(sentences.of_families()), flagged(sentences.beyond())
    told = sum(wrongly) + sum(rightly)
    return {
        "flagged_of_those_it_can": sum(wrongly) / len(wrongly),
        "recall": sum(rightly) / len(rightly),
        "precision": sum(rightly) / told if told else None,
        "wrongly": [s for (s, bad) in zip(_all(sentences.of_families()), wrongly, strict=True) if bad],
        "missed": [s for (s, good) in zip(_all(sentences.beyond()), rightly, strict=True) if not good],
    }


def _all(several: dict[str, list[str]]) -> list[str]:
    return [sentence for said in several.values() for sentence in said]


def _fair(one: Figures) -> list[Figures]:
    return [a for a in one["families"] if a["fair"] and a["asked"] != "keep" and FAMILIES[a["asked"]].exact]


def _right(judged: list[Figures]) -> float | None:
    return _share(a["nearest"] == a["asked"] for one in judged for a in _fair(one))


def _of_family(answers: list[Figures]) -> Figures:
    taken = [a["nearest"] for a in answers if a["nearest"] != a["asked"]]
    return {
        "counted": len(answers),
        "right": _share(a["nearest"] == a["asked"] for a in answers),
        "harmful": _share(a["harmful"] for a in answers),
        "psnr": fmean(a["psnr"] for a in answers) if answers else None,
        "psnr_vae": fmean(a["psnr_vae"] for a in answers) if answers else None,
        "taken_for": {name: taken.count(name) for name in sorted(set(taken))},
    }


def _flat(judged: list[Figures]) -> float | None:
    errors = [a["flat"] for one in judged for a in one["families"] if a["flat"] is not None]
    return fmean(errors) if errors else None


def _vae(judged: list[Figures]) -> float | None:
    return fmean(one["vae"] for one in judged) if judged else None


def _share(values: Iterable[bool]) -> float | None:
    found = list(values)
    return sum(found) / len(found) if found else None


def digest(checkpoint: Path) -> str:
    """Changes with the checkpoint and with what judges it."""
    here = Path(__file__).parent
    files = [*sorted(checkpoint.rglob("*.*")), *sorted(here.glob("*.*")), here.parent / "edits.py"]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files if file.is_file())).hexdigest()[:12]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", nargs="?", type=Path, default=Path("checkpoints/micro"), help="(%(default)s)")
    parser.add_argument("--photos", type=int, default=1000, help="only so many, to try the command (all)")
    parser.add_argument("--processes", type=int, default=2, help="of one thread each (%(default)s)")
    parser.add_argument("--photo-folder", type=Path, default=Path(".training/photos"), help="of training (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path(".training/release"), help="(%(default)s)")
    arguments = parser.parse_args()
    training_photos.gather(arguments.photo_folder)
    photos.gather(arguments.out / "photos", arguments.photo_folder)
    kept = arguments.out / digest(arguments.checkpoint)
    judged = evaluate(arguments.checkpoint, arguments.out / "photos", arguments.processes, kept, arguments.photos)
    summary = summarise(judged, arguments.checkpoint)
    (arguments.out / "release.json").write_text(json.dumps(summary, indent=1), encoding="utf-8")
    print(json.dumps({name: value for name, value in summary.items() if name != "by_family"}, indent=1))


if __name__ == "__main__":
    main()
