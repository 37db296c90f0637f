"""`./dev` with a fake .venv whose programs record their arguments."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

VERSION = re.findall(r"^TORCH_VERSION=(\S+)$", (ROOT / "dev").read_text(encoding="utf-8"), re.MULTILINE)[0]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for name in ("dev", "pyproject.toml", "constraints.txt", "darkroom/version.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("python", "uv", "darkroom"):
        (programs / name).write_text(f'#!/bin/sh\necho "{name} $*" >>"{tmp_path}/told"\n')
        (programs / name).chmod(0o755)
    return tmp_path


def has_torch(clone: Path, version: str) -> None:
    packages = clone / ".venv" / "lib" / "python3.11" / "site-packages"
    shutil.rmtree(packages, ignore_errors=True)
    (packages / f"torch-{version}.dist-info").mkdir(parents=True)


def torch_installed(clone: Path, **environment: str) -> list[str]:
    """The PyTorch packages that `./dev run` installs."""
    (clone / "told").unlink(missing_ok=True)
    inherited = {name: value for name, value in os.environ.items() if name != "TORCH"}
    subprocess.run([clone / "dev", "run"], env=inherited | environment, check=True, capture_output=True)
    return re.findall(r"--reinstall-package torch .*(torch==\S+)", (clone / "told").read_text())


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="elsewhere there is one build")
def test_another_build_or_version_of_pytorch_is_installed_anew(clone):
    has_torch(clone, f"{VERSION}+cpu")
    assert torch_installed(clone) == []
    assert torch_installed(clone, TORCH="cpu") == []
    assert torch_installed(clone, TORCH="cuda") == [f"torch=={VERSION}"]
    has_torch(clone, VERSION)
    assert torch_installed(clone) == torch_installed(clone, TORCH="cuda") == []
    assert len(torch_installed(clone, TORCH="cpu")) == 1
    has_torch(clone, "1.0.0")
    assert len(torch_installed(clone)) == 1
