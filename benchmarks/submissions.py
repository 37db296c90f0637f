"""Measures what a submission costs: CPU of each process, round trips to Redis, and memory.

`./dev bench submissions [--count N] [--quick] [--json]`. One web tier at its limit gets submissions from eight clients
that each wait for their answers: a JPEG of 200 kB, without a worker. Any answer other than 202, 429 and 503 ends the
run. `--count 10000` is the long run, in which the memory at the end must be the same as after the first thousand.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import redis

from benchmarks._machine import describe
from benchmarks._stack import Servers, cpu_seconds, more_files, photo, rss, servers, web_tier
from benchmarks.api import CONNECTIONS, Line, form, quantile

FULL, QUICK = 1000, 8
WARM_UP = 0.1  #: share of the submissions that are sent before the measurement
AFTER = (429, 503)  #: what a service at its limit may answer


def children(pid: int) -> list[int]:
    """The running child processes of a thread (Linux)."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def processor_ms(pid: int) -> float:
    """The CPU milliseconds of one process alone."""
    return 1000 * cpu_seconds(pid)[0]


def tree_ms(pid: int) -> float:
    """The CPU milliseconds of a process and of all its descendants, ended or not."""
    return 1000 * sum(cpu_seconds(pid)) + sum(map(tree_ms, children(pid)))


def spent(parts: Servers, api: int) -> dict[str, float]:
    """The CPU milliseconds of each part so far."""
    program = sum(map(tree_ms, descendants(api)))
    return {
        "web tier": processor_ms(api),
        "decoders": program,
        "Valkey": processor_ms(parts.valkey.pid),
        "SeaweedFS": processor_ms(parts.seaweed.pid),
        "client": 1000 * time.process_time(),
    }


def descendants(api: int) -> list[int]:
    """The processes that any thread of the web tier has started."""
    threads = Path(f"/proc/{api}/task").iterdir()
    return [int(child) for thread in threads for child in (thread / "children").read_text().split()]


async def submit(port: int, requests: list[bytes], statuses: Counter[int]) -> list[float]:
    """Send the requests over eight connections. Returns the milliseconds of each."""
    took: list[float] = []

    async def one() -> None:
        line = await Line.open(port)
        while requests:
            request = requests.pop()
            started = time.perf_counter()
            try:
                status, body = await line.ask(request)
            except (OSError, asyncio.IncompleteReadError):
                line = await Line.open(port)
                status, body = await line.ask(request)
            took.append(1000 * (time.perf_counter() - started))
            statuses[status] += 1
            if status >= 300 and status not in AFTER:
                raise SystemExit(f"a submission was answered with {status}: {body[:300]!r}")
        line.close()

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    return took


def measure(count: int) -> dict[str, Any]:
    """Measure this many submissions after a warm-up."""
    request = form("/v1/jobs", photo(), prompt="make it sepia", format="jpeg")
    statuses: Counter[int] = Counter()
    with servers(MAX_QUEUED_JOBS="1000000", MAX_WAIT_SECONDS="1000000") as parts, web_tier(parts) as api:
        client = redis.Redis.from_url(parts.valkey.url)
        at_rest = rss(api.pid)
        asyncio.run(submit(api.port, [request] * max(CONNECTIONS, round(count * WARM_UP)), Counter()))
        before, reads, warm = spent(parts, api.pid), client.info("stats")["total_reads_processed"], rss(api.pid)
        started = time.perf_counter()
        took = asyncio.run(submit(api.port, [request] * count, statuses))
        seconds = time.perf_counter() - started
        after = spent(parts, api.pid)
        return {
            "answers": dict(statuses),
            "accepted_per_second": statuses[202] / seconds,
            "submit_p50_ms": quantile(took, 0.5),
            "submit_p99_ms": quantile(took, 0.99),
            "processor_ms": {part: (after[part] - before[part]) / count for part in after},
            "round_trips_to_redis": (client.info("stats")["total_reads_processed"] - reads) / count,
            "megabytes": {"at_rest": at_rest, "warm": warm, "at_the_end": rss(api.pid)},
        }


def table(report: dict[str, Any]) -> str:
    """The CPU milliseconds as a Markdown table, and the other results below it."""
    parts = report["processor_ms"]
    head = ["| " + " | ".join([*parts, "in all"]) + " |", "| --- " * (len(parts) + 1) + "|"]
    cells = [f"{ms:.1f}" for ms in (*parts.values(), sum(parts.values()))]
    rest = [f"{name}: {value}" for name, value in report.items() if name != "processor_ms"]
    return "\n".join([*head, "| " + " | ".join(cells) + " |", *rest])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} submissions")
    parser.add_argument("--count", type=int, default=FULL)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if sys.platform != "linux":
        raise SystemExit("it reads /proc, which only Linux has")
    more_files()
    os.environ.pop("ADMIN_KEY", None)
    report = {"machine": describe()} | measure(QUICK if arguments.quick else arguments.count)
    print(json.dumps(report, indent=1) if arguments.json else table(report))


if __name__ == "__main__":
    main()
