"""CLIP's text encoder (Radford et al. 2021): a causal transformer whose last hidden states condition the UNet."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from pipeline.errors import PipelineError
from pipeline.networks.config import NetworkConfig
from pipeline.networks.kernels import Linear


def quick_gelu(x: Tensor) -> Tensor:
    """The sigmoid approximation of GELU that CLIP was trained with."""
    return x * torch.sigmoid(1.702 * x)


ACTIVATIONS = {"quick_gelu": quick_gelu, "gelu": gelu}


@dataclass(frozen=True)
class CLIPConfig(NetworkConfig):
    """The defaults are Stable Diffusion 1.5's: the text half of ViT-L/14."""

    vocab_size: int = 49408
    max_position_embeddings: int = 77
    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5

    only: ClassVar = {"attention_bias": True, "model_type": "clip_text_model"}

    def __post_init__(self) -> None:
        if self.hidden_act not in ACTIVATIONS:
            raise PipelineError(f"CLIP: hidden_act {self.hidden_act!r} is not supported", field="checkpoint")


class CLIPTextEncoder(nn.Module):
    """Token numbers (B, n) to hidden states (B, n, hidden_size). Padding is not masked, as in the UNet's training."""

    Config = CLIPConfig

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__()
        self.config = config
        self.tokens = Embedding(config.vocab_size, config.hidden_size)
        self.positions = Embedding(config.max_position_embeddings, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


class Embedding(nn.Embedding):
    """`nn.Embedding` without initial weights. Drawing them without memory imports PyTorch's compiler, for seconds."""

    def reset_parameters(self) -> None:
        pass


class Layer(nn.Module):
    """Causal self-attention, then a two-layer perceptron, each on normalized input and added to its input."""

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.norm1 = nn.LayerNorm(width, config.layer_norm_eps)
        self.attention = CausalAttention(width, config.num_attention_heads)
        self.norm2 = nn.LayerNorm(width, config.layer_norm_eps)
        self.widen = Linear(width, config.intermediate_size)
        self.narrow = Linear(config.intermediate_size, width)
        self.activation = ACTIVATIONS[config.hidden_act]

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.narrow(self.activation(self.widen(self.norm2(x))))


class CausalAttention(nn.Module):
    """Each token attends to itself and those before it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            project(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, n, width / heads)
            for project in (self.query, self.key, self.value)
        )
        x = scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.out(x.transpose(1, 2).flatten(-2))
