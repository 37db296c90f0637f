"""Compares our service with BentoML tasks, coglet, and plain FastAPI with Celery: the same 0.2 s job, S3 and machine.

`./dev bench api [--quick] [--rounds N] [--only NAME] [--json]`. Latencies are measured at half of each side's own
capacity, and at one rate for all sides. If a side's worker is a separate process, its capacity is also measured without
the worker. At the end our service runs with its real engine: its latency while the engine computes, and the memory of
each process at rest.

The peers are installed with exact versions into a separate venv under .darkroom. Only one side runs at a time, and the
sides take turns. Each has one process as its web tier and 32 job slots. Our job does more than those of the peers,
which only sleep: it fetches the picture, writes a JPEG and stores it.

`stored`: the picture is in S3 before the submission is answered. `shipped`: the peer's own default. coglet cannot store
a picture before it answers. There the client's own upload to S3 counts as part of the submission. coglet has no queue
and no job status. It refuses jobs without a free slot, and only accepted ones are counted.
"""

import argparse
import asyncio
import base64
import json
import os
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import redis
from botocore.config import Config

from benchmarks._machine import describe
from benchmarks._stack import Servers, more_files, photo, rss, servers
from darkroom.local.ports import free_ports
from darkroom.local.process import Process
from darkroom.local.services import Api, Keeper, Worker

PEERS = Path(__file__).parent / "peers"
ROOT = PEERS.parent.parent
JOB_SECONDS = 0.2
CONNECTIONS = 8
OURS = "darkroom stored"


@dataclass(frozen=True)
class Size:
    """The amount of measurements."""

    rounds: int
    seconds: float  #: webhooks, one after the other
    calls: int  #: webhooks, one after the other
    rate: float = 15.0  #: submissions a second at which all sides are compared
    computed: int = 40  #: submissions while the engine computes
    engine: tuple[tuple[str, str], ...] = ()  #: settings of an engine that only pretends to compute


FULL, QUICK = Size(5, 15.0, 50), Size(1, 0.3, 1, computed=2, engine=(("EDITORS", "benchmarks._sleeping:load"),))


class Program(Process):
    """One process of a side. It is ready when its port answers, or when it has created its ready file."""

    patience = 90.0

    def __init__(
        self, parts: Servers, name: str, command: list[str], environment: dict[str, str], port: int | None = None
    ) -> None:
        self.name = name
        super().__init__(parts.folder / "peers" / name, parts.lifeline)
        self._command, self._environment, self.port = command, environment, port
        self._ready_file = self.folder / "ready"
        self._ready_file.unlink(missing_ok=True)

    def command(self) -> list[str]:
        return self._command

    def environment(self) -> dict[str, str]:
        return self._environment | {"READY_FILE": str(self._ready_file)}

    def ready(self) -> bool:
        return self._ready_file.exists() if self.port is None else asyncio.run(answers(self.port))


async def answers(port: int) -> bool:
    try:
        line = await Line.open(port)
        status, body = await line.ask(get("/health-check"))  # coglet's; a 404 of the others suffices
        line.close()
    except OSError:
        return False
    return status == 404 or b'"READY"' in body


@dataclass
class Line:
    """One persistent connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def open(cls, port: int) -> "Line":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request. Returns status and body. Answers without a length are read as empty."""
        self.writer.write(request)
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0]) if b"content-length:" in head else 0
        return int(head[9:12]), await self.reader.readexactly(length)

    def close(self) -> None:
        self.writer.close()


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def post(path: str, kind: str, body: bytes, *headers: str) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def form(path: str, image: bytes, **fields: str) -> bytes:
    parts = [f'--b\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode() for k, v in fields.items()]
    file = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    return post(path, "multipart/form-data; boundary=b", b"".join(parts) + file + image + b"\r\n--b--\r\n")


@dataclass
class Side:
    """A running service: how to submit to it and how to ask it."""

    port: int
    submit: Callable[[str, str | None], bytes]  # a prompt, a webhook
    status: Callable[[bytes], bytes | None]  # the answer to a submission
    before: Callable[[], tuple[int, bytes]] | None = None  # a request to another service that belongs to the submission
    worker: Process | None = None  # if the worker is a process of its own
    processes: tuple[Process, ...] = ()  # those of our own service


@contextmanager
def ours(parts: Servers, image: bytes, _python: Path, _stored: bool) -> Iterator[Side]:
    sleeping = {"EDITORS": "benchmarks._sleeping:side_by_side", "SLEEP_SECONDS": str(JOB_SECONDS), "WORKER_SLOTS": "32"}
    with our_service(parts, image, sleeping) as side:
        yield side


@contextmanager
def our_service(parts: Servers, image: bytes, settings: dict[str, str]) -> Iterator[Side]:
    environment = parts.environment | {"PYTHONPATH": str(ROOT), "WORKER_GRACE_SECONDS": "1"} | settings
    environment["FETCH_PORTS"] = "80,443," + parts.environment["HOOK_PORT"]
    logs, (port,) = parts.folder / "logs", free_ports(1)
    kinds = (Api, Keeper, Worker)
    processes = tuple(kind(logs, parts.lifeline, environment, port) for kind in kinds)
    with ExitStack() as stack:
        for process in processes:
            stack.enter_context(process)

        def submit(prompt: str, webhook: str | None) -> bytes:
            hook = {"webhook": webhook} if webhook else {}
            return form("/v1/jobs", image, prompt=prompt, format="jpeg", **hook)

        def status(answer: bytes) -> bytes:
            return get("/v1/jobs/" + json.loads(answer)["id"])

        yield Side(port, submit, status, worker=processes[-1], processes=processes)


@contextmanager
def celery(parts: Servers, image: bytes, python: Path, stored: bool) -> Iterator[Side]:
    environment, (port,) = peer_environment(parts, stored), free_ports(1)
    app = ["uvicorn", "fastapi_celery:app", "--port", str(port), "--log-level", "warning"]
    worker = ["celery", "-A", "fastapi_celery:worker", "worker", "--pool=threads", "-c", "32", "--loglevel=WARNING"]
    with (
        Program(parts, "celery-web", [str(python), "-m", *app], environment, port),
        Program(parts, "celery-worker", [str(python), "-m", *worker], environment) as working,
    ):

        def submit(prompt: str, webhook: str | None) -> bytes:
            return form("/jobs", image, prompt=prompt, **({"webhook": webhook} if webhook else {}))

        yield Side(port, submit, lambda answer: get("/jobs/" + json.loads(answer)["id"]), worker=working)


@contextmanager
def bento(parts: Servers, image: bytes, python: Path, stored: bool) -> Iterator[Side]:
    home = parts.folder / "bentoml" / uuid.uuid4().hex  # each run has its own task table, a file in this folder
    environment = peer_environment(parts, stored) | {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}
    environment["BENTOML_RESULT_STORE"] = str(home / "tasks.db")
    (port,) = free_ports(1)
    command = [str(python), "-m", "bentoml", "serve", "bento:Edit", "--port", str(port), "--host", "127.0.0.1"]
    home.mkdir(parents=True)
    with Program(parts, "bento", command, environment, port):

        def submit(prompt: str, webhook: str | None) -> bytes:
            return form("/edit/submit", image, prompt=prompt, webhook=webhook or "")

        yield Side(port, submit, lambda answer: get("/edit/status?task_id=" + json.loads(answer)["task_id"]))


@contextmanager
def coglet(parts: Servers, image: bytes, python: Path, stored: bool) -> Iterator[Side]:
    (port,) = free_ports(1)
    environment = peer_environment(parts, False)
    environment |= {
        "PORT": str(port),
        "COG_PREDICT_TYPE_STUB": f"{PEERS / 'cog_edit.py'}:Edit",
        "COG_MAX_CONCURRENCY": "32",
    }
    environment["PATH"] = f"{python.parent}{os.pathsep}{os.environ['PATH']}"  # it runs `python` to start the predictor
    command = [str(python), "-m", "cog.server.http", "--host", "127.0.0.1"]
    inline = "data:image/jpeg;base64," + base64.b64encode(image).decode()
    with Program(parts, "coglet", command, environment, port):

        def submit(prompt: str, webhook: str | None) -> bytes:
            asked = {"input": {"image": "s3://kept" if stored else inline, "prompt": prompt}}
            asked |= {"webhook": webhook, "webhook_events_filter": ["completed"]} if webhook else {}
            return post("/predictions", "application/json", json.dumps(asked).encode(), "Prefer: respond-async")

        yield Side(port, submit, lambda _: None, upload(parts, image) if stored else None)


def upload(parts: Servers, image: bytes) -> Callable[[], tuple[int, bytes]]:
    """A function that makes signed PUT requests for the picture, as a client would."""
    client = boto3.client(
        "s3",
        endpoint_url=parts.seaweed.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=parts.seaweed.access_key,
        aws_secret_access_key=parts.seaweed.secret_key,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, proxies={}),
    )

    def request() -> tuple[int, bytes]:
        where = {"Bucket": parts.seaweed.bucket, "Key": f"peers/{uuid.uuid4().hex}"}
        url = client.generate_presigned_url("put_object", where)
        path = url.removeprefix(parts.seaweed.endpoint_url)
        port = parts.seaweed.ports[0]
        head = f"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len(image)}\r\n\r\n"
        return port, head.encode() + image

    return request


def peer_environment(parts: Servers, stored: bool) -> dict[str, str]:
    return parts.environment | {"PYTHONPATH": str(PEERS), "PEER_STORES": "1" if stored else "0"}


SIDES = {
    OURS: (ours, True),
    "fastapi+celery stored": (celery, True),
    "bentoml stored": (bento, True),
    "coglet stored": (coglet, True),
    "fastapi+celery shipped": (celery, False),
    "bentoml shipped": (bento, False),
    "coglet shipped": (coglet, False),
}


class Bell:
    """Receives webhooks and notes when each path was first called."""

    def __init__(self) -> None:
        heard: dict[str, float] = {}

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                heard.setdefault(self.path, time.perf_counter())
                self.rfile.read(int(self.headers.get("content-length") or 0))
                self.close_connection = "transfer-encoding" in self.headers
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.heard = heard
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Client:
    """Submits over persistent connections."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self._lines: dict[int, list[Line]] = {}

    async def ask(self, port: int, request: bytes) -> tuple[int, bytes]:
        idle = self._lines.setdefault(port, [])
        line = idle.pop() if idle else await Line.open(port)
        try:
            answer = await line.ask(request)
        except (OSError, asyncio.IncompleteReadError):  # closed while it was idle
            line = await Line.open(port)
            answer = await line.ask(request)
        idle.append(line)
        return answer

    async def submit(self, webhook: str | None = None) -> tuple[bool, bytes]:
        if self.side.before:
            status, body = await self.ask(*self.side.before())
            if status >= 300:
                raise SystemExit(f"S3 answered {status}: {body!r}")
        status, body = await self.ask(self.side.port, self.side.submit("make it sepia", webhook))
        if status >= 300 and status != 409:
            raise SystemExit(f"a submission was answered with {status}: {body[:300]!r}")
        return status < 300, body


async def webhooks(client: Client, bell: Bell, count: int) -> list[float]:
    """Milliseconds from the start of a submission to its webhook, without those of the job itself."""
    took = []
    for _ in range(count):
        path = "/" + uuid.uuid4().hex
        started = time.perf_counter()
        await client.submit(f"http://127.0.0.1:{bell.port}{path}")
        ends = started + 30
        while path not in bell.heard and time.perf_counter() < ends:
            await asyncio.sleep(0.001)
        if path not in bell.heard:
            raise SystemExit("no webhook came within 30 s")
        took.append(1000 * (bell.heard[path] - started - JOB_SECONDS))
    return took


async def capacity(client: Client, seconds: float) -> float:
    """Accepted submissions per second, from eight clients that each wait for their answers."""
    ends, accepted = time.perf_counter() + seconds, 0

    async def one() -> None:
        nonlocal accepted
        while time.perf_counter() < ends:
            good, _ = await client.submit()
            accepted += good
            if not good:
                await asyncio.sleep(0.005)

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    return accepted / (time.perf_counter() - started)


async def at_rate(client: Client, rate: float, seconds: float) -> tuple[list[float], list[float], int]:
    """Submit at a fixed rate and read the status of each job once.

    Returns the milliseconds of the submissions and of the status requests, and the number of refusals. Submissions are
    timed from when they were due, so that a stall also counts for those that it delays.
    """
    submits: list[float] = []
    reads: list[float] = []
    refused = 0

    async def one(due: float) -> None:
        nonlocal refused
        good, body = await client.submit()
        if not good:
            refused += 1
            return
        submits.append(1000 * (time.perf_counter() - due))
        request = client.side.status(body)
        if request:
            started = time.perf_counter()
            await client.ask(client.side.port, request)
            reads.append(1000 * (time.perf_counter() - started))

    begin, flights = time.perf_counter(), []
    for number in range(max(1, round(rate * seconds))):
        due = begin + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        flights.append(asyncio.create_task(one(due)))
    await asyncio.gather(*flights)
    return submits, reads, refused


def quantile(values: list[float], share: float) -> float | None:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else None


async def measure(side: Side, bell: Bell, size: Size) -> dict[str, float | None]:
    client = Client(side)
    await webhooks(client, bell, 1)  # the first one opens connections
    hooks = await webhooks(client, bell, size.calls)
    most = await capacity(client, size.seconds)
    report = {
        "accepted_per_second": most,
        "webhook_p50_ms": quantile(hooks, 0.5),
        "webhook_p99_ms": quantile(hooks, 0.99),
    }
    for where, rate in (("at_half", most / 2), (f"at_{size.rate:.0f}_a_second", size.rate)):
        submits, reads, refused = await at_rate(client, rate, size.seconds)
        report |= {
            f"submit_p50_ms_{where}": quantile(submits, 0.5),
            f"submit_p99_ms_{where}": quantile(submits, 0.99),
            f"status_p50_ms_{where}": quantile(reads, 0.5),
            f"status_p99_ms_{where}": quantile(reads, 0.99),
            f"refused_{where}": float(refused),
        }
    return report | {"accepted_per_second_without_worker": await without_worker(client, size.seconds)}


async def without_worker(client: Client, seconds: float) -> float | None:
    """Accepted submissions per second while no worker runs. None if the worker is not a separate process."""
    if client.side.worker is None:
        return None
    client.side.worker.stop()
    return await capacity(client, seconds)


async def while_computing(side: Side, image: bytes, count: int) -> dict[str, Any]:
    """Milliseconds of submissions, one after the other, while our worker computes edits that do not end."""
    client, endless = Client(side), form("/v1/jobs", image, prompt="make it sepia", steps="1000")
    megabytes = {f"{process.name}_mb": rss(process.pid) for process in side.processes}

    async def running() -> int:
        return int(json.loads((await client.ask(side.port, get("/v1/queue")))[1])["running"])

    await client.ask(side.port, endless)
    while not await running():
        await asyncio.sleep(0.02)
    took = []
    for _ in range(count):
        started = time.perf_counter()
        await client.ask(side.port, endless)
        took.append(1000 * (time.perf_counter() - started))
    return {
        "submit_p50_ms": quantile(took, 0.5),
        "submit_p95_ms": quantile(took, 0.95),
        "jobs_in_the_engine": await running(),
        **megabytes,
    }


def peer_python() -> Path:
    """The Python of the peers' venv. It is created once for each list of versions."""
    folder, pins = ROOT / ".darkroom" / "bench-peers", (PEERS / "requirements.txt").read_text()
    python, stamp = folder / "bin" / "python", folder / "installed"
    if not stamp.exists() or stamp.read_text() != pins:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        uv = str(Path(sys.executable).parent / "uv")
        subprocess.run([uv, "pip", "install", "-q", "-p", str(python), "-r", PEERS / "requirements.txt"], check=True)
        stamp.write_text(pins)
    return python


def run(names: list[str], size: Size) -> dict[str, Any]:
    """Measure the sides in turn, then our own service while its engine computes."""
    python, image, bell = peer_python() if names != [OURS] else Path(sys.executable), photo(), Bell()
    found: dict[str, list[dict[str, float | None]]] = {name: [] for name in names}
    local = {"ALLOW_PRIVATE_NETWORKS": "127.0.0.1/32", "HOOK_PORT": str(bell.port)}
    with servers(**local, MAX_QUEUED_JOBS="1000000", MAX_WAIT_SECONDS="1000000") as parts:
        for number in range(size.rounds):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                redis.Redis.from_url(parts.valkey.url).flushall()
                start, stored = SIDES[name]
                with start(parts, image, python, stored) as side:
                    found[name].append(asyncio.run(measure(side, bell, size)))
                print(f"round {number + 1}: {name}", file=sys.stderr)
        redis.Redis.from_url(parts.valkey.url).flushall()
        with our_service(parts, image, dict(size.engine)) as side:
            computing = asyncio.run(while_computing(side, image, size.computed))
            side.processes[-1].kill()  # its jobs would not end within its grace period
    bell.close()
    return {"rounds": found, "while_computing": computing}


def table(found: dict[str, list[dict[str, float | None]]]) -> str:
    """A Markdown table: medians over the rounds, with the lowest and highest in brackets."""
    columns = list(next(iter(found.values()))[0])
    lines = [
        "| side | " + " | ".join(column.replace("_", " ") for column in columns) + " |",
        "| --- " * (len(columns) + 1) + "|",
    ]
    for name, results in found.items():
        cells = []
        for column in columns:
            values = [value for result in results if (value := result[column]) is not None]
            spread = f" ({min(values):.0f}-{max(values):.0f})" if len(values) > 1 else ""
            cells.append(f"{statistics.median(values):.1f}{spread}" if values else "none")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round of our own service, without the peers")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--only", action="append", choices=list(SIDES), help="only this side; may be repeated")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    more_files()
    size = QUICK if arguments.quick else replace(FULL, rounds=arguments.rounds or FULL.rounds)
    os.environ.pop("ADMIN_KEY", None)
    names = arguments.only or ([OURS] if arguments.quick else list(SIDES))
    report = {"machine": describe(), "job_seconds": JOB_SECONDS} | run(names, size)
    if arguments.json:
        print(json.dumps(report, indent=1))
    else:
        print(table(report["rounds"]), *report["while_computing"].items(), sep="\n")


if __name__ == "__main__":
    main()
