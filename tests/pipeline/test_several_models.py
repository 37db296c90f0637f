"""A models file with checkpoints of this project: described without loading, loaded once for all that share weights."""

from pathlib import Path

import pytest
from PIL import Image

from jobs.settings import Settings
from pipeline.errors import PipelineError
from tests.conftest import ROOT
from worker.editors.editor import load_editors
from worker.models_file import ModelsFileError

MICRO = ROOT / "checkpoints" / "micro"


def settings(folder: Path, text: str) -> Settings:
    file = folder / "models.toml"
    file.write_text(text.replace("MICRO", str(MICRO)), encoding="utf-8")
    return Settings(_env_file=None, models=str(file), torch_threads=1, dtype="float32")


def test_models_that_share_weights_are_loaded_together_with_their_own_defaults(tmp_path):
    text = """
        [[model]]
        id = "winter"
        checkpoint = "MICRO"
        defaults = {steps = 3}
        ranges = {steps = {minimum = 2, maximum = 9}, size = {choices = ["256x256"]}, cfg_scale = {maximum = 3}}
        summary = "For winters."
        license = "MIT"
        [[model]]
        id = "pix2pix-1"
        checkpoint = "MICRO"
    """
    with pytest.raises(ModelsFileError, match=r"models\.toml: model winter: ranges\.size: its default auto is not"):
        load_editors(settings(tmp_path, text))
    editors = load_editors(settings(tmp_path, text.replace("steps = 3", 'steps = 3, size = "256x256"')))
    winter, one = editors.served()
    assert (winter.id, winter.checkpoint, winter.revision, winter.license) == ("winter", "micro", "7", "MIT")
    assert winter.resolve({"prompt": "x"})["steps"] == 3
    assert winter.resolve({"prompt": "x"})["resolution"] == "model"
    assert one.facts["guidance"] == "text"
    assert one.facts["text_scale"] == 1.1
    assert "cfg_scale" not in one.resolve({"prompt": "x"})
    assert editors.several.loaded == []
    assert editors.several.weights[0].memory > 10**6
    params = winter.resolve({"prompt": "make it snowy", "seed": 1})
    params.pop("strength")
    with editors.several.using("winter") as editor:
        picture = editor.edit(Image.new("RGB", (64, 64), "gray"), on_step=lambda _: None, priority="normal", **params)
        assert picture.size == (256, 256)
        assert editor.receipt()["checkpoint"] == "micro"
    assert editors.several.loaded == ["winter", "pix2pix-1"]
    assert editors.worked_at() > 0


@pytest.mark.parametrize(
    ("entry", "error", "says"),
    [
        ('checkpoint = "MICRO"\ndefaults = {step = 1}', ModelsFileError, "model a: step: is not a parameter"),
        ('checkpoint = "MICRO"\ndefaults = {steps = 0}', ModelsFileError, "model a: defaults.steps: must be"),
        ('checkpoint = "nowhere"', ModelsFileError, "model a: checkpoint: there is no file or folder nowhere"),
        ('checkpoint = "MICRO/unet"', PipelineError, "unet"),
    ],
)
def test_what_cannot_be_served_is_said_at_once(tmp_path, entry, error, says):
    with pytest.raises(error, match=says):
        load_editors(settings(tmp_path, f'[[model]]\nid = "a"\n{entry}\n'))
