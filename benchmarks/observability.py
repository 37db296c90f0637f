"""Evaluates every panel and alert of ours in a real Prometheus while the service works.

`./dev bench observability [--minutes N] [--quick] [--plot FILE] [--json]` starts what docker-compose.yml describes,
including Prometheus (`apt install prometheus nginx-light`), and gives it work: edits with webhooks whose receiver
sometimes fails, cancellations, client errors, and a worker that is killed. Then it runs all queries of the dashboard
and the alerts, plots the answers, and fails if a query has none. An alert's condition is evaluated with `bool`, so that
an alert that does not fire also has an answer: 0.
"""

import argparse
import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from benchmarks._compose import HASTY, composed
from benchmarks._machine import describe
from tests.deploy.outside import ASKED, PHOTO, SERVICES, Outside
from tests.deploy.questions import alerts, panels

STEP = 5  #: seconds between two points of an answer
EVERY = 1.5  #: seconds between two submissions
COLUMNS = 4
COMPARISON = re.compile(r"(==|!=|>=|<=|>|<)(?=[^{}]*(?:\{|$))")

Points = list[tuple[float, float]]
Answer = dict[str, Points]  # by the name of each line


class Receiver(BaseHTTPRequestHandler):
    """Receives webhooks, and fails at every fifth."""

    count = 0

    def do_POST(self) -> None:
        Receiver.count += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(500 if Receiver.count % 5 == 0 else 204)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Log nothing."""


@contextmanager
def receiver() -> Iterator[int]:
    """Run a server that receives webhooks. Gives its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()


def work(outside: Outside, hook: str, seconds: float) -> None:
    """Act as clients: submit, read, sometimes cancel, and request a job that does not exist. One worker is killed."""
    began, worker, killed = time.monotonic(), outside.stack.containers["worker"], False
    for number in range(round(seconds / EVERY)):
        time.sleep(max(0.0, began + number * EVERY - time.monotonic()))
        with PHOTO.open("rb") as photo:
            answer = outside.http.post("/v1/jobs", files={"image": photo}, data=ASKED | {"webhook": hook})
        job = answer.raise_for_status().json()["id"]
        outside.http.get(f"/v1/jobs/{job}").raise_for_status()
        outside.http.get("/v1/jobs/00000000000000000000000000")
        if number % 7 == 0:
            outside.http.post(f"/v1/jobs/{job}/cancel").raise_for_status()
        if not killed and time.monotonic() - began > seconds / 3:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.start()
            killed = True


class Prometheus:
    """Answers queries about the time since its creation."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=30, trust_env=False)
        self.began = time.time()

    def ask(self, query: str, legend: str) -> Answer:
        """The lines of a query. Lines without a single number are left out."""
        span = {"start": self.began, "end": time.time(), "step": STEP}
        told = self.http.get("/api/v1/query_range", params={"query": query, **span}).json()
        if told["status"] != "success":
            raise SystemExit(f"Prometheus refuses {query!r}: {told['error']}")
        lines = {}
        for line in told["data"]["result"]:
            name = re.sub(r"{{\s*(\w+)\s*}}", lambda found: line["metric"].get(found[1], ""), legend)  # noqa: B023
            points = [(at - self.began, float(value)) for at, value in line["values"] if value != "NaN"]
            if points:
                lines[name] = points
        return lines

    def fired(self) -> list[str]:
        return sorted(
            {alert["labels"]["alertname"] for alert in self.http.get("/api/v1/alerts").json()["data"]["alerts"]}
        )


def measure(seconds: float, scrape: float, variables: Mapping[str, str]) -> dict[str, Any]:
    """The answers to all queries of the panels and alerts, after this much work and a wait for the last scrape."""
    with receiver() as port:
        local = {"DARKROOM_MODE": "local", "ALLOW_PRIVATE_NETWORKS": "127.0.0.1/32", "FETCH_PORTS": str(port)}
        with composed(local | variables, f"{SERVICES} prometheus") as outside:
            prometheus = Prometheus(f"http://127.0.0.1:{outside.stack.ports['prometheus', 9090]}")
            work(outside, f"http://127.0.0.1:{port}/", seconds)
            time.sleep(scrape)
            return {
                "machine": describe(),
                "panels": {
                    title: {legend: prometheus.ask(query, legend) for legend, query in queries.items()}
                    for title, queries in panels().items()
                },
                "alerts": {name: prometheus.ask(always(query), name) for name, query in alerts().items()},
                "fired": prometheus.fired(),
            }


def always(condition: str) -> str:
    """A condition as a number: 1 if all its parts hold, otherwise 0."""
    parts = re.split(r"\band\b", COMPARISON.sub(r"\1 bool", condition))
    return " * ".join(f"({part})" for part in parts)


def unanswered(report: dict[str, Any]) -> list[str]:
    """The queries without an answer."""
    asked = [
        (f"{title}: {legend}", lines) for title, each in report["panels"].items() for legend, lines in each.items()
    ]
    return [name for name, lines in [*asked, *report["alerts"].items()] if not lines]


def plot(report: dict[str, Any], file: Path) -> None:
    """A small plot for each panel, and below them the times when each alert's condition held."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    rows = -(-len(report["panels"]) // COLUMNS)
    figure = plt.figure(figsize=(4.4 * COLUMNS, 2.6 * rows + 0.3 * len(report["alerts"]) + 1), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=[2.6 * rows, 0.3 * len(report["alerts"]) + 1])
    for axes, (title, queries) in zip(above.subplots(rows, COLUMNS).flat, report["panels"].items(), strict=False):
        axes.set_title(title, fontsize=9)
        for lines in queries.values():
            for name, points in lines.items():
                axes.plot(*zip(*points, strict=True), label=name, linewidth=1)
        axes.tick_params(labelsize=7)
        axes.legend(fontsize=5, loc="upper left", ncols=2)
    for axes in above.axes[len(report["panels"]) :]:
        axes.set_axis_off()
    axes = below.subplots()
    for row, (name, lines) in enumerate(report["alerts"].items()):
        for points in lines.values():
            axes.scatter(
                [at for at, _ in points], [row] * len(points), c=["crimson" if v else "silver" for _, v in points], s=5
            )
        axes.text(-1, row, name, ha="right", va="center", fontsize=7)
    axes.set_yticks([])
    axes.set_xlabel("seconds; red: the alert's condition holds, gray: it does not", fontsize=8)
    axes.invert_yaxis()
    figure.savefig(file, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--quick", action="store_true", help="a few submissions; queries may stay without answer")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--plot", type=Path, help="plot the answers into this file")
    arguments = parser.parse_args()
    report = measure(3 * EVERY, 1, HASTY) if arguments.quick else measure(60 * arguments.minutes, 15, {})
    if arguments.plot:
        plot(report, arguments.plot)
    if arguments.json:
        print(json.dumps(report, indent=1))
    missing = unanswered(report)
    asked = sum(map(len, report["panels"].values())) + len(report["alerts"])
    fired = ", ".join(report["fired"]) or "none"
    print(f"{asked - len(missing)} of {asked} queries had an answer; alerts that fired: {fired}")
    if missing and not arguments.quick:
        raise SystemExit("No answer to:\n" + "\n".join(missing))


if __name__ == "__main__":
    main()
