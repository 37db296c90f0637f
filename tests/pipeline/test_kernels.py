import pytest
import torch
from torch.nn.functional import linear, scaled_dot_product_attention

from pipeline.kernels import Attend, Linear, Pointwise, _fastest, choose_kernels, chunked_attention, onednn_linear


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
