import time

import pytest
import torch
from torch.nn.functional import linear, scaled_dot_product_attention

from pipeline.networks.kernels import (
    Attend,
    Linear,
    Pointwise,
    _fastest,
    choose_kernels,
    chunked_attention,
    fastest_threads,
    onednn_linear,
)
from pipeline.networks.unet import UNet, UNetConfig


@pytest.mark.parametrize(("queries", "keys"), [(7, 7), (1300, 77), (1024, 1024)])
def test_attention_in_chunks_is_attention(queries, keys):
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, n, 16) for n in (queries, keys, keys))
    expected = scaled_dot_product_attention(query, key, value)
    torch.testing.assert_close(chunked_attention(query, key, value), expected, atol=1e-5, rtol=0)


def test_a_linear_layer_by_onednn_is_a_linear_layer():
    torch.manual_seed(0)
    x, weight = torch.randn(2, 50, 32), torch.randn(64, 32)
    for bias in (None, torch.randn(64)):
        with torch.inference_mode():
            torch.testing.assert_close(onednn_linear(x, weight, bias), linear(x, weight, bias), atol=1e-4, rtol=0)


def test_a_pointwise_layer_is_a_convolution_of_one_pixel():
    torch.manual_seed(0)
    x, layer = torch.randn(2, 8, 5, 7), Pointwise(8, 12)
    expected = torch.nn.functional.conv2d(x, layer.weight[:, :, None, None], layer.bias)
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=0)


def test_a_kernel_that_cannot_run_here_is_never_chosen():
    def impossible(x):
        raise RuntimeError("not on this processor")

    def slow(x):
        return sum(x * i for i in range(200))

    def fast(x):
        return x

    x = torch.randn(100, 100)
    assert _fastest([slow, impossible], x) is slow
    assert _fastest([slow, impossible, fast], x) is fast


def test_choosing_sets_every_layers_kernel_and_changes_no_result():
    torch.manual_seed(0)
    network = torch.nn.ModuleList([Linear(32, 32), Attend(2, 32), Attend(2, 32, across=True)])
    x = torch.randn(1, 40, 32)
    with torch.inference_mode():
        before = network[1](network[0](x), x, x)
        choose_kernels(network, torch.float32)
        torch.testing.assert_close(network[1](network[0](x), x, x), before, atol=1e-5, rtol=0)


def test_the_unet_is_one_graph_for_any_number_of_rows():
    """Compiling needs this: no part of the UNet must be left to Python."""
    torch.manual_seed(0)
    types = {"down_block_types": ("CrossAttnDownBlock2D",), "up_block_types": ("CrossAttnUpBlock2D",)}
    sizes = {"block_out_channels": (8,), "norm_num_groups": 4, "attention_head_dim": 2, "cross_attention_dim": 12}
    unet = UNet(UNetConfig(layers_per_block=1, **types, **sizes)).eval()
    torch._dynamo.reset()
    compiled = torch.compile(unet, backend="eager", fullgraph=True, dynamic=True)
    with torch.inference_mode():
        for rows, source in ((3, None), (2, None), (2, [0, 0, 1]), (4, [0, 0, 1, 2, 3])):
            text = unet.read(torch.randn(len(source or range(rows)), 77, 12))
            x, timesteps = torch.randn(rows, 8, 8, 8), torch.full((rows,), 500.0)
            chosen = None if source is None else torch.tensor(source)
            assert torch.equal(compiled(x, timesteps, text, chosen), unet(x, timesteps, text, chosen))


@pytest.mark.parametrize(
    ("milliseconds", "best"), [({1: 30, 2: 10, 4: 30}, 2), ({1: 20, 2: 19, 4: 18}, 1), ({1: 30, 2: 20, 4: 10}, 4)]
)
def test_the_fewest_threads_that_are_clearly_faster_are_chosen_and_all_is_left_as_it_was(milliseconds, best):
    def run():
        time.sleep(milliseconds[torch.get_num_threads()] / 1000)

    before = torch.get_num_threads()
    assert fastest_threads(run, at_most=4) == best
    assert fastest_threads(run, at_most=1) == 1
    assert torch.get_num_threads() == before
