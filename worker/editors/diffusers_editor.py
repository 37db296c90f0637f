"""Runs editing pipelines of diffusers: `describe` reads a checkpoint's configuration files, `load` its weights.

`FAMILIES` says how each class is called. A class that is not in it is refused. Only one edit at a time uses the device.
Each edit has its own pipeline object and scheduler; the modules are shared.
"""

import copy
import importlib.util
import inspect
import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor, nn

from jobs.parameters import Parameter
from jobs.settings import Settings
from pipeline.catalogue import COMMON, THREE_WAY
from pipeline.edit import DTYPES, to_photo
from pipeline.errors import Fault, NotFinite, OutOfMemory, PipelineError
from pipeline.faults import fault_of, free_memory
from pipeline.files import download, read_json, sizes_on_hub
from pipeline.pictures import as_rgb, padded
from pipeline.previews import PreviewMap, color_fields
from pipeline.weight_files import choose, count_values, read_folder
from worker.editors.editor import Description
from worker.models_file import ModelEntry

TRUE_SCALE = Parameter(
    "true_cfg_scale",
    "number",
    "How strongly the negative prompt is avoided; at 1 it has no effect.",
    1,
    14,
    default=1.0,
)
SIDE = 1024  # the square root of the number of pixels that most of these models were trained for
POLL_SECONDS = 0.25  # an edit that waits for the device checks this often whether it should go on
QUANTIZATIONS: dict[str, dict[str, Any]] = {
    "bitsandbytes_8bit": {"load_in_8bit": True},
    "bitsandbytes_4bit": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
}


@dataclass(frozen=True)
class Family:
    """How the pipelines of one class are called.

    `size` tells what decides the size of the result: the input picture, the width and height that are given in the
    call, or the pipeline's own rule. Sides are multiples of `unit`.
    """

    steps: int
    text_scale: str | None = "guidance_scale"
    image_scale: str | None = None
    image: str = "image"
    negative: bool = True
    size: Literal["picture", "given", "own"] = "given"
    side: int = SIDE
    unit: int = 16
    previews: bool = False  # the latents are (B, C, h, w), and the VAE maps them to colors
    extra: tuple[Parameter, ...] = ()
    blank_negative: str = ""  # the text that is sent when there is no negative prompt


FAMILIES = {
    "StableDiffusionInstructPix2PixPipeline": Family(
        100, image_scale="image_guidance_scale", size="picture", side=512, unit=8, previews=True
    ),
    "StableDiffusionXLInstructPix2PixPipeline": Family(
        100, image_scale="image_guidance_scale", side=768, unit=8, previews=True
    ),
    "FluxKontextPipeline": Family(28, extra=(TRUE_SCALE,)),
    "Flux2KleinPipeline": Family(50, negative=False),
    "QwenImageEditPipeline": Family(50, text_scale="true_cfg_scale", blank_negative=" "),
    "QwenImageEditPlusPipeline": Family(50, text_scale="true_cfg_scale", blank_negative=" "),
    "DreamLitePipeline": Family(30, image_scale="image_guidance_scale", previews=True),
    "DreamLiteMobilePipeline": Family(4, text_scale=None, negative=False, previews=True),
    "LongCatImageEditPipeline": Family(50, size="own"),
}
DEFAULT_SCALES = {"guidance_scale": 7.5, "image_guidance_scale": 1.5, "true_cfg_scale": 4.0}
TEXT_SCALES = {  # default text scales by class, where they differ from DEFAULT_SCALES
    "StableDiffusionXLInstructPix2PixPipeline": 5.0,
    "FluxKontextPipeline": 3.5,
    "Flux2KleinPipeline": 4.0,
    "DreamLitePipeline": 3.5,
    "LongCatImageEditPipeline": 4.5,
}


def describe(entry: ModelEntry) -> Description:
    """Describe a diffusers checkpoint by its configuration files. Weight files are opened, but no weights are read.

    Raises:
        PipelineError: it is not in diffusers' layout, its class is not in `FAMILIES`, or it is broken.
    """
    checkpoint = Source.find(entry)
    family, kind = checkpoint.family, checkpoint.kind
    checkpoint.check()
    facts = {
        "pipeline": kind,
        "sampler": checkpoint.index.get("scheduler", ["", ""])[1].removesuffix("Scheduler"),
        "guidance": "three-way" if family.image_scale else "text",
        "lora": ", ".join(f"{Path(lora.path).name} x {lora.scale:g}" for lora in entry.lora),
        "quantization": entry.quantization or "",
    }
    sizes = () if family.size == "own" else entry.sizes or (f"{checkpoint.side}x{checkpoint.side}",)
    memory = entry.memory or checkpoint.memory_bytes()
    return Description(
        kind, parameters(kind, family, sizes), memory, sizes, {name: told for name, told in facts.items() if told}
    )


def parameters(kind: str, family: Family, sizes: tuple[str, ...]) -> tuple[Parameter, ...]:
    """The parameters of a pipeline. Any other parameter is refused by name."""
    known = {one.name: one for one in (*COMMON, *THREE_WAY)}
    known["steps"] = replace(known["steps"], minimum=1, default=family.steps)
    summary = "What the model works at: `auto` has the photo's proportions and about as many pixels as the model knows."
    known["size"] = replace(known["size"], choices=("auto", *sizes), summary=summary)
    if family.text_scale:
        default = TEXT_SCALES.get(kind, DEFAULT_SCALES[family.text_scale])
        known["cfg_scale"] = replace(known["cfg_scale"], default=default)
    names = ["prompt", *(["negative_prompt"] if family.negative else []), "steps", "seed", "size", "resolution"]
    names += ["strength", *(["cfg_scale"] if family.text_scale else [])]
    names += ["image_cfg_scale"] if family.image_scale else []
    return (*(known[name] for name in names), *family.extra)


@dataclass(frozen=True)
class Source:
    """The checkpoint of an entry: its folder and its index. From a hub, `find` downloads only the configurations."""

    entry: ModelEntry
    folder: Path
    index: Mapping[str, Any]
    kind: str
    family: Family

    @classmethod
    def find(cls, entry: ModelEntry) -> "Source":
        folder = Path(entry.checkpoint)
        if entry.is_on_hub:
            configs = ["model_index.json", "*/config.json", "scheduler/scheduler_config.json"]
            hub_id = f"{entry.checkpoint}@{entry.revision}"
            sizes_on_hub(hub_id)  # one call, which fails at once; a download tries for half a minute
            folder = download(hub_id, configs)
        index_file = folder / "model_index.json"
        if not index_file.is_file():
            detail = f"{index_file} is missing, so {entry.checkpoint} is no folder in diffusers' layout"
            raise PipelineError(detail, field="checkpoint")
        index = read_json(index_file)
        kind = index.get("_class_name")
        if not isinstance(kind, str) or kind not in FAMILIES:
            known = ", ".join(FAMILIES)
            raise PipelineError(f"{index_file} is for {kind}; the diffusers editor knows {known}", field="checkpoint")
        family = FAMILIES[kind]
        if kind == "Flux2KleinPipeline" and index.get("is_distilled"):
            family = replace(family, steps=4, text_scale=None)
        return cls(entry, folder, index, kind, family)

    @property
    def parts(self) -> list[str]:
        """The names of the parts with weights."""
        given = {name: of for name, of in self.index.items() if isinstance(of, list) and len(of) == 2 and of[1]}
        unweighted = ("Scheduler", "Tokenizer", "TokenizerFast", "Processor", "FeatureExtractor", "ProcessorFast")
        return [name for name, of in given.items() if not of[1].endswith(unweighted) and name != "safety_checker"]

    @property
    def side(self) -> int:
        """The square root of the pixels that the model works at."""
        if self.entry.sizes:
            width, height = map(int, self.entry.sizes[0].split("x"))
            return round(math.sqrt(width * height))
        unet = self.folder / "unet" / "config.json"
        sample = read_json(unet).get("sample_size") if unet.is_file() and self.family.size == "given" else None
        return int(sample) * 8 if isinstance(sample, int) else self.family.side

    def check(self, *, fetched: bool = False) -> None:
        """Refuse a checkpoint that cannot be loaded. The weights of a hub id are checked only when they are `fetched`.

        Raises:
            PipelineError
        """
        self._check_channels()
        if self.entry.lora and not importlib.util.find_spec("peft"):
            raise PipelineError("lora needs the package peft, which is not installed", field="lora")
        if (quantization := self.entry.quantization) and quantization not in QUANTIZATIONS:
            raise PipelineError(f"{quantization} is none of {', '.join(QUANTIZATIONS)}", field="quantization")
        if self.entry.quantization and not importlib.util.find_spec("bitsandbytes"):
            raise PipelineError(
                "quantization needs the package bitsandbytes, which is not installed", field="quantization"
            )
        if self.entry.offload != "none" and self.device.type == "cpu":
            raise PipelineError(f"offload {self.entry.offload} needs a GPU to offload from", field="offload")
        if fetched or not self.entry.is_on_hub:
            for part in self.parts:
                read_folder(self.folder / part, self.entry.variant)

    def _check_channels(self) -> None:
        unet, vae = self.folder / "unet" / "config.json", self.folder / "vae" / "config.json"
        if "InstructPix2Pix" in self.kind and unet.is_file() and vae.is_file():
            channels, latent = read_json(unet).get("in_channels"), read_json(vae).get("latent_channels", 4)
            if channels != 2 * latent:
                detail = f"in_channels {channels}: a UNet that edits takes {2 * latent}, latents and the picture's"
                raise PipelineError(f"{unet}: {detail}", field="checkpoint")

    def memory_bytes(self) -> int:
        """Bytes of the loaded weights. For a hub id, whose weights are not downloaded yet: the size of their files."""
        if not self.entry.is_on_hub:
            counts = (count_values(self.folder / part, self.entry.variant) for part in self.parts)
            return int(torch.finfo(self.dtype).bits // 8) * sum(counts)
        sizes = sizes_on_hub(self.hub_id)
        return sum(sizes[name] for name in self.weights_among(sizes))

    @property
    def hub_id(self) -> str:
        return f"{self.entry.checkpoint}@{self.entry.revision}"

    def weights_among(self, names: Iterable[str]) -> list[str]:
        """The files of a repository that hold the weights: one set for each part, in the requested variant."""
        folders: dict[str, list[str]] = defaultdict(list)
        for name in names:
            folder, _, file = name.rpartition("/")
            folders[folder].append(file)
        return [f"{part}/{file}" for part in self.parts for file in choose(folders[part], self.entry.variant)]

    def fetch(self) -> None:
        """Download what loading needs, with a progress bar: configurations, tokenizers, one set of weights per part."""
        names = sizes_on_hub(self.hub_id)
        others = [f"{part}/*{suffix}" for part in self.index for suffix in (".json", ".txt", ".model", ".jinja")]
        download(self.hub_id, ["model_index.json", *others, *self.weights_among(names)])

    @property
    def device(self) -> torch.device:
        return torch.device(self.entry.device or ("cuda" if torch.cuda.is_available() else "cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """The entry's own dtype. Otherwise float32 on a CPU, and on a GPU the usual one for this kind of model."""
        if self.entry.dtype:
            return DTYPES[self.entry.dtype]
        if self.device.type == "cpu":
            return torch.float32
        return torch.float16 if "StableDiffusion" in self.kind else torch.bfloat16


class Turns:
    """Lets one edit at a time use the device, for all models. `worked_at` is when a layer last began to compute."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._check: Callable[[], None] = lambda: None
        self.worked_at = 0.0

    @contextmanager
    def turn(self, check: Callable[[], None]) -> Iterator[None]:
        """Wait for the turn. `check` is called at intervals and before each layer. An error in it ends the edit."""
        while not self._lock.acquire(timeout=POLL_SECONDS):
            check()
        self._check = check
        try:
            yield
        finally:
            self._check = lambda: None
            self._lock.release()

    def layer(self, *_: Any) -> None:
        """Called before each layer, not only after each step, because one step of a large model takes seconds."""
        self.worked_at = time.monotonic()
        self._check()


TURNS = Turns()
LOADING = threading.Lock()  # diffusers and transformers import modules lazily, which is not safe in two threads at once


def worked_at() -> float:
    """When a pipeline last began to compute a layer, by the monotonic clock."""
    return TURNS.worked_at


@dataclass(frozen=True)
class Progress:
    """A finished step. It has no pictures if the model's latents cannot be mapped to colors."""

    step: int
    steps: int
    _previews: PreviewMap | None = field(repr=False)
    _latents: Tensor | None = field(repr=False)

    def preview(self) -> Image.Image | None:
        return self._previews.picture(self._latents[0]) if self._previews and self._latents is not None else None

    noisy = preview


@dataclass(frozen=True)
class DiffusersEditor:
    """Edits with one pipeline of diffusers."""

    source: Source
    pipeline: Any = field(repr=False)
    previews: PreviewMap | None = field(repr=False)

    def edit(
        self,
        photo: Image.Image,
        prompt: str,
        *,
        on_step: Callable[[Progress], None] = lambda _: None,
        on_wait: Callable[[], None] = lambda: None,
        priority: str = "normal",  # noqa: ARG002 - edits use the device in the order in which they arrive
        steps: int,
        seed: int,
        size: str = "auto",
        resolution: str = "own",
        **scales: Any,
    ) -> Image.Image:
        """Edit a photo by an instruction. `scales` are the model's other parameters.

        Raises:
            Fault: the pipeline returned no finite pixels, or the device ran out of memory or is lost.
        """
        picture = self._fitted(padded(as_rgb(photo))[0], size)
        asked = {"prompt": prompt, "num_inference_steps": steps, "output_type": "pt"}
        asked |= self._sized(picture, size) | self._scaled(**scales)
        asked["generator"] = torch.Generator().manual_seed(seed)
        with TURNS.turn(on_wait):
            edited = self._run(asked, lambda step, latents: on_step(Progress(step, steps, self.previews, latents)))
        return to_photo(as_rgb(photo), picture, edited, resolution)

    def _fitted(self, picture: Image.Image, size: str) -> Image.Image:
        """The picture resized to a size that the model can use; `auto` keeps its proportions."""
        unit, (width, height) = self.source.family.unit, picture.size
        if size != "auto":
            width, height = map(int, size.split("x"))
        else:
            scale = self.source.side / (width * height) ** 0.5
            width, height = round(width * scale), round(height * scale)
        sides = (max(unit, round(side / unit) * unit) for side in (width, height))
        return picture.resize(tuple(sides), Image.Resampling.LANCZOS)  # type: ignore[arg-type]

    def _sized(self, picture: Image.Image, size: str) -> dict[str, Any]:
        family, kind = self.source.family, self.source.kind
        given: Any = [picture] if kind == "QwenImageEditPlusPipeline" else picture
        asked: dict[str, Any] = {family.image: given}
        if family.size == "given":
            asked |= {"width": picture.width, "height": picture.height}
        if kind == "FluxKontextPipeline":
            preferred = size == "auto" and self.source.side == SIDE  # snap to a size that it was trained on
            asked |= {"max_area": picture.width * picture.height, "_auto_resize": preferred}
        return asked

    def _scaled(
        self,
        negative_prompt: str = "",
        cfg_scale: float | None = None,
        image_cfg_scale: float | None = None,
        true_cfg_scale: float | None = None,
    ) -> dict[str, Any]:
        family = self.source.family
        asked: dict[str, Any] = {}
        if family.text_scale and cfg_scale is not None:
            asked[family.text_scale] = cfg_scale
        if family.image_scale and image_cfg_scale is not None:
            asked[family.image_scale] = image_cfg_scale
        if family.extra and true_cfg_scale is not None:
            asked["true_cfg_scale"] = true_cfg_scale
        if family.negative:
            asked["negative_prompt"] = negative_prompt or family.blank_negative
        return asked

    def _run(self, asked: dict[str, Any], after: Callable[[int, Tensor | None], None]) -> Image.Image:
        pipe = copy.copy(self.pipeline)
        pipe.scheduler = type(self.pipeline.scheduler).from_config(self.pipeline.scheduler.config)
        asked |= hooks(pipe, lambda step, latents: after(step, unscaled(pipe.scheduler, step, latents)))
        fault: Fault | None = None
        try:
            pixels = pipe(**asked).images
        except Exception as error:
            fault = fault_of(error)
            if fault is None:
                raise
        finally:
            pipe.maybe_free_model_hooks()
        if fault is not None:  # outside `except`, where the tensors of the failed call are free
            if isinstance(fault, OutOfMemory):
                free_memory()
            raise fault
        if not bool(pixels.isfinite().all()):
            raise NotFinite
        processor = pipe.image_processor
        picture: Image.Image = processor.numpy_to_pil(processor.pt_to_numpy(pixels))[0]
        return picture

    def receipt(self) -> dict[str, str]:
        """What an edit was computed with."""
        from diffusers import __version__

        entry, dtype = self.source.entry, str(self.source.dtype).removeprefix("torch.")
        name = entry.checkpoint if entry.is_on_hub else Path(entry.checkpoint).name
        loras = {"lora": ", ".join(f"{Path(lora.path).name} x {lora.scale:g}" for lora in entry.lora)}
        told = {
            "checkpoint": name,
            "revision": entry.revision,
            "pipeline": self.source.kind,
            "dtype": entry.quantization or dtype,
            "torch": torch.__version__,
            "diffusers": __version__,
            "device": torch.cuda.get_device_name() if self.source.device.type == "cuda" else self.source.device.type,
        }
        return told | (loras if entry.lora else {})


def hooks(pipe: Any, after: Callable[[int, Tensor | None], None]) -> dict[str, Any]:
    """Make a pipeline call `after(finished steps, latents)` after each step.

    Returns arguments for the call. Where the class has no callback, its scheduler is changed instead.
    """
    known = inspect.signature(type(pipe).__call__).parameters
    if "callback_on_step_end" in known:

        def on_step_end(_pipe: Any, index: int, _timestep: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            after(index + 1, tensors.get("latents"))
            return {}

        return {"callback_on_step_end": on_step_end}
    if "callback" in known:
        return {"callback": lambda index, _timestep, latents: after(index + 1, latents), "callback_steps": 1}
    scheduler_step, taken = pipe.scheduler.step, iter(range(1, 10**9))

    def step(*args: Any, **kwargs: Any) -> Any:
        result = scheduler_step(*args, **kwargs)
        after(next(taken), result[0])
        return result

    pipe.scheduler.step = step
    return {}


def unscaled(scheduler: Any, step: int, latents: Tensor | None) -> Tensor | None:
    """The latents after a step at the scale of clean latents. Euler schedulers keep them larger, by the noise level."""
    kind = type(scheduler).__name__
    if latents is None or not kind.startswith("Euler"):
        return latents
    smaller: Tensor = latents / (scheduler.sigmas[step].to(latents) ** 2 + 1) ** 0.5
    return smaller


def load(entry: ModelEntry, _settings: Settings) -> DiffusersEditor:
    """Load a pipeline's weights. Takes seconds to minutes.

    Raises:
        PipelineError: it cannot be loaded.
    """
    with LOADING:
        return _load(entry)


def _load(entry: ModelEntry) -> DiffusersEditor:
    from diffusers import DiffusionPipeline

    from pipeline.checkpoint import quiet_libraries

    quiet_libraries()
    source = Source.find(entry)
    if entry.is_on_hub:
        source.fetch()
    source.check(fetched=True)
    try:
        pipe = DiffusionPipeline.from_pretrained(source.folder, **_loading(source))
        for number, lora in enumerate(entry.lora):
            pipe.load_lora_weights(lora.path, adapter_name=str(number))
        if entry.lora:
            pipe.set_adapters([str(number) for number in range(len(entry.lora))], [lora.scale for lora in entry.lora])
            pipe.fuse_lora()
            pipe.unload_lora_weights()
    except (OSError, ValueError, ImportError, KeyError, AttributeError, TypeError, RuntimeError) as error:
        if isinstance(fault := fault_of(error), OutOfMemory):
            raise fault from error
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise PipelineError(f"{entry.checkpoint} cannot be loaded: {reason}", field="checkpoint") from error
    _place(pipe, source)
    pipe.set_progress_bar_config(disable=True)
    return DiffusersEditor(source, pipe, _preview_map(pipe) if source.family.previews else None)


def _loading(source: Source) -> dict[str, Any]:
    entry = source.entry
    given: dict[str, Any] = {"dtype": source.dtype, "local_files_only": True}
    if entry.variant:
        given["variant"] = entry.variant
    if "safety_checker" in source.index:
        given |= {"safety_checker": None, "requires_safety_checker": False}
    if source.kind == "StableDiffusionXLInstructPix2PixPipeline":
        given["add_watermarker"] = False  # docs/decisions/0011
    for part, of in source.index.items():
        if isinstance(of, list) and str(of[1]).endswith("VLProcessor") and not importlib.util.find_spec("torchvision"):
            import transformers

            kind = pictures_only(getattr(transformers, of[1]))
            given[part] = kind.from_pretrained(source.folder / part)
    if entry.quantization:
        from diffusers.quantizers import PipelineQuantizationConfig

        parts = [part for part in source.parts if part.startswith(("transformer", "unet", "text_encoder"))]
        kwargs = QUANTIZATIONS[entry.quantization]
        given["quantization_config"] = PipelineQuantizationConfig(
            quant_backend=entry.quantization, quant_kwargs=kwargs, components_to_quantize=parts
        )
    return given


def _place(pipe: Any, source: Source) -> None:
    """Move the modules to the entry's device or offload them, and call `TURNS.layer` before each layer."""
    match source.entry.offload:
        case "model":
            pipe.enable_model_cpu_offload(device=source.device)
        case "sequential":
            pipe.enable_sequential_cpu_offload(device=source.device)
        case _ if not source.entry.quantization:
            pipe.to(source.device)
    for part in pipe.components.values():
        if isinstance(part, nn.Module):
            part.eval().requires_grad_(False)
            for module in part.modules():
                if isinstance(module, nn.ModuleList):
                    for layer in module:
                        layer.register_forward_pre_hook(TURNS.layer)


def _preview_map(pipe: Any) -> PreviewMap | None:
    """Fit colors as a linear function of the latents, with the pipeline's own VAE."""
    vae = pipe.vae
    if getattr(vae.config, "shift_factor", None):
        return None

    @torch.inference_mode()
    def encode(pictures: Tensor) -> Tensor:
        coded = vae.encode(pictures.to(vae.device, vae.dtype))
        latents = coded.latent_dist.mode() if hasattr(coded, "latent_dist") else coded.latents
        scaled: Tensor = latents * vae.config.scaling_factor
        return scaled

    return PreviewMap.fit(encode, color_fields())


def pictures_only(kind: type) -> Any:
    """A processor for pictures and text without its video part, which alone needs the package torchvision."""

    def begin(self: Any, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None) -> None:
        kind.__init__(self, image_processor, tokenizer, None, chat_template=chat_template)  # type: ignore[misc]

    return type(kind.__name__, (kind,), {"__init__": begin, "__module__": kind.__module__})
