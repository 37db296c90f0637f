"""How the clients send requests: what they send, when they repeat it, when they give up. The service is a script."""

import asyncio
import inspect
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

import darkroom
from darkroom import AsyncClient, Client, DarkroomError
from darkroom.errors import Busy, StillRunning, Unreachable
from darkroom.parameters import Parameters

JOB = {"id": "x", "status": "queued", "status_text": "", "error": None, "progress": None, "queue": None}
PHOTO = Path(__file__).parents[2] / "examples" / "mountains.jpg"


@dataclass
class Asked:
    """A received request."""

    path: str
    headers: Message
    body: bytes


@dataclass
class Script:
    """Answers with these statuses one after another, and then with the last one. 0 breaks the connection."""

    statuses: list[int]
    body: bytes = json.dumps(JOB).encode()
    headers: dict[str, str] = field(default_factory=dict)
    holds: float = 0.0
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"] or 0))
        self.asked.append(Asked(request.path, request.headers, body))
        self.over.wait(self.holds)
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if not status:
            return
        request.send_response(status)
        for name, value in self.headers.items():
            request.send_header(name, value)
        request.end_headers()
        with suppress(BrokenPipeError):  # whoever asked has given up
            request.wfile.write(self.body)


@pytest.fixture
def serve() -> Iterator[Callable[[Script], Script]]:
    servers: list[tuple[ThreadingHTTPServer, Script]] = []

    def start(script: Script) -> Script:
        methods = dict.fromkeys(["do_GET", "do_POST", "do_PUT", "do_DELETE"], script.answer)
        handler = type("Handler", (BaseHTTPRequestHandler,), {**{n: lambda s, f=f: f(s) for n, f in methods.items()}})
        handler.log_message = lambda *_: None
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        script.url = f"http://127.0.0.1:{server.server_port}"
        servers.append((server, script))
        return script

    yield start
    for server, script in servers:
        script.over.set()
        server.shutdown()
        server.server_close()


def blocking(ask: Callable[[Any], Any], *words: Any, **options: Any) -> Any:
    with Client(*words, **options) as client:
        return ask(client)


def in_asyncio(ask: Callable[[Any], Any], *words: Any, **options: Any) -> Any:
    async def run() -> Any:
        async with AsyncClient(*words, **options) as client:
            asked = ask(client)
            return [one async for one in asked] if hasattr(asked, "__aiter__") else await asked

    return asyncio.run(run())


@pytest.fixture(params=[blocking, in_asyncio])
def call(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Has a client made and something asked of it; calls return on one side and are awaited on the other."""
    return request.param


@pytest.mark.parametrize("status", [0, 502, 503, 504])
def test_what_may_be_repeated_is_until_it_succeeds(serve, call, status):
    script = serve(Script([status, 200]))
    assert call(lambda client: client.jobs.get("x"), script.url).id == "x"
    assert len(script.asked) == 2


@pytest.mark.parametrize("status", [0, 502, 504])
def test_what_may_have_been_done_already_is_not_repeated(serve, call, status):
    script = serve(Script([status, 200]))
    with pytest.raises(DarkroomError):
        call(lambda client: client.jobs.cancel("x"), script.url)
    assert len(script.asked) == 1


@pytest.mark.parametrize("most", [0, 1])
def test_it_is_repeated_as_often_as_was_said(serve, call, most):
    script = serve(Script([503], headers={"Retry-After": "0"}))
    with pytest.raises(DarkroomError):
        call(lambda client: client.jobs.get("x"), script.url, max_retries=most)
    assert len(script.asked) == most + 1


def test_a_wait_that_is_longer_than_the_time_out_is_not_begun(serve, call):
    script = serve(Script([503], headers={"Retry-After": "20"}, body=b'{"detail": "Full."}'))
    with pytest.raises(Busy, match="Full"):
        call(lambda client: client.jobs.get("x"), script.url, timeout=10)
    assert len(script.asked) == 1


def test_a_service_that_does_not_answer_is_given_the_time_that_was_said(serve, call):
    script = serve(Script([200], holds=60))
    began = time.monotonic()
    with pytest.raises(Unreachable, match="in time"):
        call(lambda client: client.jobs.get("x"), script.url, timeout=0.2, max_retries=0)
    assert 0.2 <= time.monotonic() - began < 10


def test_a_job_is_waited_for_as_long_as_was_said_whatever_the_service_does(serve, call):
    """The service is asked to hold its answer no longer than the wait, and may not obey."""
    script = serve(Script([200], holds=60))
    job = darkroom.client.Job(darkroom.client.Connection(script.url, httpx.Client()), JOB)
    began = time.monotonic()
    with pytest.raises(StillRunning, match=r"after 0\.3 seconds"):
        job.wait(timeout=0.3)
    assert 0.3 <= time.monotonic() - began < 10
    assert float(script.asked[0].path.partition("wait=")[2]) <= 0.3


def test_a_stream_that_is_empty_again_and_again_ends(serve, call):
    script = serve(Script([200], body=b"", headers={"Content-Type": "text/event-stream"}))
    with pytest.raises(DarkroomError, match="/v1/events: the stream keeps ending without an event"):
        call(
            lambda client: client.jobs.events() if call is in_asyncio else list(client.jobs.events()),
            script.url,
            max_retries=1,
        )
    assert len(script.asked) == 2


def all_events(client: Any) -> Any:
    return list(client.jobs.events()) if isinstance(client, Client) else client.jobs.events()


def part(body: bytes, name: str) -> bytes:
    """A part of a form, its head left away."""
    return body.partition(b'name="%s"' % name.encode())[2].partition(b"\r\n\r\n")[2].partition(b"\r\n--")[0]


def test_a_submission_says_who_asks_and_sends_each_kind_of_value_as_a_form_has_it(serve, call):
    script = serve(Script([202]))
    events, metadata = ["job.started", "job.completed"], {"for": "Ann"}
    call(
        lambda client: client.jobs.create(
            b"picture", "make it blue", steps=3, webhook_events=events, metadata=metadata, idempotency_key="mine"
        ),
        script.url,
        key="secret",
    )
    (asked,) = script.asked
    assert asked.headers["User-Agent"] == f"darkroom-python/{darkroom.__version__}"
    assert (asked.headers["Idempotency-Key"], asked.headers["Authorization"]) == ("mine", "Bearer secret")
    assert b"idempotency_key" not in asked.body
    sent = [part(asked.body, name) for name in ("image", "prompt", "steps", "webhook_events")]
    assert sent == [b"picture", b"make it blue", b"3", b"job.started,job.completed"]
    assert json.loads(part(asked.body, "metadata")) == metadata


def test_a_picture_may_be_a_path_bytes_a_file_or_an_image(serve, call):
    script = serve(Script([202]))
    image = Image.new("RGB", (3, 2), "red")
    with PHOTO.open("rb") as file:
        for picture in (PHOTO, str(PHOTO), PHOTO.read_bytes(), file, image):
            call(lambda client, picture=picture: client.jobs.create(picture, "make it blue"), script.url)
    *photos, drawn = [part(asked.body, "image") for asked in script.asked]
    assert photos == [PHOTO.read_bytes()] * 4
    with Image.open(io.BytesIO(drawn)) as sent:
        assert (sent.format, sent.size, sent.getpixel((0, 0))) == ("PNG", (3, 2), (255, 0, 0))
    with pytest.raises(DarkroomError, match="image: must be a path, bytes, an open file or a Pillow image, not int"):
        call(lambda client: client.jobs.create(1, "make it blue"), script.url)
    with pytest.raises(DarkroomError, match="open for bytes"):
        call(lambda client: client.jobs.create(io.StringIO("a"), "make it blue"), script.url)


def test_an_http_client_of_the_caller_s_is_used_and_left_open(serve):
    script = serve(Script([200]))
    with httpx.Client(headers={"X-Mine": "yes"}) as http:
        with Client(script.url, http_client=http) as client:
            client.jobs.get("x")
        assert not http.is_closed
    with Client(script.url, transport=httpx.HTTPTransport(local_address="127.0.0.1")) as client:
        client.jobs.get("x")
    assert [asked.headers["X-Mine"] for asked in script.asked] == ["yes", None]


# ---- whom a key is for


def left_in(folder: Path, address: str, key: str | None = None) -> Path:
    """A data folder as `darkroom up` leaves it, or somebody else."""
    (folder / "address").write_text(address + "\n")
    if key:
        (folder / "admin_key").write_text(key)
    return folder


def test_a_folder_s_address_gets_no_key_but_the_one_beside_it(serve, monkeypatch, tmp_path):
    monkeypatch.delenv("DARKROOM_URL", raising=False)
    monkeypatch.setenv("DARKROOM_KEY", "mine")
    script = serve(Script([200]))
    with Client(data=left_in(tmp_path, script.url)) as client:
        client.jobs.get("x")
    with Client(data=left_in(tmp_path, script.url, "theirs")) as client:
        client.jobs.get("x")
    with Client(script.url, data=tmp_path) as client:
        client.jobs.get("x")
    assert [asked.headers["Authorization"] for asked in script.asked] == [None, "Bearer theirs", "Bearer mine"]


@pytest.mark.parametrize("address", ["https://thief.example", "http://127.0.0.1.thief.example", "http://10.0.0.1:8000"])
def test_a_folder_s_address_on_another_machine_is_refused(monkeypatch, tmp_path, address):
    monkeypatch.delenv("DARKROOM_URL", raising=False)
    with pytest.raises(DarkroomError, match="not this machine"):
        Client(data=left_in(tmp_path, address, "theirs"))


# ---- what can be looked up


def test_what_can_be_given_is_shown_where_it_is_looked_up():
    with Client("http://127.0.0.1:1") as client:
        for kind, called in ((Client.edit, client.edit), (darkroom.client.Jobs.create, client.jobs.create)):
            asked = inspect.signature(called)
            assert {"image", "prompt", *Parameters.__annotations__} <= asked.parameters.keys()
            assert list(inspect.signature(kind).parameters) == ["self", *asked.parameters]
            assert inspect.getdoc(kind) == inspect.getdoc(called) != ""
    assert inspect.signature(Client.edit).return_annotation == "bytes"
    assert inspect.signature(AsyncClient.edit).return_annotation == "Awaitable[bytes]"
    assert inspect.signature(AsyncClient.edit).parameters == inspect.signature(Client.edit).parameters
