"""The messages that receivers of webhooks get, as the OpenAPI document describes them (`webhooks`)."""

from datetime import datetime
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.routes.batches import BatchCounts
from api.views import WarningView
from jobs.batches import BatchStatus
from jobs.job import Status

router = APIRouter()


class Message(BaseModel):
    """A message of Standard Webhooks. Fields may be added to any of them."""

    timestamp: datetime = Field(description="when it happened")


class JobMessageUrls(BaseModel):
    """Where to read more; absolute where the service knows its address (`PUBLIC_URL`)."""

    self: str = Field(description="the job")
    output: str = Field(description="the edited picture")


class JobNews(BaseModel):
    """What has become of a job."""

    id: str = Field(description="the job")
    status: Status = Field(description="where it was at that time")
    sequence: int = Field(description="rises with every message about the job: an older one may come later")
    metadata: dict[str, Any] = Field(description="yours, as you sent it with the job")
    urls: JobMessageUrls = Field(description="where to read more")


class Steps(BaseModel):
    """Denoising steps."""

    step: int = Field(description="those that are done")
    steps: int = Field(description="in all")


class JobProgressNews(JobNews):
    """How far a job is."""

    progress: Steps = Field(description="how far the edit is")


class JobCompletedNews(JobNews):
    """How a job ended."""

    warnings: list[WarningView] = Field(description="why the picture may not be quite what was asked for")


class JobStarted(Message):
    """A worker began a job, for the first time."""

    type: Literal["job.started"]
    data: JobNews


class JobProgressed(Message):
    """A job goes on. Tried once, at most twice a second."""

    type: Literal["job.progress"]
    data: JobProgressNews


class JobCompleted(Message):
    """A job is over: it has succeeded, failed, or was canceled."""

    type: Literal["job.completed"]
    data: JobCompletedNews


class BatchMessageUrls(BaseModel):
    """Where to read more."""

    self: str = Field(description="the batch")
    lines: str = Field(description="what became of each line")


class BatchNews(BaseModel):
    """How a batch ended."""

    id: str = Field(description="the batch")
    status: BatchStatus = Field(description="how it ended")
    counts: BatchCounts = Field(description="of its lines")
    metadata: dict[str, Any] = Field(description="yours, as you sent it with the batch")
    urls: BatchMessageUrls = Field(description="where to read more")


class BatchCompleted(Message):
    """A batch is over."""

    type: Literal["batch.completed"]
    data: BatchNews


class TestNews(BaseModel):
    """Nothing but that the endpoint is reached."""

    webhook: str = Field(description="the endpoint")
    sequence: int


class EndpointTested(Message):
    """You asked for a test of an endpoint."""

    type: Literal["webhook.test"]
    data: TestNews


@router.post("job.started", summary="A job has begun")
def job_started(message: JobStarted) -> None:
    """Sent when a worker begins a job for the first time."""


@router.post("job.progress", summary="A job goes on")
def job_progress(message: JobProgressed) -> None:
    """Sent at most twice a second, tried once, and dropped when newer news is there."""


@router.post("job.completed", summary="A job is over")
def job_completed(message: JobCompleted) -> None:
    """Sent when a job has succeeded, failed, or was canceled. Tried again until the receiver takes it."""


@router.post("batch.completed", summary="A batch is over")
def batch_completed(message: BatchCompleted) -> None:
    """Sent once to the address that the batch names."""


@router.post("webhook.test", summary="An endpoint is tested")
def webhook_test(message: EndpointTested) -> None:
    """Sent when you ask for it."""
