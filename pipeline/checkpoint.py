"""A checkpoint in memory. It is loaded once, and every model that uses its weights shares them."""

import dataclasses
import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from pipeline.batch import ROWS
from pipeline.cache import TensorCache
from pipeline.catalogue import Card
from pipeline.compiling import Compiler
from pipeline.denoise import Denoising, Predictor
from pipeline.device import timeline_of
from pipeline.engine import Engine
from pipeline.errors import PipelineError
from pipeline.faults import free_memory
from pipeline.files import Files, find
from pipeline.guidance import text_only
from pipeline.lora import Lora
from pipeline.networks.clip import CLIPTextEncoder
from pipeline.networks.kernels import choose_kernels
from pipeline.networks.tokenizer import Tokenizer
from pipeline.networks.unet import UNet
from pipeline.networks.vae import VAE
from pipeline.recognition import Recognition
from pipeline.samplers import ddim
from pipeline.schedule import Schedule
from pipeline.weights import Network

T = TypeVar("T")

EDITS_WITHOUT = 20  # the float32 copy is freed after this many edits that did not need it
GRAPH_SIDES = 40, 56  # sides of the latents that graphs are built with; those of a square would only hold for squares
TEXT_BYTES = 256 * 2**20  # for prompts as the UNet reads them: about 8 MB each for Stable Diffusion 1.5 in float32
DEFAULTS: dict[str, dict[str, Any]] = {"pix2pix-full": {"sampler": "dpm++2m", "steps": 20}}  # 2/5 of DDIM's 50 steps
LATENT_BYTES = 64 * 2**20  # for latents of recent pictures: 64 KiB each at 512 x 512
PICTURES_TOGETHER = 4  # pictures encoded or decoded together on a GPU; on a CPU that would only take more memory

if TYPE_CHECKING:
    from pipeline.library import Library


class Checkpoint:
    """The networks of a checkpoint, each loaded on its first use, and the engine that edits share.

    The library's modules use the tensors of our networks, so both together take the memory of one. `compiled`: PyTorch
    compiles the UNet, on a GPU into CUDA graphs.
    """

    def __init__(
        self,
        files: Files,
        dtype: torch.dtype,
        device: torch.device,
        *,
        compiled: bool = False,
        loras: Sequence[Lora] = (),
    ) -> None:
        self.files, self.dtype, self.device, self.compiled, self.loras = files, dtype, device, compiled, loras
        self.precise = Precise(lambda: Checkpoint(files, torch.float32, device, loras=loras))
        self.compiler = Compiler()
        self.texts, self.latents = TensorCache(TEXT_BYTES), TensorCache(LATENT_BYTES)
        together = 1 if device.type == "cpu" else PICTURES_TOGETHER
        self.engine = Engine(self._predict, compiles=compiled, timeline=timeline_of(device), together=together)

    @classmethod
    def find(
        cls,
        checkpoint: str | Path,
        dtype: torch.dtype,
        device: torch.device,
        *,
        compiled: bool = False,
        variant: str = "",
        loras: Sequence[Lora] = (),
    ) -> "Checkpoint":
        """Open a folder in diffusers' layout, an original single file, or a hub id (`owner/name[@revision]`).

        This reads only configurations and the headers of weight files, which takes less than a second.

        Raises:
            PipelineError: it is none of these, or our networks cannot run it.
        """
        loaded = cls(find(checkpoint, variant), dtype, device, compiled=compiled, loras=loras)
        loaded.check()
        return loaded

    def check(self) -> None:
        """Refuse a checkpoint that cannot be served, before any weights are read.

        Raises:
            PipelineError: it names the file and the key that is wrong.
        """
        unet, vae = self._config(UNet.Config.parse, "unet"), self._config(VAE.Config.parse, "vae")
        text, _ = self._config(CLIPTextEncoder.Config.parse, "text_encoder"), self._config(Schedule.parse, "scheduler")
        if unet.in_channels != 2 * vae.latent_channels:
            detail = f"its UNet takes {unet.in_channels} channels; one that edits takes {2 * vae.latent_channels}"
            raise self._refusal(f"{detail}, latents and the picture's (in_channels)")
        if unet.cross_attention_dim != text.hidden_size:
            detail = f"its UNet reads texts of width {unet.cross_attention_dim} (cross_attention_dim)"
            raise self._refusal(f"{detail}; its text encoder makes {text.hidden_size} (hidden_size)")
        self.files.check()
        for lora in self.loras:
            _ = lora.changes

    def _config(self, parse: Callable[[dict[str, Any]], T], part: str) -> T:
        try:
            return parse(self.files.settings(part))
        except PipelineError as error:
            raise self._refusal(error.detail) from error

    def _refusal(self, detail: str) -> PipelineError:
        path = str(self.files.path)
        return PipelineError(detail if path in detail else f"{path}: {detail}", field="checkpoint")

    @cached_property
    def card(self) -> Card:
        """The checkpoint's own card. If it gives no defaults, the card has those that suit most checkpoints."""
        card = self.files.card
        return card if card.defaults or self.schedule.ends_in_noise else dataclasses.replace(card, defaults=DEFAULTS)

    @cached_property
    def library(self) -> "Library":
        """Diffusers' and transformers' modules."""
        quiet_libraries()
        from pipeline.library import Library  # diffusers takes seconds to import, and prints while it does

        return Library.load(self.files, self.device, text_encoder=self.text_encoder, vae=self.vae, unet=self.unet)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return Tokenizer.read(self.files.tokenizer)

    @cached_property
    def text_encoder(self) -> CLIPTextEncoder:
        return self._network(CLIPTextEncoder, "text_encoder", self.dtype)

    @cached_property
    def vae(self) -> VAE:
        config = VAE.Config.parse(self.files.settings("vae"))
        narrow = self.dtype == torch.float16 and config.force_upcast
        return self._network(VAE, "vae", torch.float32 if narrow else self.dtype)

    @cached_property
    def unet(self) -> UNet:
        network = self._network(UNet, "unet", self.dtype)
        if self.compiled:
            self.compiler.compile(network)
        return network

    @cached_property
    def recognition(self) -> Recognition | None:
        """Tells whether an instruction can be followed; None if the checkpoint brings no layer for it."""
        return Recognition.read(self.files.path, self.card)

    @torch.inference_mode()
    def nearest(self, prompt: str) -> list[str] | None:
        """Some instructions that can be followed, if this one cannot be; else, and if it is not known, None."""
        if self.recognition is None:
            return None
        tokens = self.tokenizer([prompt]).to(self.device)
        end = (tokens[0] == self.tokenizer.vocabulary[self.tokenizer.end]).int().argmax()
        return self.recognition.nearest(self.text_encoder(tokens)[0, end])

    @cached_property
    def _predictor(self) -> Predictor:
        return Predictor(self.unet, ROWS if self.compiled else ())

    @torch.inference_mode()
    def build_graphs(self) -> None:
        """Compile the UNet for every row count now. Otherwise the first edits with each count would wait for it."""
        unet = self.unet
        x = torch.zeros(1, unet.config.out_channels, *GRAPH_SIDES, device=self.device)
        text = unet.read(torch.zeros(1, 77, unet.config.cross_attention_dim, dtype=unet.dtype, device=self.device))
        edit = Denoising(x, x, text, text_only(1.0), ddim(self.schedule.levels(2)), torch.Generator())
        for rows in ROWS:
            self._predictor([edit] * rows)

    def _predict(self, edits: Sequence[Denoising]) -> Sequence[Tensor]:
        return self._predictor(edits)

    @cached_property
    def schedule(self) -> Schedule:
        return Schedule.parse(self.files.settings("scheduler"))

    def latent_shape(self, size: tuple[int, int]) -> tuple[int, int, int]:
        """Channels, height and width of the latents of a picture with this width and height."""
        vae, (width, height) = self.vae.config, size
        return vae.latent_channels, height // vae.factor, width // vae.factor

    def close(self) -> None:
        """Stop the engine and free the weights, even if something still refers to the networks."""
        self.engine.close()
        self.precise.close()
        self.texts.clear()
        self.latents.clear()
        for network in self._loaded():
            network.to("meta")
        for part in ("library", "text_encoder", "vae", "unet", "_predictor"):
            self.__dict__.pop(part, None)
        free_memory()

    def _loaded(self) -> list[nn.Module]:
        """The networks in memory, both ours and the library's."""
        loaded = [self.__dict__[part] for part in ("text_encoder", "vae", "unet") if part in self.__dict__]
        library = self.__dict__.get("library")
        return loaded + ([library.text_encoder, library.vae, library.unet] if library else [])

    @torch.inference_mode(
        False
    )  # whoever asks first may be in it, and the compiler fails on weights that were made there
    @torch.no_grad()
    def _network(self, kind: type[Network], part: str, dtype: torch.dtype) -> Network:
        try:
            network = self.files.network(kind, part, dtype)
        except PipelineError as error:
            raise self._refusal(error.detail) from error
        for lora in self.loras:
            lora.merge(network)
        if self.device.type == "cpu":
            choose_kernels(network, dtype)
            return network
        return network.to(self.device, memory_format=torch.channels_last)


class Precise:
    """A second copy of a checkpoint in float32 for edits that overflow a narrower dtype: `with precise as checkpoint`.

    The copy at least doubles the memory of the weights. Therefore it is loaded by the first edit that needs it, and
    freed after EDITS_WITHOUT edits that did not.
    """

    def __init__(self, load: Callable[[], Checkpoint]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._loaded: Checkpoint | None = None
        self._users = self._spared = 0

    def __enter__(self) -> Checkpoint:
        with self._lock:
            self._loaded = self._loaded or self._load()
            _ = self._loaded.text_encoder, self._loaded.vae, self._loaded.unet
            self._users += 1
            self._spared = 0
            return self._loaded

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1

    def spare(self) -> None:
        """Count an edit that did not need the copy."""
        with self._lock:
            self._spared += 1
            if self._spared >= EDITS_WITHOUT and not self._users:
                self._free()

    def close(self) -> None:
        """Free the copy, even if it is in use."""
        with self._lock:
            self._free()

    def _free(self) -> None:
        if self._loaded:
            self._loaded.close()
        self._loaded = None


def quiet_libraries() -> None:
    """Keep the libraries' progress bars and warnings off the terminal. Their errors are still raised."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for logging in (diffusers_logging, transformers_logging):
        logging.set_verbosity_error()
        logging.disable_progress_bar()
