"""Log lines name the job, tenant and request that they are about."""

import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from contextvars import copy_context

import pytest

from jobs import logs


@pytest.fixture
def lines() -> Callable[[str], list[str]]:
    """Log in one format to a separate logger. Gives the lines written so far."""
    log, stream = logging.getLogger("told"), io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(logs._name_subject)
    log.addHandler(handler)
    log.propagate = False

    def read(form: str) -> list[str]:
        handler.setFormatter(logs.formatter(form))
        return stream.getvalue().splitlines()

    read("json")
    yield read
    log.removeHandler(handler)


def test_a_line_of_json_names_the_ids_around_it_and_those_noted_in_other_threads(lines):
    log = logging.getLogger("told")
    with logs.about(request_id="r-1", job_id=None):
        thread = threading.Thread(target=copy_context().run, args=(lambda: logs.note(tenant="acme"),))
        thread.start()
        thread.join()
        with logs.about(job_id="J"):
            log.warning("edited in %s ms", 12, extra={"ms": 12})
        logs.note(job_id="K")
        log.warning("next")
    log.warning("after")
    first, second, third = map(json.loads, lines("json"))
    assert first.pop("time")
    assert first == {
        "level": "WARNING",
        "logger": "told",
        "message": "edited in 12 ms",
        "ms": 12,
        "request_id": "r-1",
        "job_id": "J",
        "tenant": "acme",
    }
    assert (second["request_id"], second["job_id"]) == ("r-1", "K")
    assert not {"request_id", "job_id", "tenant"} & set(third)


def test_a_traceback_is_a_field_of_the_one_line(lines):
    try:
        raise RuntimeError("of no use")
    except RuntimeError:
        logging.getLogger("told").exception("it broke")
    (line,) = lines("json")
    assert "RuntimeError: of no use" in json.loads(line)["traceback"]


def test_nothing_that_collects_traces_is_loaded_unless_somebody_wants_them():
    code = (
        "import sys, api.main, worker.keeper, worker.app; from jobs import traces; traces.set_up('api');"
        "assert traces.traceparent() is None; sys.exit('opentelemetry.sdk.trace' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_who_wants_traces_without_the_packages_is_told_what_to_install():
    code = "import sys; sys.modules['opentelemetry'] = None; from jobs import traces; traces.set_up('api')"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert "pip install '.[tracing]'" in ended.stderr
