"""Our own worker, with an editor that takes 0.2 s in place of the pipeline."""

import os
import time
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image

from jobs.hints import celery_app
from jobs.pictures import PictureStore
from jobs.settings import Settings
from jobs.store import JobStore
from pipeline.catalogue import Card
from worker.app import Worker, serve
from worker.hands import Hands
from worker.run import Desk

SLOTS = 32


class Sleeping:
    """Gives the picture back after 0.2 s."""

    def edit(self, photo: Image.Image, prompt: str, **_: Any) -> Image.Image:
        time.sleep(0.2)
        return photo

    def receipt(self) -> dict[str, str]:
        return {"checkpoint": "none"}


def main() -> None:
    settings = Settings()
    store = JobStore.connect(settings.redis_url, timeout=5)
    about = {"slots": SLOTS, "checkpoint": asdict(Card.read(Path(settings.checkpoint))), "pid": os.getpid()}
    hands = Hands(store, f"bench-{os.getpid()}", about, lease_seconds=30, engine_worked_at=time.monotonic)
    editors = defaultdict(Sleeping)
    desk = Desk(store, PictureStore.connect(settings, timeout=20), hands, editors, 30, SLOTS)
    worker = Worker(desk, 5)
    serve(celery_app(settings), worker, SLOTS)
    worker.draining = True


if __name__ == "__main__":
    main()
