"""The models that run on our UNet, through the public interface."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.catalogue import MODELS
from pipeline.edit import Pipeline
from pipeline.errors import PipelineError
from pipeline.pictures import fit

MICRO = Path(__file__).parents[2] / "checkpoints" / "micro"
KINDS = ["pix2pix-full", "pix2pix-full-no-ddim", "pix2pix-full-no-cfg-no-ddim"]  # each sampler and guidance
ALIKE = ["pix2pix-1", "pix2pix-2"]  # the last kind, with some of the library's parts
OWN = [*KINDS, *(pytest.param(model, marks=pytest.mark.slow) for model in ALIKE)]
QUICK = {"steps": 3, "size": "256x256"}
FRESH = """
import gc, json, sys
from pathlib import Path

import pipeline.catalogue, pipeline.errors
said = {"catalogue": sorted(sys.modules)}

import torch
from pipeline.edit import Pipeline

def tensor_bytes():
    gc.collect()
    tensors = [thing for thing in gc.get_objects() if type(thing) in (torch.Tensor, torch.nn.Parameter)]
    storages = [tensor.untyped_storage() for tensor in tensors if not tensor.is_meta]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())

one = Pipeline.load(sys.argv[1], model="pix2pix-full")
said |= {"own": sorted(sys.modules), "bytes_of_one": tensor_bytes()}
six = [one.with_model(model) for model in pipeline.catalogue.MODELS]
said |= {"all": sorted(sys.modules), "bytes_of_six": tensor_bytes()}
Path(sys.argv[2]).write_text(json.dumps(said))
"""


@pytest.fixture(scope="module")
def models(base):
    return {model: base.with_model(model) for model in MODELS}


@pytest.fixture(scope="module")
def edit(models, photo):
    """The pixels of edits. Each is made once for all tests that look at it."""

    @cache
    def edit(model, prompt, seed=1, **given):
        return pixels(models[model].edit(photo, prompt, seed=seed, **QUICK | given))

    return edit


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """The memory of a new process as it loads the catalogue, one model, and the other five."""
    said = tmp_path_factory.mktemp("fresh") / "said.json"
    command = [sys.executable, "-c", FRESH, str(MICRO), str(said)]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    return json.loads(said.read_text()) | {"printed": printed}


def pixels(picture):
    return np.asarray(picture).astype(int)


@pytest.mark.parametrize("model", OWN)
def test_an_instruction_is_followed(edit, model):
    sunset, blue = (edit(model, prompt).mean((0, 1)) for prompt in ("make it sunset", "turn it blue"))
    assert sunset[0] > sunset[2] + 30
    assert blue[2] > blue[0] + 30


@pytest.mark.parametrize("model", OWN)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(models, edit, photo, model):
    again = pixels(models[model].edit(photo, "make it sunset", seed=1, **QUICK))
    assert np.array_equal(edit(model, "make it sunset"), again)
    assert not np.array_equal(edit(model, "make it sunset", seed=2), again)


@pytest.mark.parametrize("given", [{}, {"temperature": 0.5, "negative_prompt": "dark"}], ids=str)
@pytest.mark.parametrize("model", ALIKE)
def test_models_of_the_same_sampler_and_guidance_agree_whoevers_parts_they_use(edit, model, given):
    apart = np.abs(edit(model, "make it sunset", **given) - edit(KINDS[-1], "make it sunset", **given))
    assert apart.max() <= 1
    assert (apart == 0).mean() >= 0.999


def test_text_guidance_is_three_way_guidance_at_image_scale_1(models, edit):
    scales = {"cfg_scale": models["pix2pix-base"].card.text_scale, "image_cfg_scale": 1}
    assert np.array_equal(
        edit("pix2pix-full-no-cfg-no-ddim", "make it sunset"), edit("pix2pix-full-no-ddim", "make it sunset", **scales)
    )


def test_pix2pix_full_has_two_samplers_and_takes_ddim_unasked(edit):
    ddim, solver = (edit("pix2pix-full", "make it sunset", sampler=name) for name in ("ddim", "dpm++2m"))
    assert not np.array_equal(ddim, solver)
    assert np.array_equal(ddim, edit("pix2pix-full", "make it sunset"))


@pytest.mark.parametrize("model", OWN)
def test_lower_temperatures_keep_more_of_the_picture(edit, photo, model):
    original = pixels(fit(photo, QUICK["size"]))
    apart = [np.abs(edit(model, "make it sunset", temperature=t) - original).mean() for t in (0.1, 0.5, 1.0)]
    assert apart == sorted(apart)
    assert apart[0] < apart[2] / 2


def test_steps_are_reported_and_an_exception_ends_the_edit(models, photo):
    seen = []

    def stop_at_three(progress):
        seen.append((progress.step, progress.steps, progress.preview().size))
        if progress.step == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        models["pix2pix-full"].edit(photo, "make it sepia", seed=1, steps=9, size="256x256", on_step=stop_at_three)
    assert seen == [(step, 9, (64, 64)) for step in (1, 2, 3)]


def test_threads_share_steps_and_edit_as_one_would_alone(models, edit, photo):
    def together(job):
        model, prompt, given = job
        return pixels(models[model].edit(photo, prompt, **{"seed": 1} | QUICK | given))

    jobs = [
        ("pix2pix-base", "make it sunset", {"steps": 2}),
        ("pix2pix-full", "make it sunset", {}),
        ("pix2pix-full-no-ddim", "make it sunset", {"temperature": 0.5}),
        ("pix2pix-full-no-cfg-no-ddim", "turn it blue", {}),
        ("pix2pix-1", "make it sunset", {"temperature": 0.5, "negative_prompt": "dark"}),
        ("pix2pix-2", "make it sunset", {"steps": 4, "seed": 2}),
    ]
    with ThreadPoolExecutor(len(jobs)) as threads:
        for (model, prompt, given), picture in zip(jobs, threads.map(together, jobs), strict=True):
            difference = np.abs(picture - edit(model, prompt, **given))
            assert difference.max() <= 1
            assert (difference == 0).mean() >= 0.999


def test_a_parameter_that_a_model_does_not_have_is_refused(models, photo):
    with pytest.raises(PipelineError) as refused:
        models["pix2pix-1"].edit(photo, "make it sepia", cfg_scale=3)
    assert refused.value.field == "cfg_scale"


def test_all_models_of_a_checkpoint_hold_its_weights_once(models):
    checkpoint = models["pix2pix-base"].checkpoint
    library = [checkpoint.library.unet, checkpoint.library.vae, checkpoint.library.text_encoder]
    ours = [checkpoint.unet, checkpoint.vae, checkpoint.text_encoder]
    addresses = [{p.data_ptr() for module in side for p in module.parameters()} for side in (library, ours)]
    assert addresses[0] == addresses[1]
    assert {pipe.editing_model.unet for pipe in models.values() if pipe.editing_model} == {checkpoint.unet}


def test_six_models_in_one_process_take_the_memory_of_one(fresh):
    """Counted over all living tensors."""
    before, after = fresh["bytes_of_one"], fresh["bytes_of_six"]
    assert before > 5_000_000
    assert after <= 1.1 * before, f"{after / before:.3f}"


def test_the_catalogue_and_the_errors_load_no_torch(fresh):
    assert "pipeline.catalogue" in fresh["catalogue"]
    assert "torch" not in fresh["catalogue"]


def test_our_own_networks_load_without_the_library(fresh):
    library = {"diffusers", "transformers"}
    assert library.isdisjoint(fresh["own"])
    assert library <= set(fresh["all"])


def test_loading_prints_nothing(fresh):
    assert fresh["printed"] == ""


def test_half_precision_files_are_computed_in_fp32_and_bfloat16_is_near(models, edit, photo):
    half = Pipeline.load(MICRO, model="pix2pix-full", dtype="bfloat16")
    assert models["pix2pix-full"].editing_model.unet.dtype == torch.float32
    assert half.editing_model.unet.dtype == torch.bfloat16
    rounded = pixels(half.edit(photo, "make it sunset", seed=1, **QUICK))
    assert 0 < np.abs(edit("pix2pix-full", "make it sunset") - rounded).mean() < 6
