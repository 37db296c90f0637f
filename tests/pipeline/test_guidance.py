import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.guidance import Branch, guide, text_only, three_way

TEXT, PICTURE, NEITHER = Branch
scales = st.floats(1, 14)


@settings(deadline=None)
@given(scales, scales)
def test_the_weighted_rows_are_the_papers_formula(text, image):
    torch.manual_seed(0)
    c, i, u = noise = torch.randn(3, 1, 4, 2, 2, dtype=torch.float64)
    rows = dict(zip(Branch, noise, strict=True))
    guidance = three_way(text, image)
    taken = [rows[branch] for branch in guidance.branches]
    guided = guide(*(taken[row] for row in guidance.compared), guidance.scales)
    torch.testing.assert_close(guided, u + text * (c - i) + image * (i - u))


@settings(deadline=None)
@given(scales, scales)
def test_weights_sum_to_one_and_none_is_zero(text, image):
    weights = three_way(text, image).weights.values()
    assert abs(sum(weights) - 1) < 1e-9
    assert all(weights)


def test_rows_that_vanish_are_dropped():
    assert three_way(7.5, 1.5).branches == (TEXT, PICTURE, NEITHER)
    assert three_way(7.5, 1.0).branches == (TEXT, PICTURE)
    assert three_way(1.5, 1.5).branches == (TEXT, NEITHER)
    assert three_way(1.0, 1.0).branches == (TEXT,)
    assert three_way(1.0, 1.5).branches == (TEXT, PICTURE, NEITHER)


@settings(deadline=None)
@given(scales)
def test_text_guidance_is_plain_stable_diffusions(text):
    c, i = 0.3, -1.2
    weights = text_only(text).weights
    guided = weights[TEXT] * c + weights.get(PICTURE, 0) * i
    assert abs(guided - (i + text * (c - i))) < 1e-9
    assert NEITHER not in weights
