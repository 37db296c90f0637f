"""Tensors from files: safetensors, and pickles, of which only data is read; in one file, in shards, in variants.

Every file is opened and its header checked at once, which takes milliseconds. A tensor is read when it is needed.
"""

import json
import math
import re
import threading
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from pipeline.errors import PipelineError

Tensors = Mapping[str, Callable[[], Tensor]]  # each tensor is read when called, so that few are in memory twice

NAME = re.compile(
    r"(?P<stem>diffusion_pytorch_model|pytorch_model|model)"
    r"(?:\.(?P<early>\w+?))?(?P<shard>-\d+-of-\d+)?(?:\.(?P<late>\w+?))?"
    r"\.(?P<format>safetensors|bin)(?P<index>\.index(?:\.(?P<last>\w+))?\.json)?"
)
VARIANTS = ("", "fp16", "bf16")  # the order of preference if no variant is requested; other variants come last
SHARD = re.compile(r"-(\d+)-of-(\d+)")
TRAINERS = (
    "argparse collections ldm lightning lightning_fabric numpy omegaconf pathlib pytorch_lightning typing".split()
)
UNPICKLING = threading.Lock()  # PyTorch's list of safe names belongs to the whole process
CONVERT = (
    "If you trust it, load it and save its tensors: `from safetensors.torch import save_file; "
    "save_file(torch.load(...)['state_dict'], 'model.safetensors')`"
)


def choose(names: Iterable[str], variant: str = "") -> list[str]:
    """The files of a folder that hold its weights: one file, or shards with their index if there is one.

    The requested variant is preferred, then the plain one, safetensors before pickles, one file before shards.
    """
    groups: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for name in sorted(names):
        if found := NAME.fullmatch(name):
            spelled = found["early"] or found["late"] or found["last"] or ""
            rank = VARIANTS.index(spelled) if spelled in VARIANTS else len(VARIANTS)
            late = "non_ema" in spelled  # these weights are for further training
            shards = bool(found["shard"] or found["index"])
            groups[spelled != variant, late, rank, found["format"] == "bin", shards, found["stem"]].append(name)
    return groups[min(groups)] if groups else []


def has_variant(names: Iterable[str], variant: str) -> bool:
    """Whether any of these files has this variant."""
    found = [match for name in names if (match := NAME.fullmatch(name))]
    return any(variant in (match["early"], match["late"], match["last"]) for match in found)


def read_folder(folder: Path, variant: str = "") -> Tensors:
    """The tensors in the folder of one network.

    Raises:
        PipelineError: there are none, a shard is missing, or a file is broken.
    """
    files = choose((path.name for path in folder.iterdir() if path.is_file()), variant) if folder.is_dir() else []
    if not files:
        raise PipelineError(f"{folder} holds no weights (*.safetensors or *.bin)", field="checkpoint")
    tensors: dict[str, Callable[[], Tensor]] = {}
    for shard in _shards(folder, files):
        tensors |= read_file(shard)
    return tensors


def count_values(folder: Path, variant: str = "") -> int:
    """The number of values in a network's folder, by the headers of its files. For pickles, a quarter of the bytes."""
    count = 0
    for path in _shards(folder, choose((path.name for path in folder.iterdir() if path.is_file()), variant)):
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                count += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
        else:
            count += path.stat().st_size // 4
    return count


def _shards(folder: Path, files: list[str]) -> list[Path]:
    """The files themselves, by the index among them or by the numbers in their names."""
    for index in (name for name in files if name.endswith(".json")):
        weight_map: dict[str, str] = json.loads((folder / index).read_text(encoding="utf-8"))["weight_map"]
        for shard in sorted(set(weight_map.values())):
            if not (folder / shard).is_file():
                raise PipelineError(f"{folder / shard} is missing, which {index} names", field="checkpoint")
        return [folder / shard for shard in sorted(set(weight_map.values()))]
    numbered = [match for name in files if (match := SHARD.search(name))]
    if numbered and len(numbered) != int(numbered[0][2]):
        detail = f"{folder} holds {len(numbered)} of the {int(numbered[0][2])} shards of its weights"
        raise PipelineError(f"{detail}: {', '.join(files)}", field="checkpoint")
    return [folder / name for name in files]


def read_file(path: Path) -> Tensors:
    """The tensors of a .safetensors file, or of a .ckpt, .pt or .bin pickle, of which only data is read.

    Raises:
        PipelineError: the file is broken, or is a pickle that would run code.
    """
    _refuse_other_formats(path)
    try:
        return _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, LookupError, AttributeError) as error:
        reason = str(error).splitlines()[0].split(". ")[0] if str(error) else "it ends too early"
        detail = f"{path} cannot be read, so it is broken or cut short: {reason}"
        raise PipelineError(detail, field="checkpoint") from error


def _refuse_other_formats(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(40)
    except OSError as error:
        raise PipelineError(f"{path} cannot be read: {error}", field="checkpoint") from error
    if start.startswith(b"version https://git-lfs"):
        detail = "is a Git LFS pointer instead of the file: run `git lfs pull` in its clone"
        raise PipelineError(f"{path} cannot be read: it {detail}", field="checkpoint")
    if start.startswith(b"GGUF"):
        raise PipelineError(f"{path} cannot be read: it is a GGUF file, not safetensors", field="checkpoint")


def _read_safetensors(path: Path) -> Tensors:
    with safe_open(path, framework="pt") as file:
        return {name: partial(_one_tensor, path, name) for name in file.keys()}  # noqa: SIM118 - it is not a mapping


def _one_tensor(path: Path, name: str) -> Tensor:
    with safe_open(path, framework="pt") as file:
        return file.get_tensor(name)


class Inert:
    """Replaces an object of a training library, so that nothing of it has to be imported."""

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        pass


def _read_pickle(path: Path) -> Tensors:
    """The tensors of a pickle. Objects of training libraries are skipped unread. Any other object is refused."""
    zipped = zipfile.is_zipfile(path)
    with UNPICKLING:
        foreign = get_unsafe_globals_in_checkpoint(path) if zipped else []
        for name in foreign:
            if name.split(".")[0] not in TRAINERS:
                raise PipelineError(_names_code(path, name), field="checkpoint")
        try:
            with safe_globals([(Inert, name) for name in foreign]):
                contents: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
        except UnpicklingError as error:  # its own message advises loading without protection
            named = re.search(r"GLOBAL (\S+)", str(error))
            detail = _names_code(path, named[1]) if named else f"{path} cannot be read: it is not a weight file"
            raise PipelineError(detail, field="checkpoint") from None
    contents = contents.get("state_dict", contents)
    return {name: partial(contents.__getitem__, name) for name, value in contents.items() if isinstance(value, Tensor)}


def _names_code(path: Path, name: str) -> str:
    return f"{path} cannot be read: it holds more than weights ({name}), which could run code. {CONVERT}"
