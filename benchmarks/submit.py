"""How quickly a running service answers a submission while its worker computes, and how much memory it takes.

Start one with `darkroom up`, then `./dev bench submit [--url URL] [--json]`. Sends 101 jobs and cancels them.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import httpx

from darkroom.client import Client

PHOTO = Path(__file__).parent.parent / "examples" / "mountains.jpg"
IN_FLIGHT, WAITING, SAMPLES = 40, 10, 50


def submit(http: httpx.Client) -> tuple[str, float]:
    """One submission; its job, and the milliseconds until the answer."""
    data = {"prompt": "make it sepia", "steps": "200"}
    started = time.perf_counter()
    answer = http.post("/v1/jobs", files={"image": PHOTO.read_bytes()}, data=data)
    answer.raise_for_status()
    return answer.json()["id"], 1000 * (time.perf_counter() - started)


def measure(client: Client) -> dict[str, float]:
    """Milliseconds of 50 submissions behind ten waiting jobs and more, while the first ones are being computed."""
    with httpx.Client(base_url=client.url, timeout=30, trust_env=False) as http:
        jobs = [submit(http)[0] for _ in range(IN_FLIGHT + WAITING + 1)]
        while client.jobs.get(jobs[0]).step is None:
            time.sleep(0.05)
        samples = []
        for _ in range(SAMPLES):
            job, milliseconds = submit(http)
            jobs.append(job)
            samples.append(milliseconds)
        still_running = client.jobs.get(jobs[0]).status == "running"
        for job in jobs:
            client.jobs.cancel(job)
    quantiles = statistics.quantiles(samples, n=20)
    return {
        "worker_computed_throughout": still_running,
        "median_ms": statistics.median(samples),
        "p95_ms": quantiles[18],
        "max_ms": max(samples),
    }


def memory(data: Path) -> dict[str, float]:
    """Megabytes that each process of the local `darkroom up` holds (Linux: resident set size)."""
    names = {"uvicorn": "api_mb", "worker.app": "worker_mb", "worker.keeper": "keeper_mb"}
    parent, found = (data / "lock").read_text().strip(), {}
    for process in Path("/proc").glob("[0-9]*"):
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        if status["PPid"].strip() == parent:
            command = (process / "cmdline").read_text()
            found |= {name: int(status["VmRSS"].split()[0]) / 1024 for word, name in names.items() if word in command}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="the service's address; else DARKROOM_URL, else the local one's")
    parser.add_argument("--data", default=".darkroom", help="the data folder of the local `darkroom up`")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    at_rest = memory(Path(arguments.data)) if Path("/proc").is_dir() else {}
    with Client(arguments.url, arguments.data) as client:
        report = {**measure(client), **at_rest}
    if arguments.json:
        print(json.dumps(report, indent=1))
    else:
        for name, value in report.items():
            print(f"{name:28} {value if isinstance(value, bool) else f'{value:.1f}'}")


if __name__ == "__main__":
    main()
