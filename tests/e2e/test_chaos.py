"""The chaos harness in short: it breaks the real service and finds nothing lost; and it would notice a loss."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from PIL import Image

from chaos import engine, scenarios, workers
from chaos.altered import GUARDS
from chaos.proxy import Mode, Proxy
from jobs.scripts import SCRIPTS, script_source
from jobs.settings import Settings


def judged(capsys: pytest.CaptureFixture[str], words: str) -> tuple[int, dict[str, Any]]:
    """The exit status and report of `./dev chaos workers` with these arguments."""
    status = workers.main([*words.split(), "--json"])
    return status, json.loads(capsys.readouterr().out)


@pytest.mark.timeout(240)
def test_killed_and_frozen_workers_lose_nothing(capsys):
    """The long form is `./dev chaos workers`, with 300 faults over 5,000 jobs. Here poison is on, as it usually is."""
    usual = Settings.model_fields["max_crashes"].default
    words = f"--workers 2 --slots 4 --seconds 0.2 --lease 4 --seed 5 --faults 4 --jobs 50 --max-crashes {usual}"
    status, report = judged(capsys, words)
    assert (report["wrong"], status) == ([], 0)
    assert (report["kills"], report["freezes"], report["jobs"]) == (3, 1, 50)
    assert report["jobs_held_by_who_was_hit"] >= 4, "a worker that held nothing was hit"
    assert report["runs"] == report["edits"] + report["extra_runs"] > report["jobs"]
    assert (report["webhooks"], report["poison"]) == (5, "after 3 crashes")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_breaks_below_an_edit_costs_no_job():
    assert scenarios.run("faults", seed=1)["wrong"] == []


CONTROLS = {
    "an engine that fails every job": (
        "--engine failing --workers 1 --slots 4 --faults 0 --jobs 9",
        "ended_otherwise",
        "a job did not end as it was meant to",
    ),
    "nobody takes back what dead workers held": (
        "--no-reconciler --workers 1 --slots 4 --lease 2 --faults 1 --jobs 9 --afterwards 4",
        "never_ended",
        "an accepted job did not end",
    ),
    "whoever has a result ends the job": (
        "--no-fence --workers 2 --slots 4 --seconds 2 --lease 1 --faults 1 --freeze-every 1 --jobs 16 --afterwards 20",
        "stale_results",
        "a result came from a fence that was not the current one",
    ),
}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("control", CONTROLS)
def test_a_run_that_has_to_fail_does(capsys, control):
    words, number, sentence = CONTROLS[control]
    status, report = judged(capsys, words)
    assert status == 1
    assert report[number], report
    assert any(sentence in wrong for wrong in report["wrong"])


@pytest.mark.parametrize("guard", GUARDS)
def test_a_guard_can_be_taken_out_of_the_scripts_for_a_control(guard):
    text, instead = GUARDS[guard]
    assert any(text in script_source(name) for name in SCRIPTS), "the control would change nothing"
    code = (
        f"from chaos.altered import alter; alter({guard!r}); from jobs import scripts; "
        f"assert not [name for name in scripts.SCRIPTS if {text!r} in scripts.script_source(name)]; "
        f"assert {instead!r} in scripts.script_source('reclaim')"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_fake_engine_answers_alike_and_loads_no_torch():
    pixels = Image.new("RGB", (4, 4)).tobytes()
    assert engine.answer(pixels, "job 1", 7).tobytes() == engine.answer(pixels, "job 1", 7).tobytes()
    assert engine.answer(pixels, "job 1", 7).tobytes() != engine.answer(pixels, "job 2", 7).tobytes()
    code = "import sys, chaos.engine, worker.app; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_ledger_pairs_ends_with_starts(tmp_path, monkeypatch):
    monkeypatch.setenv("CHAOS_LEDGER", str(tmp_path / "ledger"))
    for event, prompt in (("start", "job 1"), ("start", "job 2 hang"), ("end", "job 1"), ("start", "job 1")):
        engine.note(event, prompt)
    runs = engine.read_ledger(tmp_path / "ledger")
    assert [(run.number, run.ended is not None) for run in runs] == [(1, True), (2, False), (1, False)]


# ---- the proxy


@contextmanager
def echo() -> Iterator[int]:
    """The port of a server that echoes everything in capitals."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                line, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=shout, args=(line,), daemon=True).start()

    def shout(line: socket.socket) -> None:
        with line, suppress(ConnectionResetError):
            while data := line.recv(10_000):
                line.sendall(data.upper())

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield server.getsockname()[1]
    finally:
        server.close()


def said(port: int, words: bytes = b"hello", seconds: float = 0.5) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as line:
        line.sendall(words)
        return line.recv(10_000)


def is_cut(port: int) -> bool:
    try:
        return said(port) == b""
    except ConnectionError:
        return True


def test_the_proxy_fails_as_it_is_told():
    with echo() as port:
        proxy = Proxy(port)
        heard: list[bytes] = []
        proxy.watch = heard.append
        assert said(proxy.port) == b"HELLO"
        for silent in (Mode.DROP_REPLIES, Mode.BLACK_HOLE):
            proxy.be(silent)
            with pytest.raises(TimeoutError):
                said(proxy.port)
        proxy.be(Mode.RESET)
        assert is_cut(proxy.port)
        proxy.be(Mode.UNAVAILABLE)
        assert said(proxy.port).startswith(b"HTTP/1.1 503")
        proxy.be(Mode.TRUNCATE)
        assert len(said(proxy.port, b"a" * 2000)) <= 1000
        proxy.be(Mode.DELAY)
        proxy.seconds = 0.3
        started = time.monotonic()
        assert said(proxy.port, seconds=5) == b"HELLO"
        assert time.monotonic() - started >= 0.3
        proxy.be(Mode.THROUGH)
        assert said(proxy.port) == b"HELLO"
        assert heard[0] == b"hello"
        proxy.close()
