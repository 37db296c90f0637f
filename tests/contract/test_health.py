"""A container's health check: alive means a recent heartbeat of the right kind of process on this machine."""

import socket
import subprocess
import sys

import pytest
import redis

from jobs import redis_keys
from jobs.scripts import ALIVE_MS
from jobs.store import JobStore
from tests.conftest import ROOT
from worker.health import is_alive, place

NAMESPACE = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
NAMESPACES = sys.platform == "linux" and subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode == 0


def test_a_keeper_is_alive_from_its_first_round_on(store: JobStore):
    assert not is_alive(store, "keeper", "here")
    store.expire("here-17")
    assert is_alive(store, "keeper", "here")
    assert not is_alive(store, "keeper", "elsewhere")
    assert not is_alive(store, "worker", "here")


def test_a_worker_is_alive_while_it_renews_whatever_its_machine_is_called(store: JobStore):
    store.renew("worker-6d5f-x2-7.a0b1", {"slots": 1}, [], lease_seconds=1)
    assert is_alive(store, "worker", "worker-6d5f-x2")
    assert not is_alive(store, "worker", "worker-6d5f")


def test_who_was_not_heard_of_for_a_while_is_not_alive(store: JobStore, settings):
    store.expire("here-17")
    redis.Redis.from_url(settings.redis_url).zincrby(redis_keys.KEEPERS, -ALIVE_MS - 1, "here-17")
    assert not is_alive(store, "keeper", "here")


@pytest.mark.skipif(not NAMESPACES, reason="needs Linux, and the right to make a namespace")
def test_containers_of_one_host_name_are_different_places():
    """With the host's network, containers share a host name, but each has its own process namespace."""
    told = [sys.executable, "-c", "from worker.health import place; print(place())"]
    here, there = (
        subprocess.run([*wrapper, *told], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
        for wrapper in ([], NAMESPACE)
    )
    assert here == place()
    assert there != here
    assert there.startswith(socket.gethostname())
