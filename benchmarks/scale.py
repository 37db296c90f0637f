"""Measures how the service scales: 1 to 32 workers whose engine sleeps instead of computing, and 100,000 queued jobs.

`./dev bench scale [--quick] [--json] [--plot FILE]` starts its own servers, web tiers, keeper and Celery workers. It
measures, in this order:

1. bytes of Redis for each queued job, from 100,000 jobs written with the submit script, which share one picture; 2.
submissions and status requests with 10 and with 100,000 queued jobs, on two services that take turns; 3. the keeper's
and Redis' CPU while 100,000 jobs wait and nothing else happens; 4. jobs per second with 1, 2, 4, 8, 16 and 32 workers,
each of which does one job in `--sleep` seconds; 5. jobs per second with all of them and jobs that take no time: the
machine's limit, and whose CPU it is.
"""

import argparse
import io
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from benchmarks._machine import describe
from benchmarks._stack import Servers, cpu_seconds, more_files, rss, servers, web_tier
from darkroom.local.process import Process
from darkroom.local.services import Api, Keeper, Worker
from jobs import redis_keys
from jobs.api_keys import LOCAL_TENANT
from jobs.job import Job, new_id
from jobs.store import JobStore

ROOT = Path(__file__).parent.parent
LIMITS = {"MAX_QUEUED_JOBS": "1000000", "MAX_QUEUE": "1000000", "MAX_WAIT_SECONDS": "1000000000"}
SLOTS = 4
WORKER = {"EDITORS": "benchmarks._sleeping:load", "WORKER_SLOTS": str(SLOTS), "PYTHONPATH": str(ROOT)}
PARTS = ("records", "curve")


@dataclass(frozen=True)
class Size:
    """The amount of measurements."""

    queued: int = 100_000
    requests: int = 600
    workers: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    limit_workers: int = 4  #: workers that do not sleep; two cores cannot serve more
    seconds: float = 20.0
    sleep: float = 1.0


QUICK = Size(queued=200, requests=8, workers=(1,), limit_workers=1, seconds=0.5, sleep=0.2)


@dataclass
class Service:
    """Servers, a web tier and a keeper, with a client and access to the records."""

    parts: Servers
    api: Api
    keeper: Keeper
    http: httpx.Client
    store: JobStore
    workers: list[Worker] = field(default_factory=list)

    def submit(self, picture: bytes) -> str:
        """Submit one job over HTTP."""
        answer = self.http.post("/v1/jobs", files={"image": picture}, data={"prompt": "make it sepia"})
        return str(answer.raise_for_status().json()["id"])

    def fill(self, count: int, job: Job) -> float:
        """Write `count` copies of this job with the submit script. Returns the seconds that it took."""
        began = time.monotonic()
        with ThreadPoolExecutor(8) as writers:
            for _ in writers.map(lambda _: self.store.submit(replace(job, id=new_id())), range(count), chunksize=100):
                pass
        return time.monotonic() - began

    def memory(self) -> int:
        return int(self.store.redis.info("memory")["used_memory"])

    def succeeded(self) -> int:
        return int(self.store.redis.zcard(f"{redis_keys.INDEX}{LOCAL_TENANT}:succeeded"))

    def grow(self, count: int, **environment: str) -> None:
        """Start workers until there are `count`, and wait until all their slots are busy."""
        while len(self.workers) < count:
            settings = {**self.parts.environment, **WORKER, **environment}
            worker = Worker(self.parts.folder / f"worker-{len(self.workers)}", self.parts.lifeline, settings, 0)
            worker.spawn()
            self.workers.append(worker)
        while self.store.queue().running < count * SLOTS:
            time.sleep(0.2)

    def dismiss(self) -> None:
        with ThreadPoolExecutor(max(1, len(self.workers))) as stopping:
            for _ in stopping.map(Worker.stop, self.workers):
                pass
        self.workers.clear()

    def processes(self) -> Mapping[str, list[Process]]:
        return {
            "web tier": [self.api],
            "keeper": [self.keeper],
            "Redis": [self.parts.valkey],
            "S3": [self.parts.seaweed],
            "workers": [*self.workers],
        }


@contextmanager
def service() -> Iterator[Service]:
    with ExitStack() as stack:
        parts = stack.enter_context(servers(**LIMITS))
        parts.valkey.maxmemory = "2gb"
        api = stack.enter_context(web_tier(parts))
        keeper = stack.enter_context(Keeper(parts.folder / "logs", parts.lifeline, parts.environment, api.port))
        http = stack.enter_context(httpx.Client(base_url=api.url, timeout=30, trust_env=False))
        store = JobStore.connect(parts.valkey.url, timeout=5)
        made = Service(parts, api, keeper, http, store)
        stack.callback(made.dismiss)
        yield made


class Watch:
    """The CPU that each kind of process has used since this object was made."""

    def __init__(self, watched: Service) -> None:
        self._processes = watched.processes()
        self._began = time.monotonic()
        self._before = self._used()

    def _used(self) -> dict[str, float]:
        return {name: sum(sum(cpu_seconds(one.pid)) for one in many) for name, many in self._processes.items()}

    def seconds(self) -> dict[str, float]:
        return {name: used - self._before[name] for name, used in self._used().items()}

    def cores(self) -> dict[str, float]:
        elapsed = time.monotonic() - self._began
        return {name: used / elapsed for name, used in self.seconds().items()}


def picture() -> bytes:
    """A small photo, so that the pictures do not dominate the measurement."""
    data = io.BytesIO()
    Image.radial_gradient("L").resize((96, 64)).convert("RGB").save(data, "JPEG")
    return data.getvalue()


def quantiles(milliseconds: list[float]) -> dict[str, float]:
    ordered = sorted(milliseconds)
    return {"p50_ms": statistics.median(ordered), "p99_ms": ordered[round(0.99 * (len(ordered) - 1))]}


def latencies(few: Service, many: Service, requests: int) -> dict[str, Any]:
    """Submissions and status requests to both services, one after the other in turn."""
    image = picture()
    took: dict[str, dict[str, list[float]]] = {"submit": {"few": [], "many": []}, "status": {"few": [], "many": []}}
    ids = {"few": few.submit(image), "many": many.submit(image)}
    used = [Watch(few), Watch(many)]
    for _ in range(requests):
        for name, each in (("few", few), ("many", many)):
            started = time.perf_counter()
            if len(took["submit"][name]) * 3 <= len(took["status"][name]):
                each.store.cancel(each.submit(image), LOCAL_TENANT)  # so that the queues keep their length
                took["submit"][name].append(1000 * (time.perf_counter() - started))
            else:
                each.http.get(f"/v1/jobs/{ids[name]}").raise_for_status()
                took["status"][name].append(1000 * (time.perf_counter() - started))
    report: dict[str, Any] = {}
    for kind, by_name in took.items():
        report[kind] = {name: quantiles(times) for name, times in by_name.items()}
        for quantile in ("p50_ms", "p99_ms"):
            report[kind][f"ratio_{quantile[:3]}"] = report[kind]["many"][quantile] / report[kind]["few"][quantile]
    report["cores"] = {"few": used[0].cores(), "many": used[1].cores()}
    return report


def costs(watched: Service, requests: int) -> dict[str, dict[str, float]]:
    """CPU milliseconds of one submission and of one status request, for each kind of process."""
    image = picture()
    job = watched.submit(image)
    calls: dict[str, Callable[[], object]] = {
        "submit": lambda: watched.submit(image),
        "status": lambda: watched.http.get(f"/v1/jobs/{job}").raise_for_status(),
    }
    report = {}
    for name, call in calls.items():
        watch = Watch(watched)
        for _ in range(requests):
            call()
        report[name] = {kind: 1000 * seconds / requests for kind, seconds in watch.seconds().items()}
    return report


def throughput(watched: Service, seconds: float) -> dict[str, Any]:
    """Jobs per second, and the cores that each kind of process used meanwhile."""
    watch, began, before = Watch(watched), time.monotonic(), watched.succeeded()
    time.sleep(seconds)
    done = watched.succeeded() - before
    return {"jobs_per_second": done / (time.monotonic() - began), "cores": watch.cores()}


def curve(watched: Service, size: Size) -> list[dict[str, Any]]:
    points = []
    for count in size.workers:
        watched.grow(count, SLEEP_SECONDS=str(size.sleep))
        time.sleep(2 * size.sleep)
        point = throughput(watched, size.seconds)
        point |= {"workers": count, "linear": point["jobs_per_second"] * size.sleep / count}
        points.append(point)
        print(f"{count} workers: {point['jobs_per_second']:.2f} jobs/s", file=sys.stderr)
    return points


def template_of(filled: Service) -> Job:
    """A job as the web tier writes it, with its picture, as a template for many copies."""
    job = filled.store.get(filled.submit(picture()), LOCAL_TENANT)
    assert job  # noqa: S101
    return job


def measure_records(many: Service, took: float, size: Size) -> dict[str, Any]:
    """Latencies of a service with ten queued jobs and of `many`, which took so many seconds to fill."""
    with service() as few:
        few.fill(9, template_of(few))
        report = {"submit_script_per_second": size.queued / took, "latency": latencies(few, many, size.requests)}
    idle = Watch(many)
    time.sleep(min(10.0, size.seconds))
    return report | {"idle_cores": idle.cores(), "cpu_ms": costs(many, size.requests)}


def measure_curve(filled: Service, size: Size) -> dict[str, Any]:
    """Jobs per second by the number of workers, and at the machine's limit."""
    report: dict[str, Any] = {"curve": curve(filled, size)}
    report["megabytes"] = {"web tier": rss(filled.api.pid), "keeper": rss(filled.keeper.pid)}
    filled.dismiss()
    while filled.store.alive("worker") or filled.store.queue().running:
        time.sleep(0.1)
    filled.grow(size.limit_workers, SLEEP_SECONDS="0")
    time.sleep(2)
    return report | {"limit": throughput(filled, size.seconds) | {"workers": size.limit_workers}}


def measure(size: Size, parts: Sequence[str]) -> dict[str, Any]:
    with service() as filled:
        template, before = template_of(filled), filled.memory()
        took = filled.fill(size.queued, template)
        report: dict[str, Any] = {"bytes_a_job": (filled.memory() - before) / size.queued}
        if "records" in parts:
            report |= measure_records(filled, took, size)
        if "curve" in parts:
            report |= measure_curve(filled, size)
    return report


def plot(report: dict[str, Any], file: Path) -> None:
    """Plot jobs per second over workers, with a straight line for comparison."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    workers = [point["workers"] for point in report["curve"]]
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    axes.plot(workers, [count / report["sleep_seconds"] for count in workers], "--", color="#999", label="linear")
    axes.plot(workers, [point["jobs_per_second"] for point in report["curve"]], "o-", color="#b3261e", label="measured")
    axes.set(xscale="log", yscale="log", xlabel="workers", ylabel="jobs a second", xticks=workers, yticks=workers)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.set_title(f"One job a worker in {report['sleep_seconds']:g} s, {report['queued']:,} queued")
    axes.legend()
    figure.savefig(file, dpi=150)


def show(report: dict[str, Any]) -> str:
    lines = []
    if "latency" in report:
        lines.append(
            f"{report['bytes_a_job']:.0f} bytes of Redis a waiting job; "
            f"{report['submit_script_per_second']:.0f} a second written by the submit script"
        )
        for kind in ("submit", "status"):
            by_queue = report["latency"][kind]
            few, many = by_queue["few"], by_queue["many"]
            lines.append(
                f"{kind}: p50 {few['p50_ms']:.1f} ms at 10 queued, {many['p50_ms']:.1f} at {report['queued']} "
                f"(x {by_queue['ratio_p50']:.2f}); p99 {few['p99_ms']:.1f} and {many['p99_ms']:.1f}"
            )
        lines.append(f"cores while all wait: {_cores(report['idle_cores'])}")
        lines += [f"ms of CPU for a {kind}: {_cores(spent)}" for kind, spent in report["cpu_ms"].items()]
    lines += [
        f"{point['workers']:3} workers: {point['jobs_per_second']:6.2f} jobs/s, {point['linear']:.2f} x linear; "
        f"cores: {_cores(point['cores'])}"
        for point in report.get("curve", [])
    ]
    if "limit" in report:
        limit = report["limit"]
        lines.append(
            f"{limit['workers']:3} workers that do not sleep: {limit['jobs_per_second']:.1f} jobs/s; "
            f"cores: {_cores(limit['cores'])}"
        )
    return "\n".join(lines)


def _cores(by_name: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {used:.3f}" for name, used in by_name.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="200 jobs and one worker")
    parser.add_argument("--part", choices=PARTS, help="only this part: records are 1 to 3, curve 4 and 5")
    parser.add_argument("--workers", help="numbers of workers to try, such as 16,32")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--plot", type=Path, help="plot the curve into this file")
    arguments = parser.parse_args()
    more_files()
    size = QUICK if arguments.quick else Size()
    if arguments.workers:
        size = replace(size, workers=tuple(map(int, arguments.workers.split(","))))
    report = {"machine": describe(), "queued": size.queued, "sleep_seconds": size.sleep}
    report |= measure(size, [arguments.part] if arguments.part else PARTS)
    print(json.dumps(report, indent=1) if arguments.json else show(report))
    if arguments.plot and "curve" in report:
        plot(report, arguments.plot)


if __name__ == "__main__":
    main()
