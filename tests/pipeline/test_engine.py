"""The properties of the engine, whoever shares it. Its networks here are one line long, so the results are known."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.batch import ROWS, BatchSizes
from pipeline.catalogue import MODELS
from pipeline.denoise import Denoising, next_latents
from pipeline.engine import MAX_TICKETS, Engine, EngineClosed, Request, Ticket, choose
from pipeline.guidance import three_way
from pipeline.samplers import SAMPLERS
from pipeline.schedule import Schedule

SCHEDULE = Schedule.parse({})
SCALES = [(7.5, 1.5), (2.5, 1.0), (1.5, 1.5), (1.0, 1.0)]


def edit(seed: int, steps: int, sampler: str = "ddpm", scales=(7.5, 1.5), side: int = 4) -> Denoising:
    generator = torch.Generator().manual_seed(seed)
    picture = torch.randn(1, 4, side, side, generator=generator)
    table = SAMPLERS[sampler](SCHEDULE.levels(steps))
    return Denoising(table.start(picture, generator), picture, {}, three_way(*scales), table, generator)


def predict(edits):
    """Each branch takes its own part of the picture for noise."""
    return [torch.cat([(one.x - one.picture) * (0.5 + 0.1 * row) for row in range(one.rows)]) for one in edits]


def fly(engine: Engine, one: Denoising, priority: int = 0, on_step=lambda step: None) -> torch.Tensor:
    with engine.join(one.steps, priority) as ticket:
        while not one.finished:
            ticket.step(one)
            on_step(one.step)
    return one.x


def alone(one: Denoising) -> torch.Tensor:
    while not one.finished:
        one.advance(*next_latents([one], predict([one]))[0])
    return one.x


jobs = st.lists(
    st.tuples(
        st.integers(2, 12), st.sampled_from(list(SAMPLERS)), st.sampled_from(SCALES), st.integers(-1, 1), st.booleans()
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=25, deadline=None)
@given(jobs)
def test_each_edit_is_what_it_would_have_been_alone_and_canceled_ones_touch_nobody(jobs):
    class Canceled(Exception):
        pass

    def make(numbered):
        seed, (steps, sampler, scales, priority, cancel) = numbered

        def on_step(step):
            if cancel and step == steps // 2:
                raise Canceled

        try:
            return fly(engine, edit(seed, steps, sampler, scales), priority, on_step)
        except Canceled:
            return None

    engine = Engine(predict)
    with ThreadPoolExecutor(len(jobs)) as threads:
        results = list(threads.map(make, enumerate(jobs)))
    engine.close()
    for seed, ((steps, sampler, scales, _, cancel), result) in enumerate(zip(jobs, results, strict=True)):
        assert (result is None) == cancel
        if result is not None:
            assert torch.equal(result, alone(edit(seed, steps, sampler, scales)))


def request(remaining, *, priority=0, waited=0, arrival=0, rows=(7.5, 1.5), side=4):
    ticket = Ticket(None, priority, remaining, arrival, waited)
    return Request(ticket, edit=edit(0, 2, scales=rows, side=side))


tickets = st.builds(
    request,
    st.integers(0, 1000),
    priority=st.integers(-1, 1),
    waited=st.integers(0, 2000),
    arrival=st.integers(0, 50),
    rows=st.sampled_from(SCALES),
    side=st.sampled_from([4, 6]),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(tickets, min_size=1, max_size=12))
def test_the_most_urgent_is_always_served_with_others_of_its_size_that_fit(pending):
    sizes = BatchSizes()
    chosen = choose(pending, sizes)
    most_urgent = min(pending, key=lambda r: r.ticket.urgency)
    assert chosen[0].ticket.urgency == most_urgent.ticket.urgency
    assert {r.edit.x.shape for r in chosen} == {chosen[0].edit.x.shape}
    assert sum(r.edit.rows for r in chosen) <= sizes.rows(chosen[0].edit)
    left_out = [r for r in pending if r not in chosen and r.edit.x.shape == chosen[0].edit.x.shape]
    capacity = sizes.rows(chosen[0].edit) - sum(r.edit.rows for r in chosen)
    assert all(r.edit.rows > capacity for r in left_out)


def test_priority_goes_before_what_is_left_to_do():
    low, high = request(1, priority=-1), request(900, priority=1)
    assert choose([low, high], BatchSizes())[0] is high


def test_less_to_do_goes_first_until_the_other_has_waited_long_enough():
    short, long = request(10), request(500)
    assert choose([long, short], BatchSizes())[0] is short
    long.ticket.waited = 490 * 20 + 1
    assert choose([long, short], BatchSizes())[0] is long


def test_a_long_edit_ends_although_short_ones_never_stop_coming():
    """Aging: edits are served one at a time, and a new ten-step edit is always waiting."""
    ended = threading.Event()
    engine = Engine(lambda edits: predict(edits[:1]) if len(edits) == 1 else pytest.fail("one at a time"))
    engine._sizes.rows = lambda edit: 1

    def short(seed):
        while not ended.is_set():
            fly(engine, edit(seed, 10))

    with ThreadPoolExecutor(2) as threads:
        running = [threads.submit(short, seed) for seed in range(2)]
        fly(engine, edit(9, 60))
        ended.set()
        for one in running:
            one.result()
    engine.close()


def test_a_new_short_edit_starts_at_once_beside_a_long_one():
    batches, started = [], threading.Event()

    def watched(edits):
        batches.append([one.steps for one in edits])
        started.set()
        time.sleep(0.002)
        return predict(edits)

    engine = Engine(watched)
    engine._sizes.rows = lambda edit: 3
    with ThreadPoolExecutor(1) as threads:
        long = threads.submit(fly, engine, edit(0, 300))
        started.wait()
        before = len(batches)
        fly(engine, edit(1, 10))
        assert not long.done()
        assert [10] in batches[before : before + 3]
        long.result()
    engine.close()


def test_a_canceled_edits_rows_are_gone_at_the_next_step():
    batches = []

    def watched(edits):
        batches.append([one.steps for one in edits])
        return predict(edits)

    def stop(step):
        if step == 3:
            raise InterruptedError

    engine = Engine(watched)
    with ThreadPoolExecutor(2) as threads:
        other = threads.submit(fly, engine, edit(1, 60))
        with pytest.raises(InterruptedError):
            fly(engine, edit(0, 50), on_step=stop)
        other.result()
    engine.close()
    assert sum(50 in steps for steps in batches) == 3


def test_an_edit_that_fails_leaves_its_neighbors_alone():
    def fragile(edits):
        if any(one.steps == 7 and one.step == 2 for one in edits):
            raise ValueError("this one is broken")
        return predict(edits)

    engine = Engine(fragile)
    with ThreadPoolExecutor(4) as threads:
        results = [threads.submit(fly, engine, edit(seed, steps)) for seed, steps in enumerate((5, 7, 9, 11))]
        with pytest.raises(ValueError, match="broken"):
            results[1].result()
        for seed, steps in ((0, 5), (2, 9), (3, 11)):
            assert torch.equal(results[seed].result(), alone(edit(seed, steps)))
    engine.close()


def test_a_batch_that_does_not_fit_in_memory_is_split_and_stays_small():
    too_large, together = [], threading.Barrier(4)

    def narrow(edits):
        time.sleep(0.01)  # so that the four edits meet
        if sum(one.rows for one in edits) > 6:
            too_large.append(len(edits))
            raise torch.OutOfMemoryError
        return predict(edits)

    engine = Engine(narrow)
    engine._sizes.rows = lambda edit, rows=engine._sizes.rows: min(12, engine._sizes._ceiling.get(edit.form, 12))
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda seed: (together.wait(), fly(engine, edit(seed, 20)))[1], range(4)))
    engine.close()
    assert len(too_large) == 1
    for seed, result in enumerate(results):
        assert torch.equal(result, alone(edit(seed, 20)))


def test_calls_are_made_on_the_engines_thread_one_at_a_time_and_return_what_they_return():
    engine = Engine(predict)
    with engine.join(1) as ticket:
        assert ticket.run(lambda: threading.current_thread().name) == "engine"
        with pytest.raises(ZeroDivisionError):
            ticket.run(lambda: 1 / 0)
        assert ticket.run(lambda: 42) == 42
    engine.close()


def test_more_edits_than_places_wait_their_turn():
    inside, most, lock, full = 0, 0, threading.Lock(), threading.Event()

    def once_full(edits):
        assert full.wait(10)
        return predict(edits)

    def take_part(seed):
        nonlocal inside, most
        one = edit(seed, 2)
        with engine.join(one.steps) as ticket:
            with lock:
                inside += 1
                most = max(most, inside)
            if most >= MAX_TICKETS:
                time.sleep(0.02)  # for one too many to come in
                full.set()
            while not one.finished:
                ticket.step(one)
            with lock:
                inside -= 1
        return one.x

    engine = Engine(once_full)
    with ThreadPoolExecutor(MAX_TICKETS + 8) as threads:
        results = list(threads.map(take_part, range(MAX_TICKETS + 8)))
    engine.close()
    assert most == MAX_TICKETS
    assert all(torch.equal(result, alone(edit(seed, 2))) for seed, result in enumerate(results))


def test_a_closed_engine_refuses():
    engine = Engine(predict)
    fly(engine, edit(0, 2))
    engine.close()
    with engine.join(2) as ticket, pytest.raises(EngineClosed):
        ticket.run(lambda: None)


@pytest.mark.parametrize(
    ("seconds_a_row", "best"), [({3: 4, 6: 3, 12: 2, 24: 1}, 24), ({3: 4, 6: 3, 12: 3.5, 24: 1}, 6), ({3: 1, 6: 1}, 3)]
)
def test_batches_grow_as_long_as_that_pays(seconds_a_row, best):
    sizes, one = BatchSizes(), edit(0, 2)
    for _ in range(30):
        rows = sizes.rows(one)
        sizes.learn([one] * (rows // one.rows), seconds_a_row[rows] * rows)
    assert sizes.rows(one) == best
    assert best in ROWS


@pytest.mark.parametrize("most_steps", [9, pytest.param(60, marks=pytest.mark.slow)])
def test_thirty_two_edits_of_all_own_models_together_are_each_what_they_are_alone(base, photo, most_steps):
    """The real networks: models, samplers, scales, steps and seeds differ, and every sixth edit is canceled."""
    models = [base.with_model(model).editing_model for model in MODELS if model != "pix2pix-base"]
    small = photo.resize((64, 64), Image.Resampling.LANCZOS)
    engine = base.checkpoint.engine

    def params(number):
        scales = SCALES[number % len(SCALES)]
        return {
            "prompt": ("make it sunset", "turn it blue", "make it sepia")[number % 3],
            "negative_prompt": ("", "dark")[number % 2],
            "steps": 2 + number * (most_steps - 2) // 31,
            "temperature": (1.0, 0.5)[number // 5 % 2],
            "seed": number,
            "cfg_scale": scales[0],
            "image_cfg_scale": scales[1],
        }

    def make(number):
        model = models[number % len(models)]
        with engine.join(params(number)["steps"]) as ticket:
            one = ticket.run(lambda: model.begin(small, params(number)))
            while not one.finished:
                ticket.step(one)
                if number % 6 == 5 and one.step == 1:
                    return None
            return np.asarray(ticket.run(lambda: model.finish(one))).astype(int)

    with ThreadPoolExecutor(32) as threads:
        together = list(threads.map(make, range(32)))
    same, count = 0, 0
    for number, picture in enumerate(together):
        assert (picture is None) == (number % 6 == 5)
        if picture is not None and number % 7 < 2:  # nine of them again, alone: each model, prompt and scale
            difference = np.abs(picture - make(number))
            assert difference.max() <= 1
            same, count = same + (difference == 0).sum(), count + difference.size
    assert same / count >= 0.999


def test_whoever_watches_is_told_of_each_turn_and_what_it_computed():
    """Rows and steps add up to what the edits needed, and the device was not busy for longer than the whole took."""
    engine, iterations, began = Engine(predict), [], time.perf_counter()
    engine.on_iteration = iterations.append
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda seed: fly(engine, edit(seed, 6)), range(4)))
    with engine.join(2) as ticket:
        ticket.run(lambda: time.sleep(0.02))
    took = time.perf_counter() - began
    engine.close()
    steps = [iteration for iteration in iterations if iteration.rows]
    assert sum(iteration.edits for iteration in steps) == 4 * 6
    assert sum(iteration.rows for iteration in steps) == 4 * 6 * 3
    assert all(0 < iteration.rows <= iteration.capacity <= ROWS[-1] for iteration in steps)
    assert next(iteration.seconds for iteration in iterations if not iteration.rows) > 0.02
    assert sum(iteration.seconds for iteration in iterations) <= took
