"""Noise schedules: how noisy latents are at each training step, and which steps an edit visits.

Notation of Ho et al. 2020 throughout: latents at step t are sqrt(a_t) x_0 + sqrt(1 - a_t) noise, where a_t is the
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
PREDICTIONS = {"epsilon": False, "v_prediction": True}  # diffusers' names: whether it is v
ONLY = {  # settings of diffusers' schedulers that say what the network was trained on: the one value that is known
    "clip_sample": False,  # latents are not confined to a range
    "thresholding": False,
    "timestep_type": "discrete",
    "use_flow_sigmas": False,
}
LEARNED = ("learned", "learned_range")  # variances, which the network would predict beside the noise
FLOWS = re.compile(r"FlowMatch|EDM|LCM|TCD|CMStochastic|Consistency|VQDiffusion")  # classes of another process


@dataclass(frozen=True)
class Levels:
    """The noise levels of one edit, from the noisiest: `timesteps` for the network, `alphas` a_t beside them.

    `final` is a_t where the last step arrives. `whole` says that the first level stands for noise alone. `velocity`
    says that the network predicts v there, not the noise.
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
        """For each step the a_t at which it arrives."""
        return np.append(self.alphas[1:], self.final)


@dataclass(frozen=True)
class Schedule:
    """A training schedule: a_t for every training step, and what the network learned to predict."""

    alphas: Floats
    clean_end: bool = True  # whether DDIM's last step arrives at a = 1, or at the first training step's a
    velocity: bool = False  # v = sqrt(a) noise - sqrt(1 - a) x_0 (Salimans and Ho 2022) rather than the noise

    @classmethod
    def parse(cls, settings: Mapping[str, Any]) -> "Schedule":
        """The schedule in a checkpoint's scheduler_config.json; betas in fp32, as the networks were trained with.

        Raises:
            PipelineError: a schedule that is neither linear, scaled linear nor listed; a prediction of something else;
                a process other than the diffusion of noise.
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

        `trailing` divides the way to a clean picture in equal parts and starts each step at the noisier end of its
        part; `linspace` spreads the steps evenly so that the last is at 0; `leading` starts each step at the cleaner
        end, one up, which begins at the wrong level for most step counts and is here to compare with other code only.
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
        """Whether the noisiest step holds nothing of the picture: then only a sampler made for it starts well."""
        return bool(self.alphas[-1] <= ALL_BUT_NOTHING)

    def alpha_at(self, timesteps: Floats) -> Floats:
        """a_t between training steps, by the ratio of noise to signal, which is 0 one step before the first."""
        ratio = np.append(0, np.sqrt((1 - self.alphas) / self.alphas))
        return 1 / (1 + np.interp(timesteps + 1, np.arange(len(ratio)), ratio) ** 2)

    def _final(self, timesteps: Floats) -> float:
        """Where DDIM stops: clean, or the first training step's level if the schedule says so and is not there yet."""
        return 1.0 if self.clean_end or timesteps[-1] <= 0 else float(self.alphas[0])


def _refuse_other_processes(settings: Mapping[str, Any]) -> None:
    if FLOWS.search(kind := str(settings.get("_class_name", ""))):
        raise PipelineError(f"the scheduler {kind} is of another process than the networks' own", field="checkpoint")
    for name, known in ONLY.items():
        if settings.get(name, known) not in (None, known):
            detail = f"the scheduler's {name} {settings[name]!r} is not supported, only {known!r}"
            raise PipelineError(detail, field="checkpoint")
    if (variance := settings.get("variance_type")) in LEARNED:
        raise PipelineError(f"the scheduler's variance_type {variance!r} is not supported", field="checkpoint")


def _betas(settings: Mapping[str, Any]) -> torch.Tensor:
    """The noise that each training step adds, in fp32."""
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
    """The schedule stretched so that its last step holds nothing of the picture (Lin et al. 2024, algorithm 1).

    Nothing is `ALL_BUT_NOTHING`, as in the library, so that a ratio of noise to signal stays a number.
    """
    signal = np.sqrt(alphas)
    stretched: Floats = ((signal - signal[-1]) * signal[0] / (signal[0] - signal[-1])) ** 2
    stretched[-1] = ALL_BUT_NOTHING
    return stretched
