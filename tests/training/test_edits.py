"""What every taught edit keeps to, and that no two of them ask for the same picture."""

import numpy as np
import pytest
from PIL import Image

from training.edits import COMPOSABLE, FAMILIES, SPOILED, Picture, compose

PHOTOS = ("dandelion", "mountains", "pagoda")
APART = 10 ** (-30 / 20)  # root mean square: 30 dB, a good autoencoder's own error


@pytest.fixture(scope="module", params=PHOTOS)
def photo(request: pytest.FixtureRequest) -> Picture:
    return _photo(request.param, 128)


def _photo(name: str, side: int) -> Picture:
    with Image.open(f"examples/{name}.jpg") as picture:
        return np.asarray(picture.convert("RGB").resize((side, side)), np.float32) / 255


def _distance(a: Picture, b: Picture) -> float:
    return float(np.sqrt(((a - b) ** 2).mean()))


def test_sixty_seven_families_and_the_one_that_does_nothing():
    assert len(FAMILIES) == 68
    assert all(family.name == name for name, family in FAMILIES.items())
    assert {name for name, family in FAMILIES.items() if not family.exact} == {"sharpen", "posterize", "grain"}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("shape", [(8, 8), (64, 136), (200, 72)])
def test_an_edit_keeps_size_type_and_range_and_leaves_the_photo_alone(name: str, shape: tuple[int, int]):
    photo = np.random.default_rng(0).random((*shape, 3), np.float32)
    before = photo.copy()
    edited = FAMILIES[name].apply(photo)
    assert edited.shape == photo.shape
    assert edited.dtype == np.float32
    assert edited.min() >= 0
    assert edited.max() <= 1
    assert np.array_equal(photo, before)
    np.testing.assert_allclose(FAMILIES[name].apply(photo), edited, atol=1e-5)


def test_keep_changes_nothing(photo: Picture):
    assert np.array_equal(FAMILIES["keep"].apply(photo), photo)


def test_each_edit_is_told_from_each_other_on_some_photo():
    """Judged by the nearest target, two families that look alike on every photo could not both be right.

    Some repair photos, so that each photo is there in a spoiled state too.
    """
    photos = [_photo(photo, 128) for photo in PHOTOS]
    photos += [spoil(photo, np.random.default_rng(1)) for photo in photos for spoil in SPOILED.values()]
    targets = {name: [family.apply(photo) for photo in photos] for name, family in FAMILIES.items()}
    for name in targets:
        for other in targets:
            if name < other:
                apart = max(map(_distance, targets[name], targets[other]))
                assert apart > APART, f"{name} and {other} are {apart:.3f} apart"


def test_black_and_white_has_no_color_and_inverting_twice_gives_the_photo_back(photo: Picture):
    gray = FAMILIES["bw"].apply(photo)
    assert np.ptp(gray, axis=2).max() < 1e-6
    np.testing.assert_allclose(compose(["invert", "invert"])(photo), photo, atol=1e-6)


def test_keeping_the_reds_leaves_a_red_pixel_and_grays_a_blue_one():
    red, blue = ([0.8, 0.1, 0.1], [0.1, 0.1, 0.8])
    photo = np.array([[red, blue]] * 8, np.float32)
    kept = FAMILIES["keep_reds"].apply(photo)
    np.testing.assert_allclose(kept[:, 0], photo[:, 0], atol=1e-3)
    assert np.ptp(kept[:, 1], axis=1).max() < 1e-3


def test_a_composition_is_one_edit_after_the_other(photo: Picture):
    one_by_one = FAMILIES["blur"].apply(FAMILIES["sepia"].apply(photo))
    assert np.array_equal(compose(["sepia", "blur"])(photo), one_by_one)
    assert {name for pair in COMPOSABLE for name in pair} <= FAMILIES.keys()


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.graded])
def test_slightly_is_nearer_to_the_photo_and_extremely_is_farther_away(name: str, photo: Picture):
    weak, usual, strong = (_distance(photo, FAMILIES[name].at(how, photo)) for how in ("weak", "", "strong"))
    assert weak < usual <= strong + 1e-4


def test_what_cannot_be_graded_is_the_same_in_every_strength(photo: Picture):
    for family in FAMILIES.values():
        if not family.graded:
            np.testing.assert_allclose(family.at("strong", photo), family.apply(photo), atol=1e-5, err_msg=family.name)


@pytest.mark.parametrize("name", SPOILED)
def test_what_repairs_brings_a_spoiled_photo_nearer_to_the_repaired_one(name: str, photo: Picture):
    rng, repaired = np.random.default_rng(0), FAMILIES[name].apply(photo)
    spoiled = [SPOILED[name](photo, rng) for _ in range(5)]
    before = np.mean([_distance(one, repaired) for one in spoiled])
    after = np.mean([_distance(FAMILIES[name].apply(one), repaired) for one in spoiled])
    assert after < 0.7 * before
