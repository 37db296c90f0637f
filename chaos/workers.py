"""Kills and freezes workers while jobs run: `./dev chaos workers [--seed N] [--faults N] [--jobs N] [...]`.

One fault in four is a SIGSTOP for two leases, then SIGCONT; the others are SIGKILL. Then everything has a minute to
end. Holds: no job lost, none with two results, none that runs after its end, and no more extra runs than jobs were held
by the workers that were hit. `--no-reconciler` and `--no-fence` take a guard away and have to fail.
"""

import argparse
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

from chaos.house import House, NamedWorker, Plan, stopped, until
from chaos.report import finish
from chaos.verdict import judge
from chaos.webhooks import Receiver

AFTERWARDS = 60.0  #: seconds that everything has to end after the last fault
TOLD = 10  #: every so many jobs has a webhook


@dataclass
class Faults:
    """What was done to the workers, and how soon they were back."""

    kills: int = 0
    freezes: int = 0
    held: int = 0
    back_seconds: list[float] = field(default_factory=list)
    never_back: int = 0


def harm(house: House, faults: int, chance: random.Random, jobs: int, minutes: float) -> Faults:
    """So many faults, each on a worker that is at work, spread evenly over the jobs; fewer when time is up."""
    done = Faults()
    busy: dict[str, Future[None]] = {}
    freezing = 2 * float(house.settings["LEASE_SECONDS"])
    over = time.monotonic() + 60 * minutes
    with ThreadPoolExecutor(len(house.workers)) as pool:
        for number in range(faults):
            due = (number + 1) * jobs // (faults + 1)
            until(lambda due=due: len(house.accepted) - house.waiting() >= due, over - time.monotonic(), every=0.2)  # type: ignore[misc]
            until(lambda: at_work(house, busy), over - time.monotonic())
            if time.monotonic() > over:
                break
            worker = chance.choice(at_work(house, busy))
            if number % 4 == 3:
                busy[worker.name] = pool.submit(freeze, house, worker, freezing, done)
            else:
                busy[worker.name] = pool.submit(kill, house, worker, done)
            time.sleep(chance.uniform(0.0, 0.5))
    for fault in busy.values():
        fault.result()
    return done


def at_work(house: House, busy: dict[str, Future[None]]) -> list[NamedWorker]:
    """The workers that run, have been heard, and are not being hit."""
    heard = house.pids_heard()
    free = [worker for worker in house.workers if worker.name not in busy or busy[worker.name].done()]
    return [worker for worker in free if worker.running and worker.pid in heard]


def kill(house: House, worker: NamedWorker, done: Faults) -> None:
    """SIGKILL, at a moment when what it holds can be counted."""
    killed = worker.pid
    with stopped(killed):
        done.held += house.held_by(killed)
        os.killpg(killed, signal.SIGKILL)
    done.kills += 1
    back = until(lambda: worker.running and worker.pid != killed and worker.pid in house.pids_heard(), 120)
    if back is None:
        done.never_back += 1
    else:
        done.back_seconds.append(back)


def freeze(house: House, worker: NamedWorker, seconds: float, done: Faults) -> None:
    """SIGSTOP for longer than its leases, then SIGCONT: it wakes up as one that was thought dead."""
    with stopped(worker.pid):
        time.sleep(0.05)
        done.held += house.held_by(worker.pid)
        time.sleep(seconds)
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
        house.submit(fields=fields)


def run(plan: Plan, *, seed: int, faults: int, jobs: int, minutes: float = 60, exact: bool = True) -> dict[str, Any]:
    """The whole story; returns a report whose `wrong` is empty if all held."""
    chance = random.Random(seed)
    started = time.monotonic()
    with ExitStack() as stack:
        receiver = stack.enter_context(Receiver())
        allowed = {"FETCH_PORTS": str(receiver.port), "ALLOW_PRIVATE_NETWORKS": "127.0.0.1/32"}
        house = stack.enter_context(House(replace(plan, settings=allowed | plan.settings)))
        over = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            feeding = pool.submit(feed, house, jobs, receiver.url, 4 * plan.workers * plan.slots, over)
            done = harm(house, faults, chance, jobs, minutes)
            if time.monotonic() > started + 60 * minutes:
                over.set()
            feeding.result()
        last_fault = time.monotonic()
        ended = house.wait_for_all(AFTERWARDS)
        until(lambda: receiver.jobs >= len([a for a in house.accepted if a.number % TOLD == 0]), 20)
        verdict = judge(house, exact=exact, heard=receiver.heard)
        verdict.judge("a worker was not back after a minute", done.never_back)
        if verdict.extra_runs > done.held:
            verdict.wrong.append(f"{verdict.extra_runs} extra runs, but {done.held} jobs were held by who was hit")
        back = sorted(done.back_seconds)
        return {
            "seed": seed,
            "workers": plan.workers,
            "slots": plan.slots,
            "edit_seconds": plan.seconds,
            "engine": plan.engine,
            "without": plan.without or None,
            "kills": done.kills,
            "freezes": done.freezes,
            "jobs_held_by_who_was_hit": done.held,
            "worker_back_median_seconds": round(statistics.median(back), 2) if back else None,
            "worker_back_slowest_seconds": round(back[-1], 2) if back else None,
            "all_ended_after_seconds": None if ended is None else round(ended, 1),
            **asdict(verdict),
            "seconds": round(time.monotonic() - started, 1),
            "seconds_of_faults": round(last_fault - started, 1),
        }


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./dev chaos workers", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", type=int, default=300)
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=0.3, help="that a fake edit takes")
    parser.add_argument("--minutes", type=float, default=60, help="after which no more faults and jobs come")
    parser.add_argument("--lease", type=int, default=6, help="seconds")
    parser.add_argument("--real", action="store_true", help="the real engine instead of the fake one")
    parser.add_argument("--no-reconciler", action="store_const", const="reconciler", dest="without", default="")
    parser.add_argument("--no-fence", action="store_const", const="fence", dest="without")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(words)
    plan = Plan(given.workers, given.slots, given.seconds, "real" if given.real else "fake", given.without)
    plan = replace(plan, settings={"LEASE_SECONDS": str(given.lease)})
    report = run(
        plan, seed=given.seed, faults=given.faults, jobs=given.jobs, minutes=given.minutes, exact=not given.real
    )
    return finish(report, as_json=given.json)
