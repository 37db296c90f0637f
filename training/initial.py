"""First weights that already work: networks that start out linear, and near the answer.

Trained from random weights, the autoencoder spends most of a CPU's half hour on learning to pass a picture through.
Here residual branches start small, and what runs beside them is fitted in closed form: whitened principal components
on the way down (space to depth, then PCA), least squares on the way up. The UNet starts out by answering with the
picture that it is to edit.

The one thing in the way is the norm and SiLU before the last convolution. A signal x goes through as the pair x and -x,
since silu(x) - silu(-x) = x, in a norm group with two constants so large that the group's scale hardly varies.
"""

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn.functional import interpolate, pixel_unshuffle, unfold

BRANCH = {"conv2": 0.02, "proj_out": 0.1}  # a branch's last weights at the start, as a share of the usual ones
CONSTANT = 10.0  # in signals' standard deviations
RIDGE = 1e-4


def start_autoencoder(vae: AutoencoderKL, pictures: Tensor) -> None:
    """Set the weights of an autoencoder by pictures (B, 3, H, W) in [-1, 1]."""
    with torch.no_grad():
        shrink_branches(vae)
        _start_encoder(vae, pictures)
        _start_decoder(vae, pictures)


def start_unet(unet: UNet2DConditionModel, scale: float) -> None:
    """Let a UNet that predicts v answer with minus the picture's latents times `scale`: v where all is noise.

    v = sqrt(a) noise - sqrt(1 - a) x_0 (Salimans and Ho 2022), and an edit begins by keeping the picture.
    """
    with torch.no_grad():
        shrink_branches(unet)
        channels = unet.config.out_channels
        clear(unet.conv_in, range(channels))
        for i in range(channels):
            unet.conv_in.weight[i, channels + i, 1, 1] = 1
        shortcut = unet.up_blocks[-1].resnets[-1].conv_shortcut
        skip = shortcut.in_channels - unet.conv_in.out_channels  # the skip from conv_in comes after the features
        pairs = pair_up(shortcut, range(skip, skip + channels), unet.conv_norm_out)
        join_pairs(unet.conv_out, pairs, [-scale] * channels)


def shrink_branches(network: nn.Module) -> None:
    """Make every residual block, and every transformer, nearly its shortcut."""
    for name, module in network.named_modules():
        if share := BRANCH.get(name.rpartition(".")[2]):
            for parameter, factor in zip(module.parameters(), (share, 0.0), strict=True):  # weight, bias
                parameter *= factor


def pair_up(conv: nn.Conv2d, signals: range, norm: nn.GroupNorm) -> list[tuple[int, int]]:
    """Have a 1x1 convolution before a norm give each signal as a pair, beside constants; their channels.

    The norm's weights are set so that a pair comes out at its own scale.

    Raises:
        ValueError: the groups have no room for so many pairs.
    """
    size = norm.num_channels // norm.num_groups
    each = (size - 2) // 2
    if len(signals) > each * norm.num_groups:
        raise ValueError(f"{norm.num_groups} groups of {size} channels have no room for {len(signals)} pairs")
    used = [
        -(-len(signals) * (g + 1) // norm.num_groups) + (-len(signals) * g // norm.num_groups)
        for g in range(norm.num_groups)
    ]
    left, pairs = list(signals), []
    for group, count in enumerate(used):
        first = group * size
        clear(conv, range(first, first + 2 + 2 * count))
        bias_of(conv)[first : first + 2] = torch.tensor([CONSTANT, -CONSTANT])
        for place in range(first + 2, first + 2 + 2 * count, 2):
            signal = left.pop(0)
            conv.weight[place, signal, 0, 0], conv.weight[place + 1, signal, 0, 0] = 1, -1
            pairs.append((place, place + 1))
        norm.weight[first : first + size] = ((2 * CONSTANT**2 + 2 * count) / size) ** 0.5
    return pairs


def join_pairs(conv: nn.Conv2d, pairs: list[tuple[int, int]], gains: list[float]) -> None:
    """Have a convolution behind SiLU add up each pair, the i-th pair into output i."""
    clear(conv, range(len(pairs)))
    for output, ((plus, minus), gain) in enumerate(zip(pairs, gains, strict=True)):
        conv.weight[output, plus, 1, 1], conv.weight[output, minus, 1, 1] = gain, -gain


def clear(conv: nn.Conv2d, outputs: range) -> None:
    conv.weight[list(outputs)] = 0
    bias_of(conv)[list(outputs)] = 0


def bias_of(conv: nn.Conv2d) -> Tensor:
    """The bias that all of these networks' convolutions have.

    Raises:
        ValueError: this one has none.
    """
    if conv.bias is None:
        raise ValueError("a convolution without bias")
    return conv.bias


def carry(conv: nn.Conv2d, signals: int) -> None:
    """Have a convolution give its first channels as they are."""
    clear(conv, range(signals))
    middle = conv.kernel_size[0] // 2
    for i in range(signals):
        conv.weight[i, i, middle, middle] = 1


def _start_encoder(vae: AutoencoderKL, pictures: Tensor) -> None:
    encoder, latents = vae.encoder, vae.config.latent_channels
    carry(encoder.conv_in, 3)
    signals = pictures
    for level, block in enumerate(encoder.down_blocks[:-1]):
        if level and block.resnets[0].conv_shortcut is not None:
            carry(block.resnets[0].conv_shortcut, signals.shape[1])
        next_width = encoder.down_blocks[level + 1].resnets[0].conv2.out_channels
        last = level == len(encoder.down_blocks) - 2
        room = min(block.downsamplers[0].conv.out_channels, next_width)
        kept = latents if last else min(4 * signals.shape[1], room)
        signals = _halve(block.downsamplers[0].conv, signals, kept)
    pairs = pair_up(encoder.down_blocks[-1].resnets[0].conv_shortcut, range(latents), encoder.conv_norm_out)
    join_pairs(encoder.conv_out, pairs, [1.0] * latents)
    clear(encoder.conv_out, range(latents, 2 * latents))
    encoder.conv_out.bias[latents:] = -6.0  # log variance
    for conv in (vae.quant_conv, vae.post_quant_conv):
        carry(conv, conv.out_channels)


def _halve(conv: nn.Conv2d, signals: Tensor, kept: int) -> Tensor:
    """Set a convolution of stride 2 to the whitened principal components of each 2 x 2 places; what it then gives."""
    channels = signals.shape[1]
    places = pixel_unshuffle(signals, 2)  # channel c, row dy, column dx at 4 c + 2 dy + dx
    flat = places.permute(1, 0, 2, 3).flatten(1).double()
    mean = flat.mean(1, keepdim=True)
    variances, axes = torch.linalg.eigh(torch.cov(flat))
    order = variances.argsort(descending=True)[:kept]
    whiten = axes[:, order].T / variances[order, None].clamp(min=1e-6).sqrt()
    clear(conv, range(kept))
    conv.weight[:kept, :channels, :2, :2] = whiten.float().unflatten(1, (channels, 2, 2))
    bias_of(conv)[:kept] = -(whiten @ mean).float()[:, 0]
    white: Tensor = (whiten @ (flat - mean)).float()
    return white.reshape(kept, len(signals), *places.shape[2:]).transpose(0, 1)


def _start_decoder(vae: AutoencoderKL, pictures: Tensor) -> None:
    decoder, blocks = vae.decoder, vae.decoder.up_blocks
    _see_neighbors(decoder.conv_in)
    x = decoder.mid_block(decoder.conv_in(vae.encode(pictures).latent_dist.mode()))
    for level, block in enumerate(blocks[:-1]):
        factor = 2 ** (len(blocks) - 2 - level)
        for resnet in block.resnets:
            x = resnet(x, None)
        x = interpolate(x, scale_factor=2.0, mode="nearest")
        conv = block.upsamplers[0].conv
        room = min(conv.out_channels, blocks[level + 1].resnets[0].conv2.out_channels)
        target = _components(pixel_unshuffle(pictures, factor), room) if factor > 1 else pictures
        _fit(conv, x, target)
        x = conv(x)
        if factor > 1:
            shortcut = blocks[level + 1].resnets[0].conv_shortcut
            if shortcut is not None:
                carry(shortcut, target.shape[1])
    pairs = pair_up(blocks[-1].resnets[0].conv_shortcut, range(3), decoder.conv_norm_out)
    join_pairs(decoder.conv_out, pairs, [1.0] * 3)


def _see_neighbors(conv: nn.Conv2d) -> None:
    """Give each place its own latents and, as far as there is room, those above, below, left and right of it."""
    latents = conv.in_channels
    taps = [(1, 1), (0, 1), (2, 1), (1, 0), (1, 2)]
    wanted = [(channel, tap) for tap in taps for channel in range(latents)][: conv.out_channels]
    clear(conv, range(len(wanted)))
    for output, (channel, (row, column)) in enumerate(wanted):
        conv.weight[output, channel, row, column] = 1


def _components(signals: Tensor, kept: int) -> Tensor:
    """The first principal components of signals (B, C, h, w), not whitened."""
    if signals.shape[1] <= kept:
        return signals
    flat = signals.permute(1, 0, 2, 3).flatten(1)
    _, axes = torch.linalg.eigh(torch.cov(flat))
    return torch.einsum("kc,bchw->bkhw", axes.flip(1)[:, :kept].T, signals)


def _fit(conv: nn.Conv2d, x: Tensor, target: Tensor) -> None:
    """Set a convolution's first outputs to the least squares of the target by its input."""
    inner = slice(2, -2)
    columns = unfold(x, 3, padding=1).reshape(len(x), -1, *x.shape[2:])[..., inner, inner]
    columns = columns.permute(1, 0, 2, 3).flatten(1).double()
    wanted = target[..., inner, inner].permute(1, 0, 2, 3).flatten(1).double()
    columns = torch.cat([columns, columns.new_ones(1, columns.shape[1])])
    gram = columns @ columns.T
    gram += RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    weights = torch.linalg.solve(gram, columns @ wanted.T).T.float()
    count = len(weights)
    conv.weight[:count] = weights[:, :-1].reshape(count, *conv.weight.shape[1:])
    bias_of(conv)[:count] = weights[:, -1]
