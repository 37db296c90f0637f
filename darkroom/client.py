"""A small client of the HTTP API: send a picture and an instruction, follow the job, fetch the edited picture.

client = Client()
job = client.submit("photo.jpg", "make it a pencil sketch")
job = client.wait(job.id)
Path("edited.png").write_bytes(client.output(job.id))
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import httpx

OVER = ("succeeded", "failed", "canceled")
HOLD_SECONDS = 20  # how long one question to the API may stay open while nothing changes
REFUSED_FOR_NOW = (httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.TOO_MANY_REQUESTS)  # nothing was done
LOOPBACK = ("127.0.0.1", "::1", "localhost")  # reached directly, whatever proxy the environment names
ADDRESS_FILE = "address"  # in the data folder of `darkroom up`
KEY_FILE = "admin_key"  # there too, made by `darkroom up --auth`


class DarkroomError(Exception):
    """Something that the service refused or could not do, as a sentence that names the field and its limit.

    `status` is the HTTP status, None when no answer came; `problem` the problem+json that came with it."""

    def __init__(self, sentence: str, status: int | None = None, problem: dict[str, Any] | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.problem = problem or {}


@dataclass(frozen=True)
class Job:
    """An edit as it stood when the service was last asked; `json` is the whole answer."""

    id: str
    status: str
    status_text: str
    model: str
    params: dict[str, Any]
    step: int | None
    steps: int | None
    position: int | None
    error: str | None
    json: dict[str, Any] = field(repr=False)
    etag: str | None = field(default=None, repr=False)

    @property
    def is_over(self) -> bool:
        """Whether it has ended; then it never changes again."""
        return self.status in OVER

    @classmethod
    def of(cls, answer: dict[str, Any], etag: str | None = None) -> Self:
        """The job in an answer of the API."""
        progress, queue, error = (answer.get(name) or {} for name in ("progress", "queue", "error"))
        return cls(
            id=answer["id"],
            status=answer["status"],
            status_text=answer["status_text"],
            model=answer["model"],
            params=answer["params"],
            step=progress.get("step"),
            steps=progress.get("steps"),
            position=queue.get("position"),
            error=error.get("detail") or error.get("title"),
            json=answer,
            etag=etag,
        )


class Client:
    """The service at `url`; by default the one that `darkroom up` in this folder, or DARKROOM_URL, names.

    `key` is the API key; by default DARKROOM_KEY, or the one of that local service.
    """

    def __init__(self, url: str | None = None, data: Path | str = ".darkroom", key: str | None = None) -> None:
        self.url = (url or find_url(Path(data))).rstrip("/")
        here = httpx.URL(self.url).host in LOOPBACK
        self._http = httpx.Client(base_url=self.url, timeout=30, follow_redirects=True, trust_env=not here)
        if key := key or find_key(Path(data), self.url):
            self._http.headers["Authorization"] = f"Bearer {key}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def submit(self, image: Path | str | bytes, prompt: str, **params: Any) -> Job:
        """Send a picture (a path, or its bytes) and an instruction. Parameters that are None are left out."""
        given = {"prompt": prompt, **{name: value for name, value in params.items() if value is not None}}
        fields = {name: json.dumps(value) if isinstance(value, dict) else str(value) for name, value in given.items()}
        name, content = ("image", image) if isinstance(image, bytes) else read_picture(Path(image))
        once = {"Idempotency-Key": uuid.uuid4().hex}  # asked again after a 503, it is still one job
        answer = self._ask("POST", "/v1/jobs", files={"image": (name, content)}, data=fields, headers=once)
        return _job(answer)

    def get(self, job_id: str) -> Job:
        """The job as it stands."""
        return _job(self._ask("GET", f"{_path(job_id)}"))

    def wait(self, job_id: str, on_change: Callable[[Job], None] | None = None) -> Job:
        """Return the job when it is over; `on_change` hears of each change on the way, the last one too."""
        tell = on_change or (lambda _: None)
        job = self.get(job_id)
        tell(job)
        while not job.is_over:
            answer = self._ask(
                "GET",
                f"{_path(job_id)}",
                patience=30,  # the API may be started again while we wait; the job does not mind
                params={"wait": HOLD_SECONDS},
                headers={"If-None-Match": job.etag} if job.etag else {},
                timeout=HOLD_SECONDS + 10,
            )
            if answer.status_code != httpx.codes.NOT_MODIFIED:
                job = _job(answer)
                tell(job)
        return job

    def cancel(self, job_id: str) -> Job:
        """Ask the job to stop. One that runs is `canceling` until its next step."""
        return _job(self._ask("POST", f"{_path(job_id)}/cancel"))

    def retry(self, job_id: str) -> Job:
        """A failed or canceled job again, as a new job."""
        return _job(self._ask("POST", f"{_path(job_id)}/retry"))

    def delete(self, job_id: str) -> None:
        """Remove an ended job and its pictures."""
        self._ask("DELETE", f"{_path(job_id)}")

    def list(self, status: str | None = None, limit: int | None = None, after: str | None = None) -> dict[str, Any]:
        """A page of jobs, newest first: `data`, `has_more`, and `next`, the `after` of the following page."""
        asked = {"status": status, "limit": limit, "after": after}
        return self._json("/v1/jobs", {name: value for name, value in asked.items() if value is not None})

    def output(self, job_id: str) -> bytes:
        """The edited picture's bytes."""
        return self._ask("GET", f"{_path(job_id)}/output", params={"proxy": 1}).content

    def input(self, job_id: str) -> bytes:
        """The bytes of the picture as the service keeps it."""
        return self._ask("GET", f"{_path(job_id)}/input", params={"proxy": 1}).content

    def models(self) -> dict[str, Any]:
        """The models with their parameters, ranges and defaults, and the checkpoint that they run on."""
        return self._json("/v1/models")

    def queue(self) -> dict[str, Any]:
        """How much is waiting and running, and for how many workers."""
        return self._json("/v1/queue")

    def create_key(self, tenant: str, scopes: Sequence[str], name: str = "") -> dict[str, Any]:
        """A new API key; its `key` is in this answer only. Needs a key with the scope `admin`."""
        wanted = {"tenant": tenant, "scopes": list(scopes), "name": name}
        return dict(self._ask("POST", "/v1/admin/keys", json=wanted).json())

    def keys(self) -> dict[str, Any]:
        """All API keys that are not revoked, without their secrets."""
        return self._json("/v1/admin/keys")

    def revoke_key(self, key_id: str) -> None:
        """End an API key at once."""
        self._ask("DELETE", f"/v1/admin/keys/{quote(key_id, safe='')}")

    def _json(self, path: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        answer: dict[str, Any] = self._ask("GET", path, params=params).json()
        return answer

    def _ask(self, method: str, path: str, patience: float = 10, **request: Any) -> httpx.Response:
        """One request. While it is refused for now it is repeated, as Retry-After says, for `patience` seconds."""
        over = time.monotonic() + patience
        while True:
            try:
                answer = self._http.request(method, path, **request)
            except httpx.TransportError as error:
                failure, pause = self._unreachable(error), 0.5
                may_repeat = "wait" in (request.get("params") or ())
            else:
                if answer.status_code < httpx.codes.BAD_REQUEST:
                    return answer
                failure, pause = refusal(answer), _seconds(answer.headers.get("Retry-After"))
                may_repeat = answer.status_code in REFUSED_FOR_NOW
            if not may_repeat or time.monotonic() + pause > over:
                raise failure
            time.sleep(pause)

    def _unreachable(self, error: httpx.TransportError) -> DarkroomError:
        if isinstance(error, httpx.ConnectError):
            return DarkroomError(f"There is no Darkroom at {self.url}; start one with `darkroom up`.")
        if isinstance(error, httpx.TimeoutException):
            return DarkroomError(f"The Darkroom at {self.url} did not answer in time.")
        return DarkroomError(f"The connection to the Darkroom at {self.url} broke: {error}.")


def find_url(data: Path) -> str:
    """Where the service is: DARKROOM_URL, else what `darkroom up` wrote into its data folder, else port 8000."""
    if url := os.environ.get("DARKROOM_URL"):
        return url
    try:
        return (data / ADDRESS_FILE).read_text().strip()
    except OSError:
        return "http://127.0.0.1:8000"


def find_key(data: Path, url: str) -> str | None:
    """The key to send: DARKROOM_KEY, else, only to the service that wrote it, what is in its data folder."""
    if key := os.environ.get("DARKROOM_KEY"):
        return key
    try:
        ours = (data / ADDRESS_FILE).read_text().strip() == url
        return (data / KEY_FILE).read_text().strip() if ours else None
    except OSError:
        return None


def read_picture(path: Path) -> tuple[str, bytes]:
    """A picture file's name and bytes."""
    try:
        return path.name, path.read_bytes()
    except OSError as error:
        raise DarkroomError(f"Cannot read {path}: {error.strerror}.") from error


def refusal(answer: httpx.Response) -> DarkroomError:
    """The sentence in an answer that is no success."""
    try:
        problem = answer.json()
        sentence = str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        sentence = f"{answer.request.url} answered {answer.status_code} {answer.reason_phrase}, which is no Darkroom."
        return DarkroomError(sentence, answer.status_code)
    fields = [f"{error['field']}: {error['detail']}" for error in problem.get("errors") or []]
    missing = [text for text in fields if text not in sentence]
    return DarkroomError("; ".join([sentence.rstrip("."), *missing]) + ".", answer.status_code, problem)


def _seconds(retry_after: str | None) -> float:
    return float(retry_after) if retry_after and retry_after.isdigit() else 1.0


def _path(job_id: str) -> str:
    return f"/v1/jobs/{quote(job_id, safe='')}"


def _job(answer: httpx.Response) -> Job:
    return Job.of(answer.json(), answer.headers.get("ETag"))
