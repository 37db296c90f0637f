"""The models that run on our UNet, through the public face."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.catalogue import MODELS
from pipeline.edit import Pipeline
from pipeline.errors import PipelineError

MICRO = Path(__file__).parents[2] / "checkpoints" / "micro"
OWN = [model for model in MODELS if model != "pix2pix-base"]
QUICK = {"steps": 4, "size": "256x256"}


@pytest.fixture(scope="module")
def models(base):
    return {model: base.with_model(model) for model in MODELS}


def pixels(picture):
    return np.asarray(picture).astype(int)


@pytest.mark.parametrize("model", OWN)
def test_an_instruction_is_followed(models, photo, model):
    sunset = pixels(models[model].edit(photo, "make it sunset", seed=1, steps=10, size="256x256")).mean((0, 1))
    blue = pixels(models[model].edit(photo, "turn it blue", seed=1, steps=10, size="256x256")).mean((0, 1))
    assert sunset[0] > sunset[2] + 30
    assert blue[2] > blue[0] + 30


@pytest.mark.parametrize("model", OWN)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(models, photo, model):
    def edit(seed):
        return models[model].edit(photo, "make it sunset", negative_prompt="dark", seed=seed, **QUICK).tobytes()

    assert edit(7) == edit(7) != edit(8)


def test_models_of_the_same_sampler_and_guidance_agree_whoevers_parts_they_use(models, photo):
    same = ["pix2pix-full-no-cfg-no-ddim", "pix2pix-1", "pix2pix-2"]
    pictures = [pixels(models[model].edit(photo, "make it sepia", seed=3, **QUICK)) for model in same]
    for other in pictures[1:]:
        apart = np.abs(pictures[0] - other)
        assert apart.max() <= 1
        assert (apart == 0).mean() >= 0.999


def test_text_guidance_is_three_way_guidance_at_image_scale_1(models, photo):
    text = models["pix2pix-full-no-cfg-no-ddim"].edit(photo, "make it sepia", seed=3, **QUICK)
    scales = {"cfg_scale": models["pix2pix-base"].card.text_scale, "image_cfg_scale": 1}
    both = models["pix2pix-full-no-ddim"].edit(photo, "make it sepia", seed=3, **scales, **QUICK)
    assert text.tobytes() == both.tobytes()


def test_pix2pix_full_has_two_samplers(models, photo):
    ddim, solver = (
        models["pix2pix-full"].edit(photo, "make it sepia", seed=3, sampler=name, **QUICK)
        for name in ("ddim", "dpm++2m")
    )
    assert ddim.tobytes() != solver.tobytes()
    assert models["pix2pix-full"].edit(photo, "make it sepia", seed=3, **QUICK).tobytes() == ddim.tobytes()


@pytest.mark.parametrize("model", OWN)
def test_lower_temperatures_keep_more_of_the_picture(models, photo, model):
    from pipeline.pictures import fit

    original = pixels(fit(photo, "256x256"))
    apart = [
        np.abs(
            pixels(models[model].edit(photo, "make it a pencil sketch", temperature=t, seed=1, **QUICK)) - original
        ).mean()
        for t in (0.1, 0.5, 1.0)
    ]
    assert apart == sorted(apart)


def test_steps_are_reported_and_an_exception_ends_the_edit(models, photo):
    seen = []

    def stop_at_three(progress):
        seen.append((progress.step, progress.steps, progress.preview().size))
        if progress.step == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        models["pix2pix-full"].edit(photo, "make it sepia", seed=1, steps=9, size="256x256", on_step=stop_at_three)
    assert seen == [(step, 9, (64, 64)) for step in (1, 2, 3)]


def test_threads_share_steps_and_edit_as_one_would_alone(models, photo):
    def edit(job):
        model, seed = job
        return pixels(models[model].edit(photo, "make it sunset", seed=seed, steps=3 + seed, size="256x256"))

    jobs = [(model, seed) for seed, model in enumerate(MODELS)]
    alone = [edit(job) for job in jobs]
    with ThreadPoolExecutor(len(jobs)) as threads:
        for together, apart in zip(threads.map(edit, jobs), alone, strict=True):
            difference = np.abs(together - apart)
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
    assert {pipe.own.unet for pipe in models.values() if pipe.own} == {checkpoint.unet}


def test_six_models_in_one_process_take_the_memory_of_one():
    """Counted over every tensor that is alive, in a process of its own."""
    script = f"""
import gc, torch
from pipeline.catalogue import MODELS
from pipeline.edit import Pipeline

def tensor_bytes():
    gc.collect()
    tensors = [thing for thing in gc.get_objects() if type(thing) in (torch.Tensor, torch.nn.Parameter)]
    storages = [tensor.untyped_storage() for tensor in tensors if not tensor.is_meta]
    return sum({{storage.data_ptr(): storage.nbytes() for storage in storages}}.values())

one = Pipeline.load({str(MICRO)!r}, model="pix2pix-full")
before = tensor_bytes()
six = [one.with_model(model) for model in MODELS]
print(before, tensor_bytes())
"""
    said = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    before, after = (int(number) for number in said.split())
    assert before > 5_000_000
    assert after <= 1.1 * before, f"{after / before:.3f}"


def test_our_own_networks_load_without_the_library():
    script = (
        "import sys; from pipeline.edit import Pipeline;"
        f"Pipeline.load({str(MICRO)!r}, model='pix2pix-full');"
        "assert not {'diffusers', 'transformers'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_half_precision_files_are_computed_in_fp32_and_bfloat16_is_near(photo):
    exact = Pipeline.load(MICRO, model="pix2pix-full")
    half = Pipeline.load(MICRO, model="pix2pix-full", dtype="bfloat16")
    assert exact.own.unet.dtype == torch.float32
    pictures = [pixels(pipe.edit(photo, "make it sunset", seed=1, **QUICK)) for pipe in (exact, half)]
    assert np.abs(pictures[0] - pictures[1]).mean() < 6
