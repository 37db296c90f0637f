"""The two operations for which choosing a kernel pays off, linear layers and attention, and the choice itself.

Which kernel is fastest depends on the processor, not on the model. For example, MKL's matrix product is slow on AMD. So
each layer has its own kernel, PyTorch's by default, and `choose_kernels` measures and sets them.
"""

import math
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

LinearKernel = Callable[[Tensor, Tensor, Tensor | None], Tensor]
AttentionKernel = Callable[[Tensor, Tensor, Tensor], Tensor]

CHUNK = 512  # query rows whose scores are in the cache together
TRIALS = 5
PLACES, WORDS = 1024, 77  # numbers of tokens for which kernels are compared


def onednn_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`linear` by oneDNN instead of MKL. CPU only, without gradients."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def chunked_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention over (B, heads, n, d). The scores are computed for one head and `CHUNK` queries at a time."""
    shape, scale = query.shape, query.shape[-1] ** -0.5
    query, key, value = ((x * scale if x is query else x).flatten(0, 1) for x in (query, key, value))
    across = key.transpose(1, 2).contiguous()  # (B * heads, d, m)
    out = torch.empty_like(query, memory_format=torch.contiguous_format)
    for head in range(len(query)):
        for block in range(0, query.shape[1], CHUNK):
            scores = (query[head, block : block + CHUNK] @ across[head]).softmax(-1)
            torch.mm(scores, value[head], out=out[head, block : block + CHUNK])
    return out.view(shape)


class Linear(nn.Linear):
    """`nn.Linear` with a selectable kernel."""

    kernel: LinearKernel = staticmethod(linear)

    def forward(self, x: Tensor) -> Tensor:
        return self.kernel(x, self.weight, self.bias)


class Attend(nn.Module):
    """softmax(QK' / sqrt(d)) V (Vaswani et al. 2017) in heads, over tokens (B, n, C), with a selectable kernel."""

    kernel: AttentionKernel = staticmethod(scaled_dot_product_attention)
    upcast = False  # compute in float32, whatever the dtype of the input

    def __init__(self, heads: int, width: int, across: bool = False) -> None:
        super().__init__()
        self.heads, self.width, self.across = heads, width, across  # `across`: to a text, not the picture itself

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        query, key, value = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (query, key, value))
        if self.upcast and query.dtype != torch.float32:
            out = scaled_dot_product_attention(query.float(), key.float(), value.float()).to(query.dtype)
        else:
            out = self.kernel(query, key, value)  # (B, heads, n, C / heads)
        return out.transpose(1, 2).flatten(-2)


class Pointwise(Linear):
    """A linear layer over the channels of each pixel: (B, C, h, w) to (B, C', h, w), a 1 x 1 convolution."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def choose_kernels(network: nn.Module, dtype: torch.dtype) -> None:
    """Give a network's layers the kernels that are fastest on this CPU. Takes a fraction of a second, once."""
    for module in network.modules():
        if isinstance(module, Linear):
            module.kernel = best_linear(dtype)
        elif isinstance(module, Attend):
            module.kernel = best_attention(module.heads, module.width, module.across, dtype)


@lru_cache
def best_linear(dtype: torch.dtype) -> LinearKernel:
    """The fastest kernel for linear layers."""
    x, weight, bias = (torch.randn(shape, dtype=dtype) for shape in ((PLACES, 320), (1280, 320), (1280,)))
    return _fastest([linear, onednn_linear], x, weight, bias)


@lru_cache
def best_attention(heads: int, width: int, across: bool, dtype: torch.dtype) -> AttentionKernel:
    """The fastest kernel for attention of `width` channels in `heads`, over the picture or `across` to the text."""
    query, key = (torch.randn(1, heads, n, width // heads, dtype=dtype) for n in (PLACES, WORDS if across else PLACES))
    return _fastest([scaled_dot_product_attention, chunked_attention], query, key, key)


def fastest_threads(run: Callable[[], Any], at_most: int) -> int:
    """The number of threads with which `run` is fastest: 1, 2, 4, ... or `at_most`. More only if clearly faster."""
    counts = sorted({at_most, *(2**i for i in range(at_most.bit_length()) if 2**i <= at_most)})
    before, best, shortest = torch.get_num_threads(), 1, math.inf
    for count in counts if len(counts) > 1 else ():
        torch.set_num_threads(count)
        if (seconds := _time(run)) < 0.8 * shortest:
            best, shortest = count, seconds
    torch.set_num_threads(before)
    return best


def _fastest(kernels: Sequence[Callable[..., Tensor]], *arguments: Any) -> Any:
    """The kernel with the shortest run. The first one, unless another is clearly faster."""
    seconds = [_time(kernel, *arguments) for kernel in kernels]
    best = min(range(len(kernels)), key=lambda i: seconds[i])
    return kernels[best] if seconds[best] < 0.9 * seconds[0] else kernels[0]


@torch.inference_mode()
def _time(kernel: Callable[..., Tensor], *arguments: Any) -> float:
    """Seconds of the shortest of several runs. Infinite if this processor or build does not support the kernel."""
    shortest = math.inf
    try:
        for _ in range(TRIALS):
            began = time.perf_counter()
            kernel(*arguments)
            shortest = min(shortest, time.perf_counter() - began)
    except (RuntimeError, AttributeError):
        return math.inf
    return shortest
