"""Renders: outputs of finished jobs in another strength. They are made outside the engine while the client waits."""

import io
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

from PIL import Image

from jobs import logs
from jobs.errors import Unavailable
from jobs.job import Job, Output, Picture, Render, Status
from jobs.pictures import NoSuchPicture
from jobs.renders import Outcome, Renders, Wanted
from pipeline.blending import blend
from pipeline.errors import PipelineError
from pipeline.notes import Notes
from worker.credentials import NotSigned
from worker.encoding import encode, pixels_in
from worker.photos import decoded
from worker.run import WorkerContext, edit_of, sign

log = logging.getLogger(__name__)

LOOK = 2.0  #: how long one request to Redis waits for work, in seconds
FORMATS = ["PNG", "JPEG", "WEBP", "AVIF"]


class Renderer:
    """Makes renders, one at a time, because each takes the memory of three pictures."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._renders = Renders(context.store)

    def work(self, leaves: Callable[[], bool]) -> None:
        """Make requested renders until the process shuts down."""
        while not leaves():
            try:
                self.make_next(LOOK)
            except Unavailable as error:
                log.warning("no render made: %s", error)
                time.sleep(LOOK)
            except Exception:
                log.exception("a render failed")

    def make_next(self, seconds: float) -> bool:
        """Make the next render. False: none was requested within `seconds`."""
        wanted = self._renders.next(seconds)
        if wanted is None:
            return False
        with logs.about(job_id=wanted.job, tenant=wanted.tenant):
            self._renders.tell(wanted, self._make(wanted))
        return True

    def _make(self, wanted: Wanted) -> Outcome:
        job = self._context.store.get(wanted.job, wanted.tenant)
        if job is None or job.status is not Status.SUCCEEDED or wanted.output >= len(job.outputs):
            return "gone"
        if wanted.among(job.renders) is not None:
            return "known"
        began = time.monotonic()
        try:
            render = self._render(job, job.outputs[wanted.output], wanted)
        except NoSuchPicture:
            return "gone"
        except (NotSigned, Unavailable, PipelineError) as error:
            log.error("no render made: %s", error)
            return "unavailable"
        outcome = self._renders.keep(wanted, render)
        if outcome != "kept":
            self._context.pictures.delete(render.picture.key)
        log.info("render %s in %.0f ms", outcome, 1000 * (time.monotonic() - began))
        return outcome

    def _render(self, job: Job, output: Output, wanted: Wanted) -> Render:
        """
        Raises:
            NoSuchPicture, NotSigned, Unavailable
        """
        context = self._context
        with ThreadPoolExecutor(1) as thread:  # fetching and decoding take half of the time that the client waits
            reading = thread.submit(self._read, output.whole or output.picture)
            fetched = context.pictures.read_picture(job.input)
            photo, edited = decoded(fetched, job.input).convert("RGB"), reading.result()
        rendered = blend(photo, edited, wanted.strength)
        data, content_type = encode(rendered, wanted.format)
        receipt: dict[str, Any] = {"pixels_sha256": pixels_in(rendered, data, wanted.format)}
        edit = edit_of(context, job, fetched, job.receipt or {}, seed=output.seed, strength=wanted.strength)
        data, signed_by = sign(context, data, content_type, edit, Notes())
        name = f"render-{uuid4().hex[:12]}"
        picture = context.pictures.put_result(job, data, content_type, rendered.size, name)
        receipt |= {"signed_by": signed_by}
        return Render(wanted.output, wanted.strength, picture, time.time_ns() // 1_000_000, receipt)

    def _read(self, picture: Picture) -> Image.Image:
        data = self._context.pictures.read_picture(picture)
        return Image.open(io.BytesIO(data), formats=FORMATS).convert("RGB")
