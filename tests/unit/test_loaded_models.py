"""Models are loaded when a job needs them, as many as fit. None is unloaded while a job uses it."""

import threading
import time
from collections.abc import Callable

import pytest

from pipeline.errors import OutOfMemory
from tests.waiting import until
from worker.loaded_models import LoadedModels, NotLoaded, Weights


class Shelf:
    """Models `a`, `b` and `c` of one byte each, which record their loads and unloads."""

    def __init__(self, budget: int | None = 2, **loads: Callable[[], None]) -> None:
        self.log: list[str] = []
        self.loads = loads
        weights = [
            Weights((name,), 1, self._loader(name), lambda name=name: self.log.append(f"-{name}")) for name in "abc"
        ]
        self.models = LoadedModels(weights, budget)

    def _loader(self, name: str) -> Callable[[], Callable[[str], object]]:
        def load() -> Callable[[str], object]:
            self.loads.get(name, lambda: None)()
            self.log.append(f"+{name}")
            return lambda model: f"editor of {model}"

        return load

    def use(self, *names: str) -> None:
        for name in names:
            with self.models.using(name) as editor:
                assert editor == f"editor of {name}"


def test_the_least_recently_used_goes_first_and_each_swap_is_counted():
    shelf = Shelf()
    shelf.use(*"abacbc")
    assert shelf.log == ["+a", "+b", "-b", "+c", "-a", "+b"]
    assert (shelf.models.loads, shelf.models.swaps, sorted(shelf.models.loaded)) == (4, 2, ["b", "c"])


def test_without_a_limit_nothing_is_unloaded_and_one_that_is_too_large_is_loaded_alone():
    shelf = Shelf(budget=None)
    shelf.use(*"abcabc")
    assert shelf.log == ["+a", "+b", "+c"]
    small = Shelf(budget=0)
    small.use(*"ab")
    assert small.log == ["+a", "-a", "+b"]


def test_a_job_waits_while_others_use_all_memory_and_may_give_up():
    shelf = Shelf()

    class GaveUp(Exception):
        pass

    def give_up() -> None:
        raise GaveUp

    with shelf.models.using("a"), shelf.models.using("b"):
        with pytest.raises(GaveUp), shelf.models.using("c", on_wait=give_up):
            pass
        late = threading.Thread(target=lambda: shelf.use("c"))
        late.start()
        assert shelf.log == ["+a", "+b"], "none goes while a job uses it"
    late.join(10)
    assert shelf.log == ["+a", "+b", "-b", "+c"] or shelf.log == ["+a", "+b", "-a", "+c"]


def test_newer_jobs_let_one_go_first_that_has_waited_long(monkeypatch):
    monkeypatch.setattr("worker.loaded_models.SWAP_SECONDS", 0.0)
    shelf, order = Shelf(budget=1), []
    with shelf.models.using("a"):
        late = [threading.Thread(target=lambda name=name: (shelf.use(name), order.append(name))) for name in "ca"]
        late[0].start()
        until(lambda: shelf.models._waiting, 5, "c waits")
        late[1].start()
        time.sleep(0.05)
    for thread in late:
        thread.join(10)
    assert order == ["c", "a"]


def test_one_job_loads_and_the_others_of_its_model_wait_for_that():
    gate = threading.Event()
    shelf = Shelf(a=lambda: gate.wait(10))
    threads = [threading.Thread(target=lambda: shelf.use("a")) for _ in range(3)]
    for thread in threads:
        thread.start()
    shelf.use("b")
    assert shelf.log == ["+b"], "jobs of another model go on meanwhile"
    gate.set()
    for thread in threads:
        thread.join(10)
    assert shelf.log == ["+b", "+a"]


def test_what_cannot_be_loaded_is_withdrawn_with_its_reason():
    def broken() -> None:
        raise OSError("the file is cut short")

    shelf = Shelf(b=broken)
    for _ in range(2):
        with pytest.raises(NotLoaded, match="cut short"):
            shelf.use("b")
    assert shelf.models.troubles == {"b": "the file is cut short"}
    assert shelf.models.models == ["a", "c"]
    shelf.use("a", "c")
    with pytest.raises(KeyError):
        shelf.use("another's")


def test_what_could_not_be_loaded_is_tried_again_after_a_pause_that_grows(monkeypatch):
    now, broken = [1000.0], [True]

    def load() -> None:
        if broken[0]:
            raise OSError("the hub is away")

    monkeypatch.setattr("worker.loaded_models.time.monotonic", lambda: now[0])
    shelf = Shelf(b=load)
    for pause in (60, 120, 240):
        with pytest.raises(NotLoaded, match="the hub is away"):
            shelf.use("b")
        now[0] += pause - 1
        assert shelf.models.models == ["a", "c"], "it is withdrawn"
        now[0] += 2
        assert shelf.models.models == ["a", "b", "c"]
    broken[0] = False
    shelf.use("b")
    assert shelf.log == ["+b"]
    assert not shelf.models._troubles


def test_a_device_that_is_full_gets_rid_of_what_no_job_uses():
    full = iter([True, False])

    def load() -> None:
        if next(full):
            raise OutOfMemory("the device is full")

    shelf = Shelf(budget=None, c=load)
    shelf.use("a", "c")
    assert shelf.log == ["+a", "-a", "+c"]
    assert not shelf.models.troubles
