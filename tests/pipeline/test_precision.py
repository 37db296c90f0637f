"""A CPU computes in bfloat16 if that is faster with the checkpoint and the picture stays similar."""

import pytest
import torch

from pipeline import precision
from pipeline.edit import Pipeline


@pytest.fixture
def loads(micro):
    """Loads the small checkpoint in a dtype. All loaded pipelines are closed at the end."""
    loaded = []

    def load(dtype):
        loaded.append(Pipeline.load(micro, dtype=dtype, device="cpu"))
        return loaded[-1]

    yield load
    for pipeline in loaded:
        pipeline.close()


@pytest.mark.parametrize(
    ("ratio", "least_db", "chosen"), [(1.5, 40, torch.bfloat16), (1.1, 40, torch.float32), (1.5, 70, torch.float32)]
)
def test_bfloat16_is_chosen_where_it_is_clearly_faster_and_near(loads, monkeypatch, ratio, least_db, chosen):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    monkeypatch.setattr(precision, "seconds_ratio", lambda *_: ratio)
    monkeypatch.setattr(precision, "LEAST_DB", least_db)
    exact, narrow = loads("float32"), loads("bfloat16")
    best = precision.with_best_dtype(exact, lambda: narrow)
    assert best.checkpoint.dtype == chosen
    assert [one.checkpoint.engine._closed for one in (exact, narrow)] == [best is narrow, best is exact]


def test_a_processor_without_instructions_for_it_is_not_measured(loads, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True, "amx_bf16": False})
    exact = loads("float32")
    assert precision.with_best_dtype(exact, lambda: pytest.fail("it is not loaded")) is exact


def test_the_ratio_is_that_of_the_shortest_passes(base, monkeypatch):
    monkeypatch.setattr(precision, "SIDE", 8)
    assert 0.3 < precision.seconds_ratio(base, base) < 3
