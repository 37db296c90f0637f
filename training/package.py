"""The trained networks as a folder in diffusers' layout, fp16, with our card and a tokenizer."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch.nn.functional import interpolate

from training.diffusion import SCHEDULE
from training.language import LABELS, TOKENIZER, Reader
from training.recipe import Recipe
from training.recognition import threshold
from training.samples import Samples

PIPELINE = {
    "_class_name": "StableDiffusionInstructPix2PixPipeline",
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "EulerAncestralDiscreteScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
SCHEDULER = {
    "_class_name": "EulerAncestralDiscreteScheduler",
    "timestep_spacing": "linspace",
    "steps_offset": 1,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "trained_betas": None,
}


def package(
    recipe: Recipe, samples: Samples, vae: AutoencoderKL, reader: Reader, unet: UNet2DConditionModel, folder: Path
) -> None:
    """Write a checkpoint folder. Its weights are fp16; its configs say float32, so that libraries compute in that."""
    folder.mkdir(parents=True, exist_ok=True)
    for network, name in ((vae, "vae"), (unet, "unet"), (reader.encoder, "text_encoder")):
        network.save_pretrained(folder / name, safe_serialization=True)
        for weights in (folder / name).glob("*.safetensors"):
            halves = {key: tensor.half() for key, tensor in load_file(weights).items() if "position_ids" not in key}
            save_file(halves, weights, {"format": "pt"})
            weights.chmod(0o644)
    shutil.copytree(TOKENIZER, folder / "tokenizer", dirs_exist_ok=True)
    write(folder / "model_index.json", PIPELINE)
    write(folder / "scheduler" / "scheduler_config.json", {**SCHEDULER, **SCHEDULE})
    save_file(dict(reader.recognizer.state_dict()), folder / "recognition.safetensors")
    (folder / "recognition.safetensors").chmod(0o644)
    recognition = {"labels": list(LABELS), "threshold": threshold(reader)}
    write(folder / "darkroom.json", card(recipe, preview_map(samples, vae), recognition))


def card(recipe: Recipe, previews: dict[str, Any], recognition: dict[str, Any]) -> dict[str, Any]:
    """What Darkroom reads of a checkpoint beside its weights."""
    about = recipe["card"]
    defaults = {
        model: {**about["defaults"], **about["scales"][guidance], **about["models"].get(model, {})}
        for model, guidance in about["guidance"].items()
    }
    return {
        "name": about["name"],
        "revision": about["revision"],
        "text_scale": about["text_scale"],
        "noise_scale": about["noise_scale"],
        "instructions": about["instructions"],
        "abilities": about["abilities"],
        "recognition": recognition,
        "defaults": defaults,
        "latent_rgb": previews,
    }


def preview_map(samples: Samples, vae: AutoencoderKL) -> dict[str, Any]:
    """Colors as a linear function of scaled latents, by least squares over 64 training crops."""
    pictures = samples.pictures(np.random.default_rng(1), 64, 128, 0.3)
    with torch.no_grad():
        latents = vae.encode(pictures).latent_dist.mode() * vae.config.scaling_factor
    colors = interpolate(pictures, latents.shape[-2:], mode="area") / 2 + 0.5
    inputs = latents.movedim(1, -1).flatten(0, 2)
    inputs = torch.cat([inputs, torch.ones(len(inputs), 1)], dim=1)
    solution = torch.linalg.lstsq(inputs, colors.movedim(1, -1).flatten(0, 2)).solution
    rounded = [[round(float(x), 4) for x in row] for row in solution]
    return {"weight": rounded[:-1], "bias": rounded[-1]}


def write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
