"""Properties of schedules and samplers that hold for any network."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from diffusers import EulerAncestralDiscreteScheduler

from pipeline.samplers import SAMPLERS, ddim, ddpm, euler_ancestral
from pipeline.schedule import Schedule

SCHEDULE = Schedule.parse({"set_alpha_to_one": False})
TO_CLEAN = dataclasses.replace(SCHEDULE, clean_end=True)
ZERO_SNR = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
TO_NOISE = dataclasses.replace(Schedule.parse({"set_alpha_to_one": False, **ZERO_SNR}), velocity=False)
TO_NOISE_IN_V = dataclasses.replace(TO_NOISE, clean_end=True, velocity=True)
ODD_STEPS = (2, 3, 9, 333, 334, 500, 501, 999, 1000)
TEMPERATURES = (0.1, 0.5, 1.0)


def run(table, start, predict_noise, generator):
    """The latents after all of a table's steps."""
    x, previous = start, None
    for step in table.steps:
        predicted = step.predict(x, predict_noise(x, step))
        x, previous = step.advance(x, predicted, previous, generator), predicted
    return x


@pytest.mark.parametrize("spacing", ["trailing", "linspace"])
@pytest.mark.parametrize("schedule", [SCHEDULE, TO_NOISE], ids=["as usual", "to noise alone"])
def test_every_number_of_steps_starts_at_the_right_level_and_only_gets_cleaner(spacing, schedule, pytestconfig):
    tried = range(2, 1001) if pytestconfig.getoption("--slow") else (*range(2, 40), *range(40, 1001, 23), *ODD_STEPS)
    for steps, temperature in itertools.product(tried, TEMPERATURES):
        levels = schedule.levels(steps, temperature, spacing)
        assert len(levels) == steps
        assert levels.timesteps[0] == pytest.approx(round(999 * temperature)), f"{steps} steps at {temperature}"
        assert levels.timesteps[-1] >= 0, f"{steps} steps at {temperature}"
        assert (np.diff(levels.alphas) > 0).all(), f"{steps} steps at {temperature}"
        assert 0 < levels.alphas[0] < levels.alphas[-1] < 1, f"{steps} steps at {temperature}"


@pytest.mark.parametrize("steps", [10, 20, 50, 250, 1000])
def test_trailing_levels_are_the_closed_form_where_steps_divide_the_training_steps(steps):
    timesteps = 1000 - 1 - 1000 // steps * np.arange(steps)
    levels = SCHEDULE.levels(steps)
    np.testing.assert_allclose(levels.timesteps, timesteps, atol=1e-9)
    np.testing.assert_allclose(levels.alphas, SCHEDULE.alphas[timesteps], rtol=1e-9)


def test_the_training_levels_are_scaled_linear():
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    np.testing.assert_allclose(SCHEDULE.alphas, np.cumprod(1 - betas), rtol=1e-4)


def test_a_schedule_that_ends_in_noise_alone_is_the_librarys():
    settings = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    theirs = EulerAncestralDiscreteScheduler(**settings, rescale_betas_zero_snr=True).alphas_cumprod.double().numpy()
    ours = Schedule.parse(settings | ZERO_SNR).alphas
    np.testing.assert_allclose(np.sqrt(ours), np.sqrt(theirs), atol=1e-6)
    assert ours[-1] == theirs[-1] > 0


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("schedule", [TO_CLEAN, TO_NOISE_IN_V], ids=["by noise", "by v from noise alone"])
def test_a_perfect_denoiser_is_recovered_from_any_noise(name, schedule, pytestconfig):
    """A network that always knows the clean latents must lead to them, with every sampler, from every level."""
    torch.manual_seed(0)
    clean, generator = torch.randn(1, 4, 3, 3), torch.Generator().manual_seed(1)

    def answer(x, step):
        signal, noise = step.alpha**0.5, (1 - step.alpha) ** 0.5
        return (signal * x - clean if step.velocity else x - signal * clean) / noise

    tried = ODD_STEPS if pytestconfig.getoption("--slow") else (2, 3, 9, 334, 1000)
    for steps, temperature in itertools.product(tried, TEMPERATURES):
        table = SAMPLERS[name](schedule.levels(steps, temperature))
        result = run(table, table.start(torch.randn(1, 4, 3, 3), generator), answer, generator)
        apart = float((result - clean).abs().max())
        assert apart < 2e-3, f"{steps} steps at {temperature}"


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_a_network_that_predicts_v_leads_where_one_that_predicts_noise_does(name, temperature):
    """For x = sqrt(a) x_0 + sqrt(1 - a) noise both are equivalent: v = sqrt(a) noise - sqrt(1 - a) x_0."""
    start, guess = torch.randn(2, 1, 4, 3, 3, generator=torch.Generator().manual_seed(0))

    def noise(x, step):
        return 0.3 * x + 0.7 * guess

    def velocity(x, step):
        signal, noisy = step.alpha**0.5, (1 - step.alpha) ** 0.5
        return (noise(x, step) - noisy * x) / signal

    results = []
    for predict, schedule in ((noise, SCHEDULE), (velocity, dataclasses.replace(SCHEDULE, velocity=True))):
        table = SAMPLERS[name](schedule.levels(20, temperature))
        results.append(run(table, start, predict, torch.Generator().manual_seed(1)))
    torch.testing.assert_close(*results, atol=1e-3 * float(results[0].abs().max()), rtol=0)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("schedule", [SCHEDULE, TO_CLEAN, TO_NOISE], ids=["as usual", "to clean", "to noise alone"])
def test_tables_are_finite_and_keep_the_noise_at_its_level(name, schedule):
    """With a network that finds no picture (x_0 = 0 and unit noise), the latents have the noise of each level."""
    for steps, temperature in itertools.product(ODD_STEPS, TEMPERATURES):
        case = f"{steps} steps at {temperature}"
        levels = schedule.levels(steps, temperature)
        weights = np.array([(s.keep, s.clean, s.before, s.fresh) for s in SAMPLERS[name](levels).steps])
        assert np.isfinite(weights).all(), case
        arrival = levels.following[:-1]  # the last step may arrive elsewhere
        variance = weights[:-1, 0] ** 2 * (1 - levels.alphas[:-1]) + weights[:-1, 3] ** 2
        if name in ("ddim", "dpm++2m"):
            np.testing.assert_allclose(variance, 1 - arrival, rtol=1e-6, err_msg=case)
        else:  # Euler's slope loses a little, and so does the posterior's smaller variance
            assert (variance <= 1 - arrival + 1e-9).all(), case
        signal = weights[:, 0] * np.sqrt(levels.alphas) + weights[:, 1] + weights[:, 2]
        # a steady prediction keeps its strength
        np.testing.assert_allclose(signal[:-1], np.sqrt(arrival), rtol=1e-6, err_msg=case)


@pytest.mark.parametrize("steps", [2, 20, 333])
def test_ddim_with_all_its_chance_is_ddpm(steps):
    levels = TO_CLEAN.levels(steps)
    for a, b in zip(ddim(levels, eta=1.0).steps, ddpm(levels).steps, strict=True):
        np.testing.assert_allclose((a.keep, a.clean, a.fresh), (b.keep, b.clean, b.fresh), atol=1e-9)


def test_samplers_without_chance_draw_nothing():
    generator = torch.Generator().manual_seed(3)
    before = generator.get_state()
    for name in ("ddim", "dpm++2m"):
        table = SAMPLERS[name](TO_CLEAN.levels(5))
        run(table, torch.randn(1, 4, 2, 2), lambda x, step: x, generator)
    assert torch.equal(generator.get_state(), before)


def test_at_temperature_1_the_picture_is_not_in_the_start():
    generators = [torch.Generator().manual_seed(3) for _ in range(2)]
    table = euler_ancestral(SCHEDULE.levels(10, spacing="linspace"))
    pictures = torch.zeros(1, 4, 2, 2), torch.full((1, 4, 2, 2), 9.0)
    first, second = (table.start(p, g) for p, g in zip(pictures, generators, strict=True))
    assert torch.equal(first, second)


@pytest.mark.parametrize("name", SAMPLERS)
def test_lower_temperatures_start_nearer_the_picture(name):
    picture = torch.full((1, 4, 8, 8), 3.0)
    apart = []
    for temperature in (0.1, 0.4, 0.7, 1.0):
        table = SAMPLERS[name](SCHEDULE.levels(10, temperature))
        apart.append(float((table.start(picture, torch.Generator().manual_seed(0)) - picture).square().mean()))
    assert apart == sorted(apart)


def test_betas_that_a_checkpoint_was_trained_with_are_its_schedule():
    betas = np.linspace(0.001, 0.02, 50)
    theirs = EulerAncestralDiscreteScheduler(trained_betas=betas.tolist()).alphas_cumprod.double().numpy()
    ours = Schedule.parse({"trained_betas": betas.tolist(), "beta_schedule": "linear", "num_train_timesteps": 1000})
    np.testing.assert_array_equal(ours.alphas, theirs)
