"""The embedded servers are real ones: they check credentials, and keep their data."""

import socket
import time
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
import redis
from botocore.exceptions import ClientError

from darkroom.local.process import Lifeline, PortTaken, Process, ProcessError
from darkroom.local.servers import SeaweedFS, Valkey
from darkroom.local.services import Api
from jobs.settings import Settings
from tests.darkroom.sleepers import Sleeper
from tests.receivers import receiving


def s3(server: SeaweedFS, secret_key: str | None = None) -> Any:
    keys = {"aws_access_key_id": server.access_key, "aws_secret_access_key": secret_key or server.secret_key}
    return boto3.client("s3", endpoint_url=server.endpoint_url, region_name="us-east-1", **keys)


def test_valkey_keeps_its_data_its_password_and_its_port_across_kill_9(tmp_path: Path) -> None:
    with Valkey(tmp_path) as server:
        client = redis.Redis.from_url(server.url)
        client.set("a", "b")
        time.sleep(1.1)  # the append-only file is synced once a second
        server.kill()
        with pytest.raises(redis.ConnectionError):
            client.get("a")
        server.start()
        assert client.get("a") == b"b"
    assert Valkey(tmp_path).url == server.url


def test_valkey_moves_when_its_port_is_taken_before_it_starts(tmp_path: Path) -> None:
    server = Valkey(tmp_path)
    chosen = server.port
    with socket.create_server(("127.0.0.1", chosen)), server:
        assert server.port != chosen
        assert server.ready()


def test_valkey_refuses_to_drop_data_when_it_is_full(valkey: Valkey) -> None:
    config = redis.Redis.from_url(valkey.url).config_get("*")
    wanted = {"maxmemory-policy": "noeviction", "maxmemory": str(512 * 2**20), "appendonly": "yes", "save": ""}
    assert wanted.items() <= config.items()
    assert config["appendfsync"] == "everysec"


def test_valkey_answers_nobody_without_the_password(valkey: Valkey) -> None:
    with socket.create_connection(("127.0.0.1", valkey.port), timeout=5) as connection:
        connection.sendall(b"PING\r\n")
        assert connection.recv(100).startswith(b"-NOAUTH")


def test_seaweedfs_keeps_its_data_across_kill_9_and_moves_with_it_when_its_port_is_taken(tmp_path: Path) -> None:
    with SeaweedFS(tmp_path, bucket="pictures") as server:
        s3(server).put_object(Bucket="pictures", Key="job/input", Body=b"picture")
        server.kill()
        moved = SeaweedFS(tmp_path, bucket="pictures")
        chosen = moved.ports[2]
        with socket.create_server(("127.0.0.1", chosen)), moved:
            assert moved.ports[2] != chosen == server.ports[2]
            assert s3(moved).get_object(Bucket="pictures", Key="job/input")["Body"].read() == b"picture"


def test_seaweedfs_refuses_a_wrong_secret_and_nobody_at_all(seaweed: SeaweedFS) -> None:
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        s3(seaweed, secret_key="wrong").list_objects_v2(Bucket=seaweed.bucket)
    assert httpx.get(f"{seaweed.endpoint_url}/{seaweed.bucket}").status_code == 403


def test_readiness_needs_the_right_secret(seaweed: SeaweedFS) -> None:
    assert seaweed.ready()
    secret, seaweed.secret_key = seaweed.secret_key, "wrong"
    try:
        assert not seaweed.ready()
    finally:
        seaweed.secret_key = secret


def test_secrets_are_for_this_user_alone(valkey: Valkey, seaweed: SeaweedFS) -> None:
    for file in (valkey.folder / "password", valkey.folder / "valkey.conf", seaweed.folder / "secret_key"):
        assert file.stat().st_mode & 0o077 == 0, file


class Failing(Process):
    """Prints a reason and ends."""

    name = "failing"

    def command(self) -> list[str]:
        return ["sh", "-c", "echo there is no moon tonight; exit 3"]

    def ready(self) -> bool:
        return False


def test_what_cannot_start_says_so_with_the_end_of_its_log(tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match=r"failing ended with status 3(.|\n)*no moon"):
        Failing(tmp_path).start()


class Missing(Failing):
    """A program that is not installed."""

    def command(self) -> list[str]:
        return ["no-such-program"]


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match="no-such-program: No such file"):
        Missing(tmp_path).start()


class Dying(Sleeper):
    """Becomes ready, and ends directly afterwards."""

    def ready(self) -> bool:
        self.kill()
        return True


def test_what_has_ended_is_not_ready(tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match="sleeper ended with SIGKILL"):
        Dying(tmp_path).start()


def test_another_server_on_its_port_is_not_taken_for_the_web_tier(tmp_path: Path, parts: Settings) -> None:
    """The other server bound the port after it was chosen, and gives the same answers."""
    lifeline = Lifeline()
    with receiving(lambda _: (200, {}, b'{"ready": true}')) as stranger, pytest.raises(PortTaken):
        Api(tmp_path, lifeline, {"REDIS_URL": parts.redis_url}, stranger.port).start()
    lifeline.close()
