"""What the scripts should do, written again in plain Python: slow, in one process, and simple.

Time stands still here. A lease runs out, a delay is over and a deadline passes when the test says so.
"""

from dataclasses import dataclass, field
from math import ceil

from jobs.job import Status

MAX_CRASHES = 3
MAX_RUNNING = 3
SLOTS = 4
ACTIVE = (Status.RUNNING, Status.CANCELING)


@dataclass
class Model:
    """One job as it should be. `order` is its place in the queue, as the store reported it."""

    id: str
    tenant: str
    order: float
    n: int = 1  # edits
    status: Status = Status.QUEUED
    where: str = "queue"  # of a queued job: queue, delayed, parked
    due: bool = False
    fence: str = ""
    fences: int = 0
    crashes: int = 0
    worker: str | None = None
    lapsed: bool = False
    alone: str | None = None
    settled: str = ""


@dataclass
class Oracle:
    """All jobs, and the workers that sent a heartbeat."""

    jobs: dict[str, Model] = field(default_factory=dict)
    alive: set[str] = field(default_factory=set)
    kept: dict[str, str] = field(default_factory=dict)  # worker: the job for which it empties itself

    # ---- what can be seen

    def queue(self) -> list[Model]:
        waiting = [job for job in self.jobs.values() if job.status is Status.QUEUED and job.where == "queue"]
        return sorted(waiting, key=lambda job: (job.order, job.id))

    def running(self) -> list[Model]:
        return [job for job in self.jobs.values() if job.status in ACTIVE]

    def held_by(self, worker: str) -> list[Model]:
        return [job for job in self.running() if job.worker == worker]

    # ---- transitions

    def claim(self, worker: str) -> Model | None:
        """The job that the worker should get now."""
        for job in self.jobs.values():
            if job.status is Status.QUEUED and job.where == "delayed" and job.due:
                job.where, job.due = "queue", False
        held = self.held_by(worker)
        work = len(self.queue()) + len(self.running())
        if len(held) >= min(SLOTS, ceil(work / max(1, len(self.alive)))):
            return None
        if self.kept.get(worker) not in {job.id for job in self.queue()}:
            self.kept.pop(worker, None)
        if held and (worker in self.kept or any(job.alone == worker for job in held)):
            return None
        if worker in self.kept:
            return self.jobs[self.kept[worker]]
        return self._first_for(worker, empty=not held)

    def _first_for(self, worker: str, *, empty: bool) -> Model | None:
        for job in self.queue():
            if sum(other.n for other in self.running() if other.tenant == job.tenant) >= MAX_RUNNING:
                job.where = "parked"
            elif job.crashes < MAX_CRASHES - 1 or empty:
                return job
            elif not self._is_kept_for_another(job, worker):
                self.kept[worker], job.alone = job.id, worker
                return None
        return None

    def _is_kept_for_another(self, job: Model, worker: str) -> bool:
        other = job.alone
        return other not in (None, worker) and other in self.alive and self.kept.get(other or "") == job.id

    def claimed(self, job: Model, worker: str, fence: str) -> None:
        """The worker got this job."""
        if job.crashes >= MAX_CRASHES - 1:
            self.kept[worker], job.alone = job.id, worker
        job.status, job.worker, job.fence, job.lapsed = Status.RUNNING, worker, fence, False
        job.fences += 1

    def hold(self, job: Model | None, fence: str, verb: str) -> str:
        """The answer for a worker with this fence."""
        if job is None:
            return "lost"
        if job.settled == f"{verb} {fence}":
            return "again"
        if job.fence != fence or job.status not in ACTIVE:
            return "lost"
        return "canceling" if job.status is Status.CANCELING else "held"

    def end(self, job: Model, status: Status, settled: str = "") -> None:
        """The job is over."""
        was_running = job.status in ACTIVE
        job.status, job.settled, job.where, job.worker = status, settled or job.settled, "", None
        for _ in range(job.n if was_running else 0):
            self._recall(job.tenant)

    def requeue(self, job: Model, *, delayed: bool = False, settled: str = "") -> None:
        """The job waits again."""
        job.alone = job.worker = None
        job.status = Status.QUEUED
        job.settled = settled or job.settled
        job.where, job.due = "moving", False
        for _ in range(job.n):
            self._recall(job.tenant)
        job.where = "delayed" if delayed else "queue"

    def _recall(self, tenant: str) -> None:
        parked = [job for job in self.jobs.values() if job.where == "parked" and job.tenant == tenant]
        if parked:
            min(parked, key=lambda job: (job.order, job.id)).where = "queue"

    def recall_all(self) -> None:
        """The keeper lets one parked job of each tenant try again."""
        for tenant in {job.tenant for job in self.jobs.values()}:
            self._recall(tenant)

    def reclaim(self) -> set[str]:
        """Take back the jobs whose leases have run out. Returns them."""
        lapsed = [job for job in self.running() if job.lapsed]
        for job in lapsed:
            if job.status is Status.CANCELING:
                self.end(job, Status.CANCELED)
                continue
            job.crashes += 1
            if job.crashes >= MAX_CRASHES:
                self.end(job, Status.FAILED)
            else:
                self.requeue(job)
        return {job.id for job in lapsed}

    def cancel(self, job: Model) -> None:
        """The client asks the job to stop."""
        if job.status is Status.QUEUED:
            self.end(job, Status.CANCELED)
        elif job.status is Status.RUNNING:
            job.status = Status.CANCELING
