"""Writes src/pages/models/networks.json, the data of that page: `.venv/bin/python web/networks.py`.

The models are those of the catalogue. Each network is built without memory, once in the size of the project's own
checkpoint and once in Stable Diffusion's, and run once to record its shapes.
"""

import inspect
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.catalogue import DEFAULT_MODEL, MODELS, SAMPLER_NAMES, Model
from pipeline.networks.clip import CLIPTextEncoder
from pipeline.networks.kernels import Attend
from pipeline.networks.unet import Rows, UNet
from pipeline.networks.vae import VAE

FILE = Path(__file__).parent / "src" / "pages" / "models" / "networks.json"
MICRO = Path(__file__).parent.parent / "checkpoints" / "micro"
SIDE, WORDS = 512, 77  # the picture in pixels, and the text in tokens

Run = Callable[[Any], None]


def document() -> str:
    """The models, and the networks in both sizes, as JSON."""
    sizes = {"micro": MICRO, "stable-diffusion": None}
    networks = {name: size(folder) for name, folder in sizes.items()}
    whole = {"models": [*map(told, MODELS.values())], "side": SIDE, "sizes": networks}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")) + "\n"


def told(model: Model) -> dict[str, Any]:
    """Describe a model for the page."""
    parameters = [parameter.name for parameter in model.parameters]
    facts = {name: getattr(model, name) for name in ("id", "summary")}
    facts |= {"sampler": SAMPLER_NAMES[model.sampler], "guidance": model.guidance}
    return {**facts, "default": model.id == DEFAULT_MODEL, "made_of": asdict(model.made_of), "parameters": parameters}


def size(checkpoint: Path | None) -> dict[str, Any]:
    """The three networks with a checkpoint's configs. Without a checkpoint, with the default configs."""
    text_encoder, vae, unet = (_built(*part, checkpoint) for part in PARTS)
    side = SIDE // vae.config.factor
    latents = torch.empty(1, vae.config.latent_channels, side, side, device="meta")

    def autoencode(vae: VAE) -> None:
        vae.encode(torch.empty(1, 3, SIDE, SIDE, device="meta"))
        vae.decode(latents)

    def denoise(unet: UNet) -> None:
        text = torch.empty(1, WORDS, unet.config.cross_attention_dim, device="meta")
        unet(torch.cat([latents, latents], dim=1), torch.zeros(1, device="meta"), unet.read(text))

    return {
        "text_encoder": watched(text_encoder, lambda it: it(torch.zeros(1, WORDS, dtype=torch.long, device="meta"))),
        "vae": watched(vae, autoencode),
        "unet": watched(unet, denoise),
    }


PARTS = ((CLIPTextEncoder, "text_encoder"), (VAE, "vae"), (UNet, "unet"))


def _built(kind: Any, part: str, checkpoint: Path | None) -> Any:
    config = kind.Config.read(checkpoint / part / "config.json") if checkpoint else kind.Config()
    with torch.device("meta"):
        return kind(config)


def watched(network: nn.Module, run: Run) -> dict[str, Any]:
    """The network's modules as a tree, each with the shape of its output, without the batch."""
    seen: dict[nn.Module, list[int]] = {}

    def note(module: nn.Module, given: tuple[Any, ...], result: Any) -> None:
        out = given[0].x if given and isinstance(given[0], Rows) else result
        if isinstance(out, Tensor):
            seen[module] = list(out.shape[1:])

    for module in network.modules():
        module.register_forward_hook(note)
    run(network)
    return _node("", network, seen)


def _node(name: str, module: nn.Module, seen: dict[nn.Module, list[int]]) -> dict[str, Any]:
    children = [(child, part) for child, part in module.named_children() if not isinstance(part, nn.Identity)]
    facts = {
        "name": name,
        "kind": type(module).__name__,
        "note": _note(module),
        "parameters": sum(weights.numel() for weights in module.parameters()),
        "shape": seen.get(module),
        "parts": [*(_own(module) if children else ()), *(_node(child, part, seen) for child, part in children)],
    }
    return {key: value for key, value in facts.items() if value or key == "name"}


def _own(module: nn.Module) -> list[dict[str, Any]]:
    """The weights that a module holds in addition to those of its parts."""
    return [
        {"name": name, "kind": "Parameter", "note": " x ".join(map(str, weights.shape)), "parameters": weights.numel()}
        for name, weights in module.named_parameters(recurse=False)
    ]


def _note(module: nn.Module) -> str:
    """What a reader wants to know of a module: the numbers of a layer, or the purpose of a block of ours."""
    match module:
        case nn.Conv2d():
            stride = f", stride {module.stride[0]}" if module.stride[0] > 1 else ""
            kernel = "x".join(map(str, module.kernel_size))
            return f"{module.in_channels} → {module.out_channels}, {kernel}{stride}"
        case nn.Linear():
            return f"{module.in_features} → {module.out_features}"
        case nn.Embedding():
            return f"{module.num_embeddings} x {module.embedding_dim}"
        case nn.GroupNorm():
            return f"{module.num_groups} groups"
        case Attend():
            return f"{module.heads} heads" if module.heads > 1 else "1 head"
    ours = type(module).__module__.startswith("pipeline.")
    own = vars(type(module)).get("__doc__") or ""  # not a base class's
    return inspect.cleandoc(own).split("\n")[0] if ours else ""


if __name__ == "__main__":
    FILE.write_text(document(), encoding="utf-8")
