"""Noise schedules: the noise level of the latents at each training step, and the steps that an edit visits.

The notation is that of Ho et al. 2020: latents at step t are sqrt(a_t) x_0 + sqrt(1 - a_t) noise, where a_t is the
cumulative product of 1 - beta.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.errors import PipelineError
from pipeline.networks.config import NetworkConfig

Spacing = Literal["trailing", "linspace", "leading"]
Floats = NDArray[np.float64]

ALL_BUT_NOTHING = 2.0**-24
PREDICTIONS = {"epsilon": False, "v_prediction": True}  # diffusers' names, and whether the prediction is v
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
class ScheduleConfig(NetworkConfig):
    """The training settings in a scheduler's configuration by diffusers; the defaults are Stable Diffusion's."""

    num_train_timesteps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012
    beta_schedule: str = "scaled_linear"
    trained_betas: tuple[float, ...] | None = None
    prediction_type: str = "epsilon"
    rescale_betas_zero_snr: bool = False
    set_alpha_to_one: bool = True

    only: ClassVar = {
        "clip_sample": False,  # latents are not confined to a range
        "thresholding": False,
        "timestep_type": "discrete",
        "use_flow_sigmas": False,
    }

    def betas(self) -> torch.Tensor:
        """The noise that each training step adds, in fp32."""
        if self.trained_betas is not None:
            betas = torch.tensor(self.trained_betas, dtype=torch.float32)
        elif self.beta_schedule == "scaled_linear":
            ends = (max(end, 0.0) ** 0.5 for end in (self.beta_start, self.beta_end))
            betas = torch.linspace(*ends, self.num_train_timesteps, dtype=torch.float32) ** 2
        elif self.beta_schedule == "linear":
            betas = torch.linspace(self.beta_start, self.beta_end, self.num_train_timesteps, dtype=torch.float32)
        else:
            raise _refusal(f"beta_schedule {self.beta_schedule!r} is not supported")
        if len(betas) < 2 or not bool(((betas > 0) & (betas < 1)).all()):
            named = "trained_betas" if self.trained_betas is not None else "beta_start, beta_end, num_train_timesteps"
            raise _refusal(f"{named} must give two or more betas, all between 0 and 1")
        return betas


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
        if FLOWS.search(kind := str(settings.get("_class_name", ""))):
            detail = f"the scheduler {kind} belongs to another process than the networks'"
            raise PipelineError(detail, field="checkpoint")
        if (variance := settings.get("variance_type")) in LEARNED:
            raise _refusal(f"variance_type {variance!r} is not supported")
        config = ScheduleConfig.parse(settings)
        if config.prediction_type not in PREDICTIONS:
            raise _refusal(f"prediction_type {config.prediction_type!r} is not one of {', '.join(PREDICTIONS)}")
        velocity = PREDICTIONS[config.prediction_type]
        alphas = torch.cumprod(1 - config.betas(), dim=0).double().numpy()
        if config.rescale_betas_zero_snr:
            if not velocity:
                detail = "rescale_betas_zero_snr cannot go with prediction_type epsilon: noise alone tells no picture"
                raise _refusal(detail)
            alphas = _ending_in_noise(alphas)
        return cls(alphas, config.set_alpha_to_one, velocity)

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


def _refusal(detail: str) -> PipelineError:
    return PipelineError(f"the scheduler's {detail}", field="checkpoint")


def _ending_in_noise(alphas: Floats) -> Floats:
    """Stretch the schedule so that its last step holds nothing of the picture (Lin et al. 2024, algorithm 1).

    Its last value is `ALL_BUT_NOTHING`, as in the library, so that the ratio of noise to signal stays finite.
    """
    signal = np.sqrt(alphas)
    stretched: Floats = ((signal - signal[-1]) * signal[0] / (signal[0] - signal[-1])) ** 2
    stretched[-1] = ALL_BUT_NOTHING
    return stretched
