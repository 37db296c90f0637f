"""What people say when they want each edit: sentences to train on, and others that are never trained on.

Training sentences set a family's words (`wordings.toml`) into shared patterns, some hundreds a family, and `sample`
varies one as people do: another name for the photo, words left out or put in, "please", capitals, slips of the finger.
Held-out sentences are kept out whole, whatever the photo is called and however politely they ask: where "make this
picture warmer" is held out, "please make it warmer" is not trained on.
"""

import re
import tomllib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from training.edits import TINTS

PATTERNS: dict[str, Sequence[str]] = {
    "adjectives": (
        *("make it {}", "turn it {}", "can you make it {}", "make it look {}", "i want it {}", "{}", "it should be {}"),
        *(
            "get it {}",
            "have it look {}",
            "a {} version of it",
            "give me a {} version",
            "it needs to be {}",
            "{} version",
        ),
        *(
            "change it to look {}",
            "i would like it {}",
            "make everything {}",
            "make the whole thing {}",
            "i need it {}",
        ),
    ),
    "things": (
        *(
            "turn it into {}",
            "make it {}",
            "make it look like {}",
            "convert it to {}",
            "change it to {}",
            "{}",
            "as {}",
        ),
        *("transform it into {}", "i want {}", "it should look like {}", "give me {}", "change it into {}"),
        *("make {} out of it", "have it look like {}", "render it as {}", "let it look like {}", "make it resemble {}"),
        *("i want it as {}", "make it appear like {}", "show it as {}"),
    ),
    "effects": (
        *("add {}", "apply {}", "give it {}", "put {} on it", "use {}", "with {}", "add {} to it", "apply {} to it"),
        *(
            "i want {} on it",
            "it needs {}",
            "can you add {}",
            "i would like {}",
            "edit it with {}",
            "it should have {}",
        ),
        *("put {} over it", "use {} on it", "can it have {}"),
    ),
    "commands": ("{}", "please {}", "can you {}", "{} for me", "could you {}", "i want you to {}", "just {}", "now {}"),
    "remarks": ("{}",),
}
PHOTO = (
    *("the photo", "the picture", "the image", "this photo", "this picture", "this image", "my photo", "my picture"),
    *(
        "my image",
        "this",
        "the photograph",
        "this pic",
        "everything",
        "the whole picture",
        "the entire image",
        "the scene",
    ),
)
CHATTER = "all just some now so kind nice thing things then maybe".split()
ASIDES = (
    "in the photo",
    "in this picture",
    "of the image",
    "here",
    "overall",
    "if you can",
    "right now",
)
FILLERS = frozenset("the a an it this my please make to of can you i want me look some".split())
# The order of the words matters in a sentence with one of these, and so does each of them.
TURNING = frozenset("not no less more only but except than without don't remove reduce lower from into".split())
TURNING |= frozenset("increase decrease raise too light dark".split())
JOINTS = (" and ", " and then ", ", then ", ", ", " and also ", " then ", " plus ", ", and ")
PAIRINGS = (" and ", " and ", " and ", ", ", " and also ", " as well as ", ", and also ", " but also ")  # of adjectives

#: How a strength is said: before an adjective, before an effect without its article, after and before a command.
STRENGTHS: dict[str, dict[str, Sequence[str]]] = {
    "weak": {
        "adjectives": (
            *("slightly", "a bit", "a little", "somewhat", "a tiny bit", "a touch", "subtly", "mildly", "a little bit"),
            *("slightly", "just a bit", "gently", "only slightly", "just slightly", "a tad"),
        ),
        "effects": (
            *(
                "a slight",
                "a subtle",
                "a light",
                "a faint",
                "a little",
                "a hint of",
                "a touch of",
                "a bit of",
                "slight",
            ),
            *("just a little", "a gentle", "a mild", "a weak"),
        ),
        "commands": (
            *("slightly", "a bit", "a little", "somewhat", "a tiny bit", "a touch", "gently", "subtly", "a little bit"),
            *("just a little", "very slightly", "slightly", "a tad", "only a bit"),
        ),
    },
    "strong": {
        "adjectives": (
            *("very", "much", "really", "extremely", "super", "incredibly", "a lot", "way", "heavily", "strongly"),
            *("very very", "so much", "far", "extremely", "insanely", "really really", "intensely"),
        ),
        "effects": (
            *(
                "a strong",
                "a lot of",
                "an extreme",
                "a heavy",
                "very strong",
                "intense",
                "a massive",
                "lots of",
                "much",
            ),
            *("a very strong", "extreme", "an intense"),
        ),
        "commands": (
            *(
                "a lot",
                "strongly",
                "heavily",
                "extremely",
                "very much",
                "as much as possible",
                "to the max",
                "massively",
            ),
            *("drastically", "dramatically", "really strongly", "extremely", "a whole lot", "by a lot", "quite a lot"),
        ),
    },
}
OPPOSITES = {
    "darker": "brighter",
    "brighter": "darker",
    "warmer": "cooler",
    "cooler": "warmer",
    "more_contrast": "less_contrast",
    "less_contrast": "more_contrast",
    "vivid": "faded",
    "faded": "vivid",
    "sharpen": "blur",
    "blur": "sharpen",
    "denoise": "grain",
}
#: Families whose effect cannot be taken out of a photo that has it.
INDELIBLE = (
    *(
        "fog",
        "snow",
        "vignette",
        "frame",
        "glow",
        "sepia",
        "vintage",
        "rain",
        "mist",
        "light_leak",
        "sandstorm",
        "night",
    ),
    *("white_border", "polaroid", "sunset", "autumn", "cartoon", "hdr", "golden", "moody", "cyberpunk", "noir", "xray"),
    *("infrared", "neon", "sketch", "oil", "watercolour", "emboss", "stencil", "duotone", "cyanotype", "cross_process"),
    *("teal_orange", "cinematic", "pixelate", "posterize", "high_key", "low_key"),
)
ENDED = {
    "effects": (
        *("remove {}", "no {}", "without {}", "less {}", "take away {}", "get rid of {}", "i want no {}", "reduce {}"),
        *("not so much {}", "delete {}", "it has too much {}", "take {} out"),
    ),
    "adjectives": ("less {}", "make it less {}", "not {}", "it should be less {}", "make it look less {}", "not so {}"),
}
REFUSED = {
    "commands": ("don't {}", "do not {}", "please don't {}", "never {}", "you must not {}", "i don't want you to {}"),
    "adjectives": ("don't make it {}", "do not make it {}", "don't make it look {}", "it should not be {}"),
    "effects": ("don't add {}", "do not add {}", "don't put {} on it", "please don't use {}", "i don't want {}"),
}

Random = np.random.Generator


@cache
def training_wordings(family: str) -> list[str]:
    """The sentences that `sample` varies, 30 at least; none that is held out."""
    held_out = {_canonical(sentence) for sentence in held_out_wordings(family)}
    made = [_set(words, pattern) for kind, words in _words(family) for pattern in PATTERNS[kind]]
    return [sentence for sentence in dict.fromkeys(made) if _canonical(sentence) not in held_out]


@cache
def held_out_wordings(family: str) -> list[str]:
    """Sentences that are never trained on, 3 at least."""
    return _vocabulary()[family]["held_out"]


def sample(family: str, rng: Random) -> str:
    """A training sentence as somebody might type it."""
    return _not_held_out(held_out_wordings(family), lambda: _varied(_one(training_wordings(family), rng), rng))


def sample_graded(family: str, strength: str, rng: Random) -> str:
    """A training sentence that asks for an edit "weak"ly or "strong"ly."""
    how = STRENGTHS[strength]
    words = [each for each in _words(family) if each[0] in how]
    kind, word = words[int(rng.integers(len(words)))]
    degree = _one(how[kind], rng)
    if kind == "commands":
        sentence = f"{degree} {word}" if rng.random() < 0.2 and " " not in degree else f"{word} {degree}"
    else:
        sentence = f"{degree} {_bare(word) if kind == 'effects' else word}"
    return _varied(_set(_articles(sentence), _one(PATTERNS[kind], rng)), rng)


def sample_opposite(family: str, rng: Random) -> str:
    """A training sentence that asks for less of what the opposite family would bring."""
    plain = [
        word for word in _vocabulary()[OPPOSITES[family]]["adjectives"] if not re.search("er$|^more|^less|^with", word)
    ]
    if family == "denoise":
        return _varied(_one(("less {}", "make it less {}", "it should be less {}"), rng).format(_one(plain, rng)), rng)
    return _varied(_one(ENDED["adjectives"], rng).format(_one(plain, rng)), rng)


def sample_refusal(rng: Random) -> str:
    """A training sentence that says what is not to be done: "don't blur it"."""
    kind = _one(tuple(REFUSED), rng)
    families = [name for name in _vocabulary() if name != "keep"]
    words = [word for name, word in _words(_one(families, rng)) if name == kind]
    return _varied(_set(_one(words, rng), _one(REFUSED[kind], rng)), rng)


def sample_ending(rng: Random) -> str:
    """A training sentence that wants an effect gone that cannot be taken out: "remove the fog"."""
    kind = _one(tuple(ENDED), rng)
    words = [word for name, word in _words(_one(INDELIBLE, rng)) if name == kind]
    word = _one(words, rng)
    if kind == "effects":
        word = _bare(word) if rng.random() < 0.5 else f"the {_bare(word)}"
    return _varied(_one(ENDED[kind], rng).format(word), rng)


def varied(sentence: str, rng: Random) -> str:
    """Any sentence as somebody might type it."""
    return _varied(sentence, rng)


def sample_composition(names: Sequence[str], rng: Random) -> str:
    """A sentence that asks for several edits, as somebody might type it."""
    return _not_held_out(held_out_composition(names), lambda: _varied(_joined(names, rng), rng))


def held_out_composition(names: Sequence[str]) -> list[str]:
    """Sentences that ask for these edits together and are never trained on."""
    words = [described([name]) for name in names]
    return [
        f"make this photo look {', and also '.join(words)}",
        f"the picture should be {' as well as '.join(words)}",
    ]


def described(names: Sequence[str]) -> str:
    """In few words what the picture is to be: "sepia and blurry"."""
    return " and ".join(_vocabulary()[name]["adjectives"][0] for name in names)


# --- the words -------------------------------------------------------------------------------------------------------


@cache
def _vocabulary() -> dict[str, dict[str, list[str]]]:
    """Per family its adjectives, things, effects, commands, remarks and held-out sentences."""
    tables = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    tint, keep_only = tables.pop("tint"), tables.pop("keep_only")
    vocabulary = {family: {kind: _choices(text) for kind, text in table.items()} for family, table in tables.items()}
    for name in TINTS:
        vocabulary[name] = _named(tint, name)
        vocabulary[name]["adjectives"] += _choices(tint[name]["adjectives"])
    for name in ("red", "green", "blue"):
        vocabulary[f"keep_{name}s"] = _named(keep_only, name)
    return vocabulary


def _choices(text: str) -> list[str]:
    return [" ".join(choice.split()) for choice in text.split("|")]


def _named(table: dict[str, str], name: str) -> dict[str, list[str]]:
    kinds = {kind: _choices(text.format(name=name)) for kind, text in table.items() if isinstance(text, str)}
    return {kind: [_articles(choice) for choice in choices] for kind, choices in kinds.items()}


def _words(family: str) -> list[tuple[str, str]]:
    return [(kind, word) for kind, words in _vocabulary()[family].items() if kind in PATTERNS for word in words]


def _set(words: str, pattern: str) -> str:
    """Words in their sentence: "a dark version", but "a version at night"."""
    if re.match("(with|like|as|at|in|just) ", words):
        pattern = pattern.replace("{} version", "version {}")
    return _articles(pattern.format(words))


def _bare(effect: str) -> str:
    """An effect without its article."""
    return re.sub("^(a|an|the|some|more) ", "", effect)


def _articles(text: str) -> str:
    return re.sub(r"\ba (?=[aeio])", "an ", text)


def _joined(names: Sequence[str], rng: Random) -> str:
    """Adjectives in one sentence ("make it sepia and blurry"), or a sentence for each."""
    if rng.random() < 0.6:
        adjectives = [_one(_vocabulary()[name]["adjectives"], rng) for name in names]
        return _set(_one(PAIRINGS, rng).join(adjectives), _one(PATTERNS["adjectives"], rng))
    sentences = [_one(training_wordings(name), rng) for name in names]
    return ("first " if rng.random() < 0.1 else "") + _one(JOINTS, rng).join(sentences)


# --- how people type -------------------------------------------------------------------------------------------------


def _one(choices: Sequence[str], rng: Random) -> str:
    return choices[int(rng.integers(len(choices)))]


def _varied(sentence: str, rng: Random) -> str:
    if rng.random() < 0.65:
        sentence = re.sub(r"\bit\b", _one(PHOTO, rng), sentence, count=1)
    words = sentence.split()
    if rng.random() < 0.15:
        words = _with_one_less(words, rng)
    if rng.random() < 0.07:
        words.insert(int(rng.integers(len(words) + 1)), _one(CHATTER, rng))
    if rng.random() < 0.06:
        words.append(_one(ASIDES, rng))
    if rng.random() < 0.04 and not TURNING & set(words):
        rng.shuffle(words)
    sentence = _polite(" ".join(words), rng)
    if rng.random() < 0.05:
        sentence = _mistyped(sentence, rng)
    return _punctuated(sentence, rng)


def _with_one_less(words: list[str], rng: Random) -> list[str]:
    places = [place for place, word in enumerate(words) if word in FILLERS]
    if len(words) < 3 or not places:
        return words
    gone = places[int(rng.integers(len(places)))]
    return words[:gone] + words[gone + 1 :]


def _polite(sentence: str, rng: Random) -> str:
    chance = rng.random()
    if "please" in sentence or chance > 0.16:
        return sentence
    return f"please {sentence}" if chance < 0.08 else f"{sentence}{_one((' please', ', please', ' thanks'), rng)}"


def _mistyped(sentence: str, rng: Random) -> str:
    """Two neighboring letters swapped, or one left out."""
    place = int(rng.integers(1, max(2, len(sentence) - 1)))
    before, pair, after = sentence[:place], sentence[place : place + 2], sentence[place + 2 :]
    return before + (pair[::-1] if rng.random() < 0.5 else pair[1:]) + after


def _punctuated(sentence: str, rng: Random) -> str:
    chance = rng.random()
    if chance < 0.4:
        sentence = sentence[:1].upper() + sentence[1:]
    elif chance < 0.42:
        sentence = sentence.upper()
    return sentence + _one(("", "", "", "", "", ".", ".", ".", "!"), rng)


# --- what counts as the same -----------------------------------------------------------------------------------------


def _canonical(sentence: str) -> str:
    """A sentence without its case, punctuation and politeness, with the photo called "it"."""
    text = re.sub(r"[^a-z0-9& ]+", "", sentence.lower())
    text = re.sub(r"\b(the|this|my) (whole |entire )?(photo|photograph|picture|pic|image|scene)\b|\bthis\b", "it", text)
    return " ".join(re.sub(r"\b(please|thanks|can you|could you|for me|just|now)\b", "", text).split())


def _not_held_out(held_out: Sequence[str], draw: Callable[[], str]) -> str:
    kept_out = {_canonical(sentence) for sentence in held_out}
    while _canonical(sentence := draw()) in kept_out:
        pass
    return sentence
