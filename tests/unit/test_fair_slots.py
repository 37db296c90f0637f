"""Slots are shared fairly: no tenant has more than its share, and a free slot goes to the tenant with the fewest."""

import asyncio
import random
from collections import Counter

import pytest

from jobs.errors import Unavailable
from jobs.fair_slots import FairSlots

LONG = 30.0


def test_a_tenant_that_holds_its_share_keeps_no_other_waiting():
    async def story() -> None:
        slots = FairSlots(8, 2)
        greedy = [asyncio.create_task(slots.acquire("greedy", seconds=LONG)) for _ in range(50)]
        await asyncio.sleep(0)
        assert slots.taken == {"greedy": 2}
        for tenant in ("b", "c", "d"):
            await slots.acquire(tenant, seconds=LONG)
        assert slots.taken == {"greedy": 2, "b": 1, "c": 1, "d": 1}
        for task in greedy:
            task.cancel()

    asyncio.run(story())


def test_a_free_place_goes_to_who_has_the_fewest():
    async def story() -> None:
        slots = FairSlots(4, 3)
        for tenant in ("a", "a", "a", "b"):
            await slots.acquire(tenant, seconds=LONG)
        turns: list[str] = []

        async def wait(tenant: str) -> None:
            await slots.acquire(tenant, seconds=LONG)
            turns.append(tenant)

        waiting = [asyncio.create_task(wait(tenant)) for tenant in ("b", "b", "c")]
        await asyncio.sleep(0)
        for _ in range(3):
            slots.release("a")
        await asyncio.gather(*waiting)
        assert turns[0] == "c"

    asyncio.run(story())


def test_who_waits_in_vain_takes_no_place():
    async def story() -> None:
        slots = FairSlots(1, 1)
        await slots.acquire("a", seconds=LONG)
        with pytest.raises(Unavailable):
            await slots.acquire("b", seconds=0.01)
        canceled = asyncio.create_task(slots.acquire("b", seconds=LONG))
        await asyncio.sleep(0)
        canceled.cancel()
        await asyncio.wait([canceled])
        slots.release("a")
        assert not slots.taken
        await slots.acquire("c", seconds=LONG)

    asyncio.run(story())


@pytest.mark.parametrize("seed", range(20))
def test_places_are_neither_lost_nor_given_twice(seed):
    async def story() -> None:
        dice, slots, inside = random.Random(seed), FairSlots(5, 2), Counter()

        async def use(tenant: str) -> None:
            async with slots.slot(tenant, seconds=dice.choice([0.0, 0.001, LONG])):
                inside[tenant] += 1
                assert inside[tenant] <= 2
                assert inside.total() <= 5
                try:
                    await asyncio.sleep(dice.choice([0, 0, 0.001]))
                finally:
                    inside[tenant] -= 1

        tasks = [asyncio.create_task(use(dice.choice("abcd"))) for _ in range(60)]
        for task in dice.sample(tasks, 10):
            await asyncio.sleep(0)
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            assert ended is None or isinstance(ended, Unavailable | asyncio.CancelledError)
        assert not slots.taken

    asyncio.run(story())
