"""The compiler makes few graphs, whatever is edited. A backend that counts without compiling replaces the real one."""

import pytest
import torch

from pipeline.batch import ROWS
from pipeline.checkpoint import GRAPH_SIDES, Checkpoint
from pipeline.compiling import Compiler
from pipeline.denoise import Denoising, Predictor
from pipeline.guidance import three_way
from pipeline.networks.unet import UNet, UNetConfig
from pipeline.samplers import ddim
from pipeline.schedule import Schedule

SMALL = {
    "block_out_channels": (8, 16),
    "attention_head_dim": 1,
    "layers_per_block": 1,
    "cross_attention_dim": 8,
    "norm_num_groups": 4,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}
SIZES = [GRAPH_SIDES, (8, 8), (8, 12), (12, 8), (7, 10), (13, 5)]
SCALES = [(7.5, 1.5), (7.5, 1.0), (1.0, 1.0)]


@torch.inference_mode()
def edit(unet, size, scales):
    picture, generator = torch.randn(1, 4, *size), torch.Generator().manual_seed(0)
    guidance = three_way(*scales)
    text = unet.read(torch.randn(len(guidance.branches), 77, 8, generator=generator))
    return Denoising(picture, picture, text, guidance, ddim(Schedule.parse({}).levels(5)), generator)


@pytest.mark.parametrize("row_counts", [ROWS[:1], pytest.param(ROWS, marks=pytest.mark.slow)])
def test_one_graph_for_each_row_count_serves_batches_of_all_sizes(row_counts):
    """30 shapes with all row counts: every size, and every combination of rows at the smallest one."""
    torch.manual_seed(0)
    unet = UNet(UNetConfig.parse(SMALL)).eval().requires_grad_(False)
    batches = [[edit(unet, size, scales)] for size in SIZES for scales in SCALES]
    if len(row_counts) > 1:
        batches += [[edit(unet, size, SCALES[0])] * count for size in SIZES[:4] for count in (2, 3, 8)]
    plain = Predictor(unet)
    with torch.inference_mode():
        wanted = [torch.cat(list(plain(batch))) for batch in batches]
        compiler = Compiler(lambda graph, inputs: graph.forward)
        compiler.compile(unet)
        predictor = Predictor(unet, row_counts)
        for batch, expected in zip(batches, wanted, strict=True):
            noises = predictor(batch)
            assert [len(noise) for noise in noises] == [one.rows for one in batch]
            torch.testing.assert_close(torch.cat(list(noises)), expected, atol=1e-4, rtol=1e-4)
    assert compiler.graphs == len(row_counts)


@torch.inference_mode()
def test_weights_are_usual_tensors_also_where_they_are_first_needed_in_an_edit():
    """PyTorch's compiler treats weights that were made in inference mode as constants, and fails on them."""
    checkpoint = Checkpoint.find("checkpoints/micro", torch.float32, torch.device("cpu"))
    assert not any(weight.is_inference() for weight in checkpoint.unet.parameters())
    checkpoint.close()
