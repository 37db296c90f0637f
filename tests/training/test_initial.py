"""Networks before any training: they must already pass pictures through."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from training.autoencoder import build as build_autoencoder
from training.diffusion import build as build_unet
from training.initial import start_autoencoder, start_unet

EXAMPLES = Path(__file__).parents[2] / "examples"
NETWORKS = [
    {"latent_channels": 4, "block_out_channels": [16, 32, 64], "norm_num_groups": 4},
    {"latent_channels": 16, "block_out_channels": [16, 32, 64, 96], "norm_num_groups": 4},
]


@pytest.fixture(scope="module")
def pictures():
    """(12, 3, 96, 96) in [-1, 1]."""
    crops = []
    for path in sorted(EXAMPLES.glob("*.jpg")):
        photo = np.asarray(Image.open(path).convert("RGB").resize((192, 192)), np.float32) / 127.5 - 1
        crops += [photo[y : y + 96, x : x + 96] for y in (0, 96) for x in (0, 96)]
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: f"{network['latent_channels']} channels")
def test_an_autoencoder_starts_with_white_latents_and_a_recognizable_picture(network, pictures):
    torch.manual_seed(0)
    vae = build_autoencoder(network)
    start_autoencoder(vae, pictures)
    with torch.no_grad():
        latents = vae.encode(pictures).latent_dist.mode()
        made = vae.decode(latents).sample
    assert latents.std((0, 2, 3)).sub(1).abs().max() < 0.1
    assert 10 * torch.log10(4 / (made - pictures).square().mean()) > 19  # dB; gray alone has about 11


def test_a_unet_starts_by_answering_with_the_picture():
    torch.manual_seed(0)
    unet = build_unet(
        {"block_out_channels": [32, 64, 128], "attention_head_dim": [1, 2, 4], "norm_num_groups": 8}, 8, 32
    )
    start_unet(unet, scale=0.5)
    noisy, picture, text = torch.randn(2, 8, 16, 16), torch.randn(2, 8, 16, 16), torch.randn(2, 77, 32)
    with torch.no_grad():
        velocity = unet(torch.cat([noisy, picture], dim=1), torch.tensor([999, 100]), text).sample
    error = (velocity + 0.5 * picture).square().mean() / (0.5 * picture).square().mean()
    assert error < 0.1


def test_signals_beyond_the_room_in_the_norms_groups_are_refused():
    unet = build_unet({"block_out_channels": [32, 64], "attention_head_dim": 1, "norm_num_groups": 16}, 8, 32)
    with pytest.raises(ValueError, match="no room for 8 pairs"):
        start_unet(unet, scale=1.0)
