"""Uses PyTorch's compiler with one graph for each of a few row counts, for pictures of any size.

By default PyTorch would compile a graph for each new shape, up to eight, and stop the worker for a minute each time.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

Backend = Callable[[torch.fx.GraphModule, Sequence[Tensor]], Callable[..., Any]]


def inductor(graph: torch.fx.GraphModule, inputs: Sequence[Tensor]) -> Callable[..., Any]:
    """PyTorch's default backend. On a GPU it records the kernels of a step as one CUDA graph."""
    from torch._inductor import list_mode_options  # the compiler takes seconds to import
    from torch._inductor.compile_fx import compile_fx

    compiled: Callable[..., Any] = compile_fx(graph, inputs, config_patches=list_mode_options("reduce-overhead"))
    return compiled


class Compiler:
    """Compiles networks. `graphs` counts the compiled graphs."""

    def __init__(self, backend: Backend = inductor) -> None:
        self.graphs = 0
        self._backend = backend

    def compile(self, network: nn.Module) -> None:
        """Compile a network at its first call, and again at calls whose shapes no graph covers."""
        network.compile(backend=self._make, fullgraph=True)

    def _make(self, graph: torch.fx.GraphModule, inputs: Sequence[Tensor]) -> Callable[..., Any]:
        self.graphs += 1
        return self._backend(graph, inputs)


def any_size(x: Tensor) -> Tensor:
    """Mark the height and width of features (B, C, h, w) as variable, so that one graph serves B rows of any size."""
    torch._dynamo.mark_static(x, 0)
    for side in (2, 3):
        torch._dynamo.mark_dynamic(x, side)
    return x
