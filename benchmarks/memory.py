"""Computes the memory that a model needs from its configs: `./dev bench memory [CHECKPOINT] [--quick] [--json]`.

No weights are loaded. The networks are built on PyTorch's `meta` device, and every tensor of a pass is counted from its
creation to its release. Attention is assumed not to keep its scores, as on a GPU. A CUDA context (about 0.5 GB),
PyTorch's cache and the workspace of convolutions are not included. Without CHECKPOINT: the configs of Stable Diffusion
1.5.
"""

import argparse
import json
import weakref
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pipeline.batch import ROWS
from pipeline.files import find
from pipeline.networks.clip import CLIPTextEncoder
from pipeline.networks.kernels import Attend
from pipeline.networks.unet import UNet
from pipeline.networks.vae import VAE

MICRO = Path(__file__).parents[1] / "checkpoints" / "micro"
DTYPES = {"float32": torch.float32, "float16": torch.float16}
KINDS: dict[str, Any] = {"text_encoder": CLIPTextEncoder, "vae": VAE, "unet": UNet}


class Peak(TorchDispatchMode):
    """Counts the bytes of the tensors that operations create, and the most that exist at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        self._known.update(tensor.untyped_storage()._cdata for tensor in given)  # weights are not new
        with self:
            made = func.decompose(*args, **(kwargs or {}))
        if made is NotImplemented:
            made = func(*args, **(kwargs or {}))
            for tensor in tree_leaves(made):
                if isinstance(tensor, Tensor):
                    self._count(tensor)
        return made

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata in self._known or tensor._base is not None:
            return
        self._known.add(storage._cdata)
        self.bytes += storage.nbytes()
        self.peak = max(self.peak, self.bytes)
        weakref.finalize(storage, self._forget, storage._cdata, storage.nbytes())

    def _forget(self, storage: int, size: int) -> None:
        self._known.discard(storage)
        self.bytes -= size


def attend_without_scores(query: Tensor, _key: Tensor, _value: Tensor) -> Tensor:
    """Takes the memory of blockwise attention, which keeps only its result."""
    return torch.empty_like(query)


def networks(settings: dict[str, dict[str, Any]], dtype: torch.dtype) -> dict[str, nn.Module]:
    """The networks of these configs, without weights."""
    with torch.device("meta"):
        made = {part: kind(kind.Config.parse(settings.get(part, {}))) for part, kind in KINDS.items()}
    for network in made.values():
        network.to(dtype).eval()
        for module in network.modules():
            if isinstance(module, Attend):
                module.kernel = attend_without_scores
    return made


@torch.inference_mode()
def pass_bytes(unet: Any, rows: int, side: int) -> int:
    """The most bytes at a time in a pass of so many rows, without the weights and the texts."""
    x = torch.empty(rows, unet.config.in_channels, side, side, dtype=unet.dtype, device="meta")
    text = unet.read(torch.empty(rows, 77, unet.config.cross_attention_dim, dtype=unet.dtype, device="meta"))
    with Peak() as peak:
        unet(x, torch.empty(rows, device="meta"), text)
    return peak.peak


@torch.inference_mode()
def decode_bytes(vae: Any, pictures: int, side: int, dtype: torch.dtype) -> int:
    """The most bytes at a time while so many pictures are decoded."""
    latents = torch.empty(pictures, vae.config.latent_channels, side, side, dtype=dtype, device="meta")
    with Peak() as peak:
        vae.decode(latents)
    return peak.peak


def needs(settings: dict[str, dict[str, Any]], dtype: str, pixels: int, row_counts: tuple[int, ...]) -> dict[str, Any]:
    """Megabytes of the weights, of passes by their rows, and of decoding, for square pictures."""
    made = networks(settings, DTYPES[dtype])
    unet: Any = made["unet"]
    vae: Any = made["vae"]
    side = pixels // vae.config.factor
    weights = sum(weight.nbytes for network in made.values() for weight in network.parameters())
    passes = {str(rows): round(pass_bytes(unet, rows, side) / 2**20) for rows in row_counts}
    decoding = {str(count): round(decode_bytes(vae, count, side, DTYPES[dtype]) / 2**20) for count in (1, 4)}
    largest = max(*passes.values(), *decoding.values())
    return {
        "dtype": dtype,
        "pixels": pixels,
        "weights_mb": round(weights / 2**20),
        "pass_mb_by_rows": passes,
        "decode_mb_by_pictures": decoding,
        "in_all_mb": round(weights / 2**20) + largest,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", nargs="?", type=Path, help="default: Stable Diffusion 1.5's configs")
    parser.add_argument("--quick", action="store_true", help="three rows of small pictures, with the micro checkpoint")
    parser.add_argument("--pixels", type=int, default=512, help="side of the pictures (%(default)s)")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    settings = {}
    checkpoint = arguments.checkpoint or (MICRO if arguments.quick else None)
    if checkpoint:
        files = find(checkpoint)
        settings = {part: dict(files.settings(part)) for part in KINDS}
    rows, pixels = ((3,), 128) if arguments.quick else (ROWS, arguments.pixels)
    entries = [needs(settings, dtype, pixels, tuple(rows)) for dtype in DTYPES]
    if arguments.json:
        print(json.dumps(entries, indent=1))
    else:
        for entry in entries:
            print(entry)


if __name__ == "__main__":
    main()
