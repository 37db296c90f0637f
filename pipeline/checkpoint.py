"""A checkpoint in memory: found, loaded once, its weights shared by every model that uses them."""

import dataclasses
import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from pipeline.catalogue import Card
from pipeline.clip import CLIPConfig, CLIPTextEncoder
from pipeline.denoise import predict
from pipeline.engine import Engine
from pipeline.errors import PipelineError
from pipeline.kernels import choose_kernels
from pipeline.schedule import Schedule
from pipeline.tokenizer import Tokenizer
from pipeline.unet import UNet, UNetConfig
from pipeline.vae import VAE, VAEConfig
from pipeline.weights import Network, build, read_folder

if TYPE_CHECKING:
    from pipeline.library import Library


class Checkpoint:
    """A checkpoint folder in diffusers' layout. Each part is loaded when it is first asked for.

    The library's modules use the tensors of our networks, so both together cost the memory of one.
    """

    def __init__(self, folder: Path, card: Card, dtype: torch.dtype, device: torch.device) -> None:
        self.folder, self.card, self.dtype, self.device = folder, card, dtype, device
        self.engine = Engine(lambda edits: predict(self.unet, edits))  # what all edits share the device by

    @classmethod
    def find(cls, checkpoint: str | Path, dtype: torch.dtype, device: torch.device) -> "Checkpoint":
        """A folder, or a hub id (`owner/name[@revision]`) that is downloaded or found in the hub's cache.

        Raises:
            PipelineError: neither.
        """
        folder = Path(checkpoint)
        if folder.is_dir():
            if not (folder / "model_index.json").is_file():
                detail = f"{folder} has no model_index.json, so it is no diffusers checkpoint"
                raise PipelineError(detail, field="checkpoint")
            return cls(folder, Card.read(folder), dtype, device)
        folder = _download(str(checkpoint))
        card = Card.read(folder)
        if not (folder / "darkroom.json").exists():
            card = dataclasses.replace(card, name=str(checkpoint), revision=folder.name)
        return cls(folder, card, dtype, device)

    @cached_property
    def library(self) -> "Library":
        """Diffusers' and transformers' modules."""
        _quiet_libraries()
        from pipeline.library import Library  # diffusers takes seconds to import, and prints while it does

        return Library.load(self.folder, self.device, text_encoder=self.text_encoder, vae=self.vae, unet=self.unet)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return Tokenizer.read(self.folder / "tokenizer")

    @cached_property
    def text_encoder(self) -> CLIPTextEncoder:
        return self._network(CLIPTextEncoder, CLIPConfig, "text_encoder")

    @cached_property
    def vae(self) -> VAE:
        return self._network(VAE, VAEConfig, "vae")

    @cached_property
    def unet(self) -> UNet:
        return self._network(UNet, UNetConfig, "unet")

    @cached_property
    def schedule(self) -> Schedule:
        path = self.folder / "scheduler" / "scheduler_config.json"
        if not path.is_file():
            raise PipelineError(f"{path} is missing", field="checkpoint")
        return Schedule.parse(json.loads(path.read_text()))

    def _network(self, kind: type[Network], config: type, name: str) -> Network:
        folder = self.folder / name
        parsed = config.read(folder / "config.json")
        network = build(kind, parsed, read_folder(folder), dtype=self.dtype).to(self.device)
        if self.device.type == "cpu":
            choose_kernels(network, self.dtype)
        return network


def _download(checkpoint: str) -> Path:
    """The folder of a hub id in the hub's cache, downloaded if it is not there yet."""
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
