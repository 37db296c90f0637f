"""The engine on a device that works on its own, as a GPU does: time, batches, previews and copies.

The device is a fake that takes time and computes nothing.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from benchmarks._fake_device import FakeDevice
from pipeline.device import free_bytes
from pipeline.engine import STEPS_AHEAD, Engine
from pipeline.errors import NotFinite
from tests.pipeline.test_engine import alone, edit, predict
from tests.waiting import until

STEP_SECONDS, ROW_SECONDS = 0.006, 0.0005


class FakeGPU(Engine):
    """An engine on a fake device. `passes` has the number of edits in each pass."""

    def __init__(self, **given):
        self.device, self.passes = FakeDevice(), []
        super().__init__(self.launch, timeline=self.device, **given)

    def launch(self, edits):
        self.passes.append(len(edits))
        self.device.work(self.seconds(sum(one.rows for one in edits)))
        return predict(edits)

    @staticmethod
    def seconds(rows):
        return STEP_SECONDS + ROW_SECONDS * rows


@pytest.fixture
def gpu():
    engine = FakeGPU()
    yield engine
    engine.close()


def fly_all(engine, count, steps, look=lambda _: None, wants=lambda _: False):
    """Run `count` edits that begin in the same pass, and whose threads look at each step."""

    def fly(seed):
        one = edit(seed, steps)
        with engine.join(steps) as ticket:
            for taken in ticket.denoise(one, wants):
                look(taken)
        return one.x

    with ThreadPoolExecutor(count + 1) as threads, engine.join(0, priority=1) as first:
        threads.submit(first.run, lambda: until(lambda: len(engine._pending) == count))
        until(lambda: engine._served)
        return list(threads.map(fly, range(count)))


def test_edits_stay_in_one_batch_while_their_threads_make_previews(gpu):
    """8 edits of 12 steps: 12 passes are enough."""
    gpu._sizes.rows = lambda edit: 24
    results = fly_all(gpu, 8, 12, look=lambda taken: time.sleep(0.008))
    assert sum(gpu.passes) == 8 * 12
    assert len(gpu.passes) <= 1.2 * 12, gpu.passes
    assert all(torch.equal(result, alone(edit(seed, 12))) for seed, result in enumerate(results))


def test_what_the_engine_learns_is_the_devices_time_and_not_how_long_queueing_takes(gpu):
    iterations = []
    gpu.on_iteration = iterations.append
    fly_all(gpu, 4, 14)
    gpu.close()
    for size, times in gpu._sizes._seconds[(True, 1, 4, 4, 4)].items():
        true = [gpu.seconds(rows) / rows for rows in range(size, 2 * size, 3)]  # of batches that count as this size
        assert all(any(rate == pytest.approx(one, rel=0.01) for one in true) for rate in times)
    steps = [iteration for iteration in iterations if iteration.rows]
    for iteration in steps:
        assert iteration.seconds == pytest.approx(gpu.seconds(iteration.rows), rel=0.01), "booked to the pass itself"
    assert sum(iteration.seconds for iteration in steps) == pytest.approx(gpu.device.busy)


def test_a_request_is_finished_when_the_device_is(gpu):
    with gpu.join(2) as ticket:
        for asked in (lambda: ticket.step(edit(0, 2)), lambda: ticket.run(lambda: gpu.device.work(0.03))):
            asked()
            assert gpu.device.mark().at <= time.perf_counter(), "its work is done"
    assert gpu._longest_call_seconds == pytest.approx(0.03)


def test_the_engine_is_only_some_steps_ahead_of_a_thread_that_does_not_look(gpu):
    one = edit(0, 30)
    with gpu.join(30) as ticket:
        steps = ticket.denoise(one)
        assert next(steps).step == 1
        time.sleep(4 * STEPS_AHEAD * gpu.seconds(3))
        assert one.step <= 1 + STEPS_AHEAD
    time.sleep(2 * gpu.seconds(3))
    assert one.step <= 1 + STEPS_AHEAD, "who has left is not served"
    fly_all(gpu, 1, 3)


def test_previews_are_made_once_for_the_whole_batch_and_only_of_the_steps_that_somebody_wants(gpu):
    made, seen = [], []

    def small(latents):
        made.append(len(latents))
        return latents.movedim(1, -1)[..., :3].to(torch.uint8)

    gpu._sizes.rows, gpu.small = lambda edit: 24, small
    fly_all(gpu, 4, 6, look=lambda taken: seen.append((taken.step, taken.pictures)), wants=lambda step: step % 3 == 0)
    assert all((pictures is not None) == (step % 3 == 0) for step, pictures in seen)
    assert sum(made) == 4 * 2 * 2, "four edits, two steps, two pictures each"
    assert len(made) == 2
    assert {pictures.shape for _, pictures in seen if pictures is not None} == {(2, 4, 4, 3)}


def test_a_call_without_memory_gets_what_was_freed_before_it_is_given_up(gpu, monkeypatch):
    freed = []
    monkeypatch.setattr("pipeline.engine.free_memory", lambda: freed.append(True))

    def narrow():
        if not freed:
            raise torch.OutOfMemoryError
        return "done"

    with gpu.join(1) as ticket:
        assert ticket.run(narrow) == "done"


def test_a_step_of_one_edit_without_memory_is_repeated_with_the_same_noise(gpu, monkeypatch):
    freed = []
    monkeypatch.setattr("pipeline.engine.free_memory", lambda: freed.append(True))
    gpu.small, one = lambda latents: latents, edit(0, 3)

    def wants(step):
        if len(freed) < step:
            raise torch.OutOfMemoryError

    with gpu.join(3) as ticket:
        list(ticket.denoise(one, wants))
    assert len(freed) == 3
    assert torch.equal(one.x, alone(edit(0, 3)))


def test_pictures_are_decoded_in_small_batches_and_one_that_fails_spoils_no_other(gpu):
    gpu._together, made = 4, []

    def decode(items):
        made.append(list(items))
        if 5 in items:
            raise NotFinite
        return [10 * item for item in items]

    def one(item):
        with gpu.join(0) as ticket:
            return ticket.run_with_others(decode, item, "picture" if item < 6 else "larger picture")

    with ThreadPoolExecutor(9) as threads, gpu.join(0, priority=1) as first:
        threads.submit(first.run, lambda: until(lambda: len(gpu._pending) == 8))
        until(lambda: gpu._served)
        asked = [threads.submit(one, item) for item in range(8)]
        results = [future.exception() or future.result() for future in asked]
    assert results[:5] + results[6:] == [0, 10, 20, 30, 40, 60, 70]
    assert isinstance(results[5], NotFinite)
    assert max(len(items) for items in made) == 4
    assert not any(set(items) >= {0, 6} for items in made), "they differ in size"
    assert len(made) <= 3 + 4, "three batches, and one of them again in parts"


def test_memory_that_pytorch_holds_without_using_it_counts_as_free(monkeypatch):
    sizes = {"mem_get_info": (100, 1000), "memory_reserved": 500, "memory_allocated": 200}
    for name, size in sizes.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, size=size: size)
    assert free_bytes(torch.device("cuda")) == 400
