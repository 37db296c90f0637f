"""The client of the HTTP API: send a picture and an instruction, follow the job, fetch the edited picture.

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
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar
from urllib.parse import quote

import httpx

from darkroom.calls import Asking, Async, Connection, Emit, Side, Streaming, Sync, call, each, stream
from darkroom.errors import DarkroomError, JobCanceled, JobFailed, NotFound, StillRunning
from darkroom.events import Event, follow
from darkroom.models import Delivery, Key, Page, Preview, Upload, Warned, Webhook
from darkroom.operations import AsyncOperations, Operations

OVER = ("succeeded", "failed", "canceled")
HOLD_SECONDS = 20  # how long one question to the API may stay open while nothing changes
LOOPBACK = ("127.0.0.1", "::1", "localhost")  # reached directly, whatever proxy the environment names
ADDRESS_FILE = "address"  # in the data folder of `darkroom up`
KEY_FILE = "admin_key"  # there too, made by `darkroom up --auth`
SOURCES = ("https://", "http://", "data:", "upload:", "job:")  # pictures that are somewhere else

J = TypeVar("J", bound="JobCalls")
Picture = Path | str | bytes


class JobCalls(Side):
    """An edit as it stood when the service was last asked; `json` is the whole answer."""

    def __init__(self, connection: Connection, answer: dict[str, Any], etag: str | None = None) -> None:
        super().__init__(connection)
        self.json, self.etag = answer, etag

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.status}>"

    id = property(lambda self: str(self.json["id"]))
    status = property(lambda self: str(self.json["status"]))
    status_text = property(lambda self: str(self.json["status_text"]))
    model = property(lambda self: str(self.json["model"]))
    params = property(lambda self: dict(self.json["params"]))
    step = property(lambda self: (self.json["progress"] or {}).get("step"))
    steps = property(lambda self: (self.json["progress"] or {}).get("steps"))
    position = property(lambda self: (self.json["queue"] or {}).get("position"))

    @property
    def error(self) -> str | None:
        """Why it failed."""
        error = self.json["error"] or {}
        return error.get("detail") or error.get("title")

    @property
    def warnings(self) -> Sequence[Warned]:
        """Why its picture may not be quite what was asked for."""
        return [Warned.of(one) for one in self.json.get("warnings", [])]

    @property
    def is_over(self) -> bool:
        """Whether it has ended; then it never changes again."""
        return self.status in OVER

    @property
    def content_type(self) -> str:
        """The media type of the edited picture."""
        return str(self.json["output"]["content_type"])

    @call
    def refresh(self) -> Asking[None]:
        """Ask how it stands now."""
        self._take((yield from self.ask("GET", self._path())))

    @call
    def wait(self, on_change: Callable[[Self], object] | None = None, timeout: float | None = None) -> Asking[None]:
        """Return when it is over, however it ended; `on_change` hears of each change on the way, the last one too.

        Raises:
            StillRunning: it was not over in `timeout` seconds. It goes on.
        """
        yield from self._wait(on_change, timeout)

    @call
    def result(self, timeout: float | None = None) -> Asking[bytes]:
        """The edited picture's bytes, waited for.

        Raises:
            JobFailed: there is none (JobCanceled where it was canceled).
            StillRunning: it was not over in `timeout` seconds. It goes on.
        """
        return (yield from self._result(timeout))

    @call
    def save(self, path: Path | str, timeout: float | None = None) -> Asking[Path]:
        """Wait for the edited picture and write it to a file. Raises what `result` and writing raise."""
        picture = yield from self._result(timeout)
        Path(path).write_bytes(picture)
        return Path(path)

    @call
    def input(self) -> Asking[bytes]:
        """The bytes of the picture as the service keeps it."""
        return (yield from self.ask("GET", self._path("/input"), params={"proxy": 1})).content

    @call
    def preview(self) -> Asking[bytes | None]:
        """What it looks like so far, a small JPEG; None before the first steps and after the last."""
        try:
            return (yield from self.ask("GET", self._path("/preview"))).content
        except NotFound:
            return None

    @call
    def cancel(self) -> Asking[None]:
        """Ask it to stop. One that runs is `canceling` until its next step."""
        self._take((yield from self.ask("POST", self._path("/cancel"))))

    @call
    def retry(self) -> Asking[Self]:
        """Once more, as a new job; only where it failed or was canceled."""
        answer = yield from self.ask("POST", self._path("/retry"), headers=once())
        return type(self)(self.connection, answer.json(), answer.headers.get("ETag"))

    @call
    def delete(self) -> Asking[None]:
        """Remove it and its pictures; only when it is over."""
        yield from self.ask("DELETE", self._path())

    @stream
    def events(self, after: str | None = None) -> Streaming[Event]:
        """What happens to it, from its beginning or behind an event's id, until it is done; see `Event`.

        A lost connection is made again; no event is missed or told twice.
        """
        yield from follow(self.connection.url, self._path("/events"), after, to_done=True)

    @stream
    def previews(self) -> Streaming[Preview]:
        """Small pictures (JPEG) of what the edit looks like so far, as they come."""
        yield from each(follow(self.connection.url, self._path("/events"), None, to_done=True), self._preview)

    def _preview(self, event: Event) -> Streaming[Preview]:
        if event.type == "preview":
            try:
                answer = yield from self.ask("GET", event.data["url"])
            except NotFound:  # it is over, and its previews are gone
                return
            yield Emit(Preview(event.data["step"], answer.content))

    def _wait(self, on_change: Callable[[Self], object] | None, timeout: float | None) -> Asking[None]:
        ends = None if timeout is None else time.monotonic() + timeout
        if on_change:
            on_change(self)
        while not self.is_over:
            hold = HOLD_SECONDS if ends is None else min(HOLD_SECONDS, int(ends - time.monotonic()) + 1)
            if hold <= 0:
                raise StillRunning(f"Job {self.id} is {self.status} after {timeout:g} seconds; it goes on.")
            answer = yield from self.ask(
                "GET",
                self._path(),
                patience=30,  # the API may be started again while we wait; the job does not mind
                lasting=True,
                params={"wait": hold},
                headers={"If-None-Match": self.etag} if self.etag else {},
                timeout=hold + 10,
            )
            if answer.status_code != httpx.codes.NOT_MODIFIED:
                self._take(answer)
                if on_change:
                    on_change(self)

    def _result(self, timeout: float | None) -> Asking[bytes]:
        yield from self._wait(None, timeout)
        self.check()
        return (yield from self.ask("GET", self._path("/output"), params={"proxy": 1})).content

    def check(self) -> None:
        """Raise JobFailed where it ended without a picture."""
        if self.is_over and self.status != "succeeded":
            kind = JobCanceled if self.status == "canceled" else JobFailed
            raise kind(f"Job {self.id} {self.status}: {self.error or self.status_text}", problem=self.json["error"])

    def _path(self, rest: str = "") -> str:
        return job_path(self.id) + rest

    def _take(self, answer: httpx.Response) -> None:
        self.json, self.etag = answer.json(), answer.headers.get("ETag")


class Job(JobCalls, Sync):
    """An edit, followed by blocking calls."""


class AsyncJob(JobCalls, Async):
    """An edit, followed in asyncio."""


class JobsCalls(Side, Generic[J]):
    """The caller's jobs."""

    kind: type[J]

    @call
    def create(self, /, image: Picture, prompt: str, **params: Any) -> Asking[J]:
        """Send a picture and an instruction.

        Args:
            image: a file's path, a picture's bytes, or as text an https URL, `upload:<id>` or `job:<id>` (its output).
            prompt: what to do with it.
            params: the model's parameters, `model`, `format`, `priority`, `webhook`, ...; those that are None are
                left out.
        """
        answer = yield from submit(self, image, prompt, params)
        return self._job(answer)

    @call
    def get(self, job_id: str) -> Asking[J]:
        """The job of this id, as it stands: to go on with one that was sent before."""
        return self._job((yield from self.ask("GET", job_path(job_id))))

    @call
    def list(self, status: str | None = None, limit: int | None = None, after: str | None = None) -> Asking[Page[J]]:
        """A page of jobs, newest first; `next` is the `after` of the following page."""
        asked = {"status": status, "limit": limit, "after": after}
        given = {name: value for name, value in asked.items() if value is not None}
        page = (yield from self.ask("GET", "/v1/jobs", params=given)).json()
        return Page([self.kind(self.connection, job) for job in page["data"]], page["has_more"], page["next"], page)

    @call
    def cancel(self, job_id: str) -> Asking[J]:
        """Ask a job to stop, known by its id alone; the job as it then stands."""
        return self._job((yield from self.ask("POST", job_path(job_id) + "/cancel")))

    @call
    def retry(self, job_id: str) -> Asking[J]:
        """A failed or canceled job once more, as a new job."""
        return self._job((yield from self.ask("POST", job_path(job_id) + "/retry", headers=once())))

    @call
    def delete(self, job_id: str) -> Asking[None]:
        """Remove an ended job and its pictures."""
        yield from self.ask("DELETE", job_path(job_id))

    @stream
    def events(self, after: str | None = None) -> Streaming[Event]:
        """What happens to all jobs, from now on or behind an event's id, without end."""
        yield from follow(self.connection.url, "/v1/events", after, to_done=False)

    def _job(self, answer: httpx.Response) -> J:
        return self.kind(self.connection, answer.json(), answer.headers.get("ETag"))


class Jobs(JobsCalls[Job], Sync):
    """The caller's jobs."""

    kind = Job


class AsyncJobs(JobsCalls[AsyncJob], Async):
    """The caller's jobs, in asyncio."""

    kind = AsyncJob


class WebhookCalls(Side):
    """Endpoints that are told of all jobs; `default` stands for the addresses that jobs name."""

    @call
    def create(self, url: str, events: Sequence[str] = ("job.completed",)) -> Asking[Webhook]:
        """Register an endpoint; its `secret` signs what it is told."""
        answer = yield from self.ask("POST", "/v1/webhooks", json={"url": url, "events": list(events)})
        return Webhook.of(answer.json())

    @call
    def list(self) -> Asking[Sequence[Webhook]]:
        """All endpoints."""
        return [Webhook.of(one) for one in (yield from self.ask("GET", "/v1/webhooks")).json()["data"]]

    @call
    def delete(self, webhook_id: str) -> Asking[None]:
        """Forget an endpoint."""
        yield from self.ask("DELETE", webhook_path(webhook_id))

    @call
    def secret(self, webhook_id: str = "default") -> Asking[str]:
        """What messages to an endpoint are signed with."""
        return str((yield from self.ask("GET", webhook_path(webhook_id) + "/secret")).json()["secret"])

    @call
    def rotate(self, webhook_id: str = "default") -> Asking[str]:
        """A new secret; for a day messages are signed with the old one, too."""
        return str((yield from self.ask("POST", webhook_path(webhook_id) + "/rotate")).json()["secret"])

    @call
    def test(self, webhook_id: str) -> Asking[Delivery]:
        """Send a test message."""
        return Delivery.of((yield from self.ask("POST", webhook_path(webhook_id) + "/test")).json())

    @call
    def deliveries(self, webhook_id: str = "default", limit: int = 20) -> Asking[Sequence[Delivery]]:
        """What an endpoint was told lately, newest first."""
        answer = yield from self.ask("GET", webhook_path(webhook_id) + "/deliveries", params={"limit": limit})
        return [Delivery.of(one) for one in answer.json()["data"]]

    @call
    def redeliver(self, webhook_id: str, delivery_id: str) -> Asking[Delivery]:
        """Send a message again, under its old id."""
        path = f"{webhook_path(webhook_id)}/deliveries/{quote(delivery_id, safe='')}/redeliver"
        return Delivery.of((yield from self.ask("POST", path)).json())

    @call
    def jwks(self) -> Asking[dict[str, Any]]:
        """The public keys of `v1a` signatures, for `darkroom.webhooks.verify`."""
        return dict((yield from self.ask("GET", "/.well-known/jwks.json")).json())


class Webhooks(WebhookCalls, Sync):
    """Endpoints that are told of all jobs."""


class AsyncWebhooks(WebhookCalls, Async):
    """Endpoints that are told of all jobs, in asyncio."""


class KeyCalls(Side):
    """API keys; for keys with the scope `admin`."""

    @call
    def create(self, tenant: str, scopes: Sequence[str], name: str = "") -> Asking[Key]:
        """A new API key; its `key` is in this answer only."""
        wanted = {"tenant": tenant, "scopes": list(scopes), "name": name}
        return Key.of((yield from self.ask("POST", "/v1/admin/keys", json=wanted)).json())

    @call
    def list(self) -> Asking[Sequence[Key]]:
        """All API keys that are not revoked, without their secrets."""
        return [Key.of(one) for one in (yield from self.ask("GET", "/v1/admin/keys")).json()["data"]]

    @call
    def revoke(self, key_id: str) -> Asking[None]:
        """End an API key at once."""
        yield from self.ask("DELETE", f"/v1/admin/keys/{quote(key_id, safe='')}")


class Keys(KeyCalls, Sync):
    """API keys."""


class AsyncKeys(KeyCalls, Async):
    """API keys, in asyncio."""


class ClientCalls(Side):
    """What a client can do beside its `jobs`, `webhooks` and `keys`."""

    _job: ClassVar[type[JobCalls]]

    @property
    def url(self) -> str:
        """Where the service is."""
        return self.connection.url

    @call
    def edit(
        self,
        /,
        image: Picture,
        prompt: str,
        *,
        output: Path | str | None = None,
        timeout: float | None = None,
        **params: Any,
    ) -> Asking[bytes]:
        """The edited picture's bytes, written to the file `output` too if it is given.

        Raises what `Job.result` raises.
        """
        answer = yield from submit(self, image, prompt, params)
        job = self._job(self.connection, answer.json(), answer.headers.get("ETag"))
        picture = yield from job._result(timeout)
        if output is not None:
            Path(output).write_bytes(picture)
        return picture

    @call
    def upload(self, image: Path | bytes) -> Asking[str]:
        """Put a picture straight into the picture store; what comes back is `image` for any number of jobs of a day."""
        upload = Upload.of((yield from self.ask("POST", "/v1/uploads")).json())
        name, content = read_picture(image)
        files = {"file": (name, content)}
        yield from self.ask("POST", upload.url, auth=None, data=upload.fields, files=files)
        return upload.image

    @call
    def check_credentials(self, image: Path | str | bytes) -> Asking[dict[str, Any]]:
        """What a picture's content credentials say, and whether they are valid; the picture is a file, or its bytes."""
        data = image if isinstance(image, bytes) else Path(image).read_bytes()
        return dict((yield from self.ask("POST", "/v1/credentials/check", files={"image": data})).json())

    @call
    def models(self) -> Asking[dict[str, Any]]:
        """The models with their parameters, ranges and defaults, and the checkpoint that they run on."""
        return dict((yield from self.ask("GET", "/v1/models")).json())

    @call
    def queue(self) -> Asking[dict[str, Any]]:
        """How much is waiting and running, and for how many workers."""
        return dict((yield from self.ask("GET", "/v1/queue")).json())

    @call
    def ready(self) -> Asking[dict[str, Any]]:
        """Whether jobs can be accepted: `status`, and each part's state. Raises Busy, naming the part that is down."""
        return dict((yield from self.ask("GET", "/readyz", patience=0)).json())


class Client(ClientCalls, Sync):
    """The service at `url`; by default the one that `darkroom up` in this folder, or DARKROOM_URL, names.

    `key` is the API key; by default DARKROOM_KEY, or the one of that local service. A context manager.
    """

    _job = Job

    def __init__(self, url: str | None = None, data: Path | str = ".darkroom", key: str | None = None) -> None:
        url, options = settings(url, Path(data), key)
        super().__init__(Connection(url, httpx.Client(**options)))
        self.jobs = Jobs(self.connection)
        self.webhooks = Webhooks(self.connection)
        self.keys = Keys(self.connection)
        self.admin = Operations(self.connection)

    def close(self) -> None:
        """Close the connections."""
        self.connection.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient(ClientCalls, Async):
    """`Client` for asyncio. An asynchronous context manager."""

    _job = AsyncJob

    def __init__(self, url: str | None = None, data: Path | str = ".darkroom", key: str | None = None) -> None:
        url, options = settings(url, Path(data), key)
        super().__init__(Connection(url, httpx.AsyncClient(**options)))
        self.jobs = AsyncJobs(self.connection)
        self.webhooks = AsyncWebhooks(self.connection)
        self.keys = AsyncKeys(self.connection)
        self.admin = AsyncOperations(self.connection)

    async def close(self) -> None:
        """Close the connections."""
        await self.connection.http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def submit(side: Side, image: Picture, prompt: str, params: dict[str, Any]) -> Asking[httpx.Response]:
    """Send a picture and an instruction, once, however often the request has to be repeated."""
    given = {"prompt": prompt, **{name: value for name, value in params.items() if value is not None}}
    fields = {name: json.dumps(value) if isinstance(value, dict) else str(value) for name, value in given.items()}
    elsewhere = isinstance(image, str) and image.startswith(SOURCES)
    files = {"image": (None, image) if elsewhere else read_picture(image)}
    return (yield from side.ask("POST", "/v1/jobs", files=files, data=fields, headers=once(), timeout=60))


def once() -> dict[str, str]:
    """The header that makes one request one job, however often it has to be repeated."""
    return {"Idempotency-Key": uuid.uuid4().hex}


def settings(url: str | None, data: Path, key: str | None) -> tuple[str, dict[str, Any]]:
    """The service's address, and httpx's options for it."""
    url = (url or find_url(data)).rstrip("/")
    key = key or find_key(data, url)
    return url, {
        "base_url": url,
        "timeout": 30,
        "follow_redirects": True,
        "trust_env": httpx.URL(url).host not in LOOPBACK,
        "auth": Bearer(key) if key else None,
    }


class Bearer(httpx.Auth):
    """Sends an API key, where a request does not say otherwise."""

    def __init__(self, key: str) -> None:
        self._header = f"Bearer {key}"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the key."""
        request.headers["Authorization"] = self._header
        yield request


def find_url(data: Path) -> str:
    """Where the service is: DARKROOM_URL, else what `darkroom up` wrote into its data folder, else port 8000."""
    if url := os.environ.get("DARKROOM_URL"):
        return url
    try:
        return (data / ADDRESS_FILE).read_text(encoding="utf-8").strip()
    except OSError:
        return "http://127.0.0.1:8000"


def find_key(data: Path, url: str) -> str | None:
    """The key to send: DARKROOM_KEY, else, only to the service that wrote it, what is in its data folder."""
    if key := os.environ.get("DARKROOM_KEY"):
        return key
    try:
        ours = (data / ADDRESS_FILE).read_text(encoding="utf-8").strip() == url
        return (data / KEY_FILE).read_text(encoding="utf-8").strip() if ours else None
    except OSError:
        return None


def read_picture(image: Picture) -> tuple[str, bytes]:
    """A picture's file name, as far as it is text, and bytes."""
    if isinstance(image, bytes):
        return "image", image
    try:
        return Path(image).name.encode("utf-8", "replace").decode(), Path(image).read_bytes()
    except OSError as error:
        raise DarkroomError(f"Cannot read {image}: {error.strerror}.") from error


def job_path(job_id: str) -> str:
    """A job's address; no id leads elsewhere."""
    return f"/v1/jobs/{quote(job_id, safe='')}"


def webhook_path(webhook_id: str) -> str:
    """A webhook's address."""
    return f"/v1/webhooks/{quote(webhook_id, safe='')}"
