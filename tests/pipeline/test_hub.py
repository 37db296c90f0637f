"""Checkpoints from a hub: a server with the part of its API that the client needs, and what is downloaded."""

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import huggingface_hub.constants
import pytest
import torch

from jobs.settings import Settings
from pipeline.checkpoint import Checkpoint
from pipeline.errors import PipelineError
from pipeline.files import needed
from tests import tiny_models
from worker.editors.diffusers_editor import describe, load
from worker.models_file import ModelEntry

COMMIT = "5f3a" * 10
CPU = torch.device("cpu")
SPARE = ["README.md", "unet/diffusion_pytorch_model.fp16.safetensors", "safety_checker/model.safetensors", "big.ckpt"]


class Hub:
    """A hub with one repository at `owner/narrow`. It records the names of the downloaded files."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.fetched = folder, set[str]()
        self.is_down, self.asked = False, 0
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.answer(self)

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(request.path).path)
        self.asked += 1
        if self.is_down:
            request.send_error(503)
            return
        if path.startswith(f"/owner/narrow/resolve/{COMMIT}/"):
            name = path.split(f"{COMMIT}/")[1]
            body = (self.folder / name).read_bytes()
            if request.command == "GET":
                self.fetched.add(name)
        elif path.startswith("/api/models/owner/narrow/tree/"):
            sizes = {name: (self.folder / name).stat().st_size for name in self.files()}
            body = json.dumps(
                [{"type": "file", "path": name, "size": size, "oid": "0" * 40} for name, size in sizes.items()]
            ).encode()
        elif path.startswith("/api/models/owner/narrow"):
            siblings = [{"rfilename": name, "size": (self.folder / name).stat().st_size} for name in self.files()]
            body = json.dumps({"id": "owner/narrow", "sha": COMMIT, "siblings": siblings}).encode()
        else:
            request.send_error(404)
            return
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.send_header("X-Repo-Commit", COMMIT)
        request.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')  # noqa: S324
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(body)


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Iterator[Hub]:
    (tmp_path / "hub").mkdir()
    hub = Hub(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.url)
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    yield hub
    hub.server.shutdown()


def fill(hub, folder):
    for path in folder.rglob("*"):
        if path.is_file():
            target = hub.folder / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(path)
    for name in SPARE:
        (hub.folder / name).parent.mkdir(exist_ok=True)
        (hub.folder / name).write_bytes(b"not needed")


def test_only_what_our_networks_need_is_fetched_and_later_found_without_the_hub(hub, folder, monkeypatch):
    fill(hub, folder)
    found = Checkpoint.find("owner/narrow", torch.float32, CPU)
    assert found.card.name == "owner/narrow"
    assert found.card.revision == COMMIT
    assert hub.fetched == set(hub.files()) - set(SPARE)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    hub.fetched.clear()
    assert Checkpoint.find("owner/narrow", torch.float32, CPU).files.path == found.files.path
    assert not hub.fetched


def test_a_single_file_alone_on_the_hub_is_fetched_and_one_of_several_must_be_named(hub, state, micro):
    torch.save({"state_dict": state}, hub.folder / "MagicBrush-epoch-52.ckpt")
    (hub.folder / "README.md").write_text("x")
    found = Checkpoint.find("owner/narrow", torch.float32, CPU)
    assert found.files.path.name == "MagicBrush-epoch-52.ckpt"
    assert (found.card.name, found.card.revision) == ("owner/narrow", COMMIT)
    assert hub.fetched == {"MagicBrush-epoch-52.ckpt"}
    (hub.folder / "other.ckpt").write_bytes(b"x")
    with pytest.raises(PipelineError, match=r"it holds MagicBrush-epoch-52.ckpt, other.ckpt: write owner/narrow/FILE"):
        Checkpoint.find("owner/narrow", torch.float32, CPU)
    named = Checkpoint.find(f"owner/narrow@{COMMIT}/MagicBrush-epoch-52.ckpt", torch.float32, CPU)
    assert named.files.path == found.files.path


def test_a_repository_that_is_not_there_is_said_in_one_line(hub):
    with pytest.raises(PipelineError, match="owner/absent is not a folder or file here") as refusal:
        Checkpoint.find("owner/absent", torch.float32, CPU)
    assert "\n" not in refusal.value.detail


def test_of_two_sets_of_weights_the_asked_for_is_needed():
    parts = ("unet", "vae", "text_encoder")
    spelled = [f"model{variant}.{kind}" for variant in ("", ".fp16") for kind in ("safetensors", "bin")]
    names = [f"{part}/{name}" for part in parts for name in spelled]
    assert needed(names) == sorted(f"{part}/model.safetensors" for part in parts)
    assert needed(names, "fp16") == sorted(f"{part}/model.fp16.safetensors" for part in parts)


def test_the_diffusers_editor_reads_configurations_alone_until_it_loads(hub, tmp_path, monkeypatch):
    kind = "StableDiffusionInstructPix2PixPipeline"
    made = tiny_models.make(kind, tmp_path / "tiny")
    for path in made.rglob("*"):
        if path.is_file():
            (hub.folder / path.relative_to(made)).parent.mkdir(parents=True, exist_ok=True)
            (hub.folder / path.relative_to(made)).hardlink_to(path)
    (hub.folder / "big.ckpt").write_bytes(b"not needed")
    entry = ModelEntry(id="tiny", editor="diffusers", checkpoint="owner/narrow", revision=COMMIT)
    described = describe(entry)
    weights = {name for name in hub.files() if name.endswith(".safetensors")}
    assert described.kind == kind
    assert described.memory_bytes == sum((hub.folder / name).stat().st_size for name in weights)
    assert not hub.fetched & weights
    editor = load(entry, Settings())
    assert weights <= hub.fetched
    assert "big.ckpt" not in hub.fetched
    assert editor.receipt()["revision"] == COMMIT


def test_a_hub_that_does_not_answer_is_asked_once(hub):
    hub.is_down = True
    with pytest.raises(PipelineError, match="owner/narrow is not a folder or file here and could not be fetched"):
        Checkpoint.find("owner/narrow", torch.float32, CPU)
    assert hub.asked == 1
