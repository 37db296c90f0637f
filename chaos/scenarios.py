"""One fault each, and what must hold: `./dev chaos NAME [--seed N] [--json]`. Times are settings: most are quick."""

import argparse
import contextlib
import os
import random
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from chaos.house import Accepted, House, NamedWorker, Plan, stopped, until
from chaos.proxy import Mode, Proxy
from chaos.report import finish
from chaos.verdict import Evidence, Verdict, judge, left
from jobs import redis_keys
from jobs.job import Job

Report = dict[str, Any]
Story = Callable[[House, random.Random, "Rules"], Report]


@dataclass
class Rules:
    """Sentences about what did not hold."""

    wrong: list[str] = field(default_factory=list)

    def must(self, holds: object, otherwise: str) -> None:
        if not holds:
            self.wrong.append(otherwise)


@dataclass(frozen=True)
class Scenario:
    """A story, the house that it is told in, and how long its jobs have to end afterwards."""

    story: Story
    plan: Plan
    about: str
    afterwards: float = 60.0


def run(name: str, seed: int) -> Report:
    """One scenario; `wrong` is empty if all held."""
    scenario = SCENARIOS[name]
    rules, started = Rules(), time.monotonic()
    with House(scenario.plan) as house:
        told = scenario.story(house, random.Random(seed), rules)
        ended = house.wait_for_all(scenario.afterwards)
        until(lambda: not sum(left(house.redis).values()), scenario.afterwards)  # those that only a probe had sent
        verdict = judge(Evidence.of(house, exact=scenario.plan.engine == "fake"))
    rules.must(ended is not None, f"not all jobs had ended after {scenario.afterwards:.0f} s")
    seconds = round(time.monotonic() - started, 1)
    return {
        "scenario": name,
        "seed": seed,
        "poison": scenario.plan.poison,
        **told,
        **summary(verdict),
        "seconds": seconds,
        "wrong": rules.wrong + verdict.wrong,
    }


def summary(verdict: Verdict) -> Report:
    """What is worth a line of the report."""
    left_out = ("wrong", "webhooks", "webhooks_missing", "left_in_redis", "unexplained_runs", "poisoned_by_hits")
    return {name: value for name, value in asdict(verdict).items() if name not in left_out}


@contextmanager
def load(house: House, every: float = 0.3, manners: str = "") -> Iterator[None]:
    """Jobs that keep coming, one at a time, in the background."""
    over = threading.Event()

    def feed() -> None:
        while not over.wait(every):
            with contextlib.suppress(RuntimeError):
                house.submit(manners)

    feeding = threading.Thread(target=feed, daemon=True)
    feeding.start()
    try:
        yield
    finally:
        over.set()
        feeding.join(130)


@dataclass
class Probes:
    """What a client met that asked again and again: statuses, and the slowest answer."""

    statuses: dict[str, int] = field(default_factory=dict)
    slowest: float = 0.0

    def note(self, status: str, seconds: float) -> None:
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.slowest = max(self.slowest, round(seconds, 2))


@contextmanager
def probing(house: House, every: float = 0.2) -> Iterator[Probes]:
    """Ask for the queue again and again, by a client of its own."""
    probes, over = Probes(), threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=house.api.url, timeout=30, trust_env=False) as client:
            while not over.wait(every):
                started = time.monotonic()
                try:
                    status = str(client.get("/v1/queue").status_code)
                except httpx.HTTPError as error:
                    status = type(error).__name__
                probes.note(status, time.monotonic() - started)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    try:
        yield probes
    finally:
        over.set()
        asking.join(35)


def resumed(house: House, seconds: float) -> float | None:
    """The seconds from now until a job begins to run, or None."""
    now = time.time()
    return until(lambda: any(run.started > now for run in house.runs()[-1:]), seconds)


def holder(house: House, job: Accepted) -> NamedWorker | None:
    """The worker that has a job now."""
    name = house.redis.hget(redis_keys.JOB + job.id, "worker")
    for worker in house.workers:
        if worker.running and name and house.worker_of(worker.pid) == name:
            return worker
    return None


# ---- workers


def zombie(house: House, _: random.Random, rules: Rules) -> Report:
    """A worker sleeps for three leases in the middle of a job; another does it meanwhile; the first wakes up."""
    job = house.submit("takes 8")
    until(lambda: house.runs(), 20)
    worker = holder(house, job)
    assert worker  # noqa: S101 - it has just begun
    with stopped(worker.pid):
        time.sleep(3 * int(house.settings["LEASE_SECONDS"]))
        until(lambda: len(house.runs()) == 2, 20)
    house.wait_for_all(40)
    time.sleep(9)  # the zombie has reached its own end
    record = house.job(job)
    outcomes = [attempt.get("outcome") for attempt in record.attempts]
    rules.must(outcomes == ["crashed", "succeeded"], f"the attempts ended as {outcomes}")
    rules.must(len(house.runs()) == 2, "it did not run exactly twice")
    return {"attempts": outcomes}


def long_job(house: House, _: random.Random, rules: Rules) -> Report:
    """A job takes ten leases."""
    seconds = 10 * int(house.settings["LEASE_SECONDS"])
    house.submit(f"takes {seconds}")
    house.wait_for_all(seconds + 30)
    rules.must(len(house.runs()) == 1, f"it ran {len(house.runs())} times")
    return {"job_seconds": seconds}


def poison(house: House, _: random.Random, rules: Rules) -> Report:
    """One of eight jobs in a worker kills it, whenever it runs."""
    backs: list[float] = []
    jobs = [house.submit("takes 3") for _ in range(7)]
    culprit = house.submit("poison", meant="failed")
    worker = house.workers[0]
    while culprit in house.unfinished() and len(backs) < 10:
        pid = worker.pid
        until(lambda pid=pid: worker.pid != pid or culprit not in house.unfinished(), 60)  # type: ignore[misc]
        back = until(lambda: worker.running and house.worker_of(worker.pid), 60)
        if worker.pid != pid:
            backs.append(round(back or 60.0, 2))
    house.wait_for_all(60)
    record = house.job(culprit)
    rules.must((record.error or {}).get("type") == "poison", f"the poison ended as {record.status}: {record.error}")
    rules.must(len(record.attempts) <= 3, f"it was tried {len(record.attempts)} times")
    mates = {house.job(job).status.value for job in jobs}
    rules.must(mates == {"succeeded"}, f"its mates ended as {mates}")
    return {"attempts_of_the_poison": len(record.attempts), "worker_back_seconds": backs}


def hang(house: House, _: random.Random, rules: Rules) -> Report:
    """A step never ends; the worker's watchdog leaves the process, and its mates run again."""
    jobs = [house.submit("takes 30") for _ in range(3)]
    culprit = house.submit("hang", meant="failed")
    worker = house.workers[0]
    until(lambda: len(house.runs()) == 4, 30)
    pid, started = worker.pid, time.monotonic()
    until(lambda: worker.running and worker.pid != pid, 100)
    left = round(time.monotonic() - started, 1)
    rules.must(left < 65, f"the worker left after {left} s")
    rules.must("no progress" in worker.log.read_text(), "it did not say why it left")
    house.wait_for_all(900)
    rules.must(
        (house.job(culprit).error or {}).get("type") == "poison", f"the hung job ended as {house.job(culprit).error}"
    )
    rules.must(all(house.job(job).status.value == "succeeded" for job in jobs), "its mates did not succeed")
    return {"left_after_seconds": left}


def drain(house: House, chance: random.Random, rules: Rules) -> Report:
    """Twenty SIGTERMs in turn under load, the last on a worker with a hung job."""
    leaving: list[float] = []
    grace = float(house.settings["WORKER_GRACE_SECONDS"])
    with load(house, 0.3):
        for number in range(20):
            worker = house.workers[number % len(house.workers)]
            until(lambda worker=worker: worker.running and house.worker_of(worker.pid), 60)  # type: ignore[misc]
            time.sleep(chance.uniform(0.5, 1.5))
            leaving.append(leave(worker))
    house.wait_for_all(60)
    crashed = [job.id for job in house.accepted if house.job(job).crashes]
    extra = len(house.runs()) - len(house.accepted)
    rules.must(max(leaving) <= grace + 1, f"a drain took {max(leaving):.1f} s")
    rules.must(not crashed, f"{len(crashed)} jobs were charged with a crash")
    rules.must(extra == 0, f"{extra} jobs that fitted the grace ran again")
    hung = house.submit("hang", meant="canceled")
    until(lambda: any(run.number == hung.number for run in house.runs()), 30)
    worker = holder(house, hung) or house.workers[0]
    last = leave(worker)
    rules.must(last <= grace + 1, f"with a hung job it took {last:.1f} s")
    house.http.post(f"/v1/jobs/{hung.id}/cancel")
    house.wait_for_all(5)
    for worker in house.workers:
        worker.kill()  # whoever has the hung job by now
    return {
        "drains": len(leaving),
        "slowest_seconds": round(max(leaving), 1),
        "with_a_hung_job_seconds": round(last, 1),
    }


def leave(worker: NamedWorker) -> float:
    """SIGTERM; the seconds until the process is gone."""
    pid, started = worker.pid, time.monotonic()
    os.kill(pid, signal.SIGTERM)
    until(lambda: not worker.running or worker.pid != pid, 60, every=0.02)
    return time.monotonic() - started


def faults(house: House, _: random.Random, rules: Rules, *, slow: float) -> Report:
    """Eight edits find no memory for a pass; the device is lost; a first step takes `slow` seconds; an observer breaks;
    the weights become no numbers."""
    worker, told = house.workers[0], Report()

    def fault(name: str) -> Path:
        return house.ledger.with_name(f"fault-{name}")

    def under(name: str, said: str = "", jobs: int = 8, **fields: str) -> list[Job]:
        """What becomes of jobs that begin together, under a fault."""
        started, pid = time.monotonic(), worker.pid
        fault(name).write_text(said, encoding="utf-8")
        house.http.post("/v1/admin/queue/pause").raise_for_status()
        sent = [house.submit(fields=fields) for _ in range(jobs)]
        house.http.post("/v1/admin/queue/resume").raise_for_status()
        house.wait_for_all(120 + slow)
        lasting = fault(f"met-{name}").exists()
        rules.must(lasting or not fault(name).exists(), f"{name}: it never came")
        fault(name).unlink(missing_ok=True)
        ended = [house.job(one) for one in sent]
        rules.must(not any(job.crashes for job in ended), f"{name}: a job was charged with a crash")
        rules.must((worker.pid == pid) == (name != "lost"), f"{name}: the process was {pid}, and is {worker.pid}")
        told[f"{name}: jobs"] = ", ".join(sorted({f"{len(ended)} {job.status}" for job in ended}))
        told[f"{name}: attempts"] = sum(len(job.attempts) for job in ended)
        told[f"{name}: seconds"] = round(time.monotonic() - started, 1)
        return ended

    under("memory", steps="8")
    lost = under("lost")
    outcomes = {attempt.get("outcome") for job in lost for attempt in job.attempts}
    rules.must(outcomes <= {"device-lost", "succeeded"}, f"attempts ended as {outcomes}")
    back = until(lambda: worker.running and house.worker_of(worker.pid), 60)
    rules.must(back is not None, "the worker did not come back")
    told["lost: at work again after"] = next(  # from the loss until the first attempt of the new process
        round((min(job.attempts[-1]["started_ms"] for job in lost) - job.attempts[0]["ended_ms"]) / 1000, 1)
        for job in lost
        if job.attempts[0].get("outcome") == "device-lost"
    )
    (late,) = under("slow", str(slow), jobs=1, size="512x512")
    rules.must(late.timing.get("run_ms", 0) >= 1000 * slow, "no step took its time")
    rules.must(len(late.attempts) == 1, f"the slow job was tried {len(late.attempts)} times")
    under("observer", jobs=4)
    spoilt = under("nan", jobs=4)
    dtypes = {(job.receipt or {}).get("dtype") for job in spoilt}
    rules.must(dtypes == {"float32"}, f"what had no numbers was made in {dtypes}")
    return told


# ---- Redis


def redis_killed(house: House, chance: random.Random, rules: Rules) -> Report:
    """Redis is killed twenty times under load."""
    backs: list[float] = []
    with load(house), probing(house) as probes:
        for _ in range(20):
            time.sleep(chance.uniform(1.0, 4.0))
            house.valkey.kill()
            until(lambda: house.valkey.running and house.valkey.ready(), 60)
            back = resumed(house, 60)
            backs.append(60.0 if back is None else round(back, 1))
    rules.must(max(backs) <= 10, f"workers were at work again after {max(backs)} s")
    rules.must(probes.slowest <= 6, f"an answer took {probes.slowest} s")
    return {
        "kills": 20,
        "at_work_again_median": statistics.median(backs),
        "at_work_again_slowest": max(backs),
        **asdict(probes),
    }


def redis_frozen(house: House, _: random.Random, rules: Rules) -> Report:
    """Redis does nothing for 15 s, then for 60 s."""
    told: Report = {}
    for seconds in (15, 60):
        with load(house, 0.5), probing(house) as probes:
            time.sleep(3)
            with stopped(house.valkey.pid):
                time.sleep(seconds)
            back = resumed(house, 60)
        rules.must(
            back is not None and back <= 10, f"after {seconds} s of frost workers were at work again after {back} s"
        )
        rules.must(probes.slowest <= 6, f"an answer took {probes.slowest} s")
        told |= {f"after_{seconds}_s_at_work_again": round(back or 60, 1), f"after_{seconds}_s_slowest": probes.slowest}
    return told


def half_open(house: House, _: random.Random, rules: Rules) -> Report:
    """Between workers and Redis all bytes vanish for 30 s, and nobody says so."""
    with load(house, 0.5):
        time.sleep(3)
        house.to_redis.be(Mode.BLACK_HOLE)
        time.sleep(30)
        house.to_redis.be(Mode.THROUGH)
        back = resumed(house, 90)
    rules.must(back is not None and back <= 60, f"workers were at work again after {back} s")
    return {"at_work_again_seconds": back and round(back, 1)}


def full(house: House, _: random.Random, rules: Rules) -> Report:
    """Redis has no room left."""
    for _job in range(8):
        house.submit("takes 4")
    used = house.redis.info("memory")["used_memory"]
    house.redis.config_set("maxmemory", int(used * 1.02))
    refused = house.post("job 0")
    rules.must(
        refused.status_code == 503 and refused.headers.get("retry-after"), f"a submission got {refused.status_code}"
    )
    rules.must(house.wait_for_all(60) is not None, "jobs in hand did not end while Redis was full")
    house.redis.config_set("maxmemory", used * 20)
    back = until(lambda: house.post("job 0").status_code == 202, 60)
    rules.must(back is not None, "it did not recover by itself")
    return {"refused_with": refused.status_code, "retry_after": refused.headers.get("retry-after")}


# ---- the web tier


def lost_replies(house: House, chance: random.Random, rules: Rules) -> Report:
    """Between web tier and Redis replies vanish, connections are cut, or all is silent, while clients submit."""
    statuses: dict[str, int] = {}
    slowest = 0.0
    for mode in (Mode.DROP_REPLIES, Mode.RESET, Mode.BLACK_HOLE, Mode.DELAY):
        for _ in range(6):
            house.web_to_redis.be(Mode.THROUGH)
            flip = threading.Timer(chance.uniform(0.0, 0.05), house.web_to_redis.be, [mode])
            flip.start()
            slowest = max(slowest, once(house, statuses))
            flip.join()
            slowest = max(slowest, once(house, statuses))
        house.web_to_redis.be(Mode.RESET)
        house.web_to_redis.be(Mode.THROUGH)
    sent = len(house.accepted)
    again(house, rules)
    rules.must(slowest <= 6, f"an answer took {slowest:.1f} s")
    return {"sent": sent, "answers": statuses, "slowest_answer_seconds": round(slowest, 2)}


def once(house: House, statuses: dict[str, int]) -> float:
    """Submit the next job, once; whatever is said, it is to be asked for again. Returns the seconds."""
    number = len(house.accepted) + 1
    started = time.monotonic()
    try:
        got = house.post(f"job {number}", f"chaos-{number}")
        status, job = str(got.status_code), got.json().get("id", "")
    except httpx.HTTPError as error:
        status, job = type(error).__name__, ""
    statuses[status] = statuses.get(status, 0) + 1
    house.accepted.append(Accepted(number, job, f"job {number}", time.time()))
    return time.monotonic() - started


def again(house: House, rules: Rules) -> None:
    """Ask for every job again by its key: who had a 202 gets that same job, and there is one for each, no more."""
    until(lambda: house.http.get("/readyz").status_code == 200, 30)
    first, house.accepted = house.accepted, []
    for job in first:
        found = house.submit()
        rules.must(not job.id or job.id == found.id, f"job {job.number} was made twice: {job.id}, {found.id}")
    made = house.redis.zcard(redis_keys.INDEX + "default")
    rules.must(made == len(first), f"{len(first)} jobs were asked for, {made} were made")


def web_killed(house: House, _: random.Random, rules: Rules) -> Report:
    """The web tier is killed before and after each thing that it says to Redis or S3 in a submission."""
    points = {False: 0, True: 0}
    statuses: dict[str, int] = {}
    for sent_on in (False, True):
        for point in range(1, 40):
            until(lambda: house.api.running and house.http.get("/readyz").status_code == 200, 300)
            house.http.close()
            house.http = httpx.Client(base_url=house.api.url, timeout=30, trust_env=False)
            warm = house.post("job 0")
            rules.must(warm.status_code == 202, f"before a kill a submission got {warm.status_code}")
            bullet = Bullet(house, point, sent_on)
            once(house, statuses)
            time.sleep(0.2)
            bullet.put_away()
            if not bullet.hit:
                break
            points[sent_on] += 1
    statuses.pop("202", None)
    warm_ups = house.redis.zcard(redis_keys.INDEX + "default") - len(made_of(house))
    again_killed(house, rules)
    rules.must(points[False], "no kill came before the web tier's words were sent on")
    rules.must(points[True], "no kill came after the web tier's words were sent on")
    return {"failpoints": sum(points.values()), "answers_other_than_202": statuses, "warm_ups": warm_ups}


def made_of(house: House) -> set[str]:
    """The ids of the jobs that were asked for by a key."""
    return {house.redis.hget(key, "job") for key in house.redis.scan_iter(redis_keys.ONCE + "*", count=1000)}


def again_killed(house: House, rules: Rules) -> None:
    """As `again`, among jobs of other clients."""
    until(lambda: house.http.get("/readyz").status_code == 200, 300)
    before = made_of(house)
    first, house.accepted = house.accepted, []
    for job in first:
        found = house.submit()
        rules.must(not job.id or job.id == found.id, f"job {job.number} was made twice: {job.id}, {found.id}")
    rules.must(before <= {job.id for job in house.accepted}, "a job was made that nobody can find")


class Bullet:
    """Kills the web tier when it says its n-th thing to Redis or S3, before or after that is sent on."""

    def __init__(self, house: House, point: int, sent_on: bool) -> None:
        self.house, self.left, self.sent_on, self.hit = house, point, sent_on, False
        self._lock = threading.Lock()
        self._proxies: tuple[Proxy, ...] = (house.web_to_redis, house.web_to_s3)
        self._pid = house.api.pid
        for proxy in self._proxies:
            proxy.watch = self.count

    def count(self, _: bytes) -> None:
        with self._lock:
            self.left -= 1
            if self.left or self.hit:
                return
            self.hit = True
        if self.sent_on:
            threading.Timer(0.0, self.shoot).start()
        else:
            self.shoot()
            raise ConnectionError("the web tier is dead, and what it said is not passed on")

    def shoot(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)

    def put_away(self) -> None:
        for proxy in self._proxies:
            proxy.watch = lambda _: None


# ---- S3


def s3_trouble(house: House, _: random.Random, rules: Rules) -> Report:
    """S3 is away for 60 s, then refuses, is slow, and cuts what it is told and what it says."""
    told: Report = {}
    for mode, seconds in ((Mode.RESET, 60), (Mode.UNAVAILABLE, 20), (Mode.DELAY, 20), (Mode.TRUNCATE, 20)):
        probes = Probes()
        with load(house, 0.5):
            time.sleep(4)
            be(house, mode)
            ends = time.monotonic() + seconds
            while time.monotonic() < ends:
                started = time.monotonic()
                probes.note(str(house.post("job 0").status_code), time.monotonic() - started)
                time.sleep(1)
            be(house, Mode.THROUGH)
            back = resumed(house, 60)
        rules.must(back is not None, f"after {mode} workers were not at work again")
        rules.must(probes.slowest <= 8, f"during {mode} a submission took {probes.slowest} s")
        rules.must(set(probes.statuses) <= {"202", "503"}, f"during {mode} submissions got {probes.statuses}")
        told |= {f"{mode}: submissions": probes.statuses, f"{mode}: slowest": probes.slowest}
        told |= {f"{mode}: at work again": back and round(back, 1)}
    return told


def be(house: House, mode: Mode) -> None:
    """Whatever lies before S3."""
    for proxy in (house.web_to_s3, house.to_s3):
        proxy.seconds = 1.2
        proxy.be(mode)


def disk_full(house: House, _: random.Random, rules: Rules) -> Report:
    """The disk of Redis is full for a while, then that of S3."""
    told: Report = {}
    for disk in house.disks:
        statuses: dict[str, int] = {}
        with load(house, 0.5):
            time.sleep(4)
            filler = disk / "filler"
            fill(filler)
            for _second in range(20):
                status = str(house.post("job 0").status_code)
                statuses[status] = statuses.get(status, 0) + 1
                time.sleep(1)
            filler.unlink()
            back = resumed(house, 90)
        rules.must(back is not None, f"after {disk.name}'s disk was full workers were not at work again")
        rules.must(set(statuses) <= {"202", "503"}, f"while {disk.name}'s disk was full submissions got {statuses}")
        told |= {f"{disk.name}: submissions": statuses, f"{disk.name}: at work again": back and round(back, 1)}
    return told


def fill(file: Path) -> None:
    """Write until there is no room left."""
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as out:
        for size in (1 << 20, 1 << 10, 1):
            with contextlib.suppress(OSError):
                while out.write(b"\0" * size):
                    pass


QUICK = Plan()
FAULTY = Plan(
    workers=1,
    slots=10,  # the last eighth is kept for urgent jobs
    engine="chaos.faults:faulty",
    settings={"MAX_CRASHES": "3", "PATIENCE_SECONDS": "6", "DTYPE": "bfloat16"},
)
SCENARIOS = {
    "zombie": Scenario(zombie, Plan(workers=2, slots=1), "a worker wakes up after its jobs were given to another"),
    "long": Scenario(long_job, Plan(workers=2, slots=1), "a job that takes ten leases runs once"),
    "poison": Scenario(
        poison, Plan(workers=1, slots=9, settings={"MAX_CRASHES": "3"}), "a job that kills its worker, among eight"
    ),
    "hang": Scenario(
        hang,
        Plan(workers=1, slots=4, settings={"MAX_CRASHES": "3", "PATIENCE_SECONDS": "20"}),
        "a step that never ends",
        afterwards=300,
    ),
    "faults": Scenario(
        partial(faults, slow=8.0), FAULTY, "what breaks below an edit: memory, device, weights, observers"
    ),
    "faults-80": Scenario(
        partial(faults, slow=80.0),
        replace(FAULTY, settings={**FAULTY.settings, "PATIENCE_SECONDS": "60"}),
        "the same by the usual patience, with a first step of 80 s",
    ),
    "drain": Scenario(drain, QUICK, "twenty rolling restarts under load, then one with a hung job"),
    "redis-killed": Scenario(redis_killed, QUICK, "Redis is killed twenty times under load"),
    "redis-frozen": Scenario(redis_frozen, QUICK, "Redis is frozen for 15 s and for 60 s"),
    "half-open": Scenario(half_open, QUICK, "all bytes between workers and Redis vanish for 30 s"),
    "full": Scenario(full, QUICK, "Redis has no room left"),
    "lost-replies": Scenario(lost_replies, QUICK, "the web tier does not hear what Redis says"),
    "web-killed": Scenario(web_killed, QUICK, "the web tier is killed at each point of a submission"),
    "disk-full": Scenario(
        disk_full, Plan(disk_megabytes=256), "the disks of Redis and S3 are full for 20 s (needs root)", afterwards=120
    ),
    "s3": Scenario(s3_trouble, QUICK, "S3 is away, refuses, is slow, and cuts things short", afterwards=120),
}


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./dev chaos", description=__doc__)
    parser.add_argument("name", choices=SCENARIOS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(words)
    return finish(run(given.name, given.seed), as_json=given.json)
