"""The published images that ours need: from their registry, or replacements if it does not answer."""

import http.server
import os
import re
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from darkroom.local.servers import valkey_binary, weed_binary
from tests.conftest import ROOT
from tests.deploy.engine.engine import Engine

HERE = Path(__file__).parent
STAND_INS = {
    "python": r"python:[\w.-]+",
    "valkey": r"valkey/valkey:[\w.-]+",
    "seaweedfs": r"chrislusf/seaweedfs:[\w.-]+",
    "nginx": r"nginxinc/nginx-unprivileged:[\w.-]+",
    "prometheus": r"prom/prometheus:[\w.-]+",
    "alertmanager": r"prom/alertmanager:[\w.-]+",
}
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
GATEWAY = "172.17.0.1"  #: the engine's host, as its builds see it
TORCH_INDEX = "download.pytorch.org"


def named() -> dict[str, str]:
    """The published images that the Dockerfile and the compose file name."""
    text = (ROOT / "docker" / "Dockerfile").read_text() + (ROOT / "docker-compose.yml").read_text()
    return {stand_in: re.findall(image, text)[0] for stand_in, image in STAND_INS.items()}


def is_published(engine: Engine) -> bool:
    """Whether a registry answers."""
    pull = ["docker", "pull", "-q", named()["valkey"]]
    return subprocess.run(pull, env=engine.environment, capture_output=True).returncode == 0


@contextmanager
def bases(engine: Engine) -> Iterator[list[str]]:
    """Provide all of them in the engine. Gives the options for `docker build` of our own images."""
    if is_published(engine):
        yield []
        return
    files = engine.folder / "bases"
    files.mkdir(exist_ok=True)
    make_authority(files)
    if not engine.docker("images", "-q", "bookworm"):
        make_debian(engine, files)
    shutil.copy(valkey_binary()[0], files / "valkey-server")
    shutil.copy(weed_binary()[0], files / "weed")
    for stand_in, image in named().items():
        dockerfile = HERE / "bases.Dockerfile"
        engine.docker("build", "-q", "-f", dockerfile, "--target", stand_in, "-t", image, files)
    options = ["--build-arg", f"PYTHON_IMAGE={named()['python']}"]
    wheels = torch_wheels()
    if not wheels:
        yield options
        return
    with torch_mirror(files, wheels):
        yield [*options, "--add-host", f"{TORCH_INDEX}:{GATEWAY}"]


def make_debian(engine: Engine, files: Path) -> None:
    archive = files / "bookworm.tar"
    mirror = engine.run("apt-get", "indextargets", "--format", "$(SITE)").split()[0]
    suites = [f"deb {mirror} {suite} main" for suite in ("bookworm", "bookworm-updates")]
    engine.run("mmdebstrap", "-q", "--variant=minbase", "--include=busybox", "bookworm", archive, *suites)
    engine.docker("import", archive, "bookworm")
    archive.unlink()


def make_authority(files: Path) -> None:
    """An authority of the stand-ins, beside those of this machine, and its certificate for the mirror of PyTorch."""
    key = ["-newkey", "rsa:2048", "-nodes"]
    authority = ["-keyout", "ca.key", "-out", "ca.crt", "-days", "9", "-subj", "/CN=engine tests"]
    server = ["-keyout", "server.key", "-out", "server.crt", "-days", "9", "-subj", f"/CN={TORCH_INDEX}"]
    server += ["-CA", "ca.crt", "-CAkey", "ca.key", "-addext", f"subjectAltName=DNS:{TORCH_INDEX}"]
    if not (files / "server.crt").exists():
        for options in (authority, [*server, "-addext", "basicConstraints=CA:false"]):
            command = ["openssl", "req", "-x509", *key, *options]
            subprocess.run(command, cwd=files, check=True, capture_output=True)
    (files / "authorities.crt").write_text(AUTHORITIES.read_text() + (files / "ca.crt").read_text())


def torch_wheels() -> list[Path]:
    """Files of PyTorch's CPU build on this machine, for the Python of the stand-in."""
    folders = re.split("[ ,]", os.environ.get("UV_FIND_LINKS") or os.environ.get("PIP_FIND_LINKS") or "")
    return [file for folder in filter(None, folders) for file in Path(folder).glob("torch-*+cpu-cp311-*.whl")]


@contextmanager
def torch_mirror(files: Path, wheels: list[Path]) -> Iterator[None]:
    """Serve them like PyTorch's own index, which is unreachable if no registry is reachable."""
    place = files / "mirror" / "whl" / "cpu" / "torch"
    place.mkdir(parents=True, exist_ok=True)
    for wheel in wheels:
        if not (place / wheel.name).exists():
            shutil.copy(wheel, place)
    links = (f'<a href="{quote(wheel.name)}">{wheel.name}</a>' for wheel in wheels)
    (place / "index.html").write_text("\n".join(links))
    handler = partial(Quiet, directory=files / "mirror")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files / "server.crt", files / "server.key")
    with http.server.ThreadingHTTPServer((GATEWAY, 443), handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def copyfile(self, *files: Any) -> None:
        with suppress(OSError):  # installers read a wheel's end alone at first, and hang up
            super().copyfile(*files)

    def log_message(self, *_: object) -> None:
        """Log nothing."""
