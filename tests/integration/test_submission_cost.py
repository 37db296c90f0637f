"""What a submission may cost, in turns of threads and in questions to Redis, whoever looks at the clock."""

import threading
import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest
import redis

from jobs import logs
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
