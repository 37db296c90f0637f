"""The two operations worth choosing a kernel for, linear layers and attention, and the choice itself.

Which kernel is fastest depends on the processor, not on the model: MKL's matrix product is slow on AMD, for one. So
layers keep a kernel each, plain PyTorch by default, and `choose` measures and sets them.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

LinearKernel = Callable[[Tensor, Tensor, Tensor | None], Tensor]
AttentionKernel = Callable[[Tensor, Tensor, Tensor], Tensor]

CHUNK = 512  # query rows whose scores are in the cache together


def onednn_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`functional.linear` by oneDNN instead of MKL; CPU only, without gradients."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def chunked_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention over (B, heads, tokens, width) whose scores are computed for a block of queries at a time."""
    scale = query.shape[-1] ** -0.5
    heads = query.shape[:2].numel()
    query, key, value = (x.reshape(heads, -1, x.shape[-1]) for x in (query * scale, key, value))
    out = torch.empty_like(query)
    for head in range(heads):
        across = key[head].T
        for block in range(0, query.shape[1], CHUNK):
            scores = (query[head, block : block + CHUNK] @ across).softmax(-1)
            torch.mm(scores, value[head], out=out[head, block : block + CHUNK])
    return out


class Linear(nn.Linear):
    """`nn.Linear` with a kernel of choice."""

    kernel: LinearKernel = staticmethod(functional.linear)

    def forward(self, x: Tensor) -> Tensor:
        return self.kernel(x, self.weight, self.bias)


class Attend(nn.Module):
    """softmax(QK' / sqrt(d)) V (Vaswani et al. 2017) in heads, over tokens (B, n, C), with a kernel of choice."""

    kernel: AttentionKernel = staticmethod(functional.scaled_dot_product_attention)

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        query, key, value = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (query, key, value))
        out = self.kernel(query, key, value)  # (B, heads, n, C / heads)
        return out.transpose(1, 2).flatten(-2)
