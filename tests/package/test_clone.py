"""What the README says to type in order to run the service, in an empty folder."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_clone_runs_the_service(tmp_path: Path) -> None:
    """It installs everything, including PyTorch."""
    subprocess.run(["git", "clone", "-q", "--depth", "1", f"file://{ROOT}", "darkroom"], cwd=tmp_path, check=True)
    bare = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    command = ["./dev", "run", "--once"]
    done = subprocess.run(command, cwd=tmp_path / "darkroom", env=bare, capture_output=True, text=True, timeout=880)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list((tmp_path / "darkroom" / ".darkroom").glob("edited.*"))
