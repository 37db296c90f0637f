"""The messages to webhook receivers, as the OpenAPI document describes them under `webhooks`."""

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
    """A message of Standard Webhooks. New fields may be added later."""

    timestamp: datetime = Field(description="the time of the event")


class JobMessageUrls(BaseModel):
    """Addresses with more details. They are absolute if the service knows its own address (`PUBLIC_URL`)."""

    self: str = Field(description="the job")
    output: str = Field(description="the edited picture")


class JobNews(BaseModel):
    """The state of a job."""

    id: str = Field(description="the job")
    status: Status = Field(description="its state at that time")
    sequence: int = Field(
        description="rises with every message about the job, because messages may arrive out of order"
    )
    metadata: dict[str, Any] = Field(description="your own metadata of the job")
    urls: JobMessageUrls = Field(description="addresses with more details")


class Steps(BaseModel):
    """Denoising steps."""

    step: int = Field(description="the number of finished steps")
    steps: int = Field(description="the number of all steps")


class JobProgressNews(JobNews):
    """The progress of a job."""

    progress: Steps = Field(description="the progress of the edit")


class JobCompletedNews(JobNews):
    """How a job ended."""

    warnings: list[WarningView] = Field(description="reasons why the picture may differ from the request")


class JobStarted(Message):
    """A worker began a job, for the first time."""

    type: Literal["job.started"]
    data: JobNews


class JobProgressed(Message):
    """A job goes on. Sent at most twice a second, without retries."""

    type: Literal["job.progress"]
    data: JobProgressNews


class JobCompleted(Message):
    """A job is over: it has succeeded, failed, or was canceled."""

    type: Literal["job.completed"]
    data: JobCompletedNews


class BatchMessageUrls(BaseModel):
    """Addresses with more details."""

    self: str = Field(description="the batch")
    lines: str = Field(description="the outcome of each line")


class BatchNews(BaseModel):
    """How a batch ended."""

    id: str = Field(description="the batch")
    status: BatchStatus = Field(description="how it ended")
    counts: BatchCounts = Field(description="the counts of its lines")
    metadata: dict[str, Any] = Field(description="your own metadata of the batch")
    urls: BatchMessageUrls = Field(description="addresses with more details")


class BatchCompleted(Message):
    """A batch is over."""

    type: Literal["batch.completed"]
    data: BatchNews


class TestNews(BaseModel):
    """The data of a test message."""

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
    """Sent at most twice a second, without retries, and dropped when a newer message is ready."""


@router.post("job.completed", summary="A job is over")
def job_completed(message: JobCompleted) -> None:
    """Sent when a job has succeeded, failed, or was canceled. Tried again until the receiver takes it."""


@router.post("batch.completed", summary="A batch is over")
def batch_completed(message: BatchCompleted) -> None:
    """Sent once to the address that the batch names."""


@router.post("webhook.test", summary="An endpoint is tested")
def webhook_test(message: EndpointTested) -> None:
    """Sent when you ask for it."""
