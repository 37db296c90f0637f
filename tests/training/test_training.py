"""The whole way from photos to a checkpoint, with networks so small that seconds are enough to go it."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn.functional import avg_pool2d, pixel_shuffle

from pipeline.edit import Pipeline
from training import evaluation
from training.autoencoder import train_autoencoder, train_decoder
from training.diffusion import (
    STEPS,
    build,
    choose_scales,
    choose_steps,
    dropped,
    editor,
    train_unet,
    training_alphas,
    weight_of,
    without_some,
)
from training.edits import FAMILIES
from training.evaluation import Run, Task, assess
from training.hogwild import rate, train
from training.language import train_reader
from training.package import package
from training.photos import held_out_names, train_crops
from training.recipe import MICRO, STAGES, Plan, Recipe
from training.samples import Samples, Shares

EXAMPLES = Path(__file__).parents[2] / "examples"
LATENTS = 5  # channels that no checkpoint has, so that nothing counts on those of one


@pytest.fixture(scope="module")
def recipe():
    tables = dict(Recipe.read().tables)
    network = {"latent_channels": LATENTS, "block_out_channels": [16, 32], "norm_num_groups": 2}
    tables |= {
        "workers": 2,
        "vae": {**tables["vae"], "minutes": 0.01, "batch": 2, "size": 32, "network": network},
        "decoder": {**tables["decoder"], "minutes": 0.01, "edits": 0.5, "sizes": {"32": 2}},
        "text": {**tables["text"], "minutes": 0.01, "batch": 4},
        "unet": {
            **tables["unet"],
            "minutes": 0.01,
            "phases": [{"until": 1.0, "sizes": {"32": 2, "32x48": 1}}],
            "network": {
                "resnet_time_scale_shift": "scale_shift",
                "addition_embed_type": "text",
                "addition_embed_type_num_heads": 4,
                "block_out_channels": [32, 64],
                "attention_head_dim": [1, 2],
                "norm_num_groups": 4,
            },
        },
    }
    return Recipe(tables)


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """The three example photos, in the form that `photos.gather` leaves."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "pictures").mkdir()
    rows = []
    for path in sorted(EXAMPLES.glob("*.jpg")):
        Image.open(path).convert("RGB").resize((192, 160)).save(folder / "pictures" / path.name)
        rows.append({"name": path.stem, "split": "training"})
    (folder / "index.json").write_text(json.dumps({"listed": 0, "pictures": rows}))
    return Samples(folder, Shares(composed=0.1, unchanged=0.1, beyond=0.1))


@pytest.fixture(scope="module")
def checkpoint(recipe, samples, tmp_path_factory):
    work, folder = tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("checkpoint")
    vae = train_autoencoder(recipe, samples, work)
    reader = train_reader(recipe, samples, work)
    unet = train_unet(recipe, samples, vae, reader, work)
    train_decoder(recipe, samples, vae, editor(recipe, vae, reader, unet), work)
    package(recipe, samples, vae, reader, unet, folder)
    return folder


@pytest.mark.filterwarnings("ignore")  # the library's own
def test_diffusers_loads_it_without_being_told_a_dtype_and_edits(checkpoint):
    from diffusers import StableDiffusionInstructPix2PixPipeline

    pipe = StableDiffusionInstructPix2PixPipeline.from_pretrained(checkpoint)
    assert {module.dtype for module in (pipe.unet, pipe.vae, pipe.text_encoder)} == {torch.float32}
    assert pipe.scheduler.config.prediction_type == "v_prediction"
    assert pipe.scheduler.config.rescale_betas_zero_snr
    pipe.set_progress_bar_config(disable=True)
    edited = pipe("make it blue", Image.new("RGB", (64, 64)), num_inference_steps=2).images[0]
    assert edited.size == (64, 64)


def test_the_service_loads_it_with_its_defaults_and_edits(checkpoint):
    pipe = Pipeline.load(checkpoint)
    assert pipe.card.defaults["pix2pix-full"]["steps"] == Recipe.read()["card"]["models"]["pix2pix-full"]["steps"]
    assert pipe.previews.weight.shape == (LATENTS, 3)
    photo = Image.open(EXAMPLES / "pagoda.jpg")
    assert pipe.edit(photo, "make it blue", size="256x256", seed=1).size == (256, 256)


def test_a_checkpoint_is_judged_and_its_figures_and_sheet_are_left(checkpoint, tmp_path, monkeypatch):
    """Asked a second time, for one photo more, it judges that one alone: in a thread, which starts sooner."""
    photos, out = tmp_path / "photos", tmp_path / "evaluation"
    (photos / "pictures").mkdir(parents=True)
    photo = Image.open(EXAMPLES / "pagoda.jpg").convert("RGB").resize((320, 256))
    for name in held_out_names():
        photo.save(photos / "pictures" / f"{name}.jpg")
    asked = [Task(name, 0, (256, 256), ("sepia", "keep"), show=True) for name in held_out_names()[:2]]
    run = Run(checkpoint, photos)
    assess(run, asked[:1], 1, out)
    (first,) = out.glob("*/*.json")
    judged_at = first.stat().st_mtime_ns
    monkeypatch.setattr(evaluation, "ProcessPoolExecutor", ThreadPoolExecutor)
    summary = assess(run, asked, 1, out)
    written = json.loads((out / "evaluation.json").read_text())
    assert written["sizes"] == summary["sizes"]
    assert [edit["photo"] for edit in written["edits"]] == [task.photo for task in asked for _ in range(2)]
    assert written["parameters"]["steps"] == Recipe.read()["card"]["models"]["pix2pix-full"]["steps"]
    assert Image.open(out / "sheet-256.jpg").height == 2 * 130
    assert first.stat().st_mtime_ns == judged_at


def test_a_stage_that_was_cut_off_goes_on_where_it_was(tmp_path):
    """The second run starts with the seconds, samples, weights and optimizer of the first."""
    starts = []

    def loss_of(network):
        def loss(rng, share):
            starts.append(share)
            x = torch.from_numpy(rng.standard_normal((8, 3), dtype=np.float32))
            value = (network(x) - x.sum(1, keepdim=True)).square().mean()
            return value, 8, {"loss": float(value.detach())}

        return loss

    def run(minutes):
        torch.manual_seed(0)
        network = nn.Linear(3, 1)
        train(network, loss_of(network), Plan(minutes, 0.01, workers=1, seed=1), tmp_path, "stage")
        return torch.load(tmp_path / "stage.pt", weights_only=True)

    first = run(0.01)
    starts.clear()
    second = run(0.02)
    assert starts[0] >= 0.5
    assert second["seconds"] == pytest.approx(1.2, abs=0.5)
    assert second["samples"] > first["samples"]
    assert second["optimizer"]["state"][0]["step"] > first["optimizer"]["state"][0]["step"]


def test_the_rate_rises_stays_and_falls_to_nothing():
    shares = np.linspace(0, 1, 101)
    rates = [rate(share) for share in shares]
    assert rates[0] == 0
    assert rates[-1] == pytest.approx(0, abs=1e-9)
    assert max(rates) == rates[30] == 1
    assert (np.diff(rates[50:]) <= 0).all()


def test_minutes_on_the_command_line_are_those_of_all_stages_together():
    whole, short = Recipe.read(MICRO), Recipe.read(MICRO, minutes=20)
    assert sum(short.plan(stage).minutes for stage in STAGES) == pytest.approx(20)
    assert short.plan("unet").minutes / short.plan("vae").minutes == pytest.approx(
        whole.plan("unet").minutes / whole.plan("vae").minutes
    )


def test_each_kind_of_condition_is_dropped_as_often_as_the_recipe_says():
    wordless, pictureless = dropped(np.random.default_rng(0), 100_000, 0.05)
    for share in (wordless & ~pictureless, pictureless & ~wordless, wordless & pictureless):
        assert share.mean() == pytest.approx(0.05, abs=0.005)


def test_a_picture_without_text_stays_as_it_is_and_a_text_without_picture_is_followed():
    before, after = torch.ones(4, 2, 1, 1), 2 * torch.ones(4, 2, 1, 1)
    wordless, pictureless = torch.tensor([False, True, False, True]), torch.tensor([False, False, True, True])
    shown, wanted = without_some(before, after, wordless, pictureless)
    assert shown[:, 0, 0, 0].tolist() == [1, 1, 0, 0]
    assert wanted[:, 0, 0, 0].tolist() == [2, 1, 2, 2]


def test_what_keeps_one_color_is_learned_where_there_is_more_of_it(samples):
    rng, size, keep = np.random.default_rng(0), (48, 48), FAMILIES["keep_reds"].apply

    def left(crop):
        return float(np.ptp(keep(crop), axis=2).mean())

    chosen = [left(samples.telling("keep_reds", rng, size)) for _ in range(40)]
    usual = [left(crop) for crop in train_crops(samples.folder, rng, size, 40)]
    assert np.mean(chosen) > 1.2 * np.mean(usual)


def test_the_grain_of_a_sample_is_that_of_the_noise_that_its_edit_begins_with(samples):
    noise = torch.randn(4, LATENTS, 12, 12, generator=torch.manual_seed(0))
    grainy = replace(samples, shares=Shares(0.0, 0.0, 0.0), kinds=("grain",))
    pairs = grainy.pairs(np.random.default_rng(0), 4, (48, 48), noise)
    grain = avg_pool2d((pairs.after - pairs.before).mean(1), 2)
    strengths = pixel_shuffle(noise[:, :4], 2)[:, 0]
    alike = np.corrcoef(grain.flatten(1), strengths.flatten(1))[:4, 4:]
    assert np.diag(alike).min() > 0.7
    assert np.abs(alike - np.diag(np.diag(alike))).max() < 0.2


def test_most_samples_carry_little_noise_and_some_all_of_it():
    scales = choose_scales(np.random.default_rng(0), 100_000, most=0.5, full=0.1)
    assert (scales == 1).mean() == pytest.approx(0.1, abs=0.01)
    assert scales[scales < 1].max() <= 0.5
    assert scales[scales < 1].mean() == pytest.approx(0.25, abs=0.01)


def test_a_share_of_samples_is_noise_alone_and_the_rest_are_mostly_noisy():
    steps = choose_steps(np.random.default_rng(0), 100_000, early=0.6, first=0.1)
    assert (steps == STEPS - 1).mean() == pytest.approx(0.1, abs=0.01)
    assert ((steps >= 0) & (steps < STEPS)).all()
    assert np.median(steps[steps < STEPS - 1]) > 0.6 * STEPS


def test_the_schedule_ends_in_noise_alone():
    alphas = training_alphas()
    assert alphas.shape == (STEPS,)
    assert (alphas.diff() < 0).all()
    assert float(alphas[-1]) == pytest.approx(2**-24)


def test_no_step_weighs_more_than_the_noisiest():
    weights = weight_of(torch.tensor([0.999, 0.9, 0.5, 0.01]))
    assert (weights <= 1).all()
    assert weights[-1] == weights[-2] == 1


def test_the_recipes_unet_has_heads_of_32_channels():
    unet = build(Recipe.read()["unet"]["network"], 8, 128)
    heads = [module for module in unet.modules() if hasattr(module, "to_q")]
    assert heads
    assert all(head.to_q.out_features // head.heads >= 32 for head in heads)
