"""The memory that a pass takes is the memory that is computed from the configs."""

from pathlib import Path

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.memory import KINDS, needs
from pipeline.files import find

MICRO = Path(__file__).parents[2] / "checkpoints" / "micro"


def test_a_pass_takes_on_the_cpu_what_was_computed_from_the_configs(base):
    unet, rows, side = base.checkpoint.unet, 6, 32
    x = torch.zeros(rows, unet.config.in_channels, side, side).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        text = unet.read(torch.zeros(rows, 77, unet.config.cross_attention_dim))
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
            unet(x, torch.zeros(rows), text)
    now = peak = 0
    events = [event for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    settings = {part: dict(find(MICRO).settings(part)) for part in KINDS}
    computed = needs(settings, "float32", side * base.checkpoint.vae.config.factor, (rows,))
    assert computed["pass_mb_by_rows"][str(rows)] == pytest.approx(peak / 2**20, rel=0.2)
    weights = [
        weight for network in base.checkpoint._loaded()[:3] for weight in network.parameters() if weight is not None
    ]
    assert computed["weights_mb"] == pytest.approx(sum(weight.nbytes for weight in weights) / 2**20, abs=1)
