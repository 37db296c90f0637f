"""Both clients against a real web tier, store and worker code. Blocking and asyncio callers get the same guarantees."""

import asyncio
import inspect
import io
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from PIL import Image

from darkroom.client import AsyncClient, AsyncJob, AsyncJobs, AsyncWebhooks, Client, Job, Jobs, Webhooks
from darkroom.errors import JobCanceled, JobFailed, NotFound, Refused, StillRunning
from tests.integration.conftest import context  # noqa: F401 - a fixture
from tests.integration.test_worker import PHOTO, Step
from tests.local_stack import DEAD_PROXY
from worker.renders import Renderer
from worker.run import run_next


class Blocking:
    """A client whose methods return."""

    def __init__(self, url: str) -> None:
        self.client = Client(url)

    def do(self, value: Any) -> Any:
        return value

    def close(self) -> None:
        self.client.close()


class Asynchronous:
    """A client whose methods are awaited."""

    def __init__(self, url: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.client = AsyncClient(url)

    def do(self, value: Any) -> Any:
        if inspect.isasyncgen(value):
            return self.loop.run_until_complete(self._all(value))
        return self.loop.run_until_complete(value) if inspect.isawaitable(value) else value

    async def _all(self, values: Any) -> list[Any]:
        return [value async for value in values]

    def close(self) -> None:
        self.loop.run_until_complete(self.client.close())
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()


@pytest.fixture
def url(settings, server) -> str:
    return server


@pytest.fixture
def working(context, store) -> Callable[..., Any]:  # noqa: F811
    """Let an editor run jobs in the background during the block."""

    @contextmanager
    def work(editor: Any) -> Iterator[None]:
        over = threading.Event()

        def run() -> None:
            renderer = Renderer(at)
            while not over.is_set():
                if not run_next(at):
                    renderer.make_next(0.02)

        def renew_leases() -> None:
            while not over.is_set():
                at.leases.renew(at.leases.held())
                time.sleep(0.01)

        at = context(editor)
        threads = [threading.Thread(target=target) for target in (run, renew_leases)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()

    return work


@pytest.fixture(params=[Blocking, Asynchronous])
def side(request, url, monkeypatch) -> Iterator[Any]:
    """A client in an environment that names a proxy which does not exist."""
    for name, value in DEAD_PROXY.items():
        monkeypatch.setenv(name, value)
    side = request.param(url)
    yield side
    side.close()


def test_one_call_from_photo_to_picture(side, working, tmp_path):
    with working(Step()):
        picture = side.do(side.client.edit(PHOTO, "make it gray", output=tmp_path / "gray.png", steps=3))
    assert Image.open(io.BytesIO(picture)).getpixel((5, 5)) == (128, 128, 128)
    assert (tmp_path / "gray.png").read_bytes() == picture


def test_the_life_of_a_job(side, working, tmp_path):
    client, do = side.client, side.do
    job = do(client.jobs.create(PHOTO, "make it gray", steps=4, seed=7))
    assert (job.status, job.params["seed"]) == ("queued", 7)
    with pytest.raises(StillRunning, match=r"after 0\.2 seconds; it goes on"):
        do(job.wait(timeout=0.2))
    with working(Step(lambda step: time.sleep(0.05))):
        told = list(do(job.events()))
    steps = [event.data["step"] for event in told if event.type == "progress"]
    assert steps == sorted(set(steps))
    assert steps
    assert told[-1].type == "done"
    assert list(do(job.events(after=told[2].id))) == told[3:]
    again = do(client.jobs.get(job.id))
    seen: list[str] = []
    do(again.wait(on_change=lambda job: seen.append(job.status)))
    assert seen == ["succeeded"]
    assert do(again.save(tmp_path / "out.png")).read_bytes() == do(job.result())
    assert [one.id for one in do(client.jobs.list(status="succeeded"))] == [job.id]
    assert (again.output.content_type, again.output.width) == ("image/png", again.json["output"]["width"])
    assert again.timing.total_ms > 0
    assert again.created_at < again.finished_at
    with pytest.raises(Refused):
        do(again.retry())
    do(again.delete())
    with pytest.raises(NotFound):
        do(again.refresh())


def test_all_jobs_are_gone_through_page_by_page(side):
    made = [side.do(side.client.jobs.create(PHOTO, "make it gray", steps=steps)).id for steps in (2, 3, 4)]
    assert [job.id for job in side.do(side.client.jobs.iterate(page_size=2))] == made[::-1]


def test_previews_come_while_it_works(side, working):
    job = side.do(side.client.jobs.create(PHOTO, "make it gray", steps=6))
    with working(Step(lambda step: time.sleep(0.15))):
        previews = list(side.do(job.previews()))
    assert previews
    assert all(Image.open(io.BytesIO(preview.picture)).format == "JPEG" for preview in previews)
    assert [preview.step for preview in previews] == sorted(preview.step for preview in previews)


def test_a_canceled_job_has_no_result_and_can_be_sent_again(side, working):
    job = side.do(side.client.jobs.create(PHOTO, "make it gray", steps=3))
    side.do(job.cancel())
    with pytest.raises(JobCanceled):
        side.do(job.result())
    second = side.do(job.retry())
    assert second.id != job.id
    with working(Step()):
        side.do(second.wait())
    assert second.status == "succeeded"


def test_a_failed_job_says_why(side, working):
    def stumble(step: int) -> None:
        raise ValueError("no such color")

    job = side.do(side.client.jobs.create(PHOTO, "make it gray", steps=3))
    with working(Step(stumble)), pytest.raises(JobFailed, match=f"Job {job.id} failed: "):
        side.do(job.result())


def test_a_picture_may_be_uploaded_once_and_a_result_edited_again(side, working):
    client, do = side.client, side.do
    image = do(client.upload(PHOTO))
    assert image.startswith("upload:")
    with working(Step()):
        first = do(client.jobs.create(image, "make it gray", steps=2))
        do(first.wait())
        second = do(client.jobs.create(f"job:{first.id}", "make it blue", steps=2))
        do(second.wait())
    assert (first.status, second.status) == ("succeeded", "succeeded")


def test_a_field_and_its_limit_are_named(side):
    with pytest.raises(Refused, match="steps: must be a whole number from 2 to 1000"):
        side.do(side.client.jobs.create(PHOTO, "make it gray", steps=1))


def test_webhooks_are_managed(side):
    client, do = side.client, side.do
    made = do(client.webhooks.create("https://hooks.example/in", ["job.started"]))
    assert made.secret.startswith("whsec_")
    assert [one.url for one in do(client.webhooks.list()) if one.id == made.id] == ["https://hooks.example/in"]
    assert do(client.webhooks.rotate(made.id)) != made.secret == made.json["secret"]
    delivery = do(client.webhooks.test(made.id))
    assert [one.id for one in do(client.webhooks.deliveries(made.id))] == [delivery.id]
    do(client.webhooks.delete(made.id))
    with pytest.raises(NotFound):
        do(client.webhooks.secret(made.id))
    assert do(client.webhooks.jwks())["keys"]


class Cutter:
    """A TCP proxy that cuts connections after so many bytes of each answer. `limits` has the numbers, one for each."""

    def __init__(self, url: str, limits: Iterator[int]) -> None:
        host, port = url.removeprefix("http://").split(":")
        self.target, self.limits, self.cut = (host, int(port)), limits, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(self.target)
                threading.Thread(target=self._pass, args=(client, server, None), daemon=True).start()
                threading.Thread(target=self._pass, args=(server, client, next(self.limits)), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, limit: int | None) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(65536):
                if limit is not None and passed + len(data) > limit:
                    sink.sendall(data[: limit - passed])
                    self.cut += 1
                    break
                sink.sendall(data)
                passed += len(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@pytest.mark.parametrize("kind", [Blocking, Asynchronous])
def test_an_answer_that_is_lost_on_the_way_makes_no_second_job(kind, url):
    cutter = Cutter(url, itertools.chain([0, 0], itertools.repeat(1 << 30)))
    side = kind(cutter.url)
    job = side.do(side.client.jobs.create(PHOTO, "make it gray", steps=3))
    listed = side.do(side.client.jobs.list()).data
    side.close()
    assert cutter.cut == 2
    assert [one.id for one in listed] == [job.id]


@pytest.mark.parametrize("kind", [Blocking, Asynchronous])
def test_events_are_told_once_each_however_often_the_line_is_cut(kind, url, working):
    with Client(url) as direct:
        job_id = direct.jobs.create(PHOTO, "make it gray", steps=12).id
        cutter = Cutter(url, itertools.chain([1 << 20], itertools.cycle([900, 700, 1100])))
        side = kind(cutter.url)
        side.client.connection.http.headers["Connection"] = "close"  # so that each request has its own to be cut
        job = side.do(side.client.jobs.get(job_id))
        with working(Step(lambda step: time.sleep(0.02))):
            told = list(side.do(job.events()))
        side.close()
        assert cutter.cut >= 3
        assert told == list(direct.jobs.get(job_id).events())


def test_both_clients_have_the_same_methods():
    for blocking, asynchronous in [
        (Client, AsyncClient),
        (Job, AsyncJob),
        (Jobs, AsyncJobs),
        (Webhooks, AsyncWebhooks),
    ]:
        names = [{name for name in dir(kind) if not name.startswith("_")} for kind in (blocking, asynchronous)]
        assert names[0] == names[1]


def test_a_finished_job_is_rendered_in_another_strength(side, working, tmp_path):
    with working(Step()):
        job = side.do(side.client.jobs.create(PHOTO, "make it gray", steps=2))
        side.do(job.wait())
        render = side.do(job.render(0, path=tmp_path / "photo.png"))
        assert side.do(job.render(0.0)).sha256 == render.sha256
        assert side.do(job.render(0, format="jpeg")).content_type == "image/jpeg"
    side.do(job.refresh())
    assert [(one.strength, one.content_type) for one in job.renders] == [(0, "image/png"), (0, "image/jpeg")]
    with Image.open(tmp_path / "photo.png") as picture, Image.open(io.BytesIO(side.do(job.input()))) as photo:
        assert picture.tobytes() == photo.tobytes()


def test_several_edits_of_a_job_come_in_the_order_of_their_seeds(side, working):
    with working(Step()):
        job = side.do(side.client.jobs.create(PHOTO, "make it gray", steps=2, seed=7, n=3))
        pictures = side.do(job.results())
    assert [output.seed for output in job.outputs] == [7, 8, 9]
    assert [len(picture) for picture in pictures] == [output.bytes for output in job.outputs]
    assert job.output.sha256 == job.outputs[0].sha256
