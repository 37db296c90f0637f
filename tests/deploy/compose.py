"""Starts what docker-compose.yml describes on a machine without Docker: the same commands, environment and files.

Only the things that a container provides are replaced: service names become 127.0.0.1, their ports free ones, volumes
folders, and programs those of this machine (nginx from Debian, Valkey and SeaweedFS from their wheels).
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values

from darkroom.local.ports import free_ports
from darkroom.local.process import Lifeline, Process, ProcessError
from darkroom.local.servers import valkey_binary, weed_binary

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "docker" / "Dockerfile"
CONFIGURATION = (".conf", ".yml", ".yaml")  # files in which services and ports are named

STORES = ("valkey", "s3")  #: what the other services ask for as soon as they start

#: What other people's images put before `command`.
ENTRYPOINTS = {"chrislusf/seaweedfs": ["weed"]}

#: Debian's packages of programs that are called otherwise.
DEBIAN = {"nginx": "nginx-light"}

VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)(?:(:?)-([^${}]*))?\}")


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """Compose's own replacement of `${NAME}`, `${NAME:-default}` and `${NAME-default}`; `$$` stays a dollar.

    With a colon, the default also replaces an empty variable.
    """

    def value(found: re.Match[str]) -> str:
        name, colon, default = found.groups()
        given = variables.get(name)
        return (default or "") if given is None or (colon and not given) else given

    kept = text.replace("$$", "\0")
    while VARIABLE.search(kept):
        kept = VARIABLE.sub(value, kept)
    return kept.replace("\0", "$")


def without_name_server(text: str) -> str:
    """Prometheus' configuration with fixed targets instead of names that it would resolve."""
    said = yaml.safe_load(text)
    for job in said.get("scrape_configs", ()):
        asked = job.pop("dns_sd_configs", ())
        job["static_configs"] = [{"targets": [f"{name}:{one['port']}" for one in asked for name in one["names"]]}]
    return yaml.safe_dump(said)


def services(variables: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The services of the compose file, with its variables put in."""

    def put_in(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: put_in(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [put_in(inner) for inner in value]
        return interpolated(value, variables) if isinstance(value, str) else value

    found: dict[str, dict[str, Any]] = put_in(yaml.safe_load(FILE.read_text()))["services"]
    return found


def read(file: Path) -> str:
    """The text of a file, changed for a machine whose name server does not know the services."""
    text = file.read_text()
    return without_name_server(text) if file.name == "prometheus.yml" and "scrape_configs" in text else text


class Stage:
    """The Dockerfile's description of one of our images: its environment and commands, with those of its parents."""

    def __init__(self, name: str) -> None:
        self.env: dict[str, str] = {}
        self.command: list[str] = []
        self.health: list[str] = []
        self._read(name)

    def _read(self, name: str) -> None:
        text = DOCKERFILE.read_text().replace("\\\n", " ")
        found = re.search(rf"^FROM (\S+) AS {name}\n(.*?)(?=^FROM |\Z)", text, re.MULTILINE | re.DOTALL)
        if not found:
            return  # an image that is not ours
        self._read(found[1])
        for line in found[2].splitlines():
            word, _, rest = line.strip().partition(" ")
            if word == "ENV":
                self.env |= dict(re.findall(r"(\w+)=(\S+)", rest))
            elif word == "CMD":
                self.command = json.loads(rest)
            elif word == "HEALTHCHECK":
                self.health = json.loads(rest.partition("CMD ")[2])


class Container(Process):
    """One service of the compose file, as a process of this machine."""

    patience = 120.0
    grace = 30.0

    def __init__(self, name: str, described: Mapping[str, Any], stack: "Compose") -> None:
        self.name = name
        super().__init__(stack.folder / name, stack.lifeline)
        self.described = described
        self._stack = stack
        self.stage = Stage(described.get("build", {}).get("target") or stack.built_for(described["image"]))
        self._places = {place.split(":")[0]: str(self.folder / "tmp") for place in described.get("tmpfs", [])}
        for volume in described.get("volumes", []):
            source, place = volume.split(":")[:2]
            self._places[place] = str(self._mounted(source))
        for place in self._places.values():
            Path(place).mkdir(parents=True, exist_ok=True)

    def _mounted(self, source: str) -> Path:
        """A named volume becomes a folder. A folder of the project becomes a copy whose files name our ports."""
        if not source.startswith((".", "/")):
            return self._stack.folder / "volumes" / source
        copy = self.folder / "mounted" / Path(source).name
        shutil.copytree(ROOT / source, copy, dirs_exist_ok=True)
        for file in copy.rglob("*"):
            if file.suffix in CONFIGURATION:
                file.write_text(self.rewritten(read(file)))
        return copy

    def rewritten(self, text: str) -> str:
        """A text of this service with the addresses and paths of this machine."""
        for place, local in self._places.items():
            text = re.sub(rf"(?<![\w/.]){re.escape(place)}(?![\w.-])", local, text)
        return self._stack.readdressed(text.replace("0.0.0.0", "127.0.0.1"), self.name)  # noqa: S104

    def command(self) -> list[str]:
        own = self.described.get("command", []) or self.stage.command
        entrypoint = self.described.get("entrypoint") or ENTRYPOINTS.get(self.described["image"].split(":")[0], [])
        command = [self.rewritten(word) for word in [*entrypoint, *own]]
        if command[0] == "nginx" and os.geteuid() == 0:
            command[-1] += " user root;"  # its image has no root to begin with
        return command

    def environment(self) -> dict[str, str]:
        named = {name: self.rewritten(str(value)) for name, value in self.described.get("environment", {}).items()}
        dotenv = self._stack.variables if "env_file" in self.described else {}
        path = f"{self._stack.programs}:{os.environ['PATH']}"
        return {"PYTHONPATH": str(ROOT), **self.stage.env, **dotenv, **named, "PATH": path}

    def ready(self) -> bool:
        return all(answers(port) for port in self._stack.ports_of(self.name))

    @property
    def health(self) -> list[str]:
        """The health check, if it is a program and not a shell line with tools of the image."""
        described = list(self.described.get("healthcheck", {}).get("test", ["CMD", *self.stage.health]))
        return described[1:] if described[0] == "CMD" else []

    def is_healthy(self) -> bool:
        """The result of the health check."""
        check = [self.rewritten(word) for word in self.health]
        return subprocess.run(check, env={**os.environ, **self.environment()}, timeout=30).returncode == 0


class Compose:
    """Services of the compose file in one folder: the stores are started first, then all others at once."""

    def __init__(self, folder: Path, variables: Mapping[str, str], names: str) -> None:
        """`names`: which services, with spaces between; `variables`: what is in .env."""
        self.folder = folder
        self.lifeline = Lifeline()
        self.programs = folder / "bin"
        self._link_programs(names.split())
        described = services(variables)
        self.ports = self._choose_ports(described)
        published = {"HTTP_PORT": self.ports["proxy", 8080], "PICTURES_PORT": self.ports["proxy", 8081]}
        self.variables = {**variables, **{name: str(port) for name, port in published.items()}}
        self._described = services(self.variables)
        self.containers = {name: Container(name, self._described[name], self) for name in names.split()}

    def _link_programs(self, services: list[str]) -> None:
        self.programs.mkdir(parents=True)
        programs: dict[str, Path | str | None] = {
            "python": sys.executable,
            "valkey-server": valkey_binary()[0],
            "weed": weed_binary()[0],
            "nginx": shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin"),
        }
        if "prometheus" in services:
            programs["prometheus"] = shutil.which("prometheus")
        for name, program in programs.items():
            if program is None:
                raise ProcessError(f"There is no {name} here: install it (apt install {DEBIAN.get(name, name)}).")
            if name == "python":  # a link would not find its virtual environment
                (self.programs / name).write_text(f'#!/bin/sh\nexec "{program}" "$@"\n')
                (self.programs / name).chmod(0o755)
            else:
                (self.programs / name).symlink_to(program)

    def _choose_ports(self, described: Mapping[str, Any]) -> dict[tuple[str, int], int]:
        names = "|".join(described)
        texts = [str(described), *(read(file) for file in (ROOT / "docker").rglob("*") if file.is_file())]
        inner = {(name, int(port)) for text in texts for name, port in re.findall(rf"\b({names}):(\d{{2,5}})\b", text)}
        inner |= {(name, port["target"]) for name, about in described.items() for port in about.get("ports", [])}
        inner |= {("s3", int(port)) for port in re.findall(r"port(?:\.grpc)?=(\d{2,})", str(described["s3"]))}
        return dict(zip(sorted(inner), free_ports(len(inner)), strict=True))

    def readdressed(self, text: str, own: str) -> str:
        """Replace service names by 127.0.0.1, and ports by the ones chosen here."""

        def address(found: re.Match[str]) -> str:
            service, port = found[1], int(found[2])
            here = self.ports.get((service or own, port))
            return found[0] if here is None else f"127.0.0.1:{here}" if service else str(here)

        names = "|".join({name for name, _ in self.ports})
        return re.sub(rf"(?<![\w.])(?:({names}):)?(\d{{2,5}})\b", address, text)

    def built_for(self, image: str) -> str:
        """The Dockerfile's stage of an image that another service builds."""
        builders = (about for about in self._described.values() if about["image"] == image and "build" in about)
        return str(next((about["build"]["target"] for about in builders), ""))

    def ports_of(self, name: str) -> list[int]:
        return [here for (service, port), here in self.ports.items() if service == name and port < 10_000]

    @property
    def url(self) -> str:
        """The address of the service for clients."""
        return f"http://localhost:{self.ports['proxy', 8080]}"

    def __enter__(self) -> "Compose":
        try:
            for wave in (True, False):
                self._start([each for name, each in self.containers.items() if (name in STORES) is wave])
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self, containers: Sequence[Container]) -> None:
        for container in containers:
            container.spawn()
        for container in containers:
            container.wait_until_ready()

    def __exit__(self, *_: object) -> None:
        for container in reversed(self.containers.values()):
            container.stop()
        self.lifeline.close()


def answers(port: int) -> bool:
    """Whether a server listens there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def production(folder: Path) -> dict[str, str]:
    """The variables of a .env for production, made as operators make theirs."""
    file = folder / ".env"
    file.write_bytes(subprocess.run(["sh", ROOT / "docker" / "env.sh"], check=True, capture_output=True).stdout)
    return {name: value or "" for name, value in dotenv_values(file).items()}
