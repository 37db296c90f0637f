"""The text encoder's training: which edits does a sentence ask for?

Learned before the UNet, from sentences alone, which cost a hundredth of a sample with pictures: the UNet knows from
its first step what is wanted, and the many ways of saying a thing are told apart by far more examples than it could
see.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from transformers import CLIPTextConfig, CLIPTextModel

from pipeline.networks.tokenizer import Tokenizer
from training.hogwild import train
from training.recipe import Recipe
from training.samples import KINDS, Samples

TOKENIZER = Path(__file__).with_name("tokenizer")
SHORT = 40  # tokens that the longest training sentences need, and some padding


class Reader(nn.Module):
    """A text encoder and, for its training only, what says from its hidden states which edits are asked for."""

    def __init__(self, encoder: CLIPTextModel) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.config.hidden_size, len(KINDS))

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, n) to logits (B, kinds), from the mean of the states at the end of the text and after."""
        hidden = self.encoder(tokens).last_hidden_state
        after = (tokens == self.encoder.config.eos_token_id)[..., None]
        logits: Tensor = self.head((hidden * after).sum(1) / after.sum(1))
        return logits


def build(settings: dict[str, int], tokenizer: Tokenizer) -> Reader:
    """An untrained reader for the tokenizer's vocabulary, from a recipe's numbers."""
    start, end = (tokenizer.vocabulary[token] for token in (tokenizer.start, tokenizer.end))
    config = CLIPTextConfig(
        vocab_size=len(tokenizer.vocabulary),
        bos_token_id=start,
        eos_token_id=end,
        pad_token_id=end,
        max_position_embeddings=tokenizer.length,
        projection_dim=settings["hidden_size"],
        **settings,
    )
    return Reader(CLIPTextModel(config))


def train_reader(recipe: Recipe, samples: Samples, folder: Path) -> Reader:
    """A trained reader; its encoder conditions the UNet."""
    torch.manual_seed(recipe["seed"])
    tokenizer = Tokenizer.read(TOKENIZER)
    reader = build(recipe["text"]["network"], tokenizer)

    def loss(rng: np.random.Generator, _share: float) -> tuple[Tensor, int, dict[str, float]]:
        names, sentences = zip(*(samples.instruction(rng) for _ in range(recipe["text"]["batch"])), strict=True)
        logits = reader(tokenizer(sentences)[:, :SHORT])
        wanted = asked_for(names)
        value = len(KINDS) * binary_cross_entropy_with_logits(logits, wanted)
        right = ((logits > 0) == (wanted > 0)).all(dim=1).float().mean()
        return value, len(sentences), {"loss": float(value.detach()), "right": float(right)}

    train(reader, loss, recipe.plan("text"), folder, "text")
    return reader.eval().requires_grad_(False)


def asked_for(names: Sequence[tuple[str, ...]]) -> Tensor:
    """(B, kinds): 1 for each edit that is asked for; a row of zeros where nothing is to change."""
    return torch.tensor([[float(kind in asked) for kind in KINDS] for asked in names])
