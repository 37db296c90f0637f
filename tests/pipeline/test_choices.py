"""Which device computes, and in which dtype."""

import pytest
import torch

from pipeline import device as devices
from pipeline.device import choose_device
from pipeline.errors import PipelineError


def test_without_a_gpu_the_cpu_computes(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == torch.device("cpu")


def test_with_gpus_the_first_computes_or_the_one_that_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda:0")
    assert choose_device("cuda:1") == torch.device("cuda:1")
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(PipelineError, match="device: there is no cuda:2, only 2 GPUs"):
        choose_device("cuda:2")


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps", "tpu", "cuda:x"])
def test_a_device_that_is_not_here_is_refused_by_name(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(PipelineError, match=f"device: .*{name}"):
        choose_device(name)


@pytest.fixture
def untuned():
    cudnn, precision = torch.backends.cudnn, torch.get_float32_matmul_precision()
    before = cudnn.benchmark, cudnn.allow_tf32
    yield
    cudnn.benchmark, cudnn.allow_tf32 = before
    torch.set_float32_matmul_precision(precision)


@pytest.mark.usefixtures("untuned")
def test_tuning_is_for_gpus_alone_and_keeps_float32_where_that_was_asked_for():
    devices.tune(torch.device("cpu"), exact=False)
    assert (torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision()) == (False, "highest")
    devices.tune(torch.device("cuda:0"), exact=True)
    assert (torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision()) == (True, "highest")
    devices.tune(torch.device("cuda:0"), exact=False)
    assert (torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()) == (True, "high")
