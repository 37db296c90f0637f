"""Kills and freezes workers while jobs run: `./dev chaos workers [--seed N] [--faults N] [--jobs N] [...]`.

One fault in four is a SIGSTOP for two leases and until another worker runs one of the jobs, then SIGCONT; the others
are SIGKILL. Each is on a worker that holds a job. Then everything has a minute to end.
Holds: every job succeeded, none has two results, none ran after its end, and each extra run belongs to an attempt
that crashed because its process was hit. Poison is off, because the harness hits the same innocent job again and
again; `--max-crashes 3` is the service's default. Then a job may fail as poison, but only if as many of its workers
as that takes were hit.

`--no-reconciler` and `--no-fence` take a guard away, `--engine failing` fails every job: such runs have to fail.
"""

import argparse
import math
import os
import random
import signal
import statistics
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from chaos.house import NO_POISON, House, NamedWorker, Plan, stopped, until
from chaos.report import finish
from chaos.verdict import Evidence, Hit, judge
from chaos.webhooks import Receiver

AFTERWARDS = 60.0  #: seconds that everything has to end after the last fault
TAKEOVER = 3  #: times as long as a freeze, within which another worker is to have begun one of the frozen one's jobs
TOLD = 10  #: every so many jobs has a webhook
SEVERAL = 4  #: one in so many jobs makes two edits


@dataclass
class Faults:
    """What was done to the workers, and how soon they were back."""

    kills: int = 0
    freezes: int = 0
    held: int = 0
    hits: list[Hit] = field(default_factory=list)
    back_seconds: list[float] = field(default_factory=list)
    never_back: int = 0


@dataclass(frozen=True)
class Harm:
    """How many faults, over how many jobs and minutes at most; every so many is a freeze."""

    faults: int
    jobs: int
    minutes: float = 60
    freeze_every: int = 4

    def due(self, number: int) -> int:
        """How many jobs have been begun when a fault comes: they are spread evenly."""
        return (number + 1) * self.jobs // (self.faults + 1)

    def is_freeze(self, number: int) -> bool:
        return number % self.freeze_every == self.freeze_every - 1


def harm(house: House, plan: Harm, chance: random.Random) -> Faults:
    """Each fault on a worker that is at work; fewer when time is up, or when there is no work left."""
    done = Faults()
    busy: dict[str, Future[None]] = {}
    freezing = 2 * float(house.settings["LEASE_SECONDS"])
    over = time.monotonic() + 60 * plan.minutes
    with ThreadPoolExecutor(len(house.workers)) as pool:
        for number in range(plan.faults):
            due = plan.due(number)
            until(lambda due=due: len(house.accepted) - house.waiting() >= due, over - time.monotonic(), every=0.2)  # type: ignore[misc]
            worker = victim(house, busy, chance, plan.jobs, min(AFTERWARDS, over - time.monotonic()))
            if worker is None:
                break
            if plan.is_freeze(number):
                busy[worker.name] = pool.submit(freeze, house, worker, freezing, done)
            else:
                busy[worker.name] = pool.submit(kill, house, worker, done)
            time.sleep(chance.uniform(0.0, 0.5))
    for fault in busy.values():
        fault.result()
    return done


def victim(
    house: House, busy: dict[str, Future[None]], chance: random.Random, jobs: int, seconds: float
) -> NamedWorker | None:
    """One of the workers that are at work; None if there is none for so long, or nothing is left to do."""
    found: list[NamedWorker] = []

    def is_found() -> bool:
        found[:] = at_work(house, busy)
        return bool(found) or (len(house.accepted) >= jobs and not house.unfinished())

    until(is_found, seconds)
    return chance.choice(found) if found else None


def at_work(house: House, busy: dict[str, Future[None]]) -> list[NamedWorker]:
    """The workers that run, hold a job, and are not being hit."""
    free = [worker for worker in house.workers if worker.name not in busy or busy[worker.name].done()]
    return [worker for worker in free if worker.running and house.held_by(worker.pid)]


def kill(house: House, worker: NamedWorker, done: Faults) -> None:
    """SIGKILL, at a moment when what it holds can be counted."""
    killed, since = worker.pid, time.time()
    with stopped(killed):
        done.held += house.held_by(killed)
        os.killpg(killed, signal.SIGKILL)
    done.hits.append(Hit(killed, since, math.inf))
    done.kills += 1
    back = until(lambda: worker.running and worker.pid != killed and worker.pid in house.pids_heard(), 120)
    if back is None:
        done.never_back += 1
    else:
        done.back_seconds.append(back)


def freeze(house: House, worker: NamedWorker, seconds: float, done: Faults) -> None:
    """SIGSTOP for longer than its leases, and until another runs one of its jobs; then SIGCONT.

    It wakes up as a worker that was thought dead. Where nobody takes its jobs over, it wakes up all the same.
    """
    frozen, since = worker.pid, time.time()
    with stopped(frozen):
        time.sleep(0.05)
        held = house.fences_of(frozen)
        done.held += len(held)
        time.sleep(seconds)
        until(lambda: not held or house.is_taken_over(held), TAKEOVER * seconds)
    done.hits.append(Hit(frozen, since, time.time()))
    done.freezes += 1


def feed(house: House, jobs: int, webhook: str, backlog: int, over: threading.Event) -> None:
    """Submit jobs, always a few more than the workers can hold."""
    for _ in range(jobs):
        while len(house.accepted) % 20 == 0 and house.waiting() > backlog and not over.is_set():
            time.sleep(0.5)
        if over.is_set():
            return
        number = len(house.accepted) + 1
        fields = {"webhook": webhook} if number % TOLD == 0 else {}
        fields |= {"n": "2"} if number % SEVERAL == 0 else {}
        house.submit(fields=fields)


def run(plan: Plan, harms: Harm, *, seed: int, afterwards: float = AFTERWARDS) -> dict[str, Any]:
    """The whole story; returns a report whose `wrong` is empty if all held."""
    started = time.monotonic()
    with ExitStack() as stack:
        receiver = stack.enter_context(Receiver())
        allowed = {"FETCH_PORTS": str(receiver.port), "ALLOW_PRIVATE_NETWORKS": "127.0.0.1/32"}
        house = stack.enter_context(House(replace(plan, settings=allowed | plan.settings)))
        done = break_it(house, harms, random.Random(seed), receiver.url)
        last_fault = time.monotonic()
        ended = house.wait_for_all(afterwards)
        until(lambda: receiver.jobs >= to_be_told(house), min(20.0, afterwards))
        exact = plan.engine != "real"
        verdict = judge(Evidence.of(house, exact=exact, heard=receiver.heard, hits=done.hits))
        verdict.judge("a worker was not back after two minutes", done.never_back)
        if harms.faults and not done.hits:
            verdict.wrong.append("no worker was hit")
        return {
            "seed": seed,
            **about(plan),
            **numbers(done),
            "all_ended_after_seconds": None if ended is None else round(ended, 1),
            **asdict(verdict),
            "seconds": round(time.monotonic() - started, 1),
            "seconds_of_faults": round(last_fault - started, 1),
        }


def break_it(house: House, harms: Harm, chance: random.Random, webhook: str) -> Faults:
    """Jobs and faults at the same time."""
    over, started = threading.Event(), time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        feeding = pool.submit(feed, house, harms.jobs, webhook, 4 * house.plan.workers * house.plan.slots, over)
        done = harm(house, harms, chance)
        if time.monotonic() > started + 60 * harms.minutes:
            over.set()
        feeding.result()
    return done


def to_be_told(house: House) -> int:
    """How many webhooks there are to be."""
    return sum(accepted.number % TOLD == 0 for accepted in house.accepted)


def about(plan: Plan) -> dict[str, Any]:
    """What the run was made with, for its report."""
    return {
        "workers": plan.workers,
        "slots": plan.slots,
        "edit_seconds": plan.seconds,
        "engine": plan.engine,
        "without": plan.without or None,
        "poison": plan.poison,
    }


def numbers(done: Faults) -> dict[str, Any]:
    """What was done, for the report."""
    back = sorted(done.back_seconds)
    return {
        "kills": done.kills,
        "freezes": done.freezes,
        "jobs_held_by_who_was_hit": done.held,
        "worker_back_median_seconds": round(statistics.median(back), 2) if back else None,
        "worker_back_slowest_seconds": round(back[-1], 2) if back else None,
    }


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="./dev chaos workers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", type=int, default=300)
    parser.add_argument("--freeze-every", type=int, default=4, help="one in so many faults is a freeze")
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=0.3, help="that a fake edit takes")
    parser.add_argument("--minutes", type=float, default=60, help="after which no more faults and jobs come")
    parser.add_argument("--afterwards", type=float, default=AFTERWARDS, help="seconds that everything has to end")
    parser.add_argument("--lease", type=int, default=6, help="seconds")
    parser.add_argument("--max-crashes", type=int, default=NO_POISON, help="after which a job fails as poison")
    parser.add_argument("--engine", choices=("fake", "real", "failing"), default="fake")
    parser.add_argument("--no-reconciler", action="store_const", const="reconciler", dest="without", default="")
    parser.add_argument("--no-fence", action="store_const", const="fence", dest="without")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(words)
    settings = {"LEASE_SECONDS": str(given.lease), "MAX_CRASHES": str(given.max_crashes)}
    plan = Plan(given.workers, given.slots, given.seconds, given.engine, given.without, settings=settings)
    harms = Harm(given.faults, given.jobs, given.minutes, given.freeze_every)
    return finish(run(plan, harms, seed=given.seed, afterwards=given.afterwards), as_json=given.json)
