"""Writes a checkpoint with Stable Diffusion 1.5's real dimensions and random weights, 2 GB in float16.

    python -m benchmarks._full_size_folder FOLDER

The folder is in diffusers' layout and has no card, like most checkpoints. Its pictures mean nothing, but its startup,
memory and step times are those of the real model. The tokenizer is that of the micro checkpoint.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

TOKENIZER = Path(__file__).parents[1] / "checkpoints" / "micro" / "tokenizer"
WIDTHS = (128, 256, 512, 512)


def make(folder: Path) -> None:
    """Write the checkpoint. Takes about a minute. The weights are the same each time."""
    torch.manual_seed(0)
    text = CLIPTextConfig(
        hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, vocab_size=49408
    )
    CLIPTextModel(text).half().save_pretrained(folder / "text_encoder")
    vae = AutoencoderKL(
        block_out_channels=WIDTHS,
        down_block_types=("DownEncoderBlock2D",) * len(WIDTHS),
        up_block_types=("UpDecoderBlock2D",) * len(WIDTHS),
        layers_per_block=2,
    )
    vae.half().save_pretrained(folder / "vae")
    UNet2DConditionModel(in_channels=8, sample_size=64, cross_attention_dim=768).half().save_pretrained(folder / "unet")
    EulerAncestralDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
    ).save_pretrained(folder / "scheduler")
    shutil.copytree(TOKENIZER, folder / "tokenizer", dirs_exist_ok=True)
    index = {
        "_class_name": "StableDiffusionInstructPix2PixPipeline",
        "feature_extractor": [None, None],
        "safety_checker": [None, None],
        "requires_safety_checker": False,
        "scheduler": ["diffusers", "EulerAncestralDiscreteScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    make(parser.parse_args().folder)


if __name__ == "__main__":
    main()
