"""A container's own check: alive is whoever said so lately, of the right kind, on this machine."""

import redis

from jobs import redis_keys
from jobs.scripts import ALIVE_MS
from jobs.store import JobStore
from worker.health import is_alive


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
