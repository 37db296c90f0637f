"""docs/api.md is right: its commands and its Python run, in order, against the real stack."""

import http.server
import json
import os
import re
import subprocess
import sys
import threading

from PIL import Image

from pipeline.edit import Pipeline
from tests.conftest import ROOT
from tests.integration.test_events import serving
from tests.integration.test_webhooks import keeper
from tests.integration.test_webhooks_page import blocks as webhook_blocks
from tests.waiting import until
from worker.leases import Leases
from worker.renders import Renderer
from worker.run import WorkerContext, run_next

PAGE = (ROOT / "docs" / "api.md").read_text()
LINES = 12


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


class Working(threading.Thread):
    """A worker with the real pipeline, until it is stopped."""

    def __init__(self, store, pictures) -> None:
        super().__init__()
        pipeline = Pipeline.load(ROOT / "checkpoints" / "micro")
        about = {"slots": 1, "checkpoint": {}}
        leases = Leases(store, "w", about, lease_seconds=60, engine_worked_at=lambda: 0.0)
        self.context = WorkerContext(store, pictures, leases, {"pix2pix-full": pipeline}, 60)
        self.over = threading.Event()

    def run(self) -> None:
        renderer = threading.Thread(target=Renderer(self.context).work, args=(self.over.is_set,))
        renderer.start()
        while not self.over.wait(0.02):
            while run_next(self.context):
                pass
        renderer.join()


def test_a_client_can_follow_the_page(settings, store, pictures, jpeg, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(jpeg)
    python, library, consumer = blocks("python")
    assert max(len([line for line in code.splitlines() if line]) for code in (python, library, consumer)) <= LINES
    worker = Working(store, pictures)
    worker.start()
    try:
        with serving(settings) as client:
            url = str(client.base_url).rstrip("/")
            environment = {**os.environ, "DARKROOM": url, "DARKROOM_URL": url}
            options = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "timeout": 60}
            script = "\necho\n".join(blocks("sh"))
            shell = subprocess.run(["bash", "-euc", script], **options)  # one shell: later blocks use $JOB
            assert shell.returncode == 0, shell.stderr
            for code in (python, library):
                done = subprocess.run([sys.executable, "-c", code], **options)
                assert done.returncode == 0, done.stderr
    finally:
        worker.over.set()
        worker.join()
    for name in ("winter.png", "winter-2.png", "night.png"):
        assert Image.open(tmp_path / name).size == (256, 256)
    *_, said = shell.stdout.strip().splitlines()
    example, _warnings = blocks("json")
    assert json.loads(said) == json.loads(example)


def test_a_webhook_consumer_can_follow_the_page(hooks, store, jpeg, monkeypatch, capfd):
    page: dict = {}
    exec(webhook_blocks("python")[0] + blocks("python")[-1], page)  # noqa: S102 - the pages' own lines
    page["Consumer"].log_message = lambda *_: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), page["Consumer"])
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    port = server.server_address[1]
    settings = hooks().model_copy(update={"fetch_ports": str(port)})
    with serving(settings) as client, keeper(settings):
        monkeypatch.setenv("WEBHOOK_SECRET", client.get("/v1/webhooks/default/secret").json()["secret"])
        form = {"prompt": "make it sepia", "webhook": f"http://127.0.0.1:{port}/"}
        job = client.post("/v1/jobs", files={"image": jpeg}, data=form).json()
        store.cancel(job["id"], "default")
        told = ""

        def heard() -> bool:
            nonlocal told
            told += capfd.readouterr().out
            return " canceled\n" in told

        until(heard)
        assert (
            client.post(f"http://127.0.0.1:{port}/", content=b"{}", headers=dict.fromkeys(FORGED, "1")).status_code
            == 400
        )
    server.shutdown()
    server.server_close()
    assert told.startswith(f"msg_{job['id']}_")


FORGED = ("webhook-id", "webhook-timestamp", "webhook-signature")
