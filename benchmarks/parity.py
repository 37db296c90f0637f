"""Compares our networks and samplers with diffusers' on the same weights: `./dev bench parity [--quick] [--json]`.

Each cell runs one edit twice, with the library's pipeline and the matching scheduler and with our own loop, from the
same seed in float32, and compares the final latents and the decoded pictures. One cell is known to miss the bound on
latents by rounding alone: DPM-Solver++ at 512 x 512 and scales 7.5/1.5 (1.5e-4). There the library differs from itself
by 1.3e-4 when its UNet's weights are laid out channels last.
"""

import argparse
import itertools
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch
from PIL import Image

from pipeline.networks.clip import CLIPConfig, CLIPTextEncoder
from pipeline.networks.unet import UNet, UNetConfig
from pipeline.schedule import Spacing
from pipeline.weights import build, from_module
from tests.pipeline.parity import Cell, Pair

ROOT = Path(__file__).parents[1]
QUICK = Cell("ddim", "trailing", steps=2, size=(64, 64))


def cells() -> Iterator[Cell]:
    """All cells of the benchmark."""
    kinds: list[tuple[str, Spacing, int]] = [
        ("euler-a", "linspace", 20),
        ("ddim", "leading", 20),
        ("ddim", "trailing", 10),
        ("ddim", "trailing", 20),
        ("ddim", "trailing", 50),
        ("ddpm", "leading", 20),
        ("ddpm", "trailing", 20),
        ("dpm++2m", "trailing", 20),
    ]
    scales, negatives = [(7.5, 1.5), (3.0, 1.2)], ["", "blurry, dark"]
    sizes = [(256, 256), (512, 512), (384, 640)]
    for (sampler, spacing, steps), scale, negative, size in itertools.product(kinds, scales, negatives, sizes):
        yield Cell(sampler, spacing, steps, scale, negative, size)


def full_size() -> dict[str, float]:
    """Relative differences of the full-size Stable Diffusion 1.5 networks with random weights. Needs 5 GB."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    with torch.inference_mode():
        theirs = UNet2DConditionModel(in_channels=8, cross_attention_dim=768).eval()
        ours = build(UNet, UNetConfig.parse(dict(theirs.config)), from_module(theirs))
        x, text, step = torch.randn(1, 8, 32, 32), torch.randn(1, 77, 768), torch.tensor([500.0])
        unet = _relative(ours(x, step, ours.read(text)), theirs(x, step, text).sample)
        settings = CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_attention_heads=12)
        theirs = CLIPTextModel(settings).eval()
        ours = build(CLIPTextEncoder, CLIPConfig.parse(settings.to_dict()), from_module(theirs))
        tokens = torch.randint(0, 49408, (1, 77))
        return {"unet": unet, "text_encoder": _relative(ours(tokens), theirs(tokens).last_hidden_state)}


def _relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "checkpoints" / "micro")
    parser.add_argument("--photo", type=Path, default=ROOT / "examples" / "pagoda.jpg")
    parser.add_argument("--quick", action="store_true", help="one cell of two steps at 64 x 64")
    parser.add_argument("--full-size", action="store_true", help="only the full-size networks, random weights")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.full_size:
        print(json.dumps(full_size()))
        return
    pair, photo = Pair(arguments.checkpoint), Image.open(arguments.photo).convert("RGB")
    entries, failed = [], 0
    for cell in [QUICK] if arguments.quick else cells():
        difference = pair.compare(cell, photo, "make it look like night")
        failed += not difference.passes
        entries.append(asdict(cell) | asdict(difference) | {"passes": difference.passes})
        if not arguments.json:
            print(
                f"{cell.sampler:8} {cell.spacing:9} {cell.steps:3} {cell.scales} {cell.size} "
                f"{'negative' if cell.negative else '        '}  latents {difference.latents:.1e}  "
                f"pixels {difference.pixels}  same {difference.same:.2%}  {'ok' if difference.passes else 'FAILS'}",
                flush=True,
            )
    if arguments.json:
        print(json.dumps(entries, indent=1))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
