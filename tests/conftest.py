"""The real parts, started once for all tests: Valkey and SeaweedFS on free ports, their data in a temporary folder."""

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from darkroom.local.servers import SeaweedFS, Valkey
from jobs.pictures import PictureStore
from jobs.settings import Settings
from jobs.store import JobStore

os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).parent.parent
DURATIONS = "tests/durations.json"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also what takes minutes, and more rounds of the rest")
    parser.addoption("--record-durations", action="store_true", help=f"write the seconds of each file to {DURATIONS}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--slow"):
        items[:] = [item for item in items if not item.get_closest_marker("slow")]
    put_longest_first(items)


def put_longest_first(items: list[pytest.Item]) -> None:
    """Sort the files by recorded seconds, because a long file that starts last leaves the other processes idle.

    A new file comes first, because its duration is unknown.
    """
    seconds = json.loads((ROOT / DURATIONS).read_text(encoding="utf-8"))
    items.sort(key=lambda item: -seconds.get(file_of(item.nodeid), float("inf")))


def file_of(node_id: str) -> str:
    return node_id.partition("::")[0]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.getoption("--record-durations"):
        seconds: dict[str, float] = defaultdict(float)
        for report in terminalreporter.getreports("passed") + terminalreporter.getreports(""):
            seconds[file_of(report.nodeid)] += report.duration
        rounded = {name: round(spent, 1) for name, spent in sorted(seconds.items())}
        (ROOT / DURATIONS).write_text(json.dumps(rounded, indent=2) + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    with SeaweedFS(tmp_path_factory.mktemp("seaweed"), bucket="darkroom") as server:
        yield server


@pytest.fixture(scope="session")
def parts(valkey: Valkey, seaweed: SeaweedFS) -> Settings:
    """Settings for the real parts."""
    return Settings(
        _env_file=None,
        redis_url=valkey.url,
        s3_endpoint_url=seaweed.endpoint_url,
        s3_bucket=seaweed.bucket,
        s3_access_key_id=seaweed.access_key,
        s3_secret_access_key=seaweed.secret_key,
        checkpoint=str(ROOT / "checkpoints" / "micro"),
        lease_seconds=1,
    )


@pytest.fixture
def settings(parts: Settings) -> Settings:
    """Settings for the real parts, and an empty Redis."""
    with redis.Redis.from_url(parts.redis_url) as records:
        records.flushall()
    return parts


@pytest.fixture
def store(settings: Settings) -> Iterator[JobStore]:
    store = JobStore.connect(settings.redis_url, timeout=5)
    yield store
    store.redis.close()


@pytest.fixture
def pictures(settings: Settings) -> PictureStore:
    return PictureStore.connect(settings, timeout=10)


def everything_in(client: redis.Redis) -> str:
    """All names and values in a Redis, in one text."""
    read = {
        "hash": client.hgetall,
        "list": lambda name: client.lrange(name, 0, -1),
        "set": client.smembers,
        "stream": client.xrange,
        "string": client.get,
        "zset": lambda name: client.zrange(name, 0, -1),
    }
    kinds = ((name, client.type(name)) for name in client.scan_iter())
    return str({name: read[kind](name) for name, kind in kinds if kind != "none"})  # none: expired since
