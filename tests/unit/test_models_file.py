"""The models file: its meaning, and the error for each mistake."""

from pathlib import Path

import pytest

from worker.models_file import ModelsFileError, read_models

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def written(folder: Path, text: str) -> Path:
    path = folder / "models.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_entry_has_its_own_defaults_and_its_paths_are_those_of_the_file(tmp_path):
    (tmp_path / "weights").mkdir()
    path = written(
        tmp_path,
        f"""
        [[model]]
        id = "winter"
        checkpoint = "weights"
        defaults = {{steps = 12}}
        ranges = {{steps = {{minimum = 1, maximum = 40}}}}
        [[model]]
        id = "kontext"
        editor = "diffusers"
        checkpoint = "black-forest-labs/FLUX.1-Kontext-dev"
        revision = "{COMMIT}"
        lora = [{{path = "weights", scale = 0.5}}]
        """,
    )
    winter, kontext = read_models(path)
    assert (winter.id, winter.editor, winter.checkpoint) == ("winter", "own", str(tmp_path / "weights"))
    assert winter.defaults["steps"] == 12
    assert winter.ranges["steps"].maximum == 40
    assert kontext.is_on_hub
    assert not winter.is_on_hub
    assert kontext.lora[0].path == str(tmp_path / "weights")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must hold [[model]] tables"),
        ("[[model]\n", "cannot be read"),
        ('[[model]]\nid = "a"\ncheckpoint = "x"\n[other]\n', "it has other"),
        ('[[model]]\nid = "a"\n', "model a: checkpoint: is required"),
        ('[[model]]\ncheckpoint = "x"\n', "model number 1: id:"),
        ('[[model]]\nid = "two words"\ncheckpoint = "x"\n', "model two words: id:"),
        ('[[model]]\nid = "a"\ncheckpoint = "x"\nstep = 4\n', "model a: step:"),
        ('[[model]]\nid = "a"\ncheckpoint = "x"\nranges = {steps = {least = 1}}\n', "model a: ranges.steps.least:"),
        ('[[model]]\nid = "a"\neditor = "other"\ncheckpoint = "x"\n', "model a: editor:"),
        (
            '[[model]]\nid = "a"\ncheckpoint = "owner/name"\n',
            "model a: revision: owner/name is no file or folder here; as a hub id it needs its commit",
        ),
        ('[[model]]\nid = "a"\ncheckpoint = "owner/name"\nrevision = "main"\n', "model a: revision:"),
        ('[[model]]\nid = "a"\ncheckpoint = "x"\n' * 2, "model a: id: is there twice"),
    ],
)
def test_a_mistake_is_named_with_its_file_entry_and_field(tmp_path, text, says):
    path = written(tmp_path, text)
    with pytest.raises(ModelsFileError) as caught:
        read_models(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ModelsFileError, match=r"absent\.toml cannot be read"):
        read_models(tmp_path / "absent.toml")
