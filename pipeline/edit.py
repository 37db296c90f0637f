"""The public face: load a checkpoint once, then edit photos by instruction.

pipe = Pipeline.load("checkpoints/micro")
pipe.edit(Image.open("garden.jpg"), "make it look like winter", seed=7).save("winter.png")
"""

import dataclasses
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from pipeline.catalogue import DEFAULT_MODEL, MODELS, Card, ParameterError, resolve
from pipeline.errors import PipelineError
from pipeline.pictures import as_rgb, fit
from pipeline.previews import PreviewMap, colour_fields

if TYPE_CHECKING:
    from pipeline.library import Library

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
DTYPES |= {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Progress:
    """How far an edit has come: `step` of `steps` are finished."""

    step: int
    steps: int
    _picture: Callable[[], Image.Image] = field(repr=False, compare=False)

    def preview(self) -> Image.Image:
        """The edited picture as predicted at this step, small: one pixel for each latent pixel. Made when asked for."""
        return self._picture()


OnStep = Callable[[Progress], None]


@dataclass(frozen=True)
class Pipeline:
    """One checkpoint as one of the catalogue's models. Threads may edit on it at the same time."""

    checkpoint: str
    model: str
    card: Card
    previews: PreviewMap = field(repr=False)
    library: "Library" = field(repr=False)

    @classmethod
    def load(
        cls, checkpoint: str | Path, model: str = DEFAULT_MODEL, dtype: str | torch.dtype | None = None
    ) -> "Pipeline":
        """Load a checkpoint folder in diffusers' layout, or download one by its hub id (`owner/name[@revision]`).

        Computes in fp32 unless another dtype is given, whatever the files hold; on the GPU where there is one.

        Raises:
            PipelineError: no such checkpoint, model or dtype.
        """
        if model not in MODELS:
            raise PipelineError(f"must be one of {', '.join(MODELS)}", field="model")
        folder = find_checkpoint(str(checkpoint))
        _quiet_libraries()
        from pipeline.library import Library  # diffusers takes seconds to import, and prints while it does

        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        library = Library.load(folder, _dtype(dtype), device)
        previews = PreviewMap.read(folder) or PreviewMap.fit(library.encode, colour_fields())
        card = Card.read(folder)
        if folder != Path(checkpoint) and not (folder / "darkroom.json").exists():
            card = dataclasses.replace(card, name=str(checkpoint), revision=folder.name)
        return cls(str(checkpoint), model, card, previews, library)

    def edit(
        self,
        photo: Image.Image,
        prompt: str,
        *,
        negative_prompt: str | None = None,
        steps: int | None = None,
        cfg_scale: float | None = None,
        image_cfg_scale: float | None = None,
        temperature: float | None = None,
        seed: int | None = None,
        size: str | None = None,
        on_step: OnStep | None = None,
    ) -> Image.Image:
        """Edit a photo of any mode by an instruction; what is not given has the checkpoint's default.

        `on_step` is called after each denoising step; an exception that it raises ends the edit and reaches the caller.
        Without a seed each call draws another.

        Raises:
            PipelineError: a parameter out of its range, named by `field`.
        """
        params = self._resolve(
            prompt=prompt,
            negative_prompt=negative_prompt,
            steps=steps,
            cfg_scale=cfg_scale,
            image_cfg_scale=image_cfg_scale,
            temperature=temperature,
            seed=seed,
            size=size,
        )
        picture = fit(as_rgb(photo), params["size"])

        def report(step: int, predicted: Tensor) -> None:
            if on_step is not None:
                on_step(Progress(step, params["steps"], lambda: self.previews.picture(predicted)))

        return self.library.edit(picture, params, report)

    def receipt(self) -> dict[str, str]:
        """What an edit was computed with, enough to repeat it beside its parameters."""
        return {
            "checkpoint": self.card.name,
            "revision": self.card.revision,
            "dtype": str(self.library.dtype).removeprefix("torch."),
            "torch": torch.__version__,
            "device": _device_name(self.library.device),
        }

    def _resolve(self, **given: Any) -> dict[str, Any]:
        try:
            params = resolve(self.model, {name: value for name, value in given.items() if value is not None}, self.card)
        except ParameterError as error:
            raise PipelineError(error.detail, field=error.field) from error
        if params["seed"] is None:
            params["seed"] = secrets.randbelow(2**63)
        return params


def find_checkpoint(checkpoint: str) -> Path:
    """The folder of a checkpoint: itself if it is one, else downloaded from the hub (or found in its cache).

    Raises:
        PipelineError: neither a folder nor a hub id that can be fetched.
    """
    folder = Path(checkpoint)
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    name, _, revision = checkpoint.partition("@")
    patterns = ["*.json", "*.txt", "*/*.json", "*/*.txt", "*/*.safetensors"]
    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=patterns))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        detail = f"{checkpoint} is not a folder here and could not be fetched from the hub ({error})"
        raise PipelineError(detail, field="checkpoint") from error


def _quiet_libraries() -> None:
    """Keep the libraries' loading bars and hints off the terminal; their errors are still raised."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for logging in (diffusers_logging, transformers_logging):
        logging.set_verbosity_error()
        logging.disable_progress_bar()


def _dtype(name: str | torch.dtype | None) -> torch.dtype:
    if isinstance(name, torch.dtype):
        return name
    if (name or "float32") not in DTYPES:
        raise PipelineError(f"must be one of {', '.join(DTYPES)}", field="dtype")
    return DTYPES[name or "float32"]


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
