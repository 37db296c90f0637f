"""Whether a checkpoint knows how to do what an instruction asks for: a claim that few checkpoints make.

Such a checkpoint has `recognition.safetensors`: a linear layer, `weight` (labels, D) and `bias` (labels,), from the
hidden state at the end of the text to a logit for each of the card's `recognition.labels`. The label `known` is that
the instruction can be followed, from the card's `recognition.threshold` on; those that the card's `abilities` name say
what is asked for. Without the file, or without the labels, a checkpoint claims nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from pipeline.catalogue import Card

FILE = "recognition.safetensors"
KNOWN = "known"
NEAREST = 3  # examples of what comes nearest to an instruction that is not known


@dataclass(frozen=True)
class Recognition:
    """The layer, its labels in order, an example for each that is an ability, and the threshold."""

    weight: Tensor
    bias: Tensor
    labels: Sequence[str]
    examples: dict[str, str]
    threshold: float

    @classmethod
    def read(cls, folder: Path, card: Card) -> "Recognition | None":
        """The recognition of a checkpoint folder; None where it makes no claim."""
        labels = card.recognition.get("labels", ())
        if KNOWN not in labels or not (folder / FILE).is_file():
            return None
        layer = load_file(folder / FILE)
        examples = {name: example for kind in card.abilities.values() for name, example in kind.items()}
        return cls(layer["weight"].float(), layer["bias"].float(), labels, examples, card.recognition["threshold"])

    def nearest(self, state: Tensor) -> list[str] | None:
        """None if the instruction is known; else instructions that are, the nearest first.

        `state`: the hidden state (D,) at the end of the text.
        """
        logits = self.weight @ state.float().cpu() + self.bias
        if logits[self.labels.index(KNOWN)] >= self.threshold:
            return None
        order = logits.argsort(descending=True).tolist()
        return [self.examples[self.labels[at]] for at in order if self.labels[at] in self.examples][:NEAREST]
