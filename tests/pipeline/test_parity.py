"""Our loop against the library's: each sampler and spacing in four steps, and in twenty with --slow.

`./dev bench parity` has every cell.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.pipeline.parity import Cell, Pair

QUICK = [
    Cell("euler-a", "linspace"),
    Cell("ddim", "leading", negative="dark", size=(128, 192)),
    Cell("ddim", "trailing", scales=(3.0, 1.2)),
    Cell("ddpm", "leading", size=(128, 192)),
    Cell("ddpm", "trailing", scales=(3.0, 1.2), negative="dark", size=(128, 192)),
    Cell("dpm++2m", "trailing", size=(128, 192)),
]
TWENTY_STEPS = [pytest.param(cell, marks=pytest.mark.slow) for cell in QUICK]
CELLS = [*(replace(cell, steps=4) for cell in QUICK), *TWENTY_STEPS]


@pytest.fixture(scope="module")
def pair():
    return Pair(Path(__file__).parents[2] / "checkpoints" / "micro")


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell.sampler} {cell.spacing} {cell.steps}")
def test_our_networks_and_samplers_give_the_librarys_latents_and_pixels(pair, photo, cell):
    difference = pair.compare(cell, photo, "make it look like night")
    assert difference.passes, difference
