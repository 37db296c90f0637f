"""CLIP's scores, by a CLIP model that was never trained: what must hold whatever its weights are."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

from training.clip_scores import ClipScores

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> ClipScores:
    folder = tmp_path_factory.mktemp("clip")
    tokenizer = CLIPTokenizer.from_pretrained("checkpoints/micro/tokenizer")
    text = SMALL | {"vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id}
    torch.manual_seed(0)
    vision = SMALL | {"image_size": 32, "patch_size": 8}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)).save_pretrained(folder)
    resized = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    CLIPProcessor(resized, tokenizer).save_pretrained(folder)
    return ClipScores(folder)


def test_an_unchanged_photo_is_itself_and_goes_nowhere(scores: ClipScores):
    photo = np.random.default_rng(0).random((64, 64, 3), np.float32)
    unchanged = scores(photo, photo, "a photo", "a photo, sepia")
    assert unchanged["image"] == pytest.approx(1, abs=1e-5)
    assert unchanged["direction"] == 0


def test_another_caption_is_another_direction_and_the_opposite_one_the_opposite(scores: ClipScores):
    photo, edited = np.random.default_rng(0).random((2, 64, 64, 3), np.float32)
    there = scores(photo, edited, "a photo", "a photo, sepia")["direction"]
    back = scores(edited, photo, "a photo", "a photo, sepia")["direction"]
    assert -1 <= there <= 1
    assert there == pytest.approx(-back, abs=1e-5)
    assert there != scores(photo, edited, "a photo", "a photo, at night")["direction"]


def test_a_folder_without_a_model_is_refused(tmp_path: Path):
    with pytest.raises(OSError, match=str(tmp_path)):
        ClipScores(tmp_path)
