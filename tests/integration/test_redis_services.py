"""Other kinds of Redis: a primary watched by Sentinel that dies, a user with limited rights, and a cluster."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import redis

from api.subscriptions import Subscriptions
from darkroom.local.ports import free_ports
from darkroom.local.servers import valkey_binary
from jobs import redis_keys
from jobs.connections import ClusterRefused, Group, refuse_cluster
from jobs.errors import RecordsUnavailable, Unavailable
from jobs.settings import Settings
from jobs.store import JobStore
from jobs.wakeups import PREFIX, QUEUE, TASK, Wakeups, celery_app
from tests.jobs_of import a_job
from tests.waiting import until

PASSWORD = "of the servers"


@contextmanager
def server(folder: Path, port: int, text: str, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Valkey with this configuration, until the end."""
    folder.mkdir()
    file = folder / "valkey.conf"
    file.write_text(f'port {port}\nbind 127.0.0.1\ndir "{folder}"\nsave ""\nlogfile "{folder / "log"}"\n{text}')
    process = subprocess.Popen([valkey_binary()[0], file, *words], stdout=subprocess.DEVNULL)
    try:
        until(lambda: listens(port), 20)
        yield process
    finally:
        process.kill()
        process.wait()


def listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class Watched:
    """A primary, a replica, and three sentinels."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.primary_port, self.replica_port, *sentinels = free_ports(5)
        auth = f'requirepass "{PASSWORD}"\nmasterauth "{PASSWORD}"\nrepl-diskless-sync-delay 0\n'
        self.primary = stack.enter_context(server(folder / "primary", self.primary_port, auth))
        replica = f"{auth}replicaof 127.0.0.1 {self.primary_port}\n"
        stack.enter_context(server(folder / "replica", self.replica_port, replica))
        until(lambda: self.direct(self.primary_port).info("replication").get("slave0", {}).get("state") == "online", 20)
        watch = (
            f"sentinel monitor photos 127.0.0.1 {self.primary_port} 2\nsentinel auth-pass photos {PASSWORD!r}\n"
            "sentinel down-after-milliseconds photos 800\nsentinel failover-timeout photos 5000\n"
        )
        for port in sentinels:
            stack.enter_context(server(folder / f"sentinel-{port}", port, watch, "--sentinel"))
        until(lambda: all(self.knows_all(port) for port in sentinels), 20)
        hosts = ",".join(f"127.0.0.1:{port}" for port in sentinels)
        self.url = f"sentinel://:{PASSWORD.replace(' ', '%20')}@{hosts}/photos"

    def direct(self, port: int) -> redis.Redis:
        return redis.Redis(port=port, password=PASSWORD, decode_responses=True)

    def knows_all(self, port: int) -> bool:
        said = redis.Redis(port=port, decode_responses=True).execute_command("SENTINEL MASTER photos")
        facts = said if isinstance(said, dict) else dict(zip(said[::2], said[1::2], strict=True))
        return int(facts["num-other-sentinels"]) == 2 and int(facts["num-slaves"]) == 1


@pytest.fixture
def watched(tmp_path) -> Iterator[Watched]:
    with ExitStack() as stack:
        yield Watched(tmp_path, stack)


def test_when_the_primary_dies_the_replica_goes_on_and_tells_who_waits(watched, capsys):
    """Writes reach the replica a moment after they are answered, so the last may be lost. The test reports how many."""
    store = JobStore.connect(watched.url, timeout=0.5)
    accepted = []
    for _ in range(200):
        accepted.append(job := a_job())
        store.submit(job)
    watched.primary.kill()
    died = time.monotonic()
    refused = 0
    while True:
        try:
            store.submit(job := a_job())
            break
        except Unavailable:
            refused += 1
            assert time.monotonic() - died < 60, "nobody took over"
            time.sleep(0.05)
    away = time.monotonic() - died
    assert refused, "the death of the primary went unnoticed"
    kept = watched.direct(watched.replica_port)
    assert kept.exists(redis_keys.JOB + job.id)
    lost = [each.id for each in accepted if not kept.exists(redis_keys.JOB + each.id)]
    with capsys.disabled():
        sys.stdout.write(f"\nSentinel: {away:.1f} s without a primary, {len(lost)} of {len(accepted)} jobs lost\n")
    assert len(lost) <= len(accepted) / 10

    settings = Settings(_env_file=None, redis_url=watched.url)
    Wakeups.connect(settings, store, timeout=5)._app.send_task(TASK, queue=QUEUE)
    assert kept.llen(PREFIX + QUEUE) == 1
    with celery_app(settings).connection_for_read() as broker:
        assert broker.default_channel.client.llen(QUEUE) == 1
    asyncio.run(_is_told(watched.url, store))


async def _is_told(url: str, store: JobStore) -> None:
    """A waiting client is woken through the new primary."""
    subscriptions = Subscriptions(url, timeout=2)
    listening = asyncio.create_task(subscriptions.listen())
    job = a_job()
    with subscriptions.subscribe(job.id) as subscription:
        await asyncio.sleep(0.3)
        await asyncio.to_thread(store.submit, job)
        await asyncio.to_thread(store.cancel, job.id, job.tenant)
        async with asyncio.timeout(10):
            while not await subscriptions.read(redis_keys.EVENTS + job.id, "0-0"):
                await asyncio.sleep(0.05)
        assert subscription is not None
    listening.cancel()
    await asyncio.wait([listening])
    await subscriptions.close()


@pytest.mark.parametrize(
    ("url", "sentinels", "name", "db"),
    [
        ("sentinel://a,b:1/photos", (("a", 26379), ("b", 1)), "photos", 0),
        ("sentinel://:p%40ss@a:1/photos/3", (("a", 1),), "photos", 3),
    ],
)
def test_an_address_of_sentinels_is_read(url, sentinels, name, db):
    group = Group.of(url)
    assert (group.sentinels, group.name, group.db) == (sentinels, name, db)
    assert group.password in (None, "p@ss")


@pytest.mark.parametrize("url", ["sentinel://a:1", "sentinel:///photos", "sentinel://a,,b/photos", "sentinel://a:x/p"])
def test_an_address_that_names_no_sentinel_or_no_primary_is_refused(url):
    with pytest.raises(ValueError, match="REDIS_URL cannot be read"):
        Settings(_env_file=None, redis_url=url)


def test_a_user_with_rights_of_its_own_is_enough(tmp_path):
    (port,) = free_ports(1)
    rights = "user darkroom on >secret ~dk:* &dk:* +@all -@admin -@dangerous +info\nuser default off\n"
    with server(tmp_path / "one", port, rights):
        store = JobStore.connect(f"redis://darkroom:secret@127.0.0.1:{port}/0", timeout=5)
        store.submit(job := a_job())
        assert store.claim("w", lease_seconds=30, token="1", slots=1).id == job.id


def test_a_cluster_is_refused_in_a_sentence(tmp_path):
    (port,) = free_ports(1)
    with server(tmp_path / "node", port, "cluster-enabled yes\n"):
        store = JobStore.connect(f"redis://127.0.0.1:{port}/0", timeout=5)
        with pytest.raises(ClusterRefused, match="Redis Cluster"):
            refuse_cluster(store.redis)
        store.redis.execute_command("CLUSTER ADDSLOTSRANGE", 0, 9000)
        with pytest.raises(RecordsUnavailable):
            store.submit(a_job())
