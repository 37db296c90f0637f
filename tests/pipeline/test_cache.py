"""A cache never holds more bytes than its limit, and returns what was made."""

import random

import torch

from pipeline.cache import TensorCache, bytes_of


def test_a_cache_keeps_to_its_bytes_and_gives_back_what_was_made():
    chance, cache, made = random.Random(1), TensorCache(limit=1000), {}
    for _ in range(500):
        key = chance.randrange(40)
        size = 1 + key * 10  # 4 to 1564 bytes: some are larger than the cache

        def make(key=key, size=size):
            made[key] = {"states": (torch.full((size,), float(key)),)}
            return made[key]

        assert cache.get(key, make) is made[key]
        assert cache.bytes <= cache.limit
        assert cache.bytes == sum(map(bytes_of, cache._values.values()))
    cache.clear()
    assert cache.bytes == 0


def test_what_was_used_last_is_kept():
    cache = TensorCache(limit=80)
    for key in ("a", "b", "a", "c"):  # 40 bytes each: c takes the place of b
        cache.get(key, lambda: torch.zeros(10))
    fresh = [key for key in "acb" if cache.get(key, lambda: torch.ones(10)).sum() > 0]
    assert fresh == ["b"]
