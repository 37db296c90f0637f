"""Noise schedules: the noise level of the latents at each training step, and the steps that an edit visits.

The notation is that of Ho et al. 2020: latents at step t are sqrt(a_t) x_0 + sqrt(1 - a_t) noise, where a_t is the
cumulative product of 1 - beta.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.errors import PipelineError

Spacing = Literal["trailing", "linspace", "leading"]
Floats = NDArray[np.float64]

ALL_BUT_NOTHING = 2.0**-24
PREDICTIONS = {"epsilon": False, "v_prediction": True}  # diffusers' names, and whether the prediction is v
ONLY = {  # settings of diffusers' schedulers that describe the training, and the only value that is supported
    "clip_sample": False,  # latents are not confined to a range
    "thresholding": False,
    "timestep_type": "discrete",
    "use_flow_sigmas": False,
}
LEARNED = ("learned", "learned_range")  # variances that the network would predict in addition to the noise
FLOWS = re.compile(r"FlowMatch|EDM|LCM|TCD|CMStochastic|Consistency|VQDiffusion")  # classes of other processes


@dataclass(frozen=True)
class Levels:
    """The noise levels of one edit, the noisiest first: `timesteps` for the network, and the `alphas` a_t.

    `final` is a_t after the last step. `whole`: the first level is pure noise. `velocity`: the network predicts v
    instead of the noise.
    """

    timesteps: Floats
    alphas: Floats
    final: float
    whole: bool
    velocity: bool = False

    def __len__(self) -> int:
        return len(self.timesteps)

    @property
    def following(self) -> Floats:
        """For each step, the a_t after it."""
        return np.append(self.alphas[1:], self.final)


@dataclass(frozen=True)
class Schedule:
    """A training schedule: a_t for every training step, and what the network learned to predict."""

    alphas: Floats
    clean_end: bool = True  # whether DDIM's last step ends at a = 1, or at the first training step's a
    velocity: bool = False  # v = sqrt(a) noise - sqrt(1 - a) x_0 (Salimans and Ho 2022) instead of the noise

    @classmethod
    def parse(cls, settings: Mapping[str, Any]) -> "Schedule":
        """The schedule of a checkpoint's scheduler_config.json. Betas are in float32, as in training.

        Raises:
            PipelineError: the schedule is neither linear, scaled linear nor listed; the prediction is not supported; or
                the process is not the diffusion of noise.
        """
        _refuse_other_processes(settings)
        prediction = settings.get("prediction_type", "epsilon")
        if prediction not in PREDICTIONS:
            raise PipelineError(
                f"the scheduler's prediction_type {prediction!r} is not one of {', '.join(PREDICTIONS)}",
                field="checkpoint",
            )
        alphas = torch.cumprod(1 - _betas(settings), dim=0).double().numpy()
        if settings.get("rescale_betas_zero_snr", False):
            if not PREDICTIONS[prediction]:
                detail = "rescale_betas_zero_snr cannot go with prediction_type epsilon: noise alone tells no picture"
                raise PipelineError(f"the scheduler's {detail}", field="checkpoint")
            alphas = _ending_in_noise(alphas)
        return cls(alphas, settings.get("set_alpha_to_one", True), PREDICTIONS[prediction])

    def levels(self, steps: int, temperature: float = 1.0, spacing: Spacing = "trailing") -> Levels:
        """The levels that an edit of so many steps visits, from round(last x temperature) down.

        `trailing` divides the way to a clean picture into equal parts and starts each step at the noisier end of its
        part. `linspace` spreads the steps evenly so that the last is at 0. `leading` starts each step at the cleaner
        end, plus one; it begins at the wrong level for most step counts and is only here for comparison with other
        code.
        """
        last = len(self.alphas) - 1
        first = round(last * temperature)
        match spacing:
            case "trailing":
                timesteps = (first + 1) * (1 - np.arange(steps) / steps) - 1
            case "linspace":
                timesteps = np.linspace(0, first, steps)[::-1]
            case "leading":
                timesteps = np.arange(steps)[::-1] * ((last + 1) // steps) + 1.0
        final = self._final(timesteps)
        return Levels(timesteps.clip(min=0), self.alpha_at(timesteps), final, temperature == 1, self.velocity)

    @property
    def ends_in_noise(self) -> bool:
        """Whether the noisiest step holds nothing of the picture. Then only a sampler made for it starts correctly."""
        return bool(self.alphas[-1] <= ALL_BUT_NOTHING)

    def alpha_at(self, timesteps: Floats) -> Floats:
        """a_t between training steps, interpolated in the ratio of noise to signal, which is 0 before the first."""
        ratio = np.append(0, np.sqrt((1 - self.alphas) / self.alphas))
        return 1 / (1 + np.interp(timesteps + 1, np.arange(len(ratio)), ratio) ** 2)

    def _final(self, timesteps: Floats) -> float:
        """The level at which DDIM stops: clean, or the first training step's level if the schedule asks for it."""
        return 1.0 if self.clean_end or timesteps[-1] <= 0 else float(self.alphas[0])


def _refuse_other_processes(settings: Mapping[str, Any]) -> None:
    if FLOWS.search(kind := str(settings.get("_class_name", ""))):
        raise PipelineError(f"the scheduler {kind} belongs to another process than the networks'", field="checkpoint")
    for name, known in ONLY.items():
        if settings.get(name, known) not in (None, known):
            detail = f"the scheduler's {name} {settings[name]!r} is not supported, only {known!r}"
            raise PipelineError(detail, field="checkpoint")
    if (variance := settings.get("variance_type")) in LEARNED:
        raise PipelineError(f"the scheduler's variance_type {variance!r} is not supported", field="checkpoint")


def _betas(settings: Mapping[str, Any]) -> torch.Tensor:
    """The noise that each training step adds, in float32."""
    if (trained := settings.get("trained_betas")) is not None:
        return torch.tensor(trained, dtype=torch.float32)
    count = settings.get("num_train_timesteps", 1000)
    first, last = settings.get("beta_start", 0.00085), settings.get("beta_end", 0.012)
    match settings.get("beta_schedule", "scaled_linear"):
        case "scaled_linear":
            return torch.linspace(first**0.5, last**0.5, count, dtype=torch.float32) ** 2
        case "linear":
            return torch.linspace(first, last, count, dtype=torch.float32)
        case other:
            raise PipelineError(f"the scheduler's beta_schedule {other!r} is not supported", field="checkpoint")


def _ending_in_noise(alphas: Floats) -> Floats:
    """Stretch the schedule so that its last step holds nothing of the picture (Lin et al. 2024, algorithm 1).

    Its last value is `ALL_BUT_NOTHING`, as in the library, so that the ratio of noise to signal stays finite.
    """
    signal = np.sqrt(alphas)
    stretched: Floats = ((signal - signal[-1]) * signal[0] / (signal[0] - signal[-1])) ** 2
    stretched[-1] = ALL_BUT_NOTHING
    return stretched
