"""More work than there is room for: `./dev chaos load [STORY] [--minutes N] [--seed N] [--json]`.

Requests come at their times, whether or not earlier ones were answered (open loop). Four stories: three times what the
workers can do; one tenant that floods while another sends a job now and then; forty jobs for two workers; a hundred
uploads that wait for two decoders, while others look at the queue and are refused.
"""

import argparse
import random
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from typing import Any

import httpx
from PIL import Image

from benchmarks._stack import rss
from chaos.house import PHOTO, SEED, STEPS, Accepted, House, Plan, png, until
from chaos.report import finish
from chaos.scenarios import Rules
from chaos.verdict import Evidence, judge
from jobs import redis_keys

Report = dict[str, Any]
ADMIN_KEY = "an admin key for a house of our own"
PICTURE = png(PHOTO)
CALIBRATION = 40.0  #: seconds
UPLOADS = 100  #: at a time


@dataclass
class Asked:
    """The answers to many requests: counts by status, and times in seconds."""

    statuses: dict[str, int] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    jobs: list[Accepted] = field(default_factory=list)
    unfriendly: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, answer: httpx.Response | None, seconds: float) -> None:
        status = str(answer.status_code) if answer is not None else "no answer"
        with self.lock:
            self.statuses[status] = self.statuses.get(status, 0) + 1
            self.seconds.append(seconds)
            if answer is not None and status in ("429", "503") and not answer.headers.get("retry-after"):
                self.unfriendly += 1

    def percentile(self, share: float) -> float:
        """The milliseconds within which this share of the answers came."""
        ordered = sorted(self.seconds)
        return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1) if ordered else 0.0


class Client:
    """Submits jobs and reads them, with or without a key."""

    def __init__(self, house: House, key: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        limits = httpx.Limits(max_connections=64)
        self.http = httpx.Client(base_url=house.api.url, timeout=30, trust_env=False, headers=headers, limits=limits)
        self.house = house
        self.asked, self.read = Asked(), Asked()

    def submit(self) -> None:
        """Submit one job. Refusals are counted, and not tried again."""
        number = next(self.house.numbers)
        prompt = f"job {number}"
        data = {"prompt": prompt, "seed": str(SEED), "steps": str(STEPS), "size": "256x256"}
        answer, seconds = timed(lambda: self.http.post("/v1/jobs", files={"image": PICTURE}, data=data))
        self.asked.note(answer, seconds)
        if answer is not None and answer.status_code == httpx.codes.ACCEPTED:
            with self.asked.lock:
                job = Accepted(number, answer.json()["id"], prompt, time.time())
                self.asked.jobs.append(job)
                self.house.accepted.append(job)

    def look_at_queue(self) -> None:
        """Read the state of the queue."""
        self.read.note(*timed(lambda: self.http.get("/v1/queue")))

    def look(self, chance: random.Random) -> None:
        """Read one of the accepted jobs."""
        if self.asked.jobs:
            job = chance.choice(self.asked.jobs)
            self.read.note(*timed(lambda: self.http.get(f"/v1/jobs/{job.id}")))


def timed(call: Callable[[], httpx.Response]) -> tuple[httpx.Response | None, float]:
    """The answer, None if there was none, and the seconds that it took."""
    started = time.monotonic()
    try:
        return call(), time.monotonic() - started
    except httpx.HTTPError:
        return None, time.monotonic() - started


def at_a_rate(pool: ThreadPoolExecutor, call: Callable[[], None], rate: float, seconds: float) -> None:
    """Start this many calls a second for a while, without waiting for their answers."""
    started, made = time.monotonic(), 0
    while (now := time.monotonic() - started) < seconds:
        if now >= made / rate:
            pool.submit(call)
            made += 1
        else:
            time.sleep(min(0.05, made / rate - now))


def ended(house: House) -> int:
    """How many runs have ended."""
    return sum(run.ended is not None for run in house.runs())


def calibrate(house: House) -> float:
    """Measure how many jobs a second the workers finish while the queue is never empty."""
    over, client = threading.Event(), Client(house)

    def keep_busy() -> None:
        while not over.wait(0.02):
            if house.waiting() < 10:
                client.submit()

    feeding = threading.Thread(target=keep_busy, daemon=True)
    feeding.start()
    until(lambda: ended(house) >= 4, 60)
    before, started = ended(house), time.monotonic()
    time.sleep(CALIBRATION)
    rate = (ended(house) - before) / (time.monotonic() - started)
    over.set()
    feeding.join()
    house.wait_for_all(60)
    return rate


def overload(minutes: float, seed: int) -> Report:
    """Three times what the workers can do."""
    rules, chance = Rules(), random.Random(seed)
    plan = Plan(workers=2, slots=2, seconds=2.0, settings={"LEASE_SECONDS": "15", "MAX_QUEUE": "40"})
    with House(plan) as house, ThreadPoolExecutor(64) as pool:
        capacity = calibrate(house)
        client, memory, longest = Client(house), [float(rss(house.api.pid))], [0]
        over = threading.Event()

        def watch() -> None:
            while not over.wait(0.2):
                client.look(chance)
                longest.append(house.waiting())
                memory.append(rss(house.api.pid))

        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        at_a_rate(pool, client.submit, 3 * capacity, 20)  # until the queue is full
        before, started = ended(house), time.monotonic()
        at_a_rate(pool, client.submit, 3 * capacity, 60 * minutes)
        goodput = (ended(house) - before) / (time.monotonic() - started)
        over.set()
        watching.join()
        all_ended = house.wait_for_all(120)
        promises = house.store.eta_accuracy()
        verdict = judge(Evidence.of(house))
    early, late = (statistics.mean(part) for part in (memory[: len(memory) // 4], memory[-len(memory) // 4 :]))
    slow = client.read.percentile(0.99)
    rules.must(goodput >= 0.9 * capacity, f"goodput was {goodput:.2f} jobs a second of {capacity:.2f}")
    rules.must(set(client.asked.statuses) <= {"202", "429", "503"}, f"submissions got {client.asked.statuses}")
    rules.must(not client.asked.unfriendly, f"{client.asked.unfriendly} refusals had no Retry-After")
    rules.must(slow < 250, f"one read in a hundred took more than {slow} ms")
    rules.must(late <= 1.1 * early, f"the web tier's memory grew from {early:.0f} to {late:.0f} MB")
    rules.must(max(longest) <= 40, f"{max(longest)} jobs waited, 40 may")
    rules.must(all_ended is not None, "not every accepted job ended")
    return {
        "capacity_jobs_per_second": round(capacity, 2),
        "asked_jobs_per_second": round(3 * capacity, 2),
        "goodput_jobs_per_second": round(goodput, 2),
        "goodput_share": round(goodput / capacity, 3),
        "submissions": client.asked.statuses,
        "submit_p99_ms": client.asked.percentile(0.99),
        "read_p50_ms": client.read.percentile(0.5),
        "read_p99_ms": slow,
        "reads": len(client.read.seconds),
        "longest_queue": max(longest),
        "promises": promises and asdict(promises),
        "web_tier_mb": [round(early, 1), round(late, 1)],
        "wrong": rules.wrong + verdict.wrong,
    }


def flood(minutes: float, _seed: int) -> Report:
    """One tenant sends ten times what the workers can do, another one job every few seconds."""
    rules = Rules()
    settings = {"LEASE_SECONDS": "15", "AUTH": "on", "ADMIN_KEY": ADMIN_KEY, "MAX_QUEUED_JOBS": "60"}
    settings |= {"WRITES_PER_MINUTE": "100000", "READS_PER_MINUTE": "100000"}
    with House(Plan(workers=2, slots=2, seconds=1.0, settings=settings)) as house, ThreadPoolExecutor(32) as pool:
        calm, busy, flooder = (Client(house, key_of(house, tenant)) for tenant in ("quiet", "quiet", "flooder"))
        at_a_rate(pool, calm.submit, 0.5, 40)
        house.wait_for_all(60)
        flooding = threading.Thread(target=at_a_rate, args=(pool, flooder.submit, 12.0, 60 * minutes + 10), daemon=True)
        flooding.start()
        time.sleep(10)
        at_a_rate(pool, busy.submit, 0.5, 60 * minutes)
        flooding.join()
        house.wait_for_all(120)
        alone, beside = waits(house, calm.asked.jobs), waits(house, busy.asked.jobs)
        verdict = judge(Evidence.of(house))
    rules.must(beside <= 2 * alone, f"another tenant's job took {beside} s instead of {alone} s")
    rules.must(flooder.asked.statuses.get("429"), f"the flooder got {flooder.asked.statuses}")
    rules.must(set(busy.asked.statuses) == {"202"}, f"the other tenant got {busy.asked.statuses}")
    return {
        "other_alone_p95_seconds": alone,
        "other_beside_a_flood_p95_seconds": beside,
        "flooder": flooder.asked.statuses,
        "wrong": rules.wrong + verdict.wrong,
    }


def key_of(house: House, tenant: str) -> str:
    """A new key of a tenant."""
    admin = {"Authorization": f"Bearer {ADMIN_KEY}"}
    made = httpx.post(f"{house.api.url}/v1/admin/keys", headers=admin, json={"tenant": tenant}, trust_env=False)
    return str(made.raise_for_status().json()["key"])


def waits(house: House, jobs: list[Accepted]) -> float:
    """The 95th percentile of the seconds from acceptance to the end."""
    took = sorted(((job.finished_ms or 0) - job.created_ms) / 1000 for job in map(house.job, jobs))
    return round(took[min(len(took) - 1, int(0.95 * len(took)))], 2)


def hoard(_minutes: float, _seed: int) -> Report:
    """Forty jobs for two workers that could hold thirty-two each: neither may hoard them."""
    rules, most = Rules(), 0
    with House(Plan(workers=2, slots=32, seconds=4.0, settings={"LEASE_SECONDS": "15"})) as house:
        house.redis.set(redis_keys.PAUSED, "0")
        for _ in range(40):
            house.submit()
        house.redis.delete(redis_keys.PAUSED)
        held = [redis_keys.HELD_JOBS + (house.worker_of(worker.pid) or "") for worker in house.workers]
        while house.unfinished():
            most = max(most, *(house.redis.scard(key) for key in held))
            time.sleep(0.05)
        done = {pid: sum(run.pid == pid for run in house.runs()) for pid in {run.pid for run in house.runs()}}
        verdict = judge(Evidence.of(house))
    rules.must(most <= 20, f"a worker held {most} of forty jobs")
    return {"most_held": most, "runs_by_worker": sorted(done.values()), "wrong": rules.wrong + verdict.wrong}


def stall(minutes: float, _seed: int) -> Report:
    """A hundred uploads at a time wait for two decoders; others look at the queue, or come without a key."""
    rules = Rules()
    waiting: list[int] = []
    settings = {"AUTH": "on", "ADMIN_KEY": ADMIN_KEY, "WRITES_PER_MINUTE": "1000000", "READS_PER_MINUTE": "1000000"}
    plan = Plan(workers=0, web_by_proxy=False, settings=settings | {"MAX_WAIT_SECONDS": "1000000"})
    with House(plan) as house, ThreadPoolExecutor(32) as pool:
        looker, stranger = Client(house, key_of(house, "calm")), Client(house, "dk_none")
        at_a_rate(pool, looker.look_at_queue, 20, 10)
        alone, looker.read = looker.read, Asked()
        uploads = Uploads(house.api.url, key_of(house, "busy"))
        uploads.start()
        until(lambda: uploads.under_way() >= UPLOADS, 60)
        asking = threading.Thread(target=at_a_rate, args=(pool, stranger.submit, 5, 60 * minutes), daemon=True)
        asking.start()

        def look() -> None:
            waiting.append(uploads.under_way())
            looker.look_at_queue()

        at_a_rate(pool, look, 20, 60 * minutes)
        asking.join()
        statuses = uploads.stop()
    slow = looker.read.percentile(0.99)
    rules.must(slow < 50, f"one look at the queue in a hundred took more than {slow} ms")
    rules.must(set(looker.read.statuses) == {"200"}, f"looks at the queue got {looker.read.statuses}")
    rules.must(set(stranger.asked.statuses) == {"401"}, f"submissions without a key got {stranger.asked.statuses}")
    rules.must(set(statuses) <= {"202", "503"}, f"uploads got {statuses}")
    return {
        "uploads_at_a_time": round(statistics.mean(waiting), 1),
        "uploads": statuses,
        "looks": len(looker.read.seconds),
        "look_alone_p50_ms": alone.percentile(0.5),
        "look_alone_p99_ms": alone.percentile(0.99),
        "look_p50_ms": looker.read.percentile(0.5),
        "look_p99_ms": slow,
        "refusals": len(stranger.asked.seconds),
        "refusal_p50_ms": stranger.asked.percentile(0.5),
        "refusal_p99_ms": stranger.asked.percentile(0.99),
        "wrong": rules.wrong,
    }


class Uploads:
    """A process that submits pictures that take a decoder the longest time allowed."""

    def __init__(self, url: str, key: str) -> None:
        context = get_context("spawn")
        self._over, self._under_way, self._answers = context.Event(), context.Value("i", 0), context.Queue()
        parts = (url, key, self._over, self._under_way, self._answers)
        self._process = context.Process(target=keep_uploading, args=parts, daemon=True)

    def start(self) -> None:
        self._process.start()

    def under_way(self) -> int:
        return int(self._under_way.value)

    def stop(self) -> dict[str, int]:
        """End it; returns how often each status came."""
        self._over.set()
        statuses: dict[str, int] = self._answers.get(timeout=120)
        self._process.join()
        return statuses


def keep_uploading(url: str, key: str, over: Any, under_way: Any, answers: Any) -> None:
    """The process: keep a hundred uploads under way, but begin at most 20 in a second."""
    picture, asked = png(Image.linear_gradient("L").resize((7800, 5000)).convert("RGB")), Asked()
    limits = httpx.Limits(max_connections=UPLOADS)
    headers = {"Authorization": f"Bearer {key}"}
    http = httpx.Client(base_url=url, timeout=120, trust_env=False, headers=headers, limits=limits)

    def upload() -> None:
        asked.note(*timed(lambda: http.post("/v1/jobs", files={"image": picture}, data={"prompt": "x"})))
        with under_way.get_lock():
            under_way.value -= 1

    with ThreadPoolExecutor(UPLOADS) as pool:
        while not over.wait(0.05):
            if under_way.value < UPLOADS:
                with under_way.get_lock():
                    under_way.value += 1
                pool.submit(upload)
    answers.put(asked.statuses)


STORIES = {"overload": overload, "flood": flood, "hoard": hoard, "stall": stall}


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./dev chaos load", description=__doc__)
    parser.add_argument("story", nargs="?", choices=STORIES, default="overload")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(words)
    told = STORIES[given.story](given.minutes, given.seed)
    return finish(
        {"story": given.story, "poison": Plan().poison, "minutes": given.minutes, "seed": given.seed, **told},
        as_json=given.json,
    )
