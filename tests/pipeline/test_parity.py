"""Our loop against the library's: one cell for each sampler. `./dev bench parity` has them all."""

from pathlib import Path

import pytest

from benchmarks.parity import Cell, Pair

CELLS = [
    Cell("euler-a", "linspace"),
    Cell("ddim", "leading", negative="dark", size=(128, 192)),
    Cell("ddim", "trailing", scales=(3.0, 1.2)),
    Cell("ddpm", "leading", size=(128, 192)),
    Cell("ddpm", "trailing", scales=(3.0, 1.2), negative="dark", size=(128, 192)),
    Cell("dpm++2m", "trailing", size=(128, 192)),
]


@pytest.fixture(scope="module")
def pair():
    return Pair(Path(__file__).parents[2] / "checkpoints" / "micro")


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell.sampler} {cell.spacing}")
def test_our_networks_and_samplers_give_the_librarys_latents_and_pixels(pair, photo, cell):
    difference = pair.compare(cell, photo, "make it look like night")
    assert difference.passes, difference
