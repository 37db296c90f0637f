"""The wheel alone is a small client. With its extras and the clone's code it is a service that edits."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
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
MOST_PACKAGES = 15
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
EXTRAS = ("server", "diffusion")  #: of those that an image has beside its parent's, the first


def uv(*words: str) -> str:
    """Run uv offline with its cache, otherwise with the network. Returns its output."""
    for network in (["--offline"], []):
        done = subprocess.run([UV, *words, *network], cwd=ROOT, env=BARE, capture_output=True, text=True, timeout=300)
        if done.returncode == 0:
            return done.stdout
    raise AssertionError(done.stderr)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    uv("build", "--wheel", "-q", "-o", str(folder), ".")
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def client(wheel: Path) -> Path:
    """An environment with only the wheel and its requirements."""
    return environment_with(str(wheel), wheel.parent / "client")


@pytest.fixture(scope="module")
def server(wheel: Path) -> Path:
    """An environment with the wheel and the requirements of web tier, worker and keeper."""
    return environment_with(f"{wheel}[server,worker]", wheel.parent / "server")


def environment_with(requirement: str, place: Path) -> Path:
    uv("venv", "-q", "--python", sys.executable, str(place))
    uv("pip", "install", "-q", "-p", str(place), "-c", "constraints.txt", requirement)
    return place


@dataclass(frozen=True)
class Installed:
    """A client and the address of a service that it may use. `folder` is its working folder."""

    environment: Path
    folder: Path
    url: str = ""

    def ask(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.environment / "bin" / program), *words]
        told = BARE | {"DARKROOM_URL": self.url}
        return subprocess.run(
            command, cwd=self.folder, env=told, capture_output=True, text=True, encoding="utf-8", timeout=60
        )

    def run(self, program: str, *words: str) -> str:
        done = self.ask(program, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout


def run_by(kind: type[Service], environment: Path) -> type[Service]:
    """One of our processes, run by the other environment's Python in a foreign folder (`-P`)."""

    class Elsewhere(kind):  # type: ignore[misc, valid-type]
        def command(self) -> list[str]:
            return [str(environment / "bin" / "python"), "-P", *super().command()[1:]]

    return Elsewhere


@pytest.fixture
def running(server: Path, client: Path, settings: Settings, store: JobStore, tmp_path: Path) -> Iterator[Installed]:
    """The client and a service with the clone's code and the packages of the extras."""
    shutil.copy(ROOT / "tests" / "editors.py", tmp_path / "obedient.py")
    environment = as_environment(settings.model_copy(update={"editors": "obedient:load"}))
    environment |= {"PYTHONPATH": f"{tmp_path}:{ROOT}", "CHECKPOINT": "none"}
    with served(tmp_path, environment, {Api: server, Worker: server, Keeper: server}) as url:
        yield Installed(client, tmp_path, url)


@contextmanager
def served(folder: Path, variables: dict[str, str], environments: dict[type[Service], Path]) -> Iterator[str]:
    """Our processes, each with the packages of its environment. Gives the web tier's address."""
    (port,), lifeline = free_ports(1), Lifeline()
    services = [run_by(kind, place)(folder, lifeline, variables, port) for kind, place in environments.items()]
    with ExitStack() as started:
        started.callback(lifeline.close)
        for service in services:
            service.spawn()
            started.callback(service.stop)
        for service in services:
            service.wait_until_ready()
        yield services[0].url


def test_a_client_installed_from_the_wheel_edits_at_a_service_that_the_extras_suffice_for(running, store):
    shutil.copy(ROOT / "examples" / "mountains.jpg", running.folder / "photo.jpg")
    running.run("darkroom", "edit", "photo.jpg", "make it sepia", "--steps", "3", "-o", "sepia.png")
    assert (running.folder / "sepia.png").read_bytes().startswith(b"\x89PNG")
    assert "make it sepia" in running.run("python", "-m", "darkroom", "list")
    until(lambda: store.alive("keeper"), 20, "the keeper makes its rounds")


@pytest.fixture
def of_images(wheel: Path, tmp_path: Path) -> dict[str, Path]:
    """Environments with the packages that the Dockerfile installs for the web tier and for CPU workers."""
    (service, *_), engine = (re.findall(rf"-r pyproject.toml (--extra {name}.*)", DOCKERFILE) for name in EXTRAS)
    api, worker = tmp_path / "api", tmp_path / "worker-cpu"
    for place in (api, worker):
        uv("venv", "-q", "--python", sys.executable, str(place))
        requirements = ["-c", "constraints.txt", "-r", "pyproject.toml", *service.split()]
        uv("pip", "install", "-q", "-p", str(place), *requirements)
    torch = f"torch=={version('torch')}"
    links = [word for folder in os.environ.get("PIP_FIND_LINKS", "").split() for word in ("--find-links", folder)]
    uv("pip", "install", "-q", "-p", str(worker), *links, torch)
    uv("pip", "install", "-q", "-p", str(worker), "-c", "constraints.txt", "-r", "pyproject.toml", *engine[0].split())
    for place in (api, worker):
        uv("pip", "install", "-q", "-p", str(place), "--no-deps", str(wheel))
    return {"api": api, "worker": worker}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_each_image_has_the_packages_that_its_processes_need(of_images, client, settings, store, tmp_path):
    """A developer's environment has more packages, such as `packaging`, without which no wake-ups were sent."""
    tried = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"
    entries = {"api": ["api.main", "worker.keeper", "worker.rebuild", "jobs.wakeups"], "worker": ["worker.app"]}
    for image, modules in entries.items():
        told = BARE | {"PYTHONPATH": str(ROOT)}
        subprocess.run([of_images[image] / "bin" / "python", "-c", tried, *modules], env=told, check=True, cwd=tmp_path)
    assert not list(of_images["api"].glob("lib/python*/site-packages/torch"))
    variables = as_environment(settings) | {"PYTHONPATH": str(ROOT)}
    environments = {Api: of_images["api"], Worker: of_images["worker"], Keeper: of_images["api"]}
    shutil.copy(ROOT / "examples" / "mountains.jpg", tmp_path / "photo.jpg")
    with served(tmp_path, variables, environments) as url:
        edit = ["edit", "photo.jpg", "make it sepia", "--steps", "3", "-o", "sepia.png"]
        Installed(client, tmp_path, url).run("darkroom", *edit)
    assert (tmp_path / "sepia.png").read_bytes().startswith(b"\x89PNG")
    logs = "".join(log.read_text() for log in tmp_path.rglob("*.log"))
    assert "no wake-up sent" not in logs


def test_the_wheel_brings_few_packages_and_takes_no_name_but_its_own(client):
    listed = json.loads(uv("pip", "list", "-q", "--format", "json", "-p", str(client)))
    assert len(listed) <= MOST_PACKAGES
    (ours,) = (client / "lib").glob("python*/site-packages/darkroom_client-*.dist-info/RECORD")
    tops = {line.split("/")[0] for line in ours.read_text(encoding="utf-8").splitlines()}
    assert tops == {"..", "darkroom", ours.parent.name}
    assert "darkroom/py.typed" in ours.read_text(encoding="utf-8")


def test_where_the_service_is_not_installed_up_says_in_a_sentence_what_to_do(client, tmp_path):
    for words in (["up"], ["rebuild-from-bucket"]):
        told = Installed(client, tmp_path).ask("darkroom", *words)
        assert (told.returncode, told.stdout) == (1, "")
        assert told.stderr.startswith(
            "darkroom: Only the client is installed here: to run the service, type `./dev run`"
        )
        assert told.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_importing_it_loads_no_other_package_until_the_client_is_asked_for(client, tmp_path):
    code = (
        "import sys, darkroom\nothers = {'httpx', 'rich', 'click', 'PIL'} & sys.modules.keys()\n"
        "assert not others, others\n"
        "from darkroom import AsyncClient, Client, DarkroomError\nprint(darkroom.__version__)"
    )
    said = Installed(client, tmp_path).run("python", "-c", code)
    assert Installed(client, tmp_path).run("darkroom", "--version") == f"darkroom {said}"
