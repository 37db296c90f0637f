"""A client that knows only the address of a compose stack: an edit, and normal requests during slow clients."""

import asyncio
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tests.deploy.compose import ROOT, Compose
from tests.deploy.slow_clients import Attack

SERVICES = "valkey s3 api keeper proxy worker"
PHOTO = ROOT / "examples" / "pagoda.jpg"
ASKED = {"prompt": "make it sepia", "size": "256x256", "steps": "4", "seed": "1"}


@dataclass(frozen=True)
class Size:
    """The number of slow clients, and for how long normal traffic is measured."""

    heads: int
    bodies: int
    reads: int
    seconds: float


RATE = 10.0  #: normal requests a second, one in ten a submission


class Outside:
    """A client that knows only the address and its own key."""

    def __init__(self, stack: Compose) -> None:
        self.stack = stack
        self.http = httpx.Client(base_url=stack.url, timeout=60, trust_env=False)
        self.key = self._new_key()
        self.http.headers["Authorization"] = f"Bearer {self.key}"

    def _new_key(self) -> str:
        admin = {"Authorization": f"Bearer {self.stack.variables['ADMIN_KEY']}"}
        over = time.monotonic() + 120
        while not (self.http.get("/readyz").is_success and self.http.get("/v1/queue", headers=admin).json()["workers"]):
            if time.monotonic() > over:
                raise SystemExit("The stack is not ready after two minutes.")
            time.sleep(0.2)
        made = self.http.post("/v1/admin/keys", headers=admin, json={"name": "outside", "scopes": ["submit", "read"]})
        return str(made.raise_for_status().json()["key"])

    def submit(self, asked: Mapping[str, str] = ASKED) -> str:
        with PHOTO.open("rb") as photo:
            answer = self.http.post("/v1/jobs", files={"image": photo}, data=asked)
        return str(answer.raise_for_status().json()["id"])

    def edit(self, steps: int = 4) -> dict[str, Any]:
        """One edit as a client sees it: submitted, followed, fetched by its link without a key."""
        job, arrivals, began = self.submit(ASKED | {"steps": str(steps)}), [], time.monotonic()
        with self.http.stream("GET", f"/v1/jobs/{job}/events") as events:
            for line in events.iter_lines():
                if line.startswith("event:"):
                    arrivals.append((line.removeprefix("event:").strip(), time.monotonic() - began))
                if line.startswith("event: done"):
                    break
        link = self.http.get(f"/v1/jobs/{job}/output", follow_redirects=False)
        location = link.headers["location"]
        picture, forged = httpx.get(location, trust_env=False), httpx.get(location[:-4] + "0000", trust_env=False)
        return {
            "events": [kind for kind, _ in arrivals],
            "first_event_ms": 1000 * arrivals[0][1],
            "seconds": arrivals[-1][1],
            "link": location.split("?")[0],
            "picture": f"{picture.status_code} {picture.headers['content-type']} {len(picture.content)} bytes",
            "forged_link": forged.status_code,
        }


async def normal_traffic(outside: Outside, seconds: float) -> dict[str, Any]:
    """Send requests at a fixed rate. Returns the number of failures, and the milliseconds of each kind of request."""
    took: dict[str, list[float]] = {"read": [], "submit": []}
    failures: list[str] = []
    headers = {"Authorization": f"Bearer {outside.key}"}
    photo = PHOTO.read_bytes()

    async def one(http: httpx.AsyncClient, kind: str) -> None:
        started = time.perf_counter()
        try:
            if kind == "submit":
                answer = await http.post("/v1/jobs", files={"image": photo}, data=ASKED | {"steps": "2"})
            else:
                answer = await http.get("/v1/queue")
            if not answer.is_success:
                failures.append(f"{kind}: {answer.status_code}")
        except httpx.HTTPError as error:
            failures.append(f"{kind}: {type(error).__name__}")
        took[kind].append(1000 * (time.perf_counter() - started))

    async with httpx.AsyncClient(base_url=outside.stack.url, headers=headers, timeout=30, trust_env=False) as http:
        began, requests = time.monotonic(), []
        for number in range(round(seconds * RATE)):
            await asyncio.sleep(max(0.0, began + number / RATE - time.monotonic()))
            requests.append(asyncio.create_task(one(http, "submit" if number % 10 == 0 else "read")))
        await asyncio.gather(*requests)
    total = sum(map(len, took.values()))
    return {"requests": total, "failed": len(failures), "failures": failures[:10]} | {
        f"{kind}_ms": {"p50": statistics.median(times), "p99": sorted(times)[round(0.99 * (len(times) - 1))]}
        for kind, times in took.items()
    }


async def slow_clients(outside: Outside, size: Size) -> dict[str, Any]:
    """Measure normal traffic alone, and during slow clients."""
    alone = await normal_traffic(outside, size.seconds / 3)
    port = outside.stack.ports["proxy", 8080]
    async with Attack(port, size.heads, size.bodies, size.reads, outside.key) as attack:
        await asyncio.sleep(2)
        there_at_first = attack.still_there
        beside = await normal_traffic(outside, size.seconds)
    there = {"slow_clients_at_first": there_at_first, "how_they_ended": dict(attack.outcomes)}
    return {"alone": alone, "beside": beside, **there}
