"""The compose file's services in an engine: from a copy of the checkout, with a .env of its own."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from darkroom.local.ports import free_ports
from tests.conftest import ROOT
from tests.deploy.engine.engine import Engine

REGISTRY = "engine-tests/"  #: so that a developer's own images keep their names


def copy_of(checkout: str, folder: Path) -> None:
    """The files of this checkout ("" is the working tree) or of a commit."""
    folder.mkdir(exist_ok=True)
    if checkout:
        files = subprocess.run(["git", "archive", checkout], cwd=ROOT, check=True, capture_output=True).stdout
    else:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
        made = ["tar", "--create", "--null", "--files-from=-"]
        files = subprocess.run(made, cwd=ROOT, input=listed, check=True, capture_output=True).stdout
    subprocess.run(["tar", "--extract"], cwd=folder, input=files, check=True)


class Project:
    """`docker compose` in a folder, and where clients find what it runs."""

    def __init__(self, engine: Engine, folder: Path, files: str = "docker-compose.yml") -> None:
        self.engine = engine
        self.folder = folder
        self.environment = {"COMPOSE_PROFILES": "cpu", "COMPOSE_PROJECT_NAME": folder.name, "COMPOSE_FILE": files}
        self.scheme = "http"
        published = (("proxy", 8080), ("proxy", 8081), ("alertmanager", 9093))
        self.ports = dict(zip(published, free_ports(len(published)), strict=True))
        self.variables: dict[str, str] = {}
        self.configure((folder / ".env.example").read_text(), {})

    def configure(self, dotenv: str, changes: Mapping[str, str]) -> None:
        """Write .env: a text with some values changed, and addresses and images of these tests."""
        ports = {"HTTP_PORT": 8080, "PICTURES_PORT": 8081}
        ours = {name: str(self.ports["proxy", port]) for name, port in ports.items()}
        ours |= {"DARKROOM_REGISTRY": REGISTRY, "ALERTMANAGER_PORT": str(self.ports["alertmanager", 9093]), **changes}
        for name, value in ours.items():
            dotenv, found = re.subn(rf"^(# )?{name}=.*$", f"{name}={value}", dotenv, flags=re.MULTILINE)
            dotenv += "" if found else f"{name}={value}\n"
        (self.folder / ".env").write_text(dotenv)
        self.variables = {"ADMIN_KEY": "darkroom-local-admin-key-on-loopback"}
        self.variables |= dict(re.findall(r"^(\w+)=(.*)$", dotenv, re.MULTILINE))

    @property
    def url(self) -> str:
        return f"{self.scheme}://localhost:{self.ports['proxy', 8080]}"

    def run(self, *command: str) -> str:
        return self.engine.run(*command, cwd=self.folder, **self.environment)

    def compose(self, *words: str) -> str:
        return self.run("docker", "compose", "--ansi=never", *words)

    def up(self, *words: str) -> None:
        self.compose("up", "--detach", "--wait", "--no-build", *words)

    def containers(self, service: str) -> list[str]:
        return self.compose("ps", "--quiet", service).split()


@contextmanager
def project(engine: Engine, folder: Path, checkout: str = "", **options: str) -> Iterator[Project]:
    """A project whose containers and volumes are removed at the end; its services' logs stay in the engine's folder."""
    copy_of(checkout, folder)
    made = Project(engine, folder, **options)
    try:
        yield made
    finally:
        (engine.folder / f"{folder.name}.log").write_text(made.compose("logs", "--no-color"))
        made.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "5")
