"""The client of the HTTP API: send a picture and an instruction, follow the job, fetch the edited picture.

from darkroom import Client

with Client() as client:
    client.edit("photo.jpg", "make it a pencil sketch", output="sketch.png")

    job = client.jobs.create("photo.jpg", "make it snowy", seed=7)
    for event in job.events():
        print(event.type, event.data)
    job.save("snowy.png")

`AsyncClient` has the same methods, to be awaited, and `async for`.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Generator, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar, Unpack, overload
from urllib.parse import quote

import httpx

from darkroom.batches import AsyncBatches, Batches
from darkroom.calls import (
    MAX_RETRIES,
    TIMEOUT,
    Async,
    CallSteps,
    Connection,
    Emit,
    Resource,
    StreamSteps,
    Sync,
    call,
    each,
    stream,
)
from darkroom.errors import DarkroomError, JobCanceled, JobFailed, NotFound, StillRunning, Unreachable
from darkroom.events import Event, follow
from darkroom.models import (
    Answer,
    CredentialsCheck,
    Delivery,
    EachOutput,
    JobWarning,
    Key,
    Models,
    Output,
    Page,
    Preview,
    Queue,
    Readiness,
    Render,
    Timing,
    Upload,
    Webhook,
)
from darkroom.operations import AsyncOperations, Operations
from darkroom.parameters import Parameters
from darkroom.pictures import is_elsewhere, read_picture

if TYPE_CHECKING:
    from darkroom.pictures import Picture

FINAL_STATUSES = ("succeeded", "failed", "canceled")
LONG_POLL_SECONDS = 20  # how long the API may hold a request open while nothing changes
LOOPBACK = ("127.0.0.1", "::1", "localhost")  # reached directly, even if the environment names a proxy
ADDRESS_FILE = "address"  # in the data folder of `darkroom up`
KEY_FILE = "admin_key"  # in the data folder too, made by `darkroom up --auth`
RESTART_SECONDS = 30.0  # how long to wait for a job whose service is unreachable

J = TypeVar("J", bound="JobCalls")
T = TypeVar("T")


class AnswerField(Generic[T]):
    """An attribute of a job that reads the service's last answer, at the given path of names."""

    def __init__(self, *names: str, kind: type[Answer] | None = None) -> None:
        self.names, self.kind = names, kind

    @overload
    def __get__(self, job: None, owner: Any) -> Self: ...
    @overload
    def __get__(self, job: JobCalls, owner: Any) -> T: ...
    def __get__(self, job: JobCalls | None, owner: Any) -> Any:
        if job is None:
            return self
        value: Any = job.json
        for name in self.names:
            value = (value or {}).get(name)
        return self.kind.of(value) if self.kind and value is not None else value


class JobCalls(Resource):
    """A job as of the service's last answer. `json` is the whole answer."""

    def __init__(self, connection: Connection, answer: dict[str, Any], etag: str | None = None) -> None:
        super().__init__(connection)
        self.json, self.etag = answer, etag

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.status}>"

    id = AnswerField[str]("id")
    status = AnswerField[str]("status")
    status_text = AnswerField[str]("status_text")
    model = AnswerField[str]("model")
    params = AnswerField[dict[str, Any]]("params")
    priority = AnswerField[str]("priority")
    metadata = AnswerField[dict[str, Any]]("metadata")
    parent = AnswerField[str | None]("parent")  # the job that it repeats
    step = AnswerField[int | None]("progress", "step")
    steps = AnswerField[int | None]("progress", "steps")
    position = AnswerField[int | None]("queue", "position")
    eta_seconds = AnswerField[int | None]("queue", "eta_seconds")
    output = AnswerField[Output | None]("output", kind=Output)
    timing = AnswerField[Timing]("timing", kind=Timing)
    created_at = AnswerField[str]("created_at")
    started_at = AnswerField[str | None]("started_at")
    finished_at = AnswerField[str | None]("finished_at")
    expires_at = AnswerField[str | None]("expires_at")

    @property
    def error(self) -> str | None:
        """Why the job failed."""
        error = self.json["error"] or {}
        return error.get("detail") or error.get("title")

    @property
    def warnings(self) -> Sequence[JobWarning]:
        """Why the picture may differ from what was asked for."""
        return [JobWarning.of(one) for one in self.json.get("warnings", [])]

    @property
    def outputs(self) -> Sequence[EachOutput]:
        """Its edited pictures, in the order of their seeds; `output` is the first."""
        return [EachOutput.of(one) for one in self.json.get("outputs", [])]

    @property
    def renders(self) -> Sequence[Render]:
        """Its outputs in other strengths, as far as they were asked for."""
        return [Render.of(one) for one in self.json.get("renders", [])]

    @property
    def is_over(self) -> bool:
        """Whether the job has ended. An ended job never changes."""
        return self.status in FINAL_STATUSES

    @property
    def content_type(self) -> str:
        """The media type of the edited picture."""
        return self.output.content_type if self.output else ""

    @call
    def refresh(self) -> CallSteps[None]:
        """Update this object from the service."""
        self._update((yield from self.send("GET", self._path())))

    @call
    def wait(self, on_change: Callable[[Self], object] | None = None, timeout: float | None = None) -> CallSteps[None]:
        """Wait until the job is over, however it ends. `on_change` is called at each change, including the last.

        Raises:
            StillRunning: the job was not over after `timeout` seconds. It goes on.
        """
        yield from self._wait(on_change, timeout)

    @call
    def result(self, timeout: float | None = None) -> CallSteps[bytes]:
        """Wait for the edited picture and return its bytes.

        Raises:
            JobFailed: the job failed (JobCanceled: it was canceled).
            StillRunning: the job was not over after `timeout` seconds. It goes on.
        """
        return (yield from self._result(timeout))

    @call
    def results(self, timeout: float | None = None) -> CallSteps[Sequence[bytes]]:
        """The bytes of all its edited pictures, waited for. Raises what `result` raises."""
        ends = None if timeout is None else time.monotonic() + timeout
        yield from self._wait(None, timeout)
        self.check()
        if not self.outputs:  # a service that makes one of each job
            return [(yield from self._result(None if ends is None else ends - time.monotonic()))]
        pictures = []
        for output in self.outputs:
            left = None if ends is None else ends - time.monotonic()
            pictures.append((yield from self.send("GET", output.path, params={"proxy": 1}, timeout=left)).content)
        return pictures

    @call
    def save(self, path: Path | str, timeout: float | None = None) -> CallSteps[Path]:
        """Wait for the edited picture and write it to a file. Raises what `result` raises, and OSError."""
        picture = yield from self._result(timeout)
        Path(path).write_bytes(picture)
        return Path(path)

    @call
    def input(self) -> CallSteps[bytes]:
        """The bytes of the picture to edit, as the service keeps it."""
        return (yield from self.send("GET", self._path("/input"), params={"proxy": 1})).content

    @call
    def preview(self) -> CallSteps[bytes | None]:
        """A small JPEG of the unfinished picture. None before the first steps and after the last."""
        try:
            return (yield from self.send("GET", self._path("/preview"))).content
        except NotFound:
            return None

    @call
    def cancel(self) -> CallSteps[None]:
        """Ask the job to stop. A running job is `canceling` until its next step."""
        self._update((yield from self.send("POST", self._path("/cancel"))))

    @call
    def retry(self) -> CallSteps[Self]:
        """Run the job again as a new job. Only a failed or canceled job can be run again."""
        answer = yield from self.send("POST", self._path("/retry"), headers=idempotency_header(None))
        return type(self)(self.connection, answer.json(), answer.headers.get("ETag"))

    @call
    def render(
        self,
        strength: float,
        *,
        path: Path | str | None = None,
        format: str | None = None,  # noqa: A002 - as in `create`
        output: int = 0,
    ) -> CallSteps[Render]:
        """One of its outputs in another strength: 0 is the photo, 1 the edit. Only where the job has succeeded.

        The model does not run again; the service keeps the render with the job. It is written to `path`, where given.
        """
        wanted = {"strength": strength, "output": output} | ({"format": format} if format else {})
        answer = yield from self.send("POST", self._path("/render"), json=wanted, lasting=True)  # it is made once
        render = Render.of(answer.json())
        if path is not None:
            Path(path).write_bytes((yield from self._rendered(render)))
        return render

    @call
    def rendered(self, render: Render) -> CallSteps[bytes]:
        """The bytes of one of its renders."""
        return (yield from self._rendered(render))

    def _rendered(self, render: Render) -> CallSteps[bytes]:
        return (yield from self.send("GET", render.path, params={"proxy": 1})).content

    @call
    def delete(self) -> CallSteps[None]:
        """Remove the job and its pictures. Only an ended job can be removed."""
        yield from self.send("DELETE", self._path())

    @stream
    def events(self, after: str | None = None) -> StreamSteps[Event]:
        """The events of the job, from its beginning or after an event's id, until it is over.

        A lost connection is opened again. No event is missed or repeated.
        """
        yield from follow(self.connection, self._path("/events"), after, to_done=True)

    @stream
    def previews(self) -> StreamSteps[Preview]:
        """Small JPEGs of the unfinished picture, as they are made."""
        yield from each(follow(self.connection, self._path("/events"), None, to_done=True), self._preview)

    def _preview(self, event: Event) -> StreamSteps[Preview]:
        if event.type == "preview":
            try:
                answer = yield from self.send("GET", event.data["url"])
            except NotFound:  # the job is over, and its previews are removed
                return
            yield Emit(Preview(event.data["step"], answer.content))

    def _wait(self, on_change: Callable[[Self], object] | None, timeout: float | None) -> CallSteps[None]:
        ends = None if timeout is None else time.monotonic() + timeout
        if on_change:
            on_change(self)
        while not self.is_over:
            left = None if ends is None else ends - time.monotonic()
            if left is not None and left <= 0:
                raise StillRunning(f"Job {self.id} is {self.status} after {timeout:g} seconds; it goes on.")
            answer = yield from self._long_poll(left)
            if answer is not None and answer.status_code != httpx.codes.NOT_MODIFIED:
                self._update(answer)
                if on_change:
                    on_change(self)

    def _long_poll(self, left: float | None) -> CallSteps[httpx.Response | None]:
        """The service's answer when the job has changed or a while has passed. None: `left` seconds have passed."""
        hold = LONG_POLL_SECONDS if left is None else min(LONG_POLL_SECONDS, left)
        try:
            return (
                yield from self.send(
                    "GET",
                    self._path(),
                    timeout=hold + RESTART_SECONDS if left is None else left,
                    attempt_timeout=hold + 10,
                    lasting=True,  # the API may restart meanwhile; the job goes on
                    params={"wait": round(hold, 3)},
                    headers={"If-None-Match": self.etag} if self.etag else {},
                )
            )
        except Unreachable as error:
            if left is not None and isinstance(error.__cause__, httpx.TimeoutException):
                return None
            raise

    def _result(self, timeout: float | None) -> CallSteps[bytes]:
        ends = None if timeout is None else time.monotonic() + timeout
        yield from self._wait(None, timeout)
        self.check()
        left = None if ends is None else ends - time.monotonic()
        return (yield from self.send("GET", self._path("/output"), params={"proxy": 1}, timeout=left)).content

    def check(self) -> None:
        """Raise JobFailed if the job ended without a picture."""
        if self.is_over and self.status != "succeeded":
            kind = JobCanceled if self.status == "canceled" else JobFailed
            raise kind(f"Job {self.id} {self.status}: {self.error or self.status_text}", problem=self.json["error"])

    def _path(self, rest: str = "") -> str:
        return job_path(self.id) + rest

    def _update(self, answer: httpx.Response) -> None:
        self.json, self.etag = answer.json(), answer.headers.get("ETag")


class Job(JobCalls, Sync):
    """A job, followed by blocking calls."""


class AsyncJob(JobCalls, Async):
    """A job, followed in asyncio."""


class JobsCalls(Resource, Generic[J]):
    """The caller's jobs."""

    kind: type[J]

    @call
    def create(self, /, image: Picture, prompt: str, **parameters: Unpack[Parameters]) -> CallSteps[J]:
        """Send a picture and an instruction.

        Args:
            image: a file's path, a picture's bytes, a file open for bytes, a Pillow image, or as text an https URL,
                `upload:<id>`, `file:<id>` or `job:<id>` (its output).
            prompt: what to do with it.
            parameters: see `darkroom.parameters`.
        """
        answer = yield from submit(self, image, prompt, {**parameters})
        return self._job(answer)

    @call
    def get(self, job_id: str) -> CallSteps[J]:
        """The job with this id, for example one that was submitted earlier."""
        return self._job((yield from self.send("GET", job_path(job_id))))

    @call
    def list(self, status: str | None = None, limit: int | None = None, after: str | None = None) -> CallSteps[Page[J]]:
        """A page of jobs, newest first. Its `next` is the `after` of the following page; `iterate` yields all jobs."""
        return (yield from self._page(status, limit, after))

    def _page(self, status: str | None, limit: int | None, after: str | None) -> CallSteps[Page[J]]:
        asked = {"status": status, "limit": limit, "after": after}
        given = {name: value for name, value in asked.items() if value is not None}
        page = (yield from self.send("GET", "/v1/jobs", params=given)).json()
        return Page([self.kind(self.connection, job) for job in page["data"]], page["has_more"], page["next"], page)

    @stream
    def iterate(self, status: str | None = None, page_size: int = 100) -> StreamSteps[J]:
        """All jobs, newest first, fetched page by page."""
        after: str | None = None
        while True:
            page: Page[J] = yield from self._page(status, page_size, after)
            for job in page:
                yield Emit(job)
            if not page.has_more:
                return
            after = page.next

    @call
    def cancel(self, job_id: str) -> CallSteps[J]:
        """Ask the job with this id to stop. Returns it as it is then."""
        return self._job((yield from self.send("POST", job_path(job_id) + "/cancel")))

    @call
    def retry(self, job_id: str) -> CallSteps[J]:
        """Run a failed or canceled job again, as a new job."""
        return self._job((yield from self.send("POST", job_path(job_id) + "/retry", headers=idempotency_header(None))))

    @call
    def delete(self, job_id: str) -> CallSteps[None]:
        """Remove an ended job and its pictures."""
        yield from self.send("DELETE", job_path(job_id))

    @stream
    def events(self, after: str | None = None) -> StreamSteps[Event]:
        """The events of all jobs, from now on or after an event's id, without end."""
        yield from follow(self.connection, "/v1/events", after, to_done=False)

    def _job(self, answer: httpx.Response) -> J:
        return self.kind(self.connection, answer.json(), answer.headers.get("ETag"))


class Jobs(JobsCalls[Job], Sync):
    """The caller's jobs."""

    kind = Job


class AsyncJobs(JobsCalls[AsyncJob], Async):
    """The caller's jobs, in asyncio."""

    kind = AsyncJob


class WebhookCalls(Resource):
    """Webhook endpoints for all jobs. `default` stands for the addresses that jobs name themselves."""

    @call
    def create(self, url: str, events: Sequence[str] = ("job.completed",)) -> CallSteps[Webhook]:
        """Register an endpoint. Its `secret` signs the messages to it."""
        answer = yield from self.send("POST", "/v1/webhooks", json={"url": url, "events": list(events)})
        return Webhook.of(answer.json())

    @call
    def list(self) -> CallSteps[Sequence[Webhook]]:
        """All endpoints."""
        return [Webhook.of(one) for one in (yield from self.send("GET", "/v1/webhooks")).json()["data"]]

    @call
    def delete(self, webhook_id: str) -> CallSteps[None]:
        """Forget an endpoint."""
        yield from self.send("DELETE", webhook_path(webhook_id))

    @call
    def secret(self, webhook_id: str = "default") -> CallSteps[str]:
        """The secret that signs the messages to an endpoint."""
        return str((yield from self.send("GET", webhook_path(webhook_id) + "/secret")).json()["secret"])

    @call
    def rotate(self, webhook_id: str = "default") -> CallSteps[str]:
        """Make a new secret. For a day, messages are also signed with the old one."""
        return str((yield from self.send("POST", webhook_path(webhook_id) + "/rotate")).json()["secret"])

    @call
    def test(self, webhook_id: str) -> CallSteps[Delivery]:
        """Send a test message."""
        return Delivery.of((yield from self.send("POST", webhook_path(webhook_id) + "/test")).json())

    @call
    def deliveries(self, webhook_id: str = "default", limit: int = 20) -> CallSteps[Sequence[Delivery]]:
        """The last messages to an endpoint, newest first."""
        answer = yield from self.send("GET", webhook_path(webhook_id) + "/deliveries", params={"limit": limit})
        return [Delivery.of(one) for one in answer.json()["data"]]

    @call
    def redeliver(self, webhook_id: str, delivery_id: str) -> CallSteps[Delivery]:
        """Send a message again, under its old id."""
        path = f"{webhook_path(webhook_id)}/deliveries/{quote(delivery_id, safe='')}/redeliver"
        return Delivery.of((yield from self.send("POST", path)).json())

    @call
    def jwks(self) -> CallSteps[dict[str, Any]]:
        """The public keys of `v1a` signatures, for `darkroom.webhooks.verify`."""
        return dict((yield from self.send("GET", "/.well-known/jwks.json")).json())


class Webhooks(WebhookCalls, Sync):
    """Webhook endpoints for all jobs."""


class AsyncWebhooks(WebhookCalls, Async):
    """Webhook endpoints for all jobs, in asyncio."""


class KeyCalls(Resource):
    """API keys; for keys with the scope `admin`."""

    @call
    def create(self, tenant: str, scopes: Sequence[str], name: str = "") -> CallSteps[Key]:
        """A new API key; its `key` is in this answer only."""
        wanted = {"tenant": tenant, "scopes": list(scopes), "name": name}
        return Key.of((yield from self.send("POST", "/v1/admin/keys", json=wanted)).json())

    @call
    def list(self) -> CallSteps[Sequence[Key]]:
        """All API keys that are not revoked, without their secrets."""
        return [Key.of(one) for one in (yield from self.send_for_all("/v1/admin/keys"))]

    @call
    def revoke(self, key_id: str) -> CallSteps[None]:
        """End an API key at once."""
        yield from self.send("DELETE", f"/v1/admin/keys/{quote(key_id, safe='')}")


class Keys(KeyCalls, Sync):
    """API keys."""


class AsyncKeys(KeyCalls, Async):
    """API keys, in asyncio."""


class ClientCalls(Resource):
    """The methods of a client itself."""

    _job: ClassVar[type[JobCalls]]

    @property
    def url(self) -> str:
        """The service's address."""
        return self.connection.url

    @call
    def edit(
        self,
        /,
        image: Picture,
        prompt: str,
        *,
        output: PathLike[str] | str | None = None,
        timeout: float | None = None,
        **parameters: Unpack[Parameters],
    ) -> CallSteps[bytes]:
        """Edit a picture and return its bytes. They are also written to the file `output`, if it is given.

        Takes what `Jobs.create` takes, and raises what `Job.result` raises. `timeout` includes the upload.
        """
        ends = None if timeout is None else time.monotonic() + timeout
        answer = yield from submit(self, image, prompt, {**parameters}, timeout)
        job = self._job(self.connection, answer.json(), answer.headers.get("ETag"))
        picture = yield from job._result(None if ends is None else ends - time.monotonic())
        if output is not None:
            Path(output).write_bytes(picture)
        return picture

    @call
    def upload(self, image: Picture) -> CallSteps[str]:
        """Upload a picture straight to the picture store. Returns an `image` for any number of jobs within a day."""
        upload = Upload.of((yield from self.send("POST", "/v1/uploads")).json())
        name, content = read_picture(image)
        files = {"file": (name, content)}
        yield from self.send("POST", upload.url, data=upload.fields, files=files)
        return upload.image

    @call
    def keep(self, image: Picture, seconds: int = 86_400) -> CallSteps[str]:
        """Have the service keep a picture, a week at most; what comes back is `image` for any number of jobs."""
        name, content = read_picture(image)
        files, fields = {"file": (name, content)}, {"expires_in_seconds": str(seconds)}
        return str((yield from self.send("POST", "/v1/files", files=files, data=fields, lasting=True)).json()["image"])

    @call
    def check_credentials(self, image: Picture) -> CallSteps[CredentialsCheck]:
        """What a picture's content credentials say, and whether they are valid."""
        files = {"image": read_picture(image)[1]}
        return CredentialsCheck.of((yield from self.send("POST", "/v1/credentials/check", files=files)).json())

    @call
    def models(self) -> CallSteps[Models]:
        """The models with their parameters, ranges and defaults, and the checkpoint that they run on."""
        return Models.of((yield from self.send("GET", "/v1/models")).json())

    @call
    def queue(self) -> CallSteps[Queue]:
        """How many jobs wait and run, and for how many workers."""
        return Queue.of((yield from self.send("GET", "/v1/queue")).json())

    @call
    def ready(self) -> CallSteps[Readiness]:
        """Whether jobs can be accepted, and the state of each part. Raises Busy if a part is down."""
        return Readiness.of((yield from self.send("GET", "/readyz", retry=False)).json())


class Client(ClientCalls, Sync):
    """The service at `url`; by default the one that DARKROOM_URL, or `darkroom up` in this folder, names.

    A context manager.

    Args:
        data: the data folder of that local service.
        key: the API key; by default DARKROOM_KEY, or the one of the local service. DARKROOM_KEY is not sent to an
            address that is only found in a data folder, for that may be a stranger's.
        timeout: seconds that a call may take, with all its attempts, where it has no time-out of its own.
        max_retries: how often a request may be repeated, where that is safe.
        transport: httpx's, for proxies and tests.
        http_client: an httpx client to use, which is not closed with this one.
    """

    _job = Job

    def __init__(
        self,
        url: str | None = None,
        data: PathLike[str] | str = ".darkroom",
        key: str | None = None,
        *,
        timeout: float = TIMEOUT,
        max_retries: int = MAX_RETRIES,
        transport: httpx.BaseTransport | None = None,
        http_client: httpx.Client | None = None,
    ) -> None:
        url, auth = find(url, Path(data), key)
        self._owns_http = http_client is None
        http = http_client or httpx.Client(transport=transport, **http_options(url))
        super().__init__(Connection(url, http, auth, timeout, max_retries))
        self.jobs = Jobs(self.connection)
        self.batches = Batches(self.connection)
        self.webhooks = Webhooks(self.connection)
        self.keys = Keys(self.connection)
        self.admin = Operations(self.connection)

    def close(self) -> None:
        """Close the connections."""
        if self._owns_http:
            self.connection.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient(ClientCalls, Async):
    """`Client` for asyncio. An asynchronous context manager."""

    _job = AsyncJob

    def __init__(
        self,
        url: str | None = None,
        data: PathLike[str] | str = ".darkroom",
        key: str | None = None,
        *,
        timeout: float = TIMEOUT,
        max_retries: int = MAX_RETRIES,
        transport: httpx.AsyncBaseTransport | None = None,
        http_client: httpx.AsyncClient | None = None,
    ) -> None:
        url, auth = find(url, Path(data), key)
        self._owns_http = http_client is None
        http = http_client or httpx.AsyncClient(transport=transport, **http_options(url))
        super().__init__(Connection(url, http, auth, timeout, max_retries))
        self.jobs = AsyncJobs(self.connection)
        self.batches = AsyncBatches(self.connection)
        self.webhooks = AsyncWebhooks(self.connection)
        self.keys = AsyncKeys(self.connection)
        self.admin = AsyncOperations(self.connection)

    async def close(self) -> None:
        """Close the connections."""
        if self._owns_http:
            await self.connection.http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def submit(
    resource: Resource, image: Picture, prompt: str, parameters: dict[str, Any], timeout: float | None = None
) -> CallSteps[httpx.Response]:
    """Submit one job, however often the request has to be repeated."""
    headers, mask = idempotency_header(parameters.pop("idempotency_key", None)), parameters.pop("mask", None)
    given = {"prompt": prompt, **{name: value for name, value in parameters.items() if value is not None}}
    fields = {name: as_form_value(value) for name, value in given.items()}
    files = {"image": as_form_file(image)}
    if mask is not None:
        files["mask"] = (None, json.dumps(list(mask))) if isinstance(mask, list | tuple) else as_form_file(mask)
    return (yield from resource.send("POST", "/v1/jobs", files=files, data=fields, headers=headers, timeout=timeout))


def as_form_file(image: Picture) -> tuple[str | None, str | bytes]:
    """A picture as a form field: a file, or text that says where it is."""
    return (None, str(image)) if is_elsewhere(image) else read_picture(image)


def as_form_value(value: Any) -> str:
    """A value as a form field: objects and booleans as JSON, lists with commas."""
    if isinstance(value, dict | bool):
        return json.dumps(value)
    if isinstance(value, list | tuple | set | frozenset):
        return ",".join(map(str, value))
    return str(value)


def idempotency_header(key: str | None) -> dict[str, str]:
    """The header that makes a submission safe to repeat."""
    return {"Idempotency-Key": key or uuid.uuid4().hex}


def http_options(url: str) -> dict[str, Any]:
    """httpx's options for the service at this address."""
    return {"follow_redirects": True, "trust_env": httpx.URL(url).host not in LOOPBACK}


class Bearer(httpx.Auth):
    """Sends an API key, unless a request has other credentials."""

    def __init__(self, key: str) -> None:
        self._header = f"Bearer {key}"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the key."""
        request.headers["Authorization"] = self._header
        yield request


def find(url: str | None, data: Path, key: str | None) -> tuple[str, httpx.Auth | None]:
    """The service's address, and the authentication if there is a key."""
    named = url or os.environ.get("DARKROOM_URL")
    address = (named or find_url(data)).rstrip("/")
    key = key or find_key(data, address, named is not None)
    return address, Bearer(key) if key else None


def find_url(data: Path) -> str:
    """The address of `darkroom up` in this data folder. Default: port 8000 on this machine.

    Raises:
        DarkroomError: the folder names another machine, which `darkroom up` never writes.
    """
    url = _read(data / ADDRESS_FILE)
    if url is None:
        return "http://127.0.0.1:8000"
    if httpx.URL(url).host not in LOOPBACK:
        raise DarkroomError(
            f"{data / ADDRESS_FILE} names {url}, which is not this machine: if you mean it, say so by --url."
        )
    return url


def find_key(data: Path, url: str, is_named: bool) -> str | None:
    """The key to send: DARKROOM_KEY to a named address, the data folder's key to the data folder's address."""
    address = _read(data / ADDRESS_FILE)
    if (is_named or address is None) and (key := os.environ.get("DARKROOM_KEY")):
        return key
    return _read(data / KEY_FILE) if address == url else None


def _read(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        return None


def job_path(job_id: str) -> str:
    """A job's address. The id is quoted, so that it cannot change the path."""
    return f"/v1/jobs/{quote(job_id, safe='')}"


def webhook_path(webhook_id: str) -> str:
    """A webhook's address."""
    return f"/v1/webhooks/{quote(webhook_id, safe='')}"
