"""What breaks below an edit is told apart, and harms nobody else."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.edit import Pipeline
from pipeline.errors import NotFinite

MICRO = Path(__file__).parents[2] / "checkpoints" / "micro"
QUICK = {"seed": 1, "steps": 2, "size": "256x256"}
MODELS = ("pix2pix-full", "pix2pix-base")


def pixels(picture):
    return np.asarray(picture).astype(int)


@torch.inference_mode()
def spoil(network):
    """One weight of it is no number."""
    next(network.parameters()).view(-1)[0] = torch.nan


@pytest.fixture(scope="module")
def exact():
    """What each model makes of the photo in fp32."""
    pipe = Pipeline.load(MICRO, MODELS[0])
    return {model: pipe.with_model(model) for model in MODELS}


@pytest.mark.parametrize("model", MODELS)
def test_numbers_that_are_not_finite_are_no_picture(photo, model):
    pipe = Pipeline.load(MICRO, model)
    spoil(pipe.checkpoint.unet)
    with pytest.raises(NotFinite, match="not finite"):
        pipe.edit(photo, "make it sunset", **QUICK)


@pytest.mark.parametrize(("model", "part"), [(MODELS[0], "unet"), (MODELS[0], "vae"), (MODELS[1], "vae")])
def test_what_a_narrow_dtype_spoils_is_computed_once_more_in_fp32(exact, photo, model, part):
    pipe, seen = Pipeline.load(MICRO, model, "bfloat16"), []
    spoil(getattr(pipe.checkpoint, part))
    again = pipe.edit(photo, "make it sunset", on_step=lambda progress: seen.append(progress.preview()), **QUICK)
    wanted = exact[model].edit(photo, "make it sunset", **QUICK)
    assert np.abs(pixels(again) - pixels(wanted)).max() <= 1
    assert len(seen) == (4 if part == "unet" or model == MODELS[1] else 2), "what is taken again is reported again"


def test_a_vae_that_asks_for_it_computes_in_fp32_where_the_unet_computes_in_fp16():
    half = Pipeline.load(MICRO, MODELS[0], "float16").checkpoint
    assert (half.vae.config.force_upcast, half.unet.dtype) == (True, torch.float16)
    assert next(half.vae.parameters()).dtype == torch.float32
