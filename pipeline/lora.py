"""LoRA (Hu et al. 2022): low-rank changes to a network's weights, merged into them when it is loaded.

A merged weight is W + scale * alpha / rank * up @ down. Files name the layers in several ways: kohya's
(`lora_unet_down_blocks_0_...lora_down.weight`), PEFT's (`unet.down_blocks.0...lora_A.weight`), and older ones of
diffusers (`unet...processor.to_q_lora.down.weight`, `text_encoder...lora_linear_layer.down.weight`).
"""

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from pipeline.errors import PipelineError
from pipeline.networks.clip import CLIPTextEncoder
from pipeline.networks.unet import UNet
from pipeline.weight_files import read_file
from pipeline.weights import CLIP, PARTS, UNET, Network, translate

FILE = "pytorch_lora_weights.safetensors"  # the name of the file in a folder
LEAVES = [  # the meaning of the ends of names
    (r"\.lora_down\.weight$|\.lora_A\.(?:default\.)?weight$|[._]lora(?:_linear_layer)?\.down\.weight$", "down"),
    (r"\.lora_up\.weight$|\.lora_B\.(?:default\.)?weight$|[._]lora(?:_linear_layer)?\.up\.weight$", "up"),
    (r"\.alpha$", "alpha"),
]
PREFIXES = {  # the prefix of the names for each network, and the rules that translate them to ours
    CLIPTextEncoder: (r"^(?:lora_te1?_|text_encoder\.|base_model\.model\.text_model\.)", CLIP),
    UNet: (r"^(?:lora_unet_|unet\.|base_model\.model\.)", UNET),
}
COMPOUNDS = (  # words in diffusers' names that contain an underscore, which kohya also writes in place of dots
    "add_embedding conv_in conv_norm_out conv_out conv_shortcut down_blocks final_layer_norm k_proj layer_norm1 "
    "layer_norm2 linear_1 linear_2 mid_block out_proj proj_in proj_out q_proj self_attn text_model time_emb_proj "
    "time_embedding to_k to_out to_q to_v token_embedding position_embedding transformer_blocks up_blocks v_proj"
).split()


@dataclass(frozen=True)
class Lora:
    """A LoRA and the strength with which it is merged. `path` is a .safetensors file or a folder with `FILE` in it."""

    path: Path
    scale: float = 1.0

    @cached_property
    def changes(self) -> dict[type[nn.Module], dict[str, dict[str, Tensor]]]:
        """For each network and each of its layers, with our names: `down`, `up` and perhaps `alpha`.

        Raises:
            PipelineError: the file is broken, holds another kind of change, or is for another model.
        """
        path = self.path / FILE if self.path.is_dir() else self.path
        changes: dict[type[nn.Module], dict[str, dict[str, Tensor]]] = {kind: defaultdict(dict) for kind in PREFIXES}
        for name, read in read_file(path).items():
            leaf = next(((end, leaf) for end, leaf in LEAVES if re.search(end, name)), None)
            if leaf is None:
                raise self._refusal(f"{name} is not part of a plain LoRA (LoRA or LoCon)")
            kind, layer = self._layer(name, re.sub(leaf[0], "", name))
            changes[kind][layer][leaf[1]] = read()
        for kind, alpha in self._alphas(path).items():
            for change in changes[kind].values():
                change.setdefault("alpha", torch.tensor(alpha))
        return changes

    def _alphas(self, path: Path) -> dict[type[nn.Module], float]:
        """The alpha that PEFT recorded for each network: in the file's header, or in a separate file next to it.

        Raises:
            PipelineError: an unsupported setting changes the numbers.
        """
        noted: dict[str, Any] = {}
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                noted = json.loads((file.metadata() or {}).get("lora_adapter_metadata", "{}"))
        if (beside := path.with_name("adapter_config.json")).is_file() and path.name.startswith("adapter_model"):
            config = json.loads(beside.read_text(encoding="utf-8"))
            noted |= {f"{part}.{name}": value for part in ("unet", "text_encoder") for name, value in config.items()}
        for name, value in noted.items():
            if value and name.endswith((".alpha_pattern", ".use_rslora", ".use_dora")):
                raise self._refusal(f"its {name} {value!r} is not supported")
        alphas = {kind: noted.get(f"{PARTS[kind]}.lora_alpha") for kind in PREFIXES}
        return {kind: float(alpha) for kind, alpha in alphas.items() if alpha is not None}

    def _layer(self, name: str, module: str) -> tuple[type[nn.Module], str]:
        for kind, (prefix, rules) in PREFIXES.items():
            if re.match(prefix, module):
                module = re.sub(prefix, "", module)
                if re.match("lora_", name):
                    module = _with_dots(module)
                module = re.sub(r"\.processor\.|\.processor$", ".", module)
                module = re.sub(r"\.to_out(?=\.?$)", ".to_out.0", module)
                return kind, translate(module + ".weight", rules)
        raise self._refusal(f"{name} belongs to no network of Stable Diffusion 1")

    def merge(self, network: Network) -> None:
        """Add the changes for a network to its weights, which must not be shared yet.

        Raises:
            PipelineError: it changes a layer that the network does not have, or that has another shape.
        """
        for layer, change in self.changes.get(type(network), {}).items():
            try:
                module = network.get_submodule(layer.removesuffix(".weight"))
                weight, down, up = module.weight, change["down"].float(), change["up"].float()
                alpha = float(change.get("alpha", torch.tensor(down.shape[0])))
                product = (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)
            except (AttributeError, KeyError, RuntimeError) as error:
                raise self._refusal(f"it does not fit {layer} of the {type(network).__name__}: {error}") from error
            merged = weight.float() + (self.scale * alpha / down.shape[0] * product).to(weight.device)
            module.weight = nn.Parameter(merged.to(weight.dtype), requires_grad=False)

    def _refusal(self, detail: str) -> PipelineError:
        return PipelineError(f"{self.path} cannot be merged: {detail}", field="checkpoint")

    def __str__(self) -> str:
        return f"{self.path.name} x {self.scale:g}"


def _with_dots(module: str) -> str:
    """Diffusers' name of a layer, `down_blocks.0.resnets.1.conv1`, from kohya's, which has underscores for the dots."""
    marked = re.sub(rf"(?<![a-z])({'|'.join(COMPOUNDS)})(?![a-z])", lambda found: found[0].replace("_", "-"), module)
    return marked.replace("_", ".").replace("-", "_")
