"""Every benchmark runs through in its smallest form, so that none is broken on the day that it is needed."""

import runpy
import shutil

import pytest
import torch

from tests.conftest import ROOT

NAMES = sorted(file.stem for file in (ROOT / "benchmarks").glob("[!_]*.py"))
NEEDED = {"compose": "nginx", "restarts": "nginx", "observability": "prometheus"}

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(autouse=True)
def threads():
    """Restore the number of threads: a benchmark sets its own, and sums differ with another number."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_ends_well_in_its_smallest_form(name, monkeypatch):
    """The benchmark runs in this process, because importing its modules takes longer than its work."""
    monkeypatch.setattr("sys.argv", [name, "--quick"])
    program = NEEDED.get(name)
    if program and not shutil.which(program, path="/usr/sbin:/usr/bin:/usr/local/bin"):
        with pytest.raises(SystemExit, match=f"There is no {program} here: install it"):
            runpy.run_module(f"benchmarks.{name}", run_name="__main__")
        return
    assert status(name) == 0


def status(name: str) -> object:
    try:
        runpy.run_module(f"benchmarks.{name}", run_name="__main__")
    except SystemExit as ended:
        return ended.code or 0
    return 0
