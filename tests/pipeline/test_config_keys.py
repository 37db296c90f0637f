"""Every key of the libraries' configurations, and what our own networks do with it.

A key that changes the numbers is used (a field, or read by `Schedule.parse`) or refused (`only`). Keys that change
nothing in our networks are listed here with the reason. A key that a newer library adds makes a test fail.
"""

import inspect

import diffusers
import pytest
from diffusers import AutoencoderKL, UNet2DConditionModel

from pipeline.errors import PipelineError
from pipeline.networks.clip import CLIPConfig
from pipeline.networks.unet import UNetConfig
from pipeline.networks.vae import VAEConfig
from pipeline.schedule import FLOWS, Schedule, ScheduleConfig

WITHOUT_EFFECT = {
    UNetConfig: {
        "sample_size": "the default size of other pipelines; an edit's size is the photo's",
        "dropout": "for training",
        "use_linear_projection": "linear layer or convolution of one pixel: the weights' shapes tell",
        "addition_time_embed_dim": "of addition_embed_type text_time, which is refused",
        "projection_class_embeddings_input_dim": "of class embeddings, which are refused",
        "mid_block_only_cross_attention": "of another mid block, which is refused",
    },
    VAEConfig: {"sample_size": "for decoding in tiles, which is off"},
}
SIGNATURES = {UNetConfig: UNet2DConditionModel, VAEConfig: AutoencoderKL}

SCHEDULE_HONORED = {
    "beta_start",
    "beta_end",
    "beta_schedule",
    "num_train_timesteps",
    "trained_betas",
    "prediction_type",
    "rescale_betas_zero_snr",
    "set_alpha_to_one",
}
SCHEDULE_REFUSED = {*ScheduleConfig.only, "variance_type"}
SAMPLERS_OWN = {  # how a sampler of the library walks the schedule: ours have a walk of their own (`Schedule.levels`)
    "algorithm_type",
    "disable_corrector",
    "euler_at_final",
    "final_sigmas_type",
    "interpolation_type",
    "lambda_min_clipped",
    "lower_order_final",
    "predict_x0",
    "skip_prk_steps",
    "solver_order",
    "solver_p",
    "solver_type",
    "steps_offset",
    "timestep_spacing",
    "use_beta_sigmas",
    "use_exponential_sigmas",
    "use_karras_sigmas",
    "use_lu_lambdas",
}
OF_REFUSED_KEYS = {  # they mean something only beside a key that is refused
    "clip_sample_range",
    "dynamic_thresholding_ratio",
    "flow_shift",
    "sample_max_value",
    "shift_terminal",
    "sigma_max",
    "sigma_min",
    "time_shift_type",
    "use_dynamic_shifting",
}
SCHEDULERS = [
    "DDIMScheduler",
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "PNDMScheduler",
    "UniPCMultistepScheduler",
]


@pytest.mark.parametrize("config", SIGNATURES)
def test_every_key_of_a_networks_configuration_is_honored_refused_or_without_effect(config):
    keys = set(inspect.signature(SIGNATURES[config].__init__).parameters) - {"self"}
    honored = set(inspect.signature(config).parameters)
    assert keys - honored - config.only.keys() == WITHOUT_EFFECT[config].keys()


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_key_of_a_schedulers_configuration_is_honored_refused_or_the_samplers_own(name):
    keys = set(inspect.signature(getattr(diffusers, name).__init__).parameters) - {"self"}
    assert keys <= SCHEDULE_HONORED | SCHEDULE_REFUSED | SAMPLERS_OWN | OF_REFUSED_KEYS


def test_schedulers_of_another_process_are_refused_by_their_class():
    others = {name for name in dir(diffusers) if name.endswith("Scheduler") and FLOWS.search(name)}
    assert {"FlowMatchEulerDiscreteScheduler", "EDMEulerScheduler", "LCMScheduler"} <= others
    for name in others:
        with pytest.raises(PipelineError, match=name):
            Schedule.parse({"_class_name": name})


@pytest.mark.parametrize(
    ("parse", "settings"),
    [
        *[(UNetConfig.parse, {name: "another"}) for name in UNetConfig.only],
        *[(VAEConfig.parse, {name: 0.5}) for name in VAEConfig.only],
        (UNetConfig.parse, {"addition_embed_type": "text_time"}),
        (UNetConfig.parse, {"cross_attention_dim": [768, 768]}),
        (VAEConfig.parse, {"down_block_types": ["AttnDownEncoderBlock2D"]}),
        (CLIPConfig.parse, {"model_type": "t5"}),
        *[(Schedule.parse, {name: not value}) for name, value in ScheduleConfig.only.items()],
        (Schedule.parse, {"variance_type": "learned_range"}),
        (Schedule.parse, {"beta_schedule": "squaredcos_cap_v2"}),
        (Schedule.parse, {"prediction_type": "sample"}),
        (Schedule.parse, {"prediction_type": "flow_prediction"}),
        (Schedule.parse, {"rescale_betas_zero_snr": True, "prediction_type": "epsilon"}),
        *[(Schedule.parse, {"trained_betas": odd}) for odd in (["0.1", "0.2"], [], [0.1, 1.5], 0.1)],
        *[(Schedule.parse, {"beta_start": odd}) for odd in ("0.001", -0.1)],
        *[(Schedule.parse, {"num_train_timesteps": odd}) for odd in (0, 1, 1000.5)],
        (UNetConfig.parse, {"upcast_attention": "yes"}),
        (VAEConfig.parse, {"force_upcast": 1}),
        *[(UNetConfig.parse, {"block_out_channels": odd}) for odd in ("320", [320, "640"], [320, 0], True)],
    ],
    ids=str,
)
def test_what_is_not_honored_is_refused_by_its_name(parse, settings):
    key = next(iter(settings))
    with pytest.raises(PipelineError, match="block type" if key.endswith("block_types") else key) as refusal:
        parse(settings)
    assert refusal.value.field == "checkpoint"
