import shutil
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel

from pipeline.edit import Pipeline
from pipeline.networks.tokenizer import Tokenizer
from tests.pipeline import original_format

ROOT = Path(__file__).parents[2]
MICRO = ROOT / "checkpoints" / "micro"
WIDTHS = (32, 64, 64, 64)


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Small tensors are faster on one thread, and other load on the machine disturbs it less."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def micro() -> Path:
    """The project's own checkpoint."""
    return MICRO


@pytest.fixture(scope="session")
def base() -> Pipeline:
    return Pipeline.load(MICRO, model="pix2pix-base")


@pytest.fixture(scope="session")
def photo() -> Image.Image:
    return Image.open(ROOT / "examples" / "pagoda.jpg").convert("RGB")


@pytest.fixture(scope="session")
def parts(micro):
    """Stable Diffusion 1's networks with random weights and few channels."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(in_channels=8, block_out_channels=WIDTHS, cross_attention_dim=64)
    vae = AutoencoderKL(
        block_out_channels=WIDTHS,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
    )
    words = len(Tokenizer.read(micro / "tokenizer").vocabulary)
    text = CLIPTextConfig(
        vocab_size=words, hidden_size=64, intermediate_size=128, num_hidden_layers=3, num_attention_heads=1
    )
    return {"unet": unet, "vae": vae, "text_encoder": CLIPTextModel(text)}


@pytest.fixture(scope="session")
def folder(parts, micro, tmp_path_factory):
    folder = tmp_path_factory.mktemp("narrow")
    for name, part in parts.items():
        part.save_pretrained(folder / name)
    PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, skip_prk_steps=True
    ).save_pretrained(folder / "scheduler")
    shutil.copytree(micro / "tokenizer", folder / "tokenizer")
    (folder / "model_index.json").write_text("{}")
    return folder


@pytest.fixture(scope="session")
def state(parts):
    return (
        original_format.unet(parts["unet"].state_dict(), layers=2)
        | original_format.vae(parts["vae"].state_dict(), levels=4)
        | original_format.clip(parts["text_encoder"].state_dict())
    )
