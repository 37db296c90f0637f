"""A checkpoint on disk, in either of its layouts: diffusers' folder, or the original code's single file."""

import dataclasses
import json
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from pipeline.catalogue import Card
from pipeline.errors import PipelineError
from pipeline.weights import Network, Tensors, build, original_configs, original_part, read_file, read_folder

CLIP_TOKENIZER = "openai/clip-vit-large-patch14@32bd64288804d66eefd0ccbe215aa642df71cc41"  # every SD 1 model's


class Files(Protocol):
    """The source of a checkpoint. Parts have the names of diffusers' folders: `unet`, `vae`, `scheduler`, ..."""

    path: Path

    @property
    def card(self) -> Card: ...

    @property
    def tokenizer(self) -> Path:
        """The folder of the tokenizer's files."""

    def settings(self, part: str) -> dict[str, Any]:
        """A part's configuration, in diffusers' terms."""

    def network(self, kind: type[Network], part: str, dtype: Any) -> Network:
        """A network with its weights."""


@dataclasses.dataclass(frozen=True)
class DiffusersFolder:
    """A folder with model_index.json and a folder for each part."""

    path: Path
    name: str | None = None  # the name of a folder without a card, in place of the folder's own: a hub id

    def __post_init__(self) -> None:
        if not (self.path / "model_index.json").is_file():
            detail = f"{self.path} has no model_index.json, so it is no diffusers checkpoint"
            raise PipelineError(detail, field="checkpoint")

    @property
    def card(self) -> Card:
        card = Card.read(self.path)
        if self.name is None or (self.path / "darkroom.json").exists():
            return card
        return dataclasses.replace(card, name=self.name, revision=self.path.name)

    @property
    def tokenizer(self) -> Path:
        return self.path / "tokenizer"

    def settings(self, part: str) -> dict[str, Any]:
        path = self.path / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
        if not path.is_file():
            raise PipelineError(f"{path} is missing", field="checkpoint")
        settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return settings

    def network(self, kind: type[Network], part: str, dtype: Any) -> Network:
        config = kind.Config.parse(self.settings(part))
        return build(kind, config, read_folder(self.path / part), dtype=dtype)


@dataclasses.dataclass(frozen=True)
class OriginalFile:
    """A .ckpt or .safetensors of the original Stable Diffusion 1 or InstructPix2Pix code, EMA copies chosen.

    Widths and depths are read off the tensors. The tokenizer, which is in no such file, is the folder `tokenizer`
    beside it; without one, CLIP's from the hub.
    """

    path: Path

    @property
    def card(self) -> Card:
        return Card.read(self.path)

    @cached_property
    def tensors(self) -> Tensors:
        return read_file(self.path)

    @cached_property
    def configs(self) -> dict[str, dict[str, Any]]:
        return original_configs(self.tensors)

    @cached_property
    def tokenizer(self) -> Path:
        beside = self.path.parent / "tokenizer"
        if beside.is_dir():
            return beside
        try:
            return download(CLIP_TOKENIZER, ["vocab.json", "merges.txt", "*token*.json"])
        except PipelineError as error:
            detail = f"{self.path} needs CLIP's tokenizer: put its vocab.json and merges.txt into {beside} ({error})"
            raise PipelineError(detail, field="checkpoint") from error

    def settings(self, part: str) -> dict[str, Any]:
        return self.configs[part]

    def network(self, kind: type[Network], part: str, dtype: Any) -> Network:
        config = kind.Config.parse(self.settings(part))
        return build(kind, config, original_part(self.tensors, kind), original=True, dtype=dtype)


def find(checkpoint: str | Path) -> Files:
    """The files of a folder, an original single file, or a hub id, which is downloaded or found in the hub's cache.

    Raises:
        PipelineError: none of these.
    """
    path = Path(checkpoint)
    if path.is_dir():
        return DiffusersFolder(path)
    if path.is_file():
        return OriginalFile(path)
    folder = download(str(checkpoint), ["*.json", "*.txt", "*/*.json", "*/*.txt", "*/*.safetensors"])
    return DiffusersFolder(folder, name=str(checkpoint))


def download(hub_id: str, patterns: list[str]) -> Path:
    """The folder of a hub id (`owner/name[@revision]`) in the hub's cache, downloaded if it is not there yet."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    name, _, revision = hub_id.partition("@")
    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=patterns))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        detail = f"{hub_id} is not a folder or file here and could not be fetched from the hub ({error})"
        raise PipelineError(detail, field="checkpoint") from error
