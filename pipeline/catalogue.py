"""The models, their networks and their parameters.

Plain Python, so that the web tier can validate and describe models with the same definitions with which the worker runs
them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from jobs.cards import Card as Card
from jobs.parameters import LARGEST_SEED as LARGEST_SEED
from jobs.parameters import Kind as Kind
from jobs.parameters import Parameter as Parameter
from jobs.parameters import ParameterError as ParameterError
from jobs.parameters import Rule
from jobs.parameters import resolve as resolve_parameters

Source = Literal["library", "ours"]
SamplerId = Literal["ddim", "ddpm", "dpm++2m", "euler-ancestral"]
SAMPLER_NAMES: dict[SamplerId, str] = {"ddim": "DDIM", "ddpm": "DDPM", "euler-ancestral": "Euler ancestral"}

DEFAULT_MODEL = "pix2pix-full"

SQUARES = {"512x512": (512, 512), "256x256": (256, 256)}


PROMPT = Parameter("prompt", "text", "The instruction: what to change in the picture.", 1, 1000, required=True)
COMMON = (
    PROMPT,
    Parameter("negative_prompt", "text", "What the edited picture should not show.", 0, 1000, default=""),
    Parameter("steps", "integer", "Denoising steps. More steps take longer and add detail.", 2, 1000, default=100),
    Parameter(
        "temperature",
        "number",
        "How much noise the edit starts from: at 1 only noise (the picture still guides every step), "
        "at lower values more of the picture's own pixels stay.",
        0.1,
        1,
        default=1.0,
    ),
    Parameter("seed", "integer", "The same seed gives the same picture. Default: random.", 0, LARGEST_SEED),
    Parameter(
        "size",
        "choice",
        "The size that the model works at: `auto` keeps the photo's proportions, with about 512 x 512 pixels in "
        "area; `512x512` and `256x256` squeeze the photo into a square.",
        choices=("auto", *SQUARES),
        default="auto",
    ),
    Parameter(
        "resolution",
        "choice",
        "`own`: the result has the photo's own width and height; `model`: the result has the size that the model works "
        "at, which is the default if that is a square.",
        choices=("own", "model"),
        default="own",
    ),
    Parameter("strength", "number", "How much of the edit shows: 0 is the photo, 1 the edit.", 0, 1, default=1.0),
)
SAMPLER = Parameter("sampler", "choice", "The method of the steps.", choices=("ddim", "dpm++2m"), default="ddim")
EFFORT = Parameter(
    "effort",
    "choice",
    "`exact` computes every step in full. `fast`, from 10 steps on, computes only every third step in full (from 40 on "
    "every fifth) and reuses its slow parts in the other steps: the picture differs a little.",
    choices=("exact", "fast"),
    default="exact",
)
SQUARE_RESULT = Rule("size", tuple(SQUARES), "resolution", "model")  # a square size implies a square result
# At this scale the library turns image guidance off, as if the image scale were 1. Any other image scale has no effect.
NO_IMAGE_GUIDANCE = Rule("cfg_scale", (1,), "image_cfg_scale", 1.0, only=True)
THREE_WAY = (
    Parameter("cfg_scale", "number", "How strongly the edit follows the instruction.", 1, 14, default=7.5),
    Parameter("image_cfg_scale", "number", "How closely the edit keeps to the picture.", 1, 5, default=1.5),
)


@dataclass(frozen=True)
class Parts:
    """The implementation of each network of a model: the library's or ours."""

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

    @property
    def rules(self) -> tuple[Rule, ...]:
        """How the value of one parameter restricts another."""
        return (SQUARE_RESULT, NO_IMAGE_GUIDANCE) if self.made_of.is_library else (SQUARE_RESULT,)

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
    """The models by id. Models whose denoising loop is ours also have the parameter `effort`."""
    return {
        model.id: model if model.made_of.is_library else replace(model, parameters=(*model.parameters, EFFORT))
        for model in models
    }


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


def resolve(model_id: str, given: Mapping[str, Any], card: Card) -> dict[str, Any]:
    """All parameters of a model: the given ones, checked, and the checkpoint's defaults for the rest.

    A seed that is not given stays None, and the caller draws it.

    Raises:
        ParameterError: for the first unknown, missing or out-of-range parameter.
    """
    if model_id not in MODELS:
        raise ParameterError("model", f"must be one of {', '.join(MODELS)}")
    model = MODELS[model_id].with_defaults(card)
    return resolve_parameters(model_id, model.parameters, model.rules, given)
