"""The losses of a training, drawn."""

import json
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from training.recipe import STAGES


def plot_losses(work: Path, picture: Path) -> None:
    """One panel for each stage that left a log in `work`: what it measured of itself, by minutes, smoothed."""
    logs = {stage: work / f"{stage}.jsonl" for stage in STAGES if (work / f"{stage}.jsonl").exists()}
    figure, panels = plt.subplots(1, len(logs), figsize=(5 * len(logs), 3.5), layout="constrained", squeeze=False)
    for panel, (stage, log) in zip(panels[0], logs.items(), strict=True):
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        for key in sorted({key for line in lines for key in line} - {"seconds", "samples"}):
            points = [(line["seconds"] / 60, line[key]) for line in lines if key in line]
            minutes, values = np.array(points).T
            window = max(1, len(values) // 40)
            smooth = np.convolve(values, np.ones(window) / window, mode="valid")
            panel.plot(minutes[window - 1 :], smooth, label=key)
        panel.set(title=stage, xlabel="minutes", yscale="log" if stage == "unet" else "linear")
        panel.legend(fontsize="small")
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=80)
    plt.close(figure)
