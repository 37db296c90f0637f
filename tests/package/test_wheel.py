"""The wheel, installed into an empty environment without torch: a whole service runs from it, and edits."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from darkroom.local.ports import free_ports
from darkroom.local.process import Lifeline
from darkroom.local.services import Api, Keeper, Service, Worker
from jobs.settings import Settings
from jobs.store import JobStore
from tests.conftest import ROOT
from tests.waiting import until
from tests.web_tier import as_environment

UV = str(Path(sys.executable).with_name("uv"))
BARE = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


def uv(*words: str) -> None:
    """Run uv with what it has fetched before, else with the network."""
    for network in (["--offline"], []):
        done = subprocess.run([UV, *words, *network], cwd=ROOT, env=BARE, capture_output=True, text=True, timeout=300)
        if done.returncode == 0:
            return
    raise AssertionError(done.stderr)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment that holds the wheel, and what it asks for, alone."""
    folder = tmp_path_factory.mktemp("wheel")
    environment = str(folder / "venv")
    uv("build", "--wheel", "-q", "-o", str(folder), ".")
    (wheel,) = folder.glob("*.whl")
    uv("venv", "-q", "--python", sys.executable, environment)
    uv("pip", "install", "-q", "-p", environment, "-c", "constraints.txt", str(wheel))
    return folder / "venv" / "bin"


@dataclass(frozen=True)
class Installed:
    """A service and a client, both from the wheel; `folder` is where the client stands."""

    programs: Path
    folder: Path
    url: str

    def run(self, program: str, *words: str) -> str:
        command = [str(self.programs / program), *words]
        environment = BARE | {"DARKROOM_URL": self.url}
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def from_wheel(kind: type[Service], programs: Path) -> type[Service]:
    """One of our processes, run by the other environment's Python, which finds nothing of this folder (`-P`)."""

    class FromWheel(kind):  # type: ignore[misc, valid-type]
        def command(self) -> list[str]:
            return [str(programs / "python"), "-P", *super().command()[1:]]

    return FromWheel


@pytest.fixture
def installed(programs: Path, settings: Settings, store: JobStore, tmp_path: Path) -> Iterator[Installed]:
    shutil.copy(ROOT / "tests" / "editors.py", tmp_path / "obedient.py")
    environment = as_environment(settings.model_copy(update={"editors": "obedient:load"}))
    environment |= {"PYTHONPATH": str(tmp_path), "CHECKPOINT": "none"}
    (port,), lifeline = free_ports(1), Lifeline()
    services = [from_wheel(kind, programs)(tmp_path, lifeline, environment, port) for kind in (Api, Worker, Keeper)]
    with ExitStack() as running:
        running.callback(lifeline.close)
        for service in services:
            service.spawn()
            running.callback(service.stop)
        for service in services:
            service.wait_until_ready()
        yield Installed(programs, tmp_path, services[0].url)


def test_a_service_installed_from_the_wheel_edits_a_photo_and_serves_its_site(installed, store):
    shutil.copy(ROOT / "examples" / "mountains.jpg", installed.folder / "photo.jpg")
    installed.run("darkroom", "edit", "photo.jpg", "make it sepia", "--steps", "3", "-o", "sepia.png")
    assert (installed.folder / "sepia.png").read_bytes().startswith(b"\x89PNG")
    assert "make it sepia" in installed.run("darkroom", "list")
    assert "<script" in installed.run("python", "-c", f"import httpx; print(httpx.get('{installed.url}/').text)")
    until(lambda: store.alive("keeper"), 20, "the keeper makes its rounds")
    found = installed.run(
        "python", "-c", "import jobs, importlib.util as u; print(jobs.__file__, u.find_spec('torch'))"
    )
    assert found.split() == [f"{installed.programs.parent}/lib/{python()}/site-packages/jobs/__init__.py", "None"]


def python() -> str:
    return "python{}.{}".format(*sys.version_info)
