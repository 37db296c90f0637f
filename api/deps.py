"""What the routes need, under short names. All of it lives on the app, made when it starts."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, cast

from fastapi import Depends, Request
from fastapi import Path as PathParameter

from api.waiters import Waiters
from jobs.errors import NotFound
from jobs.fetch import Fetcher
from jobs.hints import Hints
from jobs.job import Job, is_id
from jobs.outbox import Outbox
from jobs.pictures import PictureStore
from jobs.settings import Settings
from jobs.store import JobStore
from pipeline.catalogue import Card

TENANT = "default"  # the one tenant of a service without keys


@dataclass
class Streams:
    """How many event streams are open in this process."""

    open: int = 0


@dataclass(frozen=True)
class Parts:
    """The parts of the service that the web tier talks to."""

    settings: Settings
    store: JobStore
    pictures: PictureStore
    hints: Hints
    waiters: Waiters
    outbox: Outbox
    fetcher: Fetcher
    streams: Streams = field(default_factory=Streams)

    @classmethod
    def connect(cls, settings: Settings) -> "Parts":
        """Clients for all parts; nothing is contacted yet."""
        store = JobStore.connect(settings.redis_url, timeout=settings.redis_timeout_seconds)
        return cls(
            settings,
            store,
            PictureStore.connect(settings, timeout=settings.s3_timeout_seconds),
            Hints.connect(settings, store, timeout=settings.redis_timeout_seconds),
            Waiters(settings.redis_url, timeout=settings.redis_timeout_seconds),
            Outbox(store),
            Fetcher(settings),
        )

    def card(self) -> Card:
        """The card of the checkpoint that the workers serve; before the first worker, of the configured folder."""
        said = self.store.checkpoint()
        if said:
            return Card(**said)
        return Card.read(Path(self.settings.checkpoint))

    def job(self, job_id: str) -> Job:
        """The job of this id.

        Raises:
            NotFound: there is none, or it is somebody else's.
        """
        job = self.store.get(job_id, TENANT) if is_id(job_id) else None
        if job is None:
            raise NotFound("There is no job with this id.")
        return job


def parts_of(request: Request) -> Parts:
    return cast(Parts, request.app.state.parts)


Service = Annotated[Parts, Depends(parts_of)]
JobId = Annotated[str, PathParameter(description="the job's id", max_length=64)]


def find_job(job_id: JobId, service: Service) -> Job:
    return service.job(job_id)


FoundJob = Annotated[Job, Depends(find_job)]
