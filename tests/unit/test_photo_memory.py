"""Limits on decoded photos."""

import threading

import pytest

from worker.photo_memory import Room


class Stop(Exception):
    """Raised to end a wait."""


def test_no_more_is_held_than_there_is_room_for_and_all_get_their_turn():
    room, lock, held, most = Room(100), threading.Lock(), [], []

    def work(pixels: int) -> None:
        with room.taken(pixels, lambda: None):
            with lock:
                held.append(min(pixels, 100))
                most.append(sum(held))
            threading.Event().wait(0.002)
            with lock:
                held.remove(min(pixels, 100))

    wishes = [10, 60, 100, 1000, 30, 30, 50, 1] * 5
    threads = [threading.Thread(target=work, args=(pixels,)) for pixels in wishes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(most) == len(wishes)
    assert max(most) <= 100


def test_a_small_one_does_not_overtake_one_that_waits():
    room, order = Room(100), []
    first = room.taken(60, lambda: None)
    first.__enter__()
    large_waits = threading.Event()

    def take(pixels: int) -> None:
        with room.taken(pixels, large_waits.set):
            order.append(pixels)

    large = threading.Thread(target=take, args=(90,))
    large.start()
    assert large_waits.wait(20)
    small = threading.Thread(target=take, args=(10,))
    small.start()
    small.join(0.05)
    first.__exit__(None, None, None)
    for thread in (large, small):
        thread.join(20)
    assert order == [90, 10]


def test_who_is_told_to_stop_waits_no_longer_and_leaves_no_gap():
    room = Room(100)

    def stop() -> None:
        raise Stop

    with room.taken(100, lambda: None), pytest.raises(Stop), room.taken(1, stop):
        raise AssertionError("it had no room")
    with room.taken(100, lambda: None):
        pass
