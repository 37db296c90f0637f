import torch

from pipeline.previews import PreviewMap, color_fields


def test_a_linear_encoder_is_inverted_exactly():
    mix = torch.tensor([[1.0, 2.0, 0.5], [0.0, 1.0, -1.0], [2.0, 0.0, 1.0], [1.0, 1.0, 1.0]])

    def encode(pictures):
        small = torch.nn.functional.avg_pool2d(pictures, 8)
        return torch.einsum("cr,brhw->bchw", mix, small) + 0.25

    pictures = color_fields(6, side=64)
    fitted = PreviewMap.fit(encode, pictures)
    expected = torch.nn.functional.avg_pool2d(pictures, 8) * 0.5 + 0.5
    torch.testing.assert_close(fitted.colors(encode(pictures)), expected, atol=1e-4, rtol=0)


def test_a_map_fitted_without_photos_suits_photos_too(base, photo):
    """A checkpoint without its own map gets one from synthetic color fields, which must also fit real pictures."""
    from pipeline.pictures import fit, to_tensor

    picture = to_tensor(fit(photo, "256x256"))
    latents = base.checkpoint.library.encode(picture)
    small = torch.nn.functional.avg_pool2d(picture, base.checkpoint.library.vae_factor)[0] * 0.5 + 0.5
    for preview_map in (base.previews, PreviewMap.fit(base.checkpoint.library.encode, color_fields())):
        error = (preview_map.colors(latents[0]).clamp(0, 1) - small).square().mean()
        assert -10 * error.log10() > 27, "decibels"
