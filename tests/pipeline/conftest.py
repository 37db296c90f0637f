from pathlib import Path

import pytest
import torch
from PIL import Image

from pipeline.edit import Pipeline

ROOT = Path(__file__).parents[2]
MICRO = ROOT / "checkpoints" / "micro"


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Small tensors are quicker on one thread, and a loaded machine disturbs one thread less."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def micro() -> Path:
    """The checkpoint that comes with the project."""
    return MICRO


@pytest.fixture(scope="session")
def base() -> Pipeline:
    return Pipeline.load(MICRO, model="pix2pix-base")


@pytest.fixture(scope="session")
def photo() -> Image.Image:
    return Image.open(ROOT / "examples" / "pagoda.jpg").convert("RGB")
