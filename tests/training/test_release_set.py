"""The test set of a release is large, licensed, apart from all that training knows, and read by nothing else."""

import ast
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.release import photos, sentences
from training.sources import HERE, sources


def test_thirty_licensed_photos_and_more_are_from_packages_that_training_does_not_read():
    listed = photos.listed()
    assert len({picture.name for picture in listed}) == len({(p.package, p.path) for p in listed}) == len(listed) >= 30
    assert not {picture.package for picture in listed} & {picture.package for picture in sources()}
    assert all(picture.author and picture.source.startswith("https://") for picture in listed)


def test_a_photo_that_training_knows_under_another_name_is_refused(tmp_path: Path):
    mine, known = tmp_path / "release", tmp_path / "photos"
    rng = np.random.default_rng(0)
    for folder, listed in ((mine, photos.listed()), (known, sources())):
        (folder / "pictures").mkdir(parents=True)
        for picture in listed:
            Image.fromarray(rng.integers(0, 256, (24, 24, 3), np.uint8)).save(
                folder / "pictures" / f"{picture.name}.jpg"
            )
    photos.gather(mine, known)
    paler = Image.open(known / "pictures" / f"{sources()[3].name}.jpg").point(lambda value: 30 + value * 4 // 5)
    paler.save(mine / "pictures" / f"{photos.listed()[5].name}.jpg", quality=96)
    with pytest.raises(ValueError, match=f"{photos.listed()[5].name} looks like {sources()[3].name}"):
        photos.gather(mine, known)


def test_there_are_four_hundred_sentences_that_can_be_followed_and_two_hundred_that_cannot():
    asked = [sentence for several in sentences.of_families().values() for sentence in several]
    beyond = [sentence for several in sentences.beyond().values() for sentence in several]
    assert len(asked) >= 400
    assert len(beyond) >= 200
    assert [sentence for sentence, count in Counter(asked + beyond).items() if count > 1] == []
    assert min(len(several) for several in sentences.of_families().values()) >= 6


def test_a_sentence_of_strengths_differs_in_one_word_alone():
    for weak, plain, strong in sentences.of_strengths().values():
        assert weak.replace("slightly ", "").replace(" slightly", "") == plain
        assert weak.replace("slightly", "extremely") == strong


def test_no_module_of_training_reads_the_set_of_a_release():
    for module in HERE.glob("*.py"):
        tree = ast.parse(module.read_text())
        imported = {getattr(node, "module", None) or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
        assert not {name for name in imported if name.startswith("training.release")}, module
        assert "from training import release" not in module.read_text(), module
