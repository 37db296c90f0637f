"""Edits that share a batch."""

from pathlib import Path

import pytest
import torch

from pipeline.denoise import Denoising, advance, whole_every
from pipeline.guidance import three_way
from pipeline.networks.unet import UNet, UNetConfig
from pipeline.samplers import SAMPLERS
from pipeline.schedule import Schedule
from pipeline.weight_files import read_folder
from pipeline.weights import build

FOLDER = Path(__file__).parents[2] / "checkpoints" / "micro" / "unet"
SCHEDULE = Schedule.parse({})
KINDS = [
    ("ddpm", 3, 1.0, (7.5, 1.5)),
    ("ddim", 5, 1.0, (2.5, 1.0)),
    ("dpm++2m", 4, 0.5, (1.5, 1.5)),
    ("euler-a", 2, 0.1, (1.0, 1.0)),
    ("ddpm", 6, 0.7, (1.0, 2.0)),
]


@pytest.fixture(scope="module")
def unet():
    return build(UNet, UNetConfig.read(FOLDER / "config.json"), read_folder(FOLDER), dtype=torch.float32)


@torch.inference_mode()
def edit(unet, seed, sampler, steps, temperature, scales):
    generator = torch.Generator().manual_seed(seed)
    picture = torch.randn(1, unet.config.out_channels, 16, 16, generator=generator)
    prompts = torch.randn(2, 77, unet.config.cross_attention_dim, generator=generator)
    guidance = three_way(*scales)
    text = unet.read(torch.stack([prompts[int(branch.prompted)] for branch in guidance.branches]))
    table = SAMPLERS[sampler](SCHEDULE.levels(steps, temperature))
    return Denoising(table.start(picture, generator), picture, text, guidance, table, generator)


def test_edits_that_differ_in_everything_share_each_step(unet):
    alone = [edit(unet, seed, *kind) for seed, kind in enumerate(KINDS)]
    for one in alone:
        while not one.finished:
            advance(unet, [one])
    concat_texts = [edit(unet, seed, *kind) for seed, kind in enumerate(KINDS)]
    while running := [one for one in concat_texts if not one.finished]:
        advance(unet, running)
    for a, b in zip(alone, concat_texts, strict=True):
        torch.testing.assert_close(a.x, b.x, atol=1e-4 * float(a.x.abs().max()), rtol=0)


def test_rows_are_counted_as_they_are_computed(unet):
    assert [edit(unet, 0, *kind).rows for kind in KINDS] == [3, 2, 2, 1, 3]


def test_fast_edits_share_steps_with_others_at_the_same_phase_and_are_what_they_are_alone(unet):
    """Whole steps are shared with exact edits, the others with fast ones. Only computed rows count."""
    fast = [edit(unet, seed, sampler, 12, 1.0, (2.5, 1.2)) for seed, sampler in enumerate(("ddim", "dpm++2m", "ddpm"))]
    alone = [edit(unet, seed, sampler, 12, 1.0, (2.5, 1.2)) for seed, sampler in enumerate(("ddim", "dpm++2m", "ddpm"))]
    other = edit(unet, 9, "ddim", 12, 1.0, (7.5, 1.5))
    for one in (*fast, *alone):
        one.every = 3
    assert [fast[0].is_whole, fast[0].rows] == [True, 3]
    advance(unet, [*fast, other])
    assert [fast[0].is_whole, fast[0].rows, other.rows] == [False, 1, 3]
    assert fast[0].form == fast[1].form != other.form
    while not fast[0].finished:
        advance(unet, fast)
    for a, b in zip(alone, fast, strict=True):
        while not a.finished:
            advance(unet, [a])
        torch.testing.assert_close(a.x, b.x, atol=1e-4 * float(a.x.abs().max()), rtol=0)


def test_a_whole_step_of_a_fast_edit_is_that_of_an_exact_one(unet):
    exact, fast = (edit(unet, 3, *KINDS[0]) for _ in range(2))
    fast.every = 2
    advance(unet, [exact]), advance(unet, [fast])
    assert torch.equal(exact.x, fast.x)
    advance(unet, [exact]), advance(unet, [fast])
    assert not torch.equal(exact.x, fast.x)


def test_few_steps_are_all_computed_whole():
    assert [whole_every(effort, steps) for effort in ("exact", "fast") for steps in (2, 9, 10, 39, 40)] == [1] * 7 + [
        3,
        3,
        5,
    ]


def test_a_step_leaves_an_edit_that_is_not_in_it_alone(unet):
    moved, waiting = (edit(unet, seed, *KINDS[0]) for seed in (1, 2))
    before = waiting.x.clone()
    advance(unet, [moved])
    assert (moved.step, waiting.step) == (1, 0)
    assert torch.equal(waiting.x, before)
