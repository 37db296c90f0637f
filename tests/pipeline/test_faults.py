"""Faults below an edit are told apart, and harm no other edit."""

import gc
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.batch import PROBATION, ROWS, BatchSizes
from pipeline.checkpoint import EDITS_WITHOUT
from pipeline.edit import Pipeline
from pipeline.engine import WARM_UP_SECONDS, Engine, EngineClosed
from pipeline.errors import DeviceLost, NotFinite, OutOfMemory
from pipeline.notes import Notes
from tests.pipeline.test_engine import edit, fly, predict
from tests.waiting import until

MICRO = Path(__file__).parents[2] / "checkpoints" / "micro"
QUICK = {"seed": 1, "steps": 2, "size": "256x256"}
MODELS = ("pix2pix-full", "pix2pix-base")


def pixels(picture):
    return np.asarray(picture).astype(int)


@torch.inference_mode()
def spoil(network):
    """Set one of its weights to NaN."""
    next(network.parameters()).view(-1)[0] = torch.nan


@pytest.fixture(scope="module")
def exact():
    """What each model makes of the photo in float32."""
    pipe = Pipeline.load(MICRO, MODELS[0])
    return {model: pipe.with_model(model) for model in MODELS}


def test_numbers_that_are_not_finite_are_no_picture(photo):
    pipe = Pipeline.load(MICRO, MODELS[0])
    spoil(pipe.checkpoint.unet)
    with pytest.raises(NotFinite, match="not finite"):
        pipe.edit(photo, "make it sunset", **QUICK)


@pytest.mark.parametrize(
    ("model", "part", "steps"), [(MODELS[0], "unet", 4), (MODELS[0], "vae.decoder", 2), (MODELS[1], "vae", 4)]
)
def test_what_a_narrow_dtype_spoils_is_computed_once_more_in_fp32(exact, photo, model, part, steps):
    """The two steps are repeated too, unless only decoding failed. Then they stay as bfloat16 computed them."""
    pipe, seen, notes = Pipeline.load(MICRO, model, "bfloat16"), [], Notes()
    spoil(attrgetter(part)(pipe.checkpoint))
    watching = {"on_step": lambda progress: seen.append(progress.preview()), "notes": notes}
    again = pipe.edit(photo, "make it sunset", **watching, **QUICK)
    wanted = exact[model].edit(photo, "make it sunset", **QUICK)
    difference = np.abs(pixels(again).astype(int) - pixels(wanted))
    assert difference.max() <= 1 if steps == 4 else difference.mean() < 1
    assert len(seen) == steps, "what is taken again is reported again"
    assert notes.receipt == {"dtype": "float32" if steps == 4 else "bfloat16, decoded in float32"}


def test_the_copy_in_fp32_is_freed_when_edits_do_without_it():
    precise = Pipeline.load(MICRO, MODELS[0], "bfloat16").checkpoint.precise
    with precise as copy:
        weights = [weakref.ref(weight) for weight in copy.unet.parameters()]
        for _ in range(2 * EDITS_WITHOUT):
            precise.spare()
        assert all(ref() is not None for ref in weights), "an edit uses it"
    with precise as same:
        assert same is copy, "it is kept for the next one"
    for _ in range(EDITS_WITHOUT):
        precise.spare()
    del copy, same
    assert all(ref() is None for ref in weights)


def test_a_vae_that_asks_for_it_computes_in_fp32_where_the_unet_computes_in_fp16():
    half = Pipeline.load(MICRO, MODELS[0], "float16").checkpoint
    assert (half.vae.config.force_upcast, half.unet.dtype) == (True, torch.float16)
    assert next(half.vae.parameters()).dtype == torch.float32


class Held:
    """An object that a failed pass had in memory."""


def test_a_pass_that_ran_out_of_memory_is_freed_before_the_next_and_larger_batches_come_back():
    held, freed, together = [], [], threading.Barrier(2)

    def narrow(edits):
        if len(edits) > 1:
            tensors = Held()
            held.append(weakref.ref(tensors))
            raise torch.OutOfMemoryError
        freed.extend(ref() is None for ref in held)
        time.sleep(0.005)
        return predict(edits)

    engine = Engine(narrow)
    engine._sizes.rows = lambda edit: 6
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda seed: (together.wait(), fly(engine, edit(seed, 6))), range(2)))
    engine.close()
    assert held
    assert all(freed)


def test_a_batch_that_did_not_fit_is_tried_again_after_many_that_did():
    sizes, one = BatchSizes(), edit(0, 2)
    for rows in ROWS:
        for _ in range(3):
            sizes.learn([one] * (rows // 3), 1.0)
    assert sizes.rows(one) == 24
    sizes.lower([one] * 8)
    assert sizes.rows(one) == 12
    for _ in range(PROBATION):
        assert sizes.rows(one) == 12
        sizes.learn([one] * 4, 1.0)
    assert sizes.rows(one) == 24
    sizes.lower([one] * 8)
    for _ in range(PROBATION):
        sizes.learn([one] * 4, 1.0)
    assert sizes.rows(one) == 12, "the second time it stays for longer"


def test_a_call_is_given_the_time_of_the_pass_that_it_may_make_and_a_hang_in_it_is_noticed():
    engine, allowed = Engine(lambda edits: (time.sleep(0.01), predict(edits))[1]), []
    fly(engine, edit(0, 2))
    one = edit(0, 2, side=8)
    with engine.join(1, work=3 * one.x.numel()) as ticket:
        ticket.run(lambda: allowed.append(engine.allowance))
    with engine.join(1) as ticket:
        ticket.run(lambda: allowed.append(engine.allowance))
    assert 0.4 <= allowed[0] < WARM_UP_SECONDS, "four times the pixels"
    assert 0 < allowed[1] < allowed[0]
    assert engine.allowance == 0, "no turn is under way"
    engine.close()


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), OutOfMemory),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"), OutOfMemory),
        (MemoryError(), OutOfMemory),
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), DeviceLost),
        (RuntimeError("CUDA error: device-side assert triggered"), DeviceLost),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), DeviceLost),
    ],
)
@pytest.mark.parametrize("asks", ["step", "run"])
def test_faults_of_the_device_have_their_own_names(error, fault, asks):
    def broken(*_):
        raise error

    engine = Engine(broken)
    with engine.join(2) as ticket, pytest.raises(fault):
        ticket.step(edit(0, 2)) if asks == "step" else ticket.run(broken)
    engine.close()


def test_patience_follows_the_rows_and_the_size_of_what_is_computed():
    engine, allowed = Engine(lambda edits: (time.sleep(0.02), allowed.append(engine.allowance), predict(edits))[2]), []
    fly(engine, edit(0, 2))
    fly(engine, edit(0, 2, side=8))
    engine.close()
    assert allowed[0] == WARM_UP_SECONDS, "nothing was known yet"
    assert 0.2 <= allowed[1] < WARM_UP_SECONDS
    assert 0.8 <= allowed[2] < WARM_UP_SECONDS, "four times the pixels"


def test_the_first_step_of_each_shape_may_compile():
    engine, allowed = Engine(lambda edits: (allowed.append(engine.allowance), predict(edits))[1], compiles=True), []
    fly(engine, edit(0, 2))
    fly(engine, edit(0, 2, side=8))
    engine.close()
    assert [seconds == WARM_UP_SECONDS for seconds in allowed] == [True, False, True, False]


def test_a_batch_is_no_larger_than_what_is_computed_in_time():
    sizes, one = BatchSizes(max_pass_seconds=30), edit(0, 2)
    for _ in range(3):
        sizes.learn([one], 3 * 4.0)
    assert sizes.rows(one) == 6
    for _ in range(3):
        sizes.learn([one] * 2, 6 * 3.0)
    assert sizes.rows(one) == 6, "twelve rows would take 36 s"


def test_who_watches_and_breaks_does_not_stop_the_engine():
    engine = Engine(predict)
    engine.on_iteration = lambda turn: 1 / 0
    fly(engine, edit(0, 3))
    engine.close()


def test_a_turn_that_breaks_in_the_engine_itself_does_not_stop_it():
    engine = Engine(lambda edits: predict(edits) if edits[0].steps == 2 else [])
    with pytest.raises(ValueError, match="0 predictions for 1 edits"):
        fly(engine, edit(0, 3))
    fly(engine, edit(0, 2))
    engine.close()


def test_a_closed_pipeline_has_freed_its_weights(photo):
    pipe = Pipeline.load(MICRO, MODELS[0], "bfloat16")
    pipe.with_model(MODELS[1])
    with pipe.checkpoint.precise as precise:
        networks = [*pipe.checkpoint._loaded(), *precise._loaded()]
    weights = [weakref.ref(weight) for network in networks for weight in network.parameters()]
    assert len(networks) == 9, "ours, the library's and those in fp32"
    pipe.close()
    gc.collect()
    assert all(ref() is None for ref in weights)
    with pytest.raises(EngineClosed):
        pipe.edit(photo, "make it sunset", **QUICK)


def test_a_low_edit_ends_although_high_ones_never_stop_coming():
    served, ended = [], threading.Event()

    def watched(edits):
        served.append(edits[0].steps)
        return predict(edits)

    engine = Engine(watched)
    engine._sizes.rows = lambda edit: 3

    def high(seed):
        while not ended.is_set() and len(served) < 3000:
            fly(engine, edit(seed, 10), priority=1)

    with ThreadPoolExecutor(2) as threads:
        running = [threads.submit(high, seed) for seed in range(2)]
        fly(engine, edit(9, 20), priority=-1)
        iterations = len(served)
        ended.set()
        for one in running:
            one.result()
    engine.close()
    assert iterations < 600, "a step of it in every ten or so"
    assert served[:iterations].count(20) * 5 < iterations, "and not many more"


class Stop(Exception):
    pass


@pytest.mark.parametrize("full", [False, True])
def test_an_edit_that_is_canceled_while_it_waits_leaves_at_once(full):
    go, busy, canceled = threading.Event(), threading.Event(), threading.Event()

    def check():
        if canceled.is_set():
            raise Stop

    def waits():
        with engine.join(2, on_wait=check) as ticket:
            ticket.run(lambda: pytest.fail("it was cancelled"))

    engine = Engine(predict)
    if full:
        engine._slots = threading.BoundedSemaphore(1)
    with ThreadPoolExecutor(2) as threads, engine.join(2) as other:
        threads.submit(other.run, lambda: (busy.set(), go.wait(20)))
        busy.wait()
        waiting = threads.submit(waits)
        canceled.set()
        with pytest.raises(Stop):
            waiting.result(timeout=5)
        assert not go.is_set()
        go.set()
    engine.close()


@contextmanager
def ended(*events: threading.Event) -> Iterator[None]:
    """Sets the events at the end, however it comes, so that a thread that waits for them ends too."""
    try:
        yield
    finally:
        for event in events:
            event.set()


def test_an_engine_that_is_kept_off_the_processor_is_slow_and_one_that_waits_or_spins_is_stuck():
    """Only the processor time of its thread counts: under much other load, ten times the time is normal."""
    engine, waits, go_on, over = Engine(predict), threading.Event(), threading.Event(), threading.Event()

    def call():
        while not go_on.is_set():
            sum(range(1000))
        go_on.clear()
        waits.set()
        go_on.wait(60)
        waits.clear()
        while not over.is_set():
            sum(range(1000))

    def rests() -> bool:
        """Whether it uses no processor for a while. Its thread may be kept off the processor before it waits."""
        before = engine.worked_at()
        time.sleep(0.05)
        return engine.worked_at() == before

    with engine.join(1) as ticket, ThreadPoolExecutor(1) as thread, ended(go_on, over):
        done = thread.submit(ticket.run, call)
        until(lambda: engine.worked_at() > engine.finished_at, 60, "the engine is seen to compute")
        go_on.set()
        assert waits.wait(60)
        until(rests, 60, "it comes to rest")
        engine.allowance = 1e-9
        go_on.set()
        until(lambda: not waits.is_set(), 60, "it computes again")
        spinning = engine.worked_at()
        time.sleep(0.05)
        assert engine.worked_at() == spinning, "it has used what it was allowed"
        over.set()
        done.result(60)
        assert engine.worked_at() == engine.finished_at > spinning
    engine.close()
