"""Tells whether a checkpoint can follow an instruction, if the checkpoint brings a layer for this. Few do.

The layer is in `recognition.safetensors`: `weight` (labels, D) and `bias` (labels,) map the hidden state at the end of
the text to a logit for each of the card's `recognition.labels`. If the logit of the label `known` reaches the card's
`recognition.threshold`, the instruction can be followed. Labels that are also in the card's `abilities` tell which
ability is asked for. Without the file or the label `known`, nothing is claimed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from pipeline.catalogue import Card

FILE = "recognition.safetensors"
KNOWN = "known"
NEAREST = 3  # examples that are shown for an unknown instruction


@dataclass(frozen=True)
class Recognition:
    """The layer, its labels in order, an example for each label that is an ability, and the threshold."""

    weight: Tensor
    bias: Tensor
    labels: Sequence[str]
    examples: dict[str, str]
    threshold: float

    @classmethod
    def read(cls, folder: Path, card: Card) -> "Recognition | None":
        """The recognition in a checkpoint folder; None if the folder has none."""
        labels = card.recognition.get("labels", ())
        if KNOWN not in labels or not (folder / FILE).is_file():
            return None
        layer = load_file(folder / FILE)
        examples = {name: example for kind in card.abilities.values() for name, example in kind.items()}
        return cls(layer["weight"].float(), layer["bias"].float(), labels, examples, card.recognition["threshold"])

    def nearest(self, state: Tensor) -> list[str] | None:
        """None if the instruction is known; else the known instructions nearest to it, the nearest first.

        `state` is the hidden state (D,) at the end of the text.
        """
        logits = self.weight @ state.float().cpu() + self.bias
        if logits[self.labels.index(KNOWN)] >= self.threshold:
            return None
        order = logits.argsort(descending=True).tolist()
        return [self.examples[self.labels[at]] for at in order if self.labels[at] in self.examples][:NEAREST]
