"""A checkpoint on disk, in either layout: diffusers' folder, or the single file of the original code."""

import dataclasses
import json
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from pipeline.catalogue import Card
from pipeline.errors import PipelineError
from pipeline.networks.unet import UNet
from pipeline.weight_files import Tensors, choose, has_variant, read_file, read_folder
from pipeline.weights import (
    PARTS,
    Network,
    build,
    diffusers_unet_config,
    original_configs,
    original_part,
    with_original_names,
)

CLIP_TOKENIZER = "openai/clip-vit-large-patch14@32bd64288804d66eefd0ccbe215aa642df71cc41"  # of all SD 1 models
TOKENIZER_FILES = ["vocab.json", "merges.txt", "*token*.json"]
OWN_CLASSES = ("StableDiffusionInstructPix2PixPipeline", "StableDiffusionPipeline", None)  # the UNet tells them apart
SINGLE_FILES = (".safetensors", ".ckpt")
HUB_SECONDS = 5.0  # a hub that does not answer within this time counts as unreachable


class Files(Protocol):
    """The files of a checkpoint. Parts have the names of diffusers' folders: `unet`, `vae`, `scheduler`, ..."""

    path: Path

    @property
    def card(self) -> Card: ...

    @property
    def tokenizer(self) -> Path:
        """The folder with the tokenizer's files."""

    def settings(self, part: str) -> dict[str, Any]:
        """The configuration of a part, with diffusers' names."""

    def network(self, kind: type[Network], part: str, dtype: Any) -> Network:
        """A network with its weights."""

    def check(self) -> None:
        """Open every weight file and read its header, so that a broken file is refused at once.

        Raises:
            PipelineError
        """


@dataclasses.dataclass(frozen=True)
class DiffusersFolder:
    """A folder with model_index.json and a folder for each part."""

    path: Path
    name: str | None = None  # a hub id, which names a folder that has no card
    variant: str = ""  # of the weight files, such as fp16; a part without it uses its plain files

    def __post_init__(self) -> None:
        index = self.path / "model_index.json"
        if not index.is_file():
            raise PipelineError(f"{self.path} {_why_no_checkpoint(self.path)}", field="checkpoint")
        if (kind := read_json(index).get("_class_name")) not in OWN_CLASSES:
            detail = f"is for a {kind}, which our own networks do not run; try the `diffusers` editor"
            raise PipelineError(f"{index} {detail}", field="checkpoint")

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
        return part_settings(self.path, part)

    def network(self, kind: type[Network], part: str, dtype: Any) -> Network:
        config = kind.Config.parse(self.settings(part))
        return build(kind, config, read_folder(self.path / part, self.variant), dtype=dtype)

    def check(self) -> None:
        folders = [self.path / part for part in PARTS.values()]
        for folder in folders:
            read_folder(folder, self.variant)
        files = [path.name for folder in folders for path in folder.iterdir()]
        if self.variant and not has_variant(files, self.variant):
            raise PipelineError(f"{self.path} has no weights of the variant {self.variant}", field="checkpoint")


@dataclasses.dataclass(frozen=True)
class OriginalFile:
    """A .ckpt or .safetensors file of the original Stable Diffusion 1 or InstructPix2Pix code. EMA weights come first.

    Widths and depths are derived from the tensors. The tokenizer is not in the file: it is the folder `tokenizer` next
    to it, otherwise CLIP's from the hub. The file may hold only the UNet, with the original names or diffusers'. Then
    the other parts are diffusers' folders next to it.
    """

    path: Path
    name: str | None = None  # a hub id

    @property
    def card(self) -> Card:
        card = Card.read(self.path)
        return dataclasses.replace(card, name=self.name, revision=self.path.parent.name) if self.name else card

    @cached_property
    def tensors(self) -> Tensors:
        return with_original_names(read_file(self.path))

    @cached_property
    def configs(self) -> dict[str, dict[str, Any]]:
        try:
            if self._diffusers_names:
                return {"unet": diffusers_unet_config(self.tensors)}
            return original_configs(self.tensors)
        except PipelineError as error:
            path = str(self.path)
            detail = error.detail if path in error.detail else f"{path}: {error.detail}"
            raise PipelineError(detail, field="checkpoint") from error

    @property
    def _diffusers_names(self) -> bool:
        return "conv_in.weight" in self.tensors and "down_blocks.0.resnets.0.conv1.weight" in self.tensors

    @cached_property
    def tokenizer(self) -> Path:
        beside = self.path.parent / "tokenizer"
        if beside.is_dir():
            return beside
        try:
            return download(CLIP_TOKENIZER, TOKENIZER_FILES)
        except PipelineError as error:
            detail = f"{self.path} needs CLIP's tokenizer: put its vocab.json and merges.txt into {beside} ({error})"
            raise PipelineError(detail, field="checkpoint") from error

    def settings(self, part: str) -> dict[str, Any]:
        if part in self.configs:
            return self.configs[part]
        try:
            return part_settings(self.path.parent, part)
        except PipelineError as error:
            detail = f"{self.path} holds a UNet alone, so text_encoder, vae and scheduler must be beside it"
            raise PipelineError(f"{detail}: {error.detail}", field="checkpoint") from error

    def network(self, kind: type[Network], part: str, dtype: Any) -> Network:
        config = kind.Config.parse(self.settings(part))
        if part not in self.configs:
            return build(kind, config, read_folder(self.path.parent / part), dtype=dtype)
        if kind is UNet and self._diffusers_names:
            return build(kind, config, self.tensors, dtype=dtype)
        return build(kind, config, original_part(self.tensors, kind), original=True, dtype=dtype)

    def check(self) -> None:
        for part in PARTS.values():
            self.settings(part)
            if part not in self.configs:
                read_folder(self.path.parent / part)


def find(checkpoint: str | Path, variant: str = "") -> Files:
    """Find the files of a folder, an original single file, or a hub id, which is downloaded unless it is cached.

    A hub id is `owner/name[@revision]`. With `/file` after it, it names one of several single files.

    Raises:
        PipelineError: it is none of these.
    """
    path = Path(checkpoint)
    if path.is_dir():
        return DiffusersFolder(path, variant=variant)
    if path.is_file():
        return OriginalFile(path)
    return _from_hub(str(checkpoint), variant)


def part_settings(folder: Path, part: str) -> dict[str, Any]:
    """The configuration of a part in a folder with diffusers' layout."""
    path = folder / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
    if not path.is_file():
        raise PipelineError(f"{path} is missing", field="checkpoint")
    return read_json(path)


def read_json(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise PipelineError(f"{path} is not JSON: {error}", field="checkpoint") from error
    if not isinstance(settings, dict):
        raise PipelineError(f"{path} holds no JSON object", field="checkpoint")
    return settings


def _why_no_checkpoint(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    if not names:
        return "is an empty folder: a checkpoint has a model_index.json and a folder for each part"
    if (config := folder / "config.json").is_file() and (kind := read_json(config).get("_class_name")):
        return f"holds a {kind} alone: a checkpoint has it in a folder `unet` beside the other parts"
    if single := [name for name in names if name.endswith(SINGLE_FILES)]:
        return f"has no model_index.json; if {single[0]} is the checkpoint, name that file"
    return f"has no model_index.json, so it is no diffusers checkpoint; it holds {', '.join(names[:5])}"


def _from_hub(checkpoint: str, variant: str) -> Files:
    hub_id, _, file = checkpoint.rpartition("/") if checkpoint.endswith(SINGLE_FILES) else (checkpoint, "", "")
    names = _names_on_hub(hub_id)
    if not file and "model_index.json" in names:
        return DiffusersFolder(download(hub_id, needed(names, variant)), name=hub_id, variant=variant)
    if not file:
        single = [name for name in names if name.endswith(SINGLE_FILES) and "/" not in name]
        if len(single) != 1:
            held = f"it holds {', '.join(single)}: write {hub_id}/FILE" if single else "it holds no single file either"
            raise PipelineError(f"{hub_id} has no model_index.json, and {held}", field="checkpoint")
        file = single[0]
    return OriginalFile(download(hub_id, [file]) / file, name=hub_id)


def needed(names: list[str], variant: str = "") -> list[str]:
    """The files of a repository that our networks need: configurations, tokenizer, and one set of weights per part."""
    wanted = {"model_index.json", "darkroom.json", "scheduler/scheduler_config.json"}
    wanted |= {name for name in names if name.startswith("tokenizer/") and name.endswith((".json", ".txt"))}
    for part in PARTS.values():
        files = [name.removeprefix(part + "/") for name in names if name.startswith(part + "/")]
        wanted |= {f"{part}/{name}" for name in ["config.json", *choose(files, variant)]}
    return sorted(wanted & set(names))


def _names_on_hub(hub_id: str) -> list[str]:
    return list(sizes_on_hub(hub_id))


def sizes_on_hub(hub_id: str) -> dict[str, int]:
    """The sizes in bytes of a repository's files by name. If the hub is not reachable, those of the cached files.

    Raises:
        PipelineError: there is no such repository, or no file of it is in the cache.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, HTTPError

    name, _, revision = hub_id.partition("@")
    try:  # the client does not repeat this call; it repeats its other calls for half a minute
        told = HfApi().model_info(name, revision=revision or None, files_metadata=True, timeout=HUB_SECONDS)
        return {one.rfilename: one.size or 0 for one in told.siblings or ()}
    except HFValidationError as error:
        raise _not_found(hub_id, error) from error
    except (HTTPError, OSError) as error:
        folder = _cached(hub_id)
        if folder is None:
            raise _not_found(hub_id, error) from error
        here = (path for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): path.stat().st_size for path in here}


def _cached(hub_id: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    name, _, revision = hub_id.partition("@")
    try:
        index = ["model_index.json"]  # without patterns the client fails if any file was never downloaded
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=index, local_files_only=True))
    except LocalEntryNotFoundError:
        return None


def download(hub_id: str, patterns: list[str]) -> Path:
    """The folder of a hub id (`owner/name[@revision]`) in the hub's cache. Missing files are downloaded, with a bar."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    name, _, revision = hub_id.partition("@")
    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=patterns))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise _not_found(hub_id, error) from error


def _not_found(hub_id: str, error: Exception) -> PipelineError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    detail = f"{hub_id} is not a folder or file here and could not be fetched from the hub ({reason})"
    return PipelineError(detail, field="checkpoint")
