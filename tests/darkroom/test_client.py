"""Errors of the client library and the command line: one sentence and the right exit status."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from darkroom.cli.app import app
from darkroom.client import Client
from darkroom.errors import DarkroomError, refusal
from darkroom.local.ports import free_ports

PHOTO = Path(__file__).parent.parent.parent / "examples" / "mountains.jpg"


def darkroom(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


@pytest.fixture
def nowhere() -> str:
    return f"http://127.0.0.1:{free_ports(1)[0]}"


@pytest.mark.parametrize("words", [["status", "x"], ["list"], ["wait", "x"]])
def test_where_no_darkroom_is_it_says_how_to_start_one(nowhere: str, words: list[str]) -> None:
    sentence = f"There is no Darkroom at {nowhere}; start one with `darkroom up`."
    answer = darkroom(*words, "--url", nowhere)
    assert (answer.exit_code, answer.stdout, answer.stderr) == (5, "", f"darkroom: {sentence}\n")
    answer = darkroom(*words, "--url", nowhere, "--json")
    assert (answer.exit_code, answer.stderr) == (5, "")
    assert json.loads(answer.stdout) == {"error": {"detail": sentence, "exit_status": 5}}


def test_a_missing_photo_is_named(tmp_path: Path, nowhere: str) -> None:
    answer = darkroom("edit", str(tmp_path / "moon.jpg"), "make it blue", "--url", nowhere)
    assert answer.exit_code == 1
    assert answer.stderr == f"darkroom: Cannot read {tmp_path}/moon.jpg: No such file or directory.\n"


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("no-folder/out.png", "Cannot write no-folder/out.png: there is no folder no-folder."),
        ("out.gif", "Cannot tell the format of out.gif: end it with .png, .jpg, .jpeg, .webp, .avif."),
    ],
)
def test_a_place_that_will_not_do_is_refused_before_the_work(nowhere: str, output: str, sentence: str) -> None:
    answer = darkroom("edit", str(PHOTO), "make it blue", "-o", output, "--url", nowhere)
    assert answer.exit_code == 1
    assert answer.stderr == f"darkroom: {sentence}\n"


@pytest.mark.parametrize(
    "words", [["status"], ["edit", "photo.jpg"], ["edit", "a.jpg", "b", "--steps", "many"], ["up", "--port", "99999"]]
)
def test_wrong_usage_exits_with_2(words: list[str]) -> None:
    assert darkroom(*words).exit_code == 2


def test_the_version_for_people_and_for_programs() -> None:
    assert darkroom("version").stdout.startswith("darkroom ")
    assert set(json.loads(darkroom("version", "--json").stdout)) == {"version"}


def test_the_command_s_exit_status_and_its_streams_are_a_process_s(nowhere: str) -> None:
    command = [sys.executable, "-m", "darkroom", "list", "--url", nowhere]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (answer.returncode, answer.stdout) == (5, "")
    assert answer.stderr.startswith("darkroom: There is no Darkroom")


def test_a_command_line_starts_without_the_service_s_libraries() -> None:
    code = (
        "import sys, darkroom.cli.app\n"
        "heavy = {'fastapi', 'celery', 'redis', 'boto3', 'torch', 'pydantic', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_address_is_found_where_darkroom_up_has_written_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DARKROOM_URL", raising=False)
    assert Client(data=tmp_path).url == "http://127.0.0.1:8000"
    (tmp_path / "address").write_text("http://127.0.0.1:1234\n")
    assert Client(data=tmp_path).url == "http://127.0.0.1:1234"
    monkeypatch.setenv("DARKROOM_URL", "http://elsewhere")
    assert Client(data=tmp_path).url == "http://elsewhere"


def test_a_refusal_names_each_field_and_its_limit_once() -> None:
    problem = {
        "detail": "steps: must be from 2 to 1000.",
        "errors": [
            {"field": "steps", "detail": "must be from 2 to 1000"},
            {"field": "size", "detail": "must be 512x512, 256x256 or auto"},
        ],
    }
    request = httpx.Request("POST", "http://here/v1/jobs")
    error = refusal(httpx.Response(422, json=problem, request=request))
    assert str(error) == "steps: must be from 2 to 1000; size: must be 512x512, 256x256 or auto."
    assert error.status == 422
    assert error.problem == problem


def test_an_answer_that_is_no_problem_document_is_still_a_sentence() -> None:
    request = httpx.Request("GET", "http://here/v1/jobs")
    error = refusal(httpx.Response(502, text="<html>", request=request))
    assert str(error) == "http://here/v1/jobs answered 502 Bad Gateway, which is no Darkroom."


class BusyAtFirst(BaseHTTPRequestHandler):
    """Answers 503 twice, then 200. Records the requests."""

    asked: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers["Idempotency-Key"]))
        busy = len(self.asked) < 3
        self.send_response(503 if busy else 200)
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(json.dumps({"detail": "Redis is away."} if busy else {"queued": 0}).encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def busy() -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    asked: list[tuple[str, str | None]] = []
    handler = type("Handler", (BusyAtFirst,), {"asked": asked})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def test_a_busy_service_is_asked_again_when_it_says(busy: tuple[str, list[tuple[str, str | None]]]) -> None:
    url, asked = busy
    with Client(url) as client:
        assert client.queue().queued == 0
    assert len(asked) == 3


def test_a_submit_that_is_sent_again_is_one_job(busy: tuple[str, list[tuple[str, str | None]]]) -> None:
    url, asked = busy
    with Client(url) as client:
        client.jobs.create(b"picture", "make it blue")
    keys = {key for _, key in asked}
    assert len(asked) == 3
    assert len(keys) == 1
    assert None not in keys


def test_an_id_cannot_become_another_address(busy: tuple[str, list[tuple[str, str | None]]]) -> None:
    url, asked = busy
    with Client(url) as client:
        client.jobs.get("../queue?x#y")
    assert {path for path, _ in asked} == {"/v1/jobs/..%2Fqueue%3Fx%23y"}


def test_patience_ends(nowhere: str) -> None:
    with Client(nowhere) as client, pytest.raises(DarkroomError, match=r"There is no Darkroom at .*darkroom up"):
        client.jobs.get("x")
