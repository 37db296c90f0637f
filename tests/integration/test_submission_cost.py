"""The cost of a submission in thread switches and Redis calls, and its effect on other requests."""

import asyncio
import base64
import gc
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import botocore.client
import pytest
import redis

from benchmarks._stack import photo
from benchmarks.submissions import AFTER, measure
from jobs import logs
from jobs.decoders import Decoders
from jobs.wakeups import PAUSE, Wakeups
from tests.integration.conftest import submit


@pytest.fixture
def counted(monkeypatch) -> dict[str, int]:
    """How often requests had a thread's turn, and asked Redis."""
    counts = {"turns": 0, "questions": 0}

    def counting(owner: Any, name: str, what: str) -> None:
        real: Callable[..., Any] = getattr(owner, name)

        def call(*args: Any, **options: Any) -> Any:
            counts[what] += "request_id" in logs.subject()  # other threads of the app are about no request
            return real(*args, **options)

        monkeypatch.setattr(owner, name, call)

    counting(anyio.to_thread, "run_sync", "turns")
    counting(redis.Redis, "execute_command", "questions")
    counting(redis.client.Pipeline, "execute", "questions")
    monkeypatch.setattr("jobs.served_models.FRESH_SECONDS", 600.0)
    return counts


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "once"}], ids=["plain", "with-a-key"])
def test_a_submission_has_two_turns_of_threads_and_asks_redis_twice(client, jpeg, counted, headers):
    submit(client, jpeg)  # reads the models
    counted.update(turns=0, questions=0)
    client.headers.update(headers)
    submit(client, jpeg)
    assert counted == {"turns": 2, "questions": 2}


def test_a_status_has_one_turn_and_asks_redis_once(client, jpeg, counted):
    job = submit(client, jpeg)
    client.get(job["urls"]["self"])  # hands the script over
    counted.update(turns=0, questions=0)
    assert client.get(job["urls"]["self"]).json()["queue"]["position"] == 0
    assert counted == {"turns": 1, "questions": 1}


def test_wake_ups_are_looked_at_for_all_who_ask_meanwhile_and_once_more_for_the_last(store, settings, monkeypatch):
    wakeups, looks, after_the_last = Wakeups.connect(settings, store, timeout=1), [], threading.Event()

    def top_up(_: Wakeups) -> int:
        looks.append(time.monotonic())
        if asked:
            after_the_last.set()
        return 0

    asked, began = [], time.monotonic()
    monkeypatch.setattr(Wakeups, "top_up", top_up)
    while time.monotonic() < began + 5 * PAUSE:
        wakeups.top_up_soon()
        time.sleep(0.0005)
    asked.append(time.monotonic())
    wakeups.top_up_soon()
    assert after_the_last.wait(10)
    assert len(looks) <= 2 + (time.monotonic() - began) / PAUSE


# ---- nothing blocks the event loop

LONGEST_MS = 20.0


@pytest.fixture
def held_up(monkeypatch) -> Iterator[list[str]]:
    """The calls that blocked an event loop: they took too much CPU time, or waited for another server."""
    found: list[str] = []
    run = asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        began = time.thread_time()
        run(handle)
        if (took := 1000 * (time.thread_time() - began)) > LONGEST_MS:
            found.append(f"{took:.0f} ms: {handle!r}")

    def watched(owner: Any, name: str) -> None:
        real: Callable[..., Any] = getattr(owner, name)

        def call(*args: Any, **options: Any) -> Any:
            if asyncio._get_running_loop() is not None:
                found.append(f"{owner.__name__}.{name}")
            return real(*args, **options)

        monkeypatch.setattr(owner, name, call)

    monkeypatch.setattr(asyncio.Handle, "_run", timed)
    watched(redis.Redis, "execute_command")
    watched(redis.client.Pipeline, "execute")
    watched(botocore.client.BaseClient, "_make_api_call")
    watched(Decoders, "ask")
    watched(time, "sleep")
    gc.freeze()  # as the web tier does, because a full collection would take long
    yield found
    gc.unfreeze()


def test_nothing_holds_up_the_event_loop(client, held_up):
    """Submissions of all forms and sizes, accepted or refused, and other requests of clients."""
    image = photo()
    large = image + bytes(4 * 2**20)  # the test client passes it on in one piece, a server in many
    inline = "data:image/jpeg;base64," + base64.b64encode(large[: 2**21]).decode()
    job = submit(client, image)
    client.get(job["urls"]["self"])
    held_up.clear()  # the first requests load modules

    def send(number: int) -> int:
        match number % 5:
            case 0:
                return client.post("/v1/jobs", json={"image": inline, "prompt": "make it sepia"}).status_code
            case 1:
                headers = {"Idempotency-Key": f"key {number // 10}"}
                form: dict[str, Any] = {"files": {"image": large}, "data": {"prompt": "make it sepia"}}
                return client.post("/v1/jobs", headers=headers, **form).status_code
            case 2:
                return client.get(job["urls"]["self"], params={"wait": 0.1}).status_code
            case 3:
                return client.get("/v1/jobs").status_code
        return client.post("/v1/jobs", files={"image": image}, data={"prompt": "make it sepia"}).status_code

    with ThreadPoolExecutor(4) as clients:
        assert set(clients.map(send, range(15))) == {200, 202}
    assert held_up == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_thousand_submissions_leave_no_trace_in_memory():
    report = measure(10_000)
    assert set(report["answers"]) <= {202, *AFTER}
    assert report["answers"][202] > 1000
    megabytes = report["megabytes"]
    assert megabytes["at_the_end"] < megabytes["warm"] + 10, megabytes
