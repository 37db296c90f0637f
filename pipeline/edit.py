"""The pipeline's interface: load a checkpoint once, then edit photos by instruction.

pipe = Pipeline.load("checkpoints/micro")
pipe.edit(Image.open("garden.jpg"), "make it look like winter", seed=7).save("winter.png")
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import prod
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor

from pipeline.blending import blend
from pipeline.catalogue import DEFAULT_MODEL, MODELS, Card, ParameterError, resolve
from pipeline.checkpoint import Checkpoint
from pipeline.denoise import Denoising, advance
from pipeline.device import choose_device
from pipeline.engine import Taken, Ticket
from pipeline.errors import NotFinite, PipelineError
from pipeline.fullsize import carry
from pipeline.lora import Lora
from pipeline.model import EditingModel
from pipeline.networks.kernels import fastest_threads
from pipeline.notes import Notes
from pipeline.pictures import all_finite, as_rgb, fit, padded
from pipeline.previews import PreviewMap, color_fields

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
DTYPES |= {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PRIORITIES = {"low": -1, "normal": 0, "high": 1}
FULL_SIZE = BoundedSemaphore(2)  # edits enlarged to the photo's size at a time; each takes copies of the photo
MAX_ROWS = 3  # the most rows of one edit in a pass through the UNet
PROBE_SIDE = 32  # side of the latents with which numbers of threads are compared


@dataclass(frozen=True)
class Progress:
    """The progress of an edit: `step` of `steps` are finished."""

    step: int
    steps: int
    _small: Callable[[Tensor], Image.Image] = field(repr=False, compare=False)
    _taken: Taken = field(repr=False, compare=False)

    def preview(self) -> Image.Image:
        """The picture predicted at this step, small: one pixel for each latent pixel.

        It is computed in this call, unless the edit's `wants` asked for it. Then the device has computed it with the
        step.
        """
        return self._picture(0, self._taken.predicted)

    def noisy(self) -> Image.Image:
        """The noisy latents at this step, as a picture of the same size."""
        return self._picture(1, self._taken.noisy)

    def _picture(self, number: int, latents: Tensor) -> Image.Image:
        made = self._taken.pictures
        return self._small(latents[0]) if made is None else Image.fromarray(made[number].numpy())


OnStep = Callable[[Progress], None]
Report = Callable[[Taken], None]
Wants = Callable[[int, int], bool]  # (step, of steps)


@dataclass(frozen=True)
class Pipeline:
    """A model of the catalogue on a checkpoint. Threads may edit with it at the same time."""

    model: str
    checkpoint: Checkpoint = field(repr=False)
    previews: PreviewMap = field(repr=False)
    editing_model: EditingModel | None = field(repr=False)  # None if the library's pipeline runs the model

    @classmethod
    def load(
        cls,
        checkpoint: str | Path,
        model: str = DEFAULT_MODEL,
        dtype: str | torch.dtype | None = None,
        *,
        compiled: bool = False,
        device: str = "",
        variant: str = "",
        loras: Sequence[Lora] = (),
    ) -> "Pipeline":
        """Load a checkpoint.

        Args:
            checkpoint: a folder in diffusers' layout, an original single file (.ckpt or .safetensors), or a hub id
                (`owner/name[@revision]`), which is downloaded.
            dtype: the dtype of the computation. Default: float16 on a GPU and float32 on a CPU, whatever the files
                hold.
            compiled: PyTorch compiles the UNet, on a GPU into CUDA graphs. Steps get faster, but the first step of each
                row count takes minutes; `checkpoint.build_graphs` builds all graphs beforehand.
            device: auto (the first GPU, otherwise the CPU), cpu, cuda, cuda:N or mps.
            variant: which of a folder's weight files to use, such as fp16.
            loras: low-rank changes that are merged into the weights.

        Raises:
            PipelineError: there is no such checkpoint, model, dtype or device.
        """
        _check_model(model)
        place = choose_device(device or "auto")
        precision = _dtype(dtype, place)
        loaded = Checkpoint.find(checkpoint, precision, place, compiled=compiled, variant=variant, loras=loras)
        editing_model = _editing_model(loaded, model)
        previews = PreviewMap.read(loaded.files.path) or PreviewMap.fit(_encoder(loaded), color_fields())
        loaded.engine.small = previews.pixels
        return cls(model, loaded, previews, editing_model)

    def with_model(self, model: str) -> "Pipeline":
        """Another model on the same checkpoint, with the same weights."""
        _check_model(model)
        return Pipeline(model, self.checkpoint, self.previews, _editing_model(self.checkpoint, model))

    @property
    def card(self) -> Card:
        """The card of the checkpoint."""
        return self.checkpoint.card

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
        resolution: Literal["own", "model"] | None = None,
        strength: float | None = None,
        mask: Image.Image | None = None,
        sampler: str | None = None,
        effort: Literal["exact", "fast"] | None = None,
        priority: Literal["low", "normal", "high"] = "normal",
        on_step: OnStep | None = None,
        on_wait: Callable[[], None] = lambda: None,
        wants: Wants = lambda _step, _steps: False,
        notes: Notes | None = None,
    ) -> Image.Image:
        """Edit a photo of any mode by an instruction. Parameters that are not given have the checkpoint's defaults.

        With a `mask`, gray and in the photo's proportions, only its white area is edited. The rest stays the photo's
        own, bit for bit at its own size. Edits in several threads share each denoising step; those of a higher
        `priority` go first.

        `on_step` is called after each denoising step, `on_wait` at intervals while the edit waits for its turn. An
        exception in either ends the edit and reaches the caller. `wants(step, steps)` is called before each step, on
        another thread: whether `on_step` will look at the pictures of this step. Such pictures are computed with the
        step, for the whole batch.

        Without a seed, each call draws another one. If the result is not finite in a dtype narrower than float32, the
        edit is repeated in float32, and its steps are reported again. `notes` record this, prompts that are too
        long to be read completely, and instructions that the checkpoint says it cannot follow.

        Raises:
            PipelineError: a parameter is out of its range; `field` names it.
            Fault: the networks made no picture, or the device ran out of memory or is lost.
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
            resolution=resolution,
            strength=strength,
            sampler=sampler,
            effort=effort,
        )
        picture = fit(padded(as_rgb(photo))[0], params["size"])  # the large photo itself is not kept during the edit
        notes = notes or Notes()
        for name in ("prompt", "negative_prompt"):
            self._warn_of_truncation(name, params[name], notes)
        self._warn_of_the_unknown(params["prompt"], notes)

        def report(taken: Taken) -> None:
            if on_step is not None:
                on_step(Progress(taken.step, params["steps"], self.previews.picture, taken))

        work = MAX_ROWS * prod(self.checkpoint.latent_shape(picture.size))
        with self.checkpoint.engine.join(params["steps"], PRIORITIES[priority], on_wait, work=work) as ticket:
            if self.editing_model is None:
                edited = self._edit_with_library(ticket, picture, params, report, notes)
            else:
                edited = self._edit(self.editing_model, ticket, picture, params, report, notes, wants)
        upright = as_rgb(photo)
        return blend(upright, to_photo(upright, picture, edited, params["resolution"]), params["strength"], mask)

    def _warn_of_truncation(self, name: str, text: str | None, notes: Notes) -> None:
        tokenizer = self.checkpoint.tokenizer
        if unread := tokenizer.unread(text or ""):
            read = f"The {name.replace('_', ' ')} is longer than the {tokenizer.length - 2} tokens that are read."
            notes.warn("prompt-truncated", f"{read} Not read: \u201c{unread}\u201d")

    def _warn_of_the_unknown(self, prompt: str, notes: Notes) -> None:
        if (nearest := self.checkpoint.nearest(prompt)) is not None:
            detail = "The instruction was not recognized, so the photo was left as it is."
            notes.warn("instruction-not-recognized", detail, nearest=nearest)

    def _edit(
        self,
        editing_model: EditingModel,
        ticket: Ticket,
        picture: Image.Image,
        params: dict[str, Any],
        report: Report,
        notes: Notes,
        wants: Wants,
    ) -> Image.Image:
        """Begin, step and finish on the engine. If a narrow dtype overflows, the edit is repeated in float32."""
        vae = id(editing_model.vae)
        ticket.run_with_others(editing_model.encode, picture, ("encode", vae, picture.size))
        edit = ticket.run(partial(editing_model.begin, picture, params))
        if params["effort"] == "fast":
            notes.receipt["effort"] = "fast" if edit.every > 1 else "exact: too few steps to be fast"
        for taken in ticket.denoise(edit, lambda step: wants(step, edit.steps)):
            report(taken)
        try:
            finished = ticket.run_with_others(editing_model.decode, edit.x, ("decode", vae, picture.size))
        except NotFinite:
            if self.checkpoint.dtype == torch.float32:
                raise
        else:
            self.checkpoint.precise.spare()
            return finished
        with self.checkpoint.precise as checkpoint:
            precise = EditingModel.of(checkpoint, MODELS[self.model])
            if all_finite(edit.x):
                notes.receipt["dtype"] = f"{name_of(self.checkpoint.dtype)}, decoded in float32"
            else:
                notes.receipt["dtype"] = "float32"
                edit = self._denoise_alone(precise, ticket, picture, params, report)
            return ticket.run(partial(precise.finish, edit))

    def _denoise_alone(
        self,
        editing_model: EditingModel,
        ticket: Ticket,
        picture: Image.Image,
        params: dict[str, Any],
        report: Report,
    ) -> Denoising:
        """Denoise with separate networks for this edit, so that no step is shared."""

        edit = ticket.run(partial(editing_model.begin, picture, params))
        while not edit.finished:
            ticket.remaining = edit.steps - edit.step
            [(noisy, predicted)] = ticket.run(partial(advance, editing_model.unet, [edit]))
            report(Taken(edit.step, predicted, noisy))
        return edit

    def _edit_with_library(
        self,
        ticket: Ticket,
        picture: Image.Image,
        params: dict[str, Any],
        report: Report,
        notes: Notes,
    ) -> Image.Image:
        """Run the library's loop. Each network call is one engine call."""

        def after_step(step: int, predicted: Tensor, noisy: Tensor) -> None:
            ticket.remaining = params["steps"] - step
            report(Taken(step, predicted[None], noisy[None]))

        try:
            finished = self.checkpoint.library.edit(picture, params, after_step, ticket.run)
        except NotFinite:
            if self.checkpoint.dtype == torch.float32:
                raise
        else:
            self.checkpoint.precise.spare()
            return finished
        notes.receipt["dtype"] = "float32"
        with self.checkpoint.precise as precise:
            return precise.library.edit(picture, params, after_step, ticket.run)

    def close(self) -> None:
        """Refuse all further edits, of every model on this checkpoint, and free its weights."""
        self.checkpoint.close()

    def fastest_threads(self, at_most: int) -> int:
        """Measure with how many threads this checkpoint's UNet is fastest. 1 on a GPU, which needs no more."""
        run = self.one_pass(PROBE_SIDE)
        return fastest_threads(run, at_most) if self.checkpoint.device.type == "cpu" else 1

    def one_pass(self, side: int) -> Callable[[], Tensor]:
        """A pass through the UNet with one row of latents of this side, for measurements."""
        unet = self.checkpoint.unet
        text = unet.read(torch.zeros(1, 77, unet.config.cross_attention_dim, dtype=unet.dtype, device=unet.device))
        x = torch.zeros(1, unet.config.in_channels, side, side, dtype=unet.dtype, device=unet.device)
        x = x.to(memory_format=torch.channels_last)
        timestep = torch.zeros(1, device=unet.device)
        return torch.inference_mode()(lambda: unet(x, timestep, text))

    def receipt(self) -> dict[str, str]:
        """What an edit was computed with. Together with its parameters this is enough to repeat it."""
        loras = {"lora": ", ".join(map(str, self.checkpoint.loras))} if self.checkpoint.loras else {}
        return loras | {
            "checkpoint": self.card.name,
            "revision": self.card.revision,
            "dtype": name_of(self.checkpoint.dtype),
            "torch": torch.__version__,
            "device": _device_name(self.checkpoint.device),
        }

    def _resolve(self, **given: Any) -> dict[str, Any]:
        try:
            params = resolve(self.model, {name: value for name, value in given.items() if value is not None}, self.card)
        except ParameterError as error:
            raise PipelineError(error.detail, field=error.field) from error
        if params["seed"] is None:
            params["seed"] = secrets.randbelow(2**63)
        return params


def to_photo(photo: Image.Image, picture: Image.Image, edited: Image.Image, resolution: str) -> Image.Image:
    """Convert an edit of `picture`, the padded photo in a model's size, to an edit of the upright RGB photo.

    The result has the photo's own size if the resolution is `own`, otherwise that of the model.
    """
    with FULL_SIZE:
        whole, inside = padded(photo)
        if resolution == "own":
            if picture.size != edited.size:
                picture = picture.resize(edited.size, Image.Resampling.LANCZOS)
            return carry(whole, picture, edited).crop(inside)
        across, down = edited.width / whole.width, edited.height / whole.height
        left, top, right, bottom = inside
        return edited.crop((round(left * across), round(top * down), round(right * across), round(bottom * down)))


def _check_model(model: str) -> None:
    if model not in MODELS:
        raise PipelineError(f"must be one of {', '.join(MODELS)}", field="model")


def _editing_model(checkpoint: Checkpoint, model: str) -> EditingModel | None:
    """A model on our networks. None: the library's own pipeline runs the model; it is loaded here."""
    if MODELS[model].made_of.is_library:
        _ = checkpoint.library
        return None
    return EditingModel.of(checkpoint, MODELS[model])


def _encoder(checkpoint: Checkpoint) -> Callable[[Tensor], Tensor]:
    """A function from pictures to scaled latents, for fitting the preview map."""
    vae = checkpoint.vae

    @torch.inference_mode()
    def encode(pictures: Tensor) -> Tensor:
        return vae.encode(pictures.to(checkpoint.device, checkpoint.dtype)) * vae.config.scaling_factor

    return encode


def _dtype(name: str | torch.dtype | None, device: torch.device) -> torch.dtype:
    """The requested dtype. Default: float32, on a GPU float16, because edits that overflow are repeated in float32."""
    if isinstance(name, torch.dtype):
        return name
    if name is None:
        return torch.float16 if device.type == "cuda" else torch.float32
    if name not in DTYPES:
        raise PipelineError(f"must be one of {', '.join(DTYPES)}", field="dtype")
    return DTYPES[name]


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
