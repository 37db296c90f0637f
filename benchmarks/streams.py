"""Measures what a thousand event streams and a thousand long polls cost one web process and its other submissions.

`./dev bench streams [--quick] [--json]` starts its own uvicorn, Valkey and SeaweedFS, and stops them at the end.
"""

import argparse
import asyncio
import json
import statistics
import time
from dataclasses import dataclass
from typing import Any

import httpx
import redis

from benchmarks._machine import describe
from benchmarks._stack import Servers, more_files, photo, rss, servers, web_tier
from darkroom.local.services import Api

JOBS = 20  # the waiters wait for these jobs, in turn


@dataclass(frozen=True)
class Size:
    """The amount of measurements."""

    waiters: int
    submits: int
    idle_seconds: float
    settling_seconds: float = 3.0  #: after the last waiter has connected


FULL, QUICK = Size(1000, 300, 30.0), Size(20, 5, 0.5, settling_seconds=0.2)
LONGEST = 600.0  # seconds for all of it


@dataclass
class Line:
    """A connection with one request, answered or not."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


async def ask(api: Api, path: str, *, answered: bool) -> Line:
    """Open a connection and send a request. `answered`: wait for the first line of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port, limit=4096)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    if answered:
        first = await reader.readline()
        if b" 200 " not in first:
            raise SystemExit(f"{path} was answered with {first.decode()}")
    return Line(reader, writer)


def submit(http: httpx.Client, image: bytes) -> tuple[str, float]:
    """Submit a job. Returns its id and the milliseconds until it was accepted."""
    started = time.perf_counter()
    answer = http.post("/v1/jobs", files={"image": image}, data={"prompt": "make it sepia"})
    took = 1000 * (time.perf_counter() - started)
    answer.raise_for_status()
    return answer.json()["id"], took


def submits(http: httpx.Client, image: bytes, count: int) -> dict[str, float]:
    """Milliseconds of submissions, one after the other."""
    took = sorted(submit(http, image)[1] for _ in range(count))
    return {"p50_ms": statistics.median(took), "p99_ms": took[min(count - 1, round(0.99 * count))], "max_ms": took[-1]}


class Commands:
    """Redis' own count of the commands that it has served."""

    def __init__(self, parts: Servers) -> None:
        self.redis: Any = redis.Redis.from_url(parts.valkey.url)

    async def per_second(self, seconds: float) -> float:
        before, started = self._count(), time.monotonic()
        await asyncio.sleep(seconds)
        return (self._count() - before - 1) / (time.monotonic() - started)

    def _count(self) -> int:
        return int(self.redis.info("stats")["total_commands_processed"])


async def measure(parts: Servers, api: Api, size: Size) -> dict[str, Any]:
    commands, image = Commands(parts), photo()
    http = httpx.Client(base_url=api.url, timeout=30, trust_env=False)
    jobs = [submit(http, image)[0] for _ in range(JOBS)]
    alone = await asyncio.to_thread(submits, http, image, size.submits)
    lines: list[Line] = []
    report: dict[str, Any] = {"waiters_of_each_kind": size.waiters, "photo_bytes": len(image), "submit_alone": alone}
    at_rest, memory = await commands.per_second(size.idle_seconds), rss(api.pid)
    for kind, path, answered in (("stream", "/v1/jobs/{}/events", True), ("long_poll", "/v1/jobs/{}?wait=60", False)):
        paths = [path.format(jobs[number % JOBS]) for number in range(size.waiters)]
        lines += [await ask(api, path, answered=answered) for path in paths]
        await asyncio.sleep(size.settling_seconds)
        now = rss(api.pid)
        report[f"{kind}_kb"] = 1024 * (now - memory) / size.waiters
        memory = now
        grown = await commands.per_second(min(size.idle_seconds, 15)) - at_rest
        report[f"redis_commands_a_second_per_waiter_after_{kind}s"] = grown / len(lines)
    report["submit_beside"] = await asyncio.to_thread(submits, http, image, size.submits)
    waiting = sum(not line.reader.at_eof() for line in lines)
    report["still_open"] = waiting
    report["redis_commands_a_second_at_rest"] = at_rest
    for line in lines:
        line.writer.close()
    http.close()
    return report


async def bounded(parts: Servers, api: Api, size: Size) -> dict[str, Any]:
    return await asyncio.wait_for(measure(parts, api, size), LONGEST)


def show(report: dict[str, Any]) -> None:
    for name, value in report.items():
        if isinstance(value, dict):
            value = ", ".join(f"{k} {v:.1f}" if isinstance(v, float) else f"{k} {v}" for k, v in value.items())
        print(f"{name:58} {f'{value:.4g}' if isinstance(value, float) else value}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20 of each and 5 submissions")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else FULL
    if more_files() < 3 * size.waiters + 200:
        raise SystemExit(f"This needs {3 * size.waiters + 200} open files: see `ulimit -Hn`.")
    with servers(MAX_STREAMS="4000", MAX_STREAMS_PER_TENANT="4000") as parts, web_tier(parts) as api:
        report = {"machine": describe(), **asyncio.run(bounded(parts, api, size))}
    print(json.dumps(report, indent=1)) if arguments.json else show(report)


if __name__ == "__main__":
    main()
