"""How a checkpoint does on one photo that it has not seen: what is asked of it, and the figures that come of it."""

import re
from dataclasses import dataclass

import cv2
import numpy as np

from training.editor import Editor
from training.edits import COMPOSABLE, FAMILIES, SPOILED, Picture, compose
from training.metrics import psnr
from training.release import sentences

FAIR = 2.0  # dB between the autoencoder's error and the nearest other picture
SEEDS = 5
COMPOSITIONS = 4  # per photo
FLAT = ("keep", "sepia", "night", "fog", "sunset", "warmer", "vivid", "blue")  # families whose flat areas are looked at
FLATTEST = 0.25  # share of the pixels that count as flat
MOTTLE = 8.0  # px; what varies more slowly is no mottle but a cast
WEAK = re.compile(r"\b(slightly|a bit|a little|somewhat|a touch|subtly|gently)\b")
STRONG = re.compile(r"\b(extremely|very|much|a lot|really)\b")


@dataclass(frozen=True)
class Answer:
    """One edit: what was asked, which of all that could have been asked is nearest, and distances in dB."""

    asked: str
    sentence: str
    nearest: str
    fair: bool
    psnr: float
    psnr_input: float
    psnr_vae: float
    flat: float | None  # error in flat areas, of 255
    flagged: bool

    @property
    def harmful(self) -> bool:
        """Whether it looks most like something that was not asked for."""
        return self.nearest not in (self.asked, "keep")


def strength_of(sentence: str) -> str:
    """How strongly a sentence asks: "weak", "strong" or, without a word for it, ""."""
    return "weak" if WEAK.search(sentence) else "strong" if STRONG.search(sentence) else ""


def ask_families(editor: Editor, photo: Picture, place: int) -> list[Answer]:
    """Each family in one of its sentences; a family that repairs is given a spoiled photo."""
    asked = {name: said[place % len(said)] for name, said in sentences.of_families().items()}
    plain = [name for name in asked if name not in SPOILED]
    edited = dict(zip(plain, editor.edit(photo, [asked[name] for name in plain], None, place % SEEDS), strict=True))
    candidates = {name: family.apply(photo) for name, family in FAMILIES.items()}
    answers = []
    for name, sentence in asked.items():
        target = FAMILIES[name].at(strength_of(sentence), photo)
        if name in SPOILED:
            spoiled = SPOILED[name](photo, np.random.default_rng(place))
            [made] = editor.edit(spoiled, [sentence], None, place % SEEDS)
            others = {other: family.apply(spoiled) for other, family in FAMILIES.items() if other != name}
            answers.append(judge(editor, name, sentence, made, {**others, name: target}))
        else:
            answers.append(judge(editor, name, sentence, edited[name], {**candidates, name: target}))
    return answers


def ask_compositions(editor: Editor, photo: Picture, place: int) -> list[Answer]:
    """Some of the sentences that ask for two families."""
    known = list(sentences.of_compositions().items())
    chosen = [known[(place * COMPOSITIONS + i) % len(known)] for i in range(COMPOSITIONS)]
    asked = {"+".join(names): said[place % len(said)] for names, said in chosen}
    edited = editor.edit(photo, list(asked.values()), None, place % SEEDS)
    pairs = [*COMPOSABLE, *(names for names, _ in chosen)]
    candidates = {name: family.apply(photo) for name, family in FAMILIES.items()}
    candidates |= {"+".join(pair): compose(pair)(photo) for pair in pairs}
    return [
        judge(editor, name, sentence, made, candidates)
        for (name, sentence), made in zip(asked.items(), edited, strict=True)
    ]


def judge(editor: Editor, name: str, sentence: str, made: Picture, candidates: dict[str, Picture]) -> Answer:
    """An edit beside all that could have been asked for; `keep` is the photo."""
    target = candidates[name]
    ceiling = psnr(editor.through_vae(target), target)
    others = max((psnr(target, picture) for other, picture in candidates.items() if other != name), default=0.0)
    return Answer(
        asked=name,
        sentence=sentence,
        nearest=min(candidates, key=lambda other: float(np.mean(np.square(candidates[other] - made)))),
        fair=others <= ceiling - FAIR,
        psnr=psnr(made, target),
        psnr_input=psnr(candidates["keep"], target),
        psnr_vae=ceiling,
        flat=flat_error(made, target) if name in FLAT else None,
        flagged=editor.checkpoint.nearest(sentence) is not None,
    )


def flat_error(made: Picture, target: Picture) -> float:
    """The mean high-pass error, of 255, in the quarter of the pixels around which the target varies least."""
    luma = cv2.cvtColor(target, cv2.COLOR_RGB2GRAY)
    mean = cv2.GaussianBlur(luma, (0, 0), 3.0)
    variance = cv2.GaussianBlur(luma * luma, (0, 0), 3.0) - mean * mean
    error = made - target
    fine = np.abs(error - cv2.GaussianBlur(error, (0, 0), MOTTLE)).mean(axis=2)
    return float(255 * fine[variance <= np.quantile(variance, FLATTEST)].mean())


def ask_beyond(editor: Editor, photo: Picture, place: int, count: int) -> list[dict[str, object]]:
    """Every `count`-th sentence that no family can follow, from `place` on: flagged, and how far from the photo."""
    said = [sentence for several in sentences.beyond().values() for sentence in several][place::count]
    kept, *made = editor.edit(photo, ["keep it as it is", *said], None, place % SEEDS)
    return [
        {
            "sentence": sentence,
            "flagged": editor.checkpoint.nearest(sentence) is not None,
            "below_no_op": psnr(kept, photo) - psnr(one, photo),
        }
        for sentence, one in zip(said, made, strict=True)
    ]


def ask_strengths(editor: Editor, photo: Picture, place: int) -> dict[str, list[float]]:
    """By family how far each strength goes: 1 is the family's target, 0 the photo."""
    asked = sentences.of_strengths()
    said = [sentence for several in asked.values() for sentence in several]
    made = iter(editor.edit(photo, said, None, place % SEEDS))
    return {name: [towards(next(made), photo, name) for _ in several] for name, several in asked.items()}


def ask_for_less(editor: Editor, photo: Picture, place: int) -> list[dict[str, object]]:
    """Each sentence that says what must not happen, and how far it happened."""
    asked = [(name, sentence) for name, several in sentences.of_less().items() for sentence in several]
    made = editor.edit(photo, [sentence for _, sentence in asked], None, place % SEEDS)
    return [
        {"family": name, "sentence": sentence, "towards": towards(one, photo, name)}
        for (name, sentence), one in zip(asked, made, strict=True)
    ]


def towards(made: Picture, photo: Picture, family: str) -> float:
    """How far an edit goes from the photo towards a family's target, which is at 1."""
    way = FAMILIES[family].apply(photo) - photo
    return float(np.vdot(made - photo, way) / max(float(np.vdot(way, way)), 1e-6))
