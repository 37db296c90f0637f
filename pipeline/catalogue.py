"""The models, what each is made of, and the parameters that it has.

Plain Python: the web tier validates and describes models with it, the worker runs them, and neither repeats it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from jobs.parameters import Kind as Kind
from jobs.parameters import Parameter as Parameter
from jobs.parameters import ParameterError as ParameterError

Source = Literal["library", "ours"]
SamplerId = Literal["ddim", "ddpm", "dpm++2m", "euler-ancestral"]
SAMPLER_NAMES: dict[SamplerId, str] = {"ddim": "DDIM", "ddpm": "DDPM", "euler-ancestral": "Euler ancestral"}

LARGEST_SEED = 2**53 - 1  #: the largest number that every reader of JSON has exactly
DEFAULT_MODEL = "pix2pix-full"

SQUARES = {"512x512": (512, 512), "256x256": (256, 256)}


PROMPT = Parameter("prompt", "text", "The instruction: what to change in the picture.", 1, 1000, required=True)
COMMON = (
    PROMPT,
    Parameter("negative_prompt", "text", "What the edited picture should stay away from.", 0, 1000, default=""),
    Parameter("steps", "integer", "Denoising steps: more take longer and add detail.", 2, 1000, default=100),
    Parameter(
        "temperature",
        "number",
        "How much noise the edit starts from: at 1 noise alone (the picture still guides every step), "
        "lower keeps more of the picture's own pixels.",
        0.1,
        1,
        default=1.0,
    ),
    Parameter("seed", "integer", "The same seed gives the same picture; drawn when absent.", 0, LARGEST_SEED),
    Parameter(
        "size",
        "choice",
        "What the model works at: `auto` has the photo's proportions and about 512 x 512 pixels in area; `512x512` and "
        "`256x256` square the picture.",
        choices=("auto", *SQUARES),
        default="auto",
    ),
    Parameter(
        "resolution",
        "choice",
        "`own`: the edit is carried to the photo's own width and height; `model`: what the model made, in the size it "
        "works at, which is the default where that is a square.",
        choices=("own", "model"),
        default="own",
    ),
    Parameter("strength", "number", "How much of the edit is laid over the photo: 0 is the photo.", 0, 1, default=1.0),
)
SAMPLER = Parameter("sampler", "choice", "How the steps are taken.", choices=("ddim", "dpm++2m"), default="ddim")
THREE_WAY = (
    Parameter("cfg_scale", "number", "How strongly the instruction is followed.", 1, 14, default=7.5),
    Parameter("image_cfg_scale", "number", "How closely the picture is kept.", 1, 5, default=1.5),
)


@dataclass(frozen=True)
class Parts:
    """Whose implementation each network of a model is."""

    text_encoder: Source
    vae: Source
    unet: Source

    @property
    def is_library(self) -> bool:
        """Whether the library's own pipeline runs the model."""
        return {self.text_encoder, self.vae, self.unet} == {"library"}


@dataclass(frozen=True)
class Model:
    """One of the models: its parts, sampler, guidance and parameters."""

    id: str
    summary: str
    made_of: Parts
    sampler: SamplerId
    guidance: Literal["three-way", "text"]
    parameters: tuple[Parameter, ...] = field(repr=False)

    def with_defaults(self, card: "Card") -> "Model":
        """This model with the defaults that a checkpoint gives it."""
        given = card.defaults.get(self.id, {})
        return replace(
            self, parameters=tuple(replace(p, default=given.get(p.name, p.default)) for p in self.parameters)
        )


def _with_steps(steps: int) -> tuple[Parameter, ...]:
    """The common parameters with another default number of steps."""
    return tuple(replace(p, default=steps) if p.name == "steps" else p for p in COMMON)


def _catalogue(models: Iterable[Model]) -> dict[str, Model]:
    return {model.id: model for model in models}


MODELS = _catalogue(
    [
        Model(
            "pix2pix-base",
            "The reference: diffusers' own InstructPix2Pix pipeline.",
            Parts("library", "library", "library"),
            "euler-ancestral",
            "three-way",
            COMMON + THREE_WAY,
        ),
        Model(
            "pix2pix-full",
            "All networks written from scratch, sampled by DDIM or DPM-Solver++.",
            Parts("ours", "ours", "ours"),
            "ddim",
            "three-way",
            (*_with_steps(50), *THREE_WAY, SAMPLER),
        ),
        Model(
            "pix2pix-full-no-ddim",
            "All networks written from scratch, sampled by DDPM.",
            Parts("ours", "ours", "ours"),
            "ddpm",
            "three-way",
            COMMON + THREE_WAY,
        ),
        Model(
            "pix2pix-full-no-cfg-no-ddim",
            "All networks written from scratch, sampled by DDPM, guided by text alone.",
            Parts("ours", "ours", "ours"),
            "ddpm",
            "text",
            COMMON,
        ),
        Model(
            "pix2pix-1",
            "Our UNet between the library's text encoder and VAE, guided by text alone.",
            Parts("library", "library", "ours"),
            "ddpm",
            "text",
            COMMON,
        ),
        Model(
            "pix2pix-2",
            "Our UNet and VAE behind the library's text encoder, guided by text alone.",
            Parts("library", "ours", "ours"),
            "ddpm",
            "text",
            COMMON,
        ),
    ]
)


@dataclass(frozen=True)
class Card:
    """What a checkpoint says of itself in its `darkroom.json`: name, revision, defaults for each model."""

    name: str = "unnamed"
    revision: str = ""
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    text_scale: float = 7.5  #: how strongly models with text guidance alone follow the instruction
    instructions: Sequence[str] = ()  #: examples of what it follows well

    @classmethod
    def from_record(cls, card: Mapping[str, Any]) -> "Card":
        """The card as any version of a worker reports it: absent fields get defaults, unknown ones are ignored."""
        kinds: dict[str, type | tuple[type, ...]] = {"name": str, "revision": str, "defaults": dict}
        kinds |= {"text_scale": (int, float), "instructions": (list, tuple)}
        return cls(**{name: card[name] for name, kind in kinds.items() if isinstance(card.get(name), kind)})

    @classmethod
    def read(cls, folder: Path) -> "Card":
        """The card of a checkpoint folder; one without, or a single file, gets its own name and the common defaults."""
        try:
            card = json.loads((folder / "darkroom.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return cls(name=folder.name)
        return cls(
            card["name"],
            card.get("revision", ""),
            card.get("defaults", {}),
            card.get("text_scale", 7.5),
            tuple(card.get("instructions", ())),
        )


def resolve(model_id: str, given: Mapping[str, Any], card: Card) -> dict[str, Any]:
    """All parameters of a model: those given, checked, and the defaults of the checkpoint for the rest.

    A seed that is not given stays None: whoever asks draws it.

    Raises:
        ParameterError: for the first unknown, missing or out-of-range parameter.
    """
    if model_id not in MODELS:
        raise ParameterError("model", f"must be one of {', '.join(MODELS)}")
    model = MODELS[model_id].with_defaults(card)
    known = {parameter.name for parameter in model.parameters}
    for name in given:
        if name not in known:
            raise ParameterError(name, f"is not a parameter of {model_id}, which has {', '.join(sorted(known))}")
    resolved: dict[str, Any] = {}
    for parameter in model.parameters:
        value = given.get(parameter.name)
        if value is None and parameter.required:
            raise ParameterError(parameter.name, "is required")
        resolved[parameter.name] = parameter.default if value is None else parameter.check(value)
    if given.get("resolution") is None and resolved["size"] != "auto":
        resolved["resolution"] = "model"  # a square size asks for a square result
    if model.made_of.is_library and resolved["cfg_scale"] == 1:
        # The library turns image guidance off at this scale, as if the image scale were 1; any other has no effect.
        if given.get("image_cfg_scale") is not None and resolved["image_cfg_scale"] != 1:
            detail = f"must be 1 in {model_id} when cfg_scale is 1: it has no effect there"
            raise ParameterError("image_cfg_scale", detail)
        resolved["image_cfg_scale"] = 1.0
    return resolved
