from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionInstructPix2PixPipeline
from PIL import Image

from pipeline.edit import Pipeline
from pipeline.errors import PipelineError
from pipeline.notes import Notes
from pipeline.pictures import as_rgb, fit

MICRO = Path(__file__).parents[2] / "checkpoints" / "micro"
QUICK = {"steps": 3, "size": "256x256"}


def pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture).astype(int)


@pytest.fixture(scope="module")
def stock():
    """The library's own pipeline with its own weights."""
    pipe = StableDiffusionInstructPix2PixPipeline.from_pretrained(MICRO, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def sunset(base, photo):
    """An edit, its progress reports, and the previews at each step."""
    steps, previews = [], []

    def watch(progress):
        steps.append(progress)
        previews.append(progress.preview())

    return base.edit(photo, "make it sunset", seed=1, **QUICK, on_step=watch), steps, previews


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(base, photo, sunset):
    again, other = (base.edit(photo, "make it sunset", seed=seed, **QUICK) for seed in (1, 2))
    assert sunset[0].tobytes() == again.tobytes() != other.tobytes()


def test_without_a_seed_edits_differ(base, photo):
    first, second = (base.edit(photo, "make it sunset", steps=2, size="256x256") for _ in range(2))
    assert first.tobytes() != second.tobytes()


@pytest.mark.parametrize("scales", [(7.5, 1.5), (2.5, 1.2), (1.0, 1.5)])
def test_at_temperature_1_an_edit_is_the_librarys_own_to_the_bit(base, stock, photo, scales):
    theirs = stock(
        "make it look like night",
        image=fit(photo, "256x256"),
        num_inference_steps=3,
        guidance_scale=scales[0],
        image_guidance_scale=scales[1],
        negative_prompt="bright",
        generator=torch.Generator().manual_seed(11),
    ).images[0]
    given = {"cfg_scale": scales[0]} | ({"image_cfg_scale": scales[1]} if scales[0] > 1 else {})
    ours = base.edit(photo, "make it look like night", negative_prompt="bright", seed=11, **QUICK, **given)
    assert ours.tobytes() == theirs.tobytes()


def test_lower_temperatures_keep_more_of_the_picture(base, photo, sunset):
    original = pixels(fit(photo, QUICK["size"]))
    lower = [base.edit(photo, "make it sunset", temperature=t, seed=1, **QUICK) for t in (0.1, 0.5)]
    distances = [np.abs(pixels(edited) - original).mean() for edited in (*lower, sunset[0])]
    assert distances == sorted(distances)
    assert distances[0] < distances[2] / 3


def test_the_lowest_temperature_with_the_fewest_steps_works(base, photo):
    edited = base.edit(photo, "blur it", temperature=0.1, steps=2, seed=1, size="256x256")
    original = pixels(fit(photo, "256x256"))
    assert edited.size == (256, 256)
    assert np.abs(pixels(edited) - original).mean() < 20


def test_an_instruction_is_followed(base, photo, sunset):
    red, _, blue = pixels(sunset[0]).mean((0, 1))
    assert red > blue + 40
    red, _, blue = pixels(base.edit(photo, "turn it blue", seed=1, **QUICK)).mean((0, 1))
    assert blue > red + 40


def test_steps_are_reported_in_order_and_previews_near_the_result(sunset):
    edited, steps, previews = sunset
    assert [(p.step, p.steps) for p in steps] == [(n, QUICK["steps"]) for n in range(1, QUICK["steps"] + 1)]
    assert previews[-1].size == (64, 64)

    def apart(preview):
        return np.abs(pixels(preview) - pixels(edited.resize((64, 64), Image.Resampling.BOX))).mean()

    assert apart(previews[-1]) < 12
    assert apart(previews[0]) < apart(steps[0].noisy()) / 2, "what is predicted, without the noise"


def test_a_preview_asked_for_later_is_still_of_its_own_step(sunset):
    _, steps, previews = sunset
    assert [p.preview().tobytes() for p in steps] == [p.tobytes() for p in previews]
    assert len({p.tobytes() for p in previews}) == QUICK["steps"]


def test_a_fast_edit_is_nearly_the_exact_one_and_its_receipt_says_so(base, photo):
    """With ten steps, the fewest for fast edits, it differs most from the exact one."""
    own, made, notes = base.with_model("pix2pix-full"), {}, {}
    for effort, steps in (("exact", 10), ("fast", 10), ("fast", 9)):
        notes[steps] = Notes()
        given = {"steps": steps, "size": "256x256", "seed": 1, "effort": effort, "notes": notes[steps]}
        made[effort, steps] = pixels(own.edit(photo, "make it sunset", **given))
    error = np.square(made["exact", 10] - made["fast", 10]).mean()
    assert 0 < error < 255**2 / 10**3, "30 dB"
    assert notes[10].receipt == {"effort": "fast"}
    assert "too few steps" in notes[9].receipt["effort"]


def test_an_exception_from_on_step_ends_the_edit_at_that_step(base, photo):
    class Canceled(Exception):
        pass

    steps = []

    def stop_at_two(progress):
        steps.append(progress.step)
        if progress.step == 2:
            raise Canceled

    with pytest.raises(Canceled):
        base.edit(photo, "make it sunset", seed=1, steps=50, size="256x256", on_step=stop_at_two)
    assert steps == [1, 2]


def test_a_photo_of_another_mode_is_edited_as_it_looks_upright_on_white(base, photo):
    odd = photo.convert("RGBA")
    odd.putalpha(Image.linear_gradient("L").resize(photo.size))
    odd.getexif()[0x0112] = 6
    first, second = (base.edit(given, "make it sepia", seed=1, steps=2, size="256x256") for given in (odd, as_rgb(odd)))
    assert first.tobytes() == second.tobytes()


def test_an_edit_has_the_photos_own_size_or_the_models(base, photo):
    def edited(shape, **given):
        return base.edit(photo.resize(shape), "make it sepia", seed=1, steps=2, **given)

    assert edited((97, 64), resolution="model").size == (632, 416)
    assert edited((97, 64), size="256x256").size == (256, 256)
    assert edited((97, 64), size="256x256", resolution="own").size == (97, 64)
    assert edited((16, 400), size="256x256", resolution="own").size == (16, 400)
    assert edited((16, 400), size="256x256", resolution="model").size == (82, 256)


def test_threads_edit_as_one_would_alone(base, photo):
    jobs = [("make it sunset", 2, 1), ("turn it blue", 3, 2), ("blur it " * 40, 2, 3)]

    def edit(job):
        prompt, steps, seed = job
        return base.edit(photo, prompt, steps=steps, seed=seed, size="256x256").tobytes()

    alone = [edit(job) for job in jobs]
    with ThreadPoolExecutor(len(jobs)) as threads:
        assert list(threads.map(edit, jobs)) == alone


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"steps": 1}, "steps"),
        ({"temperature": 0.05}, "temperature"),
        ({"cfg_scale": 15}, "cfg_scale"),
        ({"cfg_scale": 1, "image_cfg_scale": 2}, "image_cfg_scale"),
        ({"size": "300x300"}, "size"),
        ({"seed": -1}, "seed"),
    ],
)
def test_a_bad_parameter_is_refused_by_name(base, photo, given, field):
    with pytest.raises(PipelineError) as refused:
        base.edit(photo, "make it sepia", **given)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("no/such/folder/here",), "checkpoint"),
        ((MICRO, "pix3pix"), "model"),
        ((MICRO, "pix2pix-base", "int8"), "dtype"),
    ],
)
def test_what_cannot_be_loaded_is_refused_by_name(arguments, field):
    with pytest.raises(PipelineError) as refused:
        Pipeline.load(*arguments)
    assert refused.value.field == field


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(PipelineError, match=r"model_index\.json"):
        Pipeline.load(tmp_path, model="pix2pix-base")


def test_bfloat16_is_close_to_float32(photo, sunset):
    half = Pipeline.load(MICRO, model="pix2pix-base", dtype="bfloat16")
    rounded = half.edit(photo, "make it sunset", seed=1, **QUICK)
    assert half.receipt()["dtype"] == "bfloat16"
    assert 0 < np.abs(pixels(sunset[0]) - pixels(rounded)).mean() < 6


@pytest.mark.parametrize("model", ["pix2pix-full", "pix2pix-base"])
def test_words_that_are_not_read_are_noted_whichever_prompt_they_are_in(base, photo, model):
    notes, long = Notes(), "a cat " * 37 + "and MORE"
    base.with_model(model).edit(photo, long + " Words", negative_prompt=long, notes=notes, seed=1, **QUICK)
    read = "is longer than the 75 tokens that are read. Not read:"
    assert notes.warnings == [
        {"code": "prompt-truncated", "detail": f"The prompt {read} \u201cMORE Words\u201d"},
        {"code": "prompt-truncated", "detail": f"The negative prompt {read} \u201cMORE\u201d"},
    ]


def test_the_receipt_says_what_computed(base):
    assert base.receipt() == {
        "checkpoint": "micro",
        "revision": base.card.revision,
        "dtype": "float32",
        "torch": torch.__version__,
        "device": "cpu",
    }
