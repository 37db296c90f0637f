"""Does everything that operators do to a running service, one after the other, while clients submit and read.

`./dev bench restarts [--quick] [--json]` starts what docker-compose.yml describes, with two web tiers, keepers and
workers (whose engine sleeps instead of computing). It needs nginx. It pauses and resumes the queue, drains a worker,
and restarts each of our processes as an upgrade does: SIGTERM, the grace period, a new process. No read and no
submission may fail, and each job must succeed.
"""

import argparse
import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks._compose import HASTY, SLEEPING, composed
from benchmarks._machine import describe
from darkroom.local.ports import free_ports
from tests.deploy.compose import Compose, Container
from tests.deploy.outside import ASKED, PHOTO, Outside

READS, SUBMISSIONS = 10.0, 2.0  #: per second
ENDS = 60.0  #: seconds in which the jobs must end afterwards


@dataclass(frozen=True)
class Plan:
    """The processes to restart, the seconds between two operations, and the stack's variables."""

    restarted: tuple[str, ...]
    calm: float
    variables: dict[str, str]


FULL = Plan(("keeper", "keeper-2", "worker", "worker-2", "api", "api-2"), 4.0, SLEEPING)
QUICK = Plan(("api-2",), 0.3, HASTY)


class Twice(Compose):
    """The compose file's services with `--scale api=2 --scale keeper=2 --scale worker=2`."""

    def __init__(self, folder: Path, variables: Mapping[str, str], names: str) -> None:
        super().__init__(folder, variables, names)
        for name in ("api", "keeper", "worker"):
            self.containers[f"{name}-2"] = self._twin(name)
        self._balance()

    def _twin(self, name: str) -> Container:
        twin = f"{name}-2"
        for (service, port), _ in list(self.ports.items()):
            if service == name:
                self.ports[twin, port] = free_ports(1)[0]
        return Container(twin, self._described[name], self)

    def _balance(self) -> None:
        """Make the proxy find both web tiers under one name, as Docker's name server does."""
        folder = self.containers["proxy"].folder / "mounted" / "nginx"
        servers = " ".join(f"server 127.0.0.1:{self.ports[name, 8000]};" for name in ("api", "api-2"))
        http, api = folder / "http.conf", folder / "api.conf"
        http.write_text(http.read_text() + f"\nupstream apis {{ {servers} }}\n")
        api.write_text(api.read_text().replace(f"http://127.0.0.1:{self.ports['api', 8000]};", "http://apis;"))


class Traffic:
    """Clients that know nothing of the operations: reads at one rate, submissions at another, one client that waits."""

    def __init__(self, outside: Outside) -> None:
        self.outside = outside
        self.jobs: list[str] = []
        self.asked = 0
        self.failures: list[str] = []
        self.over = threading.Event()

    async def run(self) -> None:
        headers = {"Authorization": f"Bearer {self.outside.key}"}
        url = self.outside.stack.url
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=70, trust_env=False) as http:
            await asyncio.gather(self._read(http), self._submit(http), self._wait(http))

    async def _ask(self, http: httpx.AsyncClient, method: str, path: str, **options: Any) -> httpx.Response | None:
        self.asked += 1
        try:
            answer = await http.request(method, path, **options)
        except httpx.HTTPError as error:
            self.failures.append(f"{method} {path}: {type(error).__name__}")
            return None
        if not answer.is_success:
            self.failures.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
            return None
        return answer

    async def _each(self, rate: float, ask: Callable[[], Any]) -> None:
        began, number, flying = time.monotonic(), 0, set()
        while not self.over.is_set():
            number += 1
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            flying.add(asyncio.create_task(ask()))
        await asyncio.gather(*flying)

    async def _read(self, http: httpx.AsyncClient) -> None:
        paths = ["/v1/queue", "/v1/jobs?limit=5", "/v1/models"]
        await self._each(READS, lambda: self._ask(http, "GET", paths[self.asked % 3]))

    async def _submit(self, http: httpx.AsyncClient) -> None:
        photo = PHOTO.read_bytes()

        async def submit() -> None:
            answer = await self._ask(http, "POST", "/v1/jobs", files={"image": photo}, data=ASKED)
            if answer:
                self.jobs.append(answer.json()["id"])

        await self._each(SUBMISSIONS, submit)

    async def _wait(self, http: httpx.AsyncClient) -> None:
        """Act as a client that always waits for its latest job."""
        while not self.over.is_set():
            if self.jobs:
                await self._ask(http, "GET", f"/v1/jobs/{self.jobs[-1]}?wait=20")
            await asyncio.sleep(0.05)


def operate(stack: Compose, plan: Plan) -> dict[str, float]:
    """Pause and resume the queue, drain a worker, and restart the processes. Returns the seconds of each operation."""
    admin = httpx.Client(base_url=stack.url, timeout=60, trust_env=False)
    admin.headers["Authorization"] = f"Bearer {stack.variables['ADMIN_KEY']}"
    took = {}

    def do(what: str, how: Callable[[], object]) -> None:
        time.sleep(plan.calm)
        began = time.monotonic()
        how()
        took[what] = round(time.monotonic() - began, 1)
        print(f"{what}: {took[what]} s", file=sys.stderr)

    def post(path: str) -> None:
        admin.post(f"/v1/admin/{path}").raise_for_status()

    def drain() -> None:
        worker = admin.get("/v1/admin/workers").json()["data"][0]["name"]
        post(f"workers/{worker}/drain")
        while next(w for w in admin.get("/v1/admin/workers").json()["data"] if w["name"] == worker)["holds"]:
            time.sleep(0.1)
        time.sleep(plan.calm)
        admin.delete(f"/v1/admin/workers/{worker}/drain").raise_for_status()

    do("pause", lambda: post("queue/pause"))
    do("resume", lambda: post("queue/resume"))
    do("drain a worker", drain)
    for name in plan.restarted:
        do(f"restart {name}", lambda name=name: restart(stack.containers[name]))  # type: ignore[misc]
    time.sleep(plan.calm)
    return took


def restart(container: Container) -> None:
    """Stop a process cleanly and start it again. Returns when it is healthy."""
    container.stop()
    container.start()
    ends = time.monotonic() + 60
    while container.health and not container.is_healthy():
        if time.monotonic() > ends:
            raise SystemExit(f"{container.name} is not healthy a minute after its restart.")
        time.sleep(0.2)


def measure(plan: Plan) -> dict[str, Any]:
    with composed(plan.variables, kind=Twice) as outside:
        traffic = Traffic(outside)
        clients = threading.Thread(target=lambda: asyncio.run(traffic.run()), daemon=True)
        clients.start()
        try:
            took = operate(outside.stack, plan)
        finally:
            traffic.over.set()
            clients.join(90)
        ended = {job: outcome(outside, job) for job in traffic.jobs}
    unlike = {job: said for job, said in ended.items() if said != "succeeded"}
    return {
        "machine": describe(),
        "seconds": took,
        "requests": traffic.asked,
        "failed": len(traffic.failures),
        "failures": traffic.failures[:10],
        "jobs": len(ended),
        "jobs_that_did_not_succeed": unlike,
    }


def outcome(outside: Outside, job: str) -> str:
    """The final status of a job, or its status after a minute."""
    return str(outside.http.get(f"/v1/jobs/{job}", params={"wait": ENDS}).json()["status"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="restart only one web tier, with shorter pauses")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    report = measure(QUICK if arguments.quick else FULL)
    print(json.dumps(report, indent=1) if arguments.json else report)
    if report["failed"] or report["jobs_that_did_not_succeed"]:
        raise SystemExit("Something failed.")


if __name__ == "__main__":
    main()
