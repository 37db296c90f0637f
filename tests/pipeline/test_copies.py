"""Copies to the device and back. PyTorch's `meta` device replaces a GPU, and every operation is watched."""

from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pipeline.denoise import Denoising, Predictor
from pipeline.engine import Engine, Request, Ticket
from pipeline.guidance import three_way
from pipeline.networks.unet import UNet, UNetConfig
from pipeline.networks.vae import VAE, VAEConfig
from pipeline.previews import PreviewMap
from pipeline.samplers import SAMPLERS
from pipeline.schedule import Schedule

MICRO = Path(__file__).parents[2] / "checkpoints" / "micro"
GPU = torch.device("meta")
KINDS = [("ddpm", 9, (7.5, 1.5)), ("ddim", 5, (2.5, 1.0)), ("dpm++2m", 7, (1.5, 1.5)), ("euler-a", 6, (1.0, 1.0))]


class Watch(TorchDispatchMode):
    """Counts copies to the GPU and back, and refuses operations that mix devices or wait for the GPU."""

    def __init__(self):
        super().__init__()
        self.up = self.down = self.operations = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        with self:
            composed = func.decompose(*args, **kwargs)  # inference mode does not take such operations apart
        if composed is not NotImplemented:
            return composed
        self.operations += 1
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        name = func.overloadpacket.__name__
        assert name not in ("_local_scalar_dense", "item", "nonzero"), f"{name} waits for the device"
        if name == "_to_copy":
            there, here = torch.device(kwargs.get("device") or tensors[0].device), tensors[0].device
            self.up += (here.type, there.type) == ("cpu", "meta")
            if (here.type, there.type) == ("meta", "cpu"):
                self.down += 1
                return torch.zeros(tensors[0].shape, dtype=kwargs.get("dtype") or tensors[0].dtype)
        else:
            devices = {tensor.device.type for tensor in tensors if tensor.ndim}
            assert len(devices) < 2, f"{name} mixes devices"
        return func(*args, **kwargs)


@pytest.fixture(scope="module")
def unet():
    with GPU:
        return UNet(UNetConfig.read(MICRO / "unet" / "config.json")).eval()


@torch.inference_mode()
def edit(unet, sampler, steps, scales):
    picture = torch.zeros(1, unet.config.out_channels, 16, 24, device=GPU)
    guidance = three_way(*scales)
    text = unet.read(torch.zeros(len(guidance.branches), 77, unet.config.cross_attention_dim, device=GPU))
    generator = torch.Generator().manual_seed(0)
    table = SAMPLERS[sampler](Schedule.parse({}).levels(steps))
    return Denoising(table.start(picture, generator), picture, text, guidance, table, generator)


@pytest.mark.parametrize("count", [1, 4])
def test_a_step_takes_two_copies_to_the_gpu_and_one_back_if_a_preview_is_due(unet, count):
    engine = Engine(Predictor(unet))
    previews = PreviewMap(torch.zeros(unet.config.out_channels, 3), torch.zeros(3))
    engine.small = previews.pixels
    previews.pixels(torch.zeros(1, unet.config.out_channels, 2, 2, device=GPU))  # its weights are there now
    edits = [edit(unet, *kind) for kind in KINDS[:count]]
    requests = [
        Request(Ticket(engine, 0, one.steps, i), edit=one, wants=lambda step: step == 3) for i, one in enumerate(edits)
    ]
    for step in range(1, 5):
        with Watch() as watch, torch.inference_mode():
            engine._step(requests)
        for request in requests:
            result, error = request.outcomes.get_nowait()
            assert error is None
            assert (result.pictures is not None) == (step == 3)
        assert 0 < watch.up <= 2
        assert watch.down == (step == 3)
        assert watch.operations > 100, "they are watched"


def test_decoding_and_encoding_mix_no_devices():
    with GPU:
        vae = VAE(VAEConfig.read(MICRO / "vae" / "config.json")).eval()
    with Watch() as watch, torch.inference_mode():
        latents = vae.encode(torch.zeros(2, 3, 64, 48, device=GPU))
        assert vae.decode(latents).shape == (2, 3, 64, 48)
    assert (watch.up, watch.down) == (0, 0)
