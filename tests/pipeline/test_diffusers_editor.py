"""The editor for diffusers' pipelines, on tiny random checkpoints of its classes."""

import inspect
import json
import shutil
import threading

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from jobs.settings import Settings
from pipeline.errors import NotFinite, OutOfMemory, PipelineError
from tests import tiny_models
from worker.editors import diffusers_editor
from worker.editors.diffusers_editor import DEFAULT_SCALES, FAMILIES, TEXT_SCALES, describe, load
from worker.models_file import ModelEntry

SD, XL = "StableDiffusionInstructPix2PixPipeline", "StableDiffusionXLInstructPix2PixPipeline"
HOOKS = {SD: "callback_on_step_end", XL: "callback", "LongCatImageEditPipeline": None, "DreamLitePipeline": None}
QUICK = ("FluxKontextPipeline",)  # the others take seconds to a minute each
PHOTO = Image.effect_noise((96, 64), 80).convert("RGB")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The folder of a tiny checkpoint of a class."""
    folder = tmp_path_factory.mktemp("tiny")

    def of(kind):
        return folder / kind if (folder / kind).exists() else tiny_models.make(kind, folder / kind)

    return of


@pytest.fixture(scope="session")
def editor(tiny):
    loaded = {}

    def of(kind):
        if kind not in loaded:
            loaded[kind] = load(entry(tiny(kind)), Settings())
        return loaded[kind]

    return of


def entry(folder, **changes):
    return ModelEntry(id="tiny", editor="diffusers", checkpoint=str(folder), sizes=("64x64",), **changes)


def asked(editor, **changes):
    """All parameters of an edit except the prompt: the model's defaults."""
    known = describe(editor.source.entry).parameters
    params = {one.name: one.default for one in known if one.name not in ("prompt", "strength")}
    size = "64x64" if "64x64" in next(one.choices for one in known if one.name == "size") else "auto"
    return params | {"seed": 5, "steps": 2, "size": size, "resolution": "model"} | changes


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_table_agrees_with_the_installed_library(kind):
    family, call = FAMILIES[kind], inspect.signature(getattr(diffusers, kind).__call__).parameters
    assert {"prompt", "num_inference_steps", "generator", "output_type", family.image} <= call.keys()
    assert call["num_inference_steps"].default == family.steps
    assert ("negative_prompt" in call) == family.negative
    assert ({"height", "width"} <= call.keys()) == (family.size == "given")
    if family.text_scale:
        assert call[family.text_scale].default == TEXT_SCALES.get(kind, DEFAULT_SCALES[family.text_scale])
    if family.image_scale:
        assert call[family.image_scale].default == DEFAULT_SCALES[family.image_scale]
    known = {name for name in call if "guidance_scale" in name or name == "true_cfg_scale"}
    used = {family.text_scale, family.image_scale, *(one.name for one in family.extra)} - {None}
    unused = {"guidance_scale", "image_guidance_scale"}  # distilled models have them for the sake of a common call
    assert used <= known
    assert known - used <= (unused if not family.text_scale or family.text_scale == "true_cfg_scale" else set())
    if kind in HOOKS:
        assert next((name for name in ("callback_on_step_end", "callback") if name in call), None) == HOOKS[kind]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "kind", [one if one in QUICK else pytest.param(one, marks=pytest.mark.slow) for one in FAMILIES]
)
def test_a_model_of_each_class_edits_reports_its_steps_and_stops_in_the_midst_of_one(editor, kind):
    model, steps, layers = editor(kind), [], []
    params = asked(model)
    edited = model.edit(PHOTO, "make it night", on_step=lambda done: steps.append((done.step, done.steps)), **params)
    assert steps == [(1, 2), (2, 2)]
    assert edited.mode == "RGB"
    assert edited.size == (64, 64) or FAMILIES[kind].size == "own"
    again = model.edit(PHOTO, "make it night", **params)
    assert again.tobytes() == edited.tobytes()
    assert model.edit(PHOTO, "make it night", **params | {"seed": 6}).tobytes() != edited.tobytes()

    class Canceled(Exception):
        pass

    def cancel():
        layers.append(1)
        if steps_done and len(layers) > seen[0] + 1:
            raise Canceled

    steps_done, seen = [], [0]

    def note(done):
        steps_done.append(done.step)
        seen[0] = len(layers)

    with pytest.raises(Canceled):
        model.edit(PHOTO, "make it night", on_step=note, on_wait=cancel, **params)
    assert steps_done == [1]
    assert model.edit(PHOTO, "make it night", **params).tobytes() == edited.tobytes()


@pytest.mark.parametrize(("kind", "sized"), [(SD, False), (XL, True)])
def test_the_pixels_are_the_librarys_own(tiny, editor, kind, sized):
    model = editor(kind)
    params = asked(model, negative_prompt="blurred", cfg_scale=4.0, image_cfg_scale=1.2, steps=3)
    given = {"add_watermarker": False} if sized else {}
    pipe = getattr(diffusers, kind).from_pretrained(tiny(kind), **given)
    pipe.set_progress_bar_config(disable=True)
    picture = PHOTO.resize((64, 64), Image.Resampling.LANCZOS)
    theirs = pipe(
        prompt="make it night",
        image=picture,
        negative_prompt="blurred",
        num_inference_steps=3,
        guidance_scale=4.0,
        image_guidance_scale=1.2,
        generator=torch.Generator().manual_seed(5),
        **({"height": 64, "width": 64} if sized else {}),
    ).images[0]
    ours = model.edit(PHOTO, "make it night", **params)
    assert np.array_equal(np.asarray(ours), np.asarray(theirs))


def test_previews_are_there_where_the_latents_are_known_to_be_colors(editor):
    seen = {SD: [], "FluxKontextPipeline": []}
    for kind, pictures in seen.items():
        model = editor(kind)
        model.edit(PHOTO, "x", on_step=lambda done, kept=pictures: kept.append(done.preview()), **asked(model))
    assert [one.size for one in seen[SD]] == [(32, 32)] * 2
    assert seen["FluxKontextPipeline"] == [None, None]


def test_a_photo_keeps_its_proportions_and_gets_its_own_size_back(editor):
    model = editor(SD)
    assert model.edit(PHOTO, "x", **asked(model, size="auto")).size == (80, 48)
    assert model.edit(PHOTO, "x", **asked(model, size="auto", resolution="own")).size == PHOTO.size


def test_edits_take_turns_and_one_that_waits_can_be_canceled(editor):
    model, began, go_on = editor(SD), threading.Event(), threading.Event()

    def hold(_):
        began.set()
        go_on.wait(60)

    first = threading.Thread(target=lambda: model.edit(PHOTO, "x", on_step=hold, **asked(model)))
    first.start()
    assert began.wait(60)

    class Canceled(Exception):
        pass

    def cancel():
        raise Canceled

    with pytest.raises(Canceled):
        model.edit(PHOTO, "x", on_wait=cancel, **asked(model))
    go_on.set()
    first.join()


def test_what_breaks_in_a_pipeline_is_a_fault_of_ours(editor, monkeypatch):
    model = editor(SD)

    def broken(*_args, **_kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patched:
        patched.setattr(model.pipeline.unet, "forward", broken)
        with pytest.raises(OutOfMemory):
            model.edit(PHOTO, "x", **asked(model))
    weight = model.pipeline.vae.decoder.conv_out.weight
    kept = weight.clone()
    weight.data.fill_(torch.nan)
    with pytest.raises(NotFinite):
        model.edit(PHOTO, "x", **asked(model))
    weight.data.copy_(kept)


def test_a_description_has_the_parameters_of_the_pipeline_and_no_others(tiny):
    described = {kind: describe(entry(tiny(kind))) for kind in (SD, "FluxKontextPipeline")}
    names = {kind: {one.name for one in of.parameters} for kind, of in described.items()}
    assert {"cfg_scale", "image_cfg_scale", "negative_prompt"} <= names[SD]
    assert {"true_cfg_scale", "cfg_scale"} <= names["FluxKontextPipeline"]
    assert "image_cfg_scale" not in names["FluxKontextPipeline"]
    assert "temperature" not in names[SD] | names["FluxKontextPipeline"]
    weights = list(tiny(SD).rglob("*.safetensors"))
    assert described[SD].memory_bytes == pytest.approx(sum(path.stat().st_size for path in weights), rel=0.1)


def spoiled(folder, **index):
    path = folder / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | index))


@pytest.mark.parametrize(
    ("spoil", "changes", "said"),
    [
        (
            lambda f: spoiled(f, _class_name="StableDiffusionPipeline"),
            {},
            "is for StableDiffusionPipeline; the diffusers",
        ),
        (lambda f: (f / "model_index.json").unlink(), {}, "model_index.json is missing"),
        (lambda f: (f / "unet" / "config.json").write_text('{"in_channels": 4}'), {}, "in_channels 4"),
        (lambda f: next((f / "vae").glob("*.safetensors")).write_bytes(b"\x08"), {}, "cut short"),
        (lambda _: None, {"offload": "model", "device": "cpu"}, "offload model needs a GPU"),
        (lambda _: None, {"quantization": "guess"}, "guess is none of"),
    ],
)
def test_what_cannot_be_served_is_refused_by_its_configuration(tiny, tmp_path, spoil, changes, said):
    folder = shutil.copytree(tiny(SD), tmp_path / "spoiled")
    spoil(folder)
    with pytest.raises(PipelineError, match=said) as refusal:
        describe(entry(folder, **changes))
    assert "\n" not in str(refusal.value)


def test_the_receipt_names_what_computed(editor):
    receipt = editor(SD).receipt()
    assert receipt["pipeline"] == SD
    assert receipt["diffusers"] == diffusers.__version__
    assert (receipt["checkpoint"], receipt["dtype"], receipt["device"]) == (SD, "float32", "cpu")
    assert diffusers_editor.worked_at() > 0


def test_where_a_pipeline_calls_nothing_back_its_scheduler_tells_of_the_steps():
    class Silent:
        scheduler = diffusers.FlowMatchEulerDiscreteScheduler()

        def __call__(self, prompt):
            self.scheduler.set_timesteps(3)
            latents = torch.ones(1, 4, 2, 2)
            for timestep in self.scheduler.timesteps:
                latents = self.scheduler.step(torch.ones_like(latents), timestep, latents, return_dict=False)[0]
            return latents

    pipe, heard = Silent(), []
    assert diffusers_editor.hooks(pipe, lambda step, latents: heard.append((step, latents.mean().item()))) == {}
    last = pipe("x")
    assert [step for step, _ in heard] == [1, 2, 3]
    assert heard[-1][1] == last.mean().item()
