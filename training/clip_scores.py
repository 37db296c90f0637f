"""CLIP's opinion of an edit, for who has its weights: does it go where the words go, and is it still that photo?"""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import CLIPModel, CLIPProcessor

from training.edits import Picture

Vector = NDArray[np.float32]  # of length 1


class ClipScores:
    """Scores by the CLIP model in a folder, as transformers saves it.

    Raises:
        OSError: the folder has no CLIP model.
    """

    def __init__(self, folder: Path) -> None:
        self.model = CLIPModel.from_pretrained(folder, dtype=torch.float32)
        self.processor = CLIPProcessor.from_pretrained(folder)
        self.text = cache(self._text)

    def __call__(self, photo: Picture, edited: Picture, before: str, after: str) -> dict[str, float]:
        """Cosines between the pictures, and between their difference and the captions' (Brooks et al. 2022, 4.1)."""
        first, second = self._image(photo), self._image(edited)
        return {
            "image": float(first @ second),
            "direction": _cosine(second - first, self.text(after) - self.text(before)),
        }

    @torch.inference_mode()
    def _image(self, picture: Picture) -> Vector:
        eight_bits = Image.fromarray((picture * 255).round().astype(np.uint8))
        inputs = self.processor(images=eight_bits, return_tensors="pt")
        seen = self.model.vision_model(**inputs).pooler_output
        return _unit(self.model.visual_projection(seen))

    @torch.inference_mode()
    def _text(self, caption: str) -> Vector:
        inputs = self.processor(text=[caption], return_tensors="pt", truncation=True)
        read = self.model.text_model(**inputs).pooler_output
        return _unit(self.model.text_projection(read))


def _unit(features: torch.Tensor) -> Vector:
    vector: Vector = torch.nn.functional.normalize(features[0], dim=0).numpy()
    return vector


def _cosine(a: Vector, b: Vector) -> float:
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / lengths if lengths else 0.0
