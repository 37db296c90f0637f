"""The text encoder's training: which edits does a sentence ask for, how strongly, and is it something that can be done?

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
from training.samples import GRADES, KINDS, Instruction, Samples, Shares

TOKENIZER = Path(__file__).with_name("tokenizer")
PADDING = 24  # tokens behind the longest sentence of a batch, at most
KNOWN = "known"  # it can be done
LABELS = (*KINDS, *GRADES, KNOWN)


class Reader(nn.Module):
    """A text encoder and what says from its hidden states which of `LABELS` a sentence asks for.

    `head` sees all that the UNet will see and is for the encoder's training only. `recognizer` sees the state at the
    end of the text, and becomes the checkpoint's recognition.
    """

    def __init__(self, encoder: CLIPTextModel) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.config.hidden_size, len(LABELS))
        self.recognizer = nn.Linear(encoder.config.hidden_size, len(LABELS))

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, n) to the head's and the recognizer's logits, (B, labels) each."""
        hidden = self.encoder(tokens).last_hidden_state
        after = (tokens == self.encoder.config.eos_token_id)[..., None]
        first = (tokens == self.encoder.config.eos_token_id).int().argmax(dim=1)
        end = hidden[torch.arange(len(hidden)), first]
        return self.head((hidden * after).sum(1) / after.sum(1)), self.recognizer(end)


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

    shares = Shares.of(recipe["text"])

    def loss(rng: np.random.Generator, _share: float) -> tuple[Tensor, int, dict[str, float]]:
        asked = [samples.instruction(rng, shares) for _ in range(recipe["text"]["batch"])]
        tokens, wanted = tokenizer([one.prompt for one in asked]), labels_of(asked)
        longest = int((tokens != tokenizer.vocabulary[tokenizer.end]).sum(dim=1).max())
        logits = torch.stack(reader(tokens[:, : longest + 1 + int(rng.integers(PADDING))]))
        value = len(LABELS) * binary_cross_entropy_with_logits(logits, torch.stack([wanted, wanted]))
        right = (logits[1] > 0) == (wanted > 0)
        figures = {"right": float(right.all(dim=1).float().mean()), KNOWN: float(right[:, -1].float().mean())}
        return value, len(asked), {"loss": float(value.detach()), **figures}

    train(reader, loss, recipe.plan("text"), folder, "text")
    return reader.eval().requires_grad_(False)


def labels_of(asked: Sequence[Instruction]) -> Tensor:
    """(B, labels): 1 for each edit that is asked for, for its strength, and for what can be done."""
    said = [{*one.names, one.strength, *([KNOWN] if one.known else [])} for one in asked]
    return torch.tensor([[float(label in each) for label in LABELS] for each in said])
