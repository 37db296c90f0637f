"""A CPU computes in bfloat16 where that is faster, measured on the checkpoint, and the picture stays near."""

import pytest
import torch

from pipeline import precision
from pipeline.edit import Pipeline


class Stand:
    """Stands for a pipeline whose choice is looked at."""

    def __init__(self, dtype):
        self.dtype, self.is_closed = dtype, False

    def receipt(self):
        return {"dtype": self.dtype}

    def close(self):
        self.is_closed = True


@pytest.fixture
def native(monkeypatch):
    """The processor has instructions for bfloat16."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize(
    ("ratio", "decibels", "chosen"), [(1.5, 48, "bfloat16"), (1.1, 48, "float32"), (1.5, 39, "float32")]
)
def test_bfloat16_is_chosen_where_it_is_clearly_faster_and_near(monkeypatch, ratio, decibels, chosen):
    monkeypatch.setattr(precision, "seconds_ratio", lambda *_: ratio)
    monkeypatch.setattr(precision, "likeness", lambda *_: decibels)
    both = [Stand("float32"), Stand("bfloat16")]
    best = precision.with_best_dtype(both[0], lambda: both[1])
    assert best.receipt()["dtype"] == chosen
    assert [one.is_closed for one in both] == [one is not best for one in both]


def test_a_processor_without_instructions_for_it_is_not_measured(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True, "amx_bf16": False})
    exact = Stand("float32")
    assert precision.with_best_dtype(exact, lambda: pytest.fail("it is not loaded")) is exact


def test_the_ratio_and_the_likeness_are_those_of_the_checkpoint(base, micro, monkeypatch):
    monkeypatch.setattr(precision, "SIDE", 8)
    assert 0.3 < precision.seconds_ratio(base, base) < 3
    narrow = Pipeline.load(micro, dtype="bfloat16", device="cpu")
    assert precision.LEAST_DB < precision.likeness(base.with_model(narrow.model), narrow) < 70
    narrow.close()
