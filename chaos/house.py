"""The whole service in a temporary folder, under its real supervisor, with proxies before Redis and S3."""

import contextlib
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import redis
from PIL import Image

from chaos.engine import Run, answer, read_ledger
from chaos.proxy import Proxy
from darkroom.local.ports import free_ports
from darkroom.local.process import Lifeline, Process, ProcessError
from darkroom.local.servers import SeaweedFS, Valkey
from darkroom.local.services import Api, Keeper, Worker
from darkroom.local.stack import Supervisor, settings_for
from jobs import redis_keys
from jobs.job import Job
from jobs.pictures import PictureStore
from jobs.settings import Settings
from jobs.store import JobStore
from worker.encoding import encode

DEFAULT_CRASHES = Settings.model_fields["max_crashes"].default
STEPS = 4
SEED = 7
PATIENCE = 300.0  #: seconds that a process may take to its start, on a machine that has much else to do
NO_POISON = (
    1000  #: a number of crashes that no job reaches: the harness hits innocent jobs more often than the service allows
)
PHOTO = Image.linear_gradient("L").resize((32, 24)).convert("RGB")


def png(image: Image.Image) -> bytes:
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


@dataclass(frozen=True)
class Plan:
    """The setup of the service."""

    workers: int = 2
    slots: int = 4
    seconds: float = 0.2  #: seconds of a fake edit
    engine: str = "fake"
    without: str = ""  #: a guard of `chaos.altered`
    disk_megabytes: int = 0  #: megabytes of a small disk for Redis and for S3; 0: no disk of their own
    web_by_proxy: bool = True  #: whether the web tier reaches Redis and S3 through proxies, which cost time
    settings: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        usual = {
            "EDITORS": self.engine if ":" in self.engine else f"chaos.engine:{self.engine}",
            "CHAOS_SECONDS": str(self.seconds),
            "WORKER_SLOTS": str(self.slots),
            "LEASE_SECONDS": "3",
            "MAX_CRASHES": str(NO_POISON),
            "MAX_QUEUED_JOBS": "100000",
            "WORKER_GRACE_SECONDS": "5",
            "TORCH_THREADS": "1",
        }
        return usual | self.settings

    @property
    def max_crashes(self) -> int:
        """The crashes after which a job fails as poison."""
        return int(self.environment()["MAX_CRASHES"])

    @property
    def poison(self) -> str:
        """For reports: whether a job that keeps crashing its workers ever fails."""
        if self.max_crashes >= NO_POISON:
            return f"off (MAX_CRASHES={self.max_crashes}, the service's default is {DEFAULT_CRASHES})"
        return f"after {self.max_crashes} crashes"


class NamedWorker(Worker):
    """One of several workers. It is ready when Redis has its heartbeat."""

    def __init__(self, number: int, house: "House", settings: dict[str, str]) -> None:
        self.name = f"worker-{number}"
        super().__init__(house.folder / "logs", house.lifeline, settings, house.api.port)
        self.house = house

    def command(self) -> list[str]:
        return self.house.program("worker.app")

    def environment(self) -> dict[str, str]:
        return {**super().environment(), **self.settings}

    def ready(self) -> bool:
        return self.house.worker_of(self.pid) is not None


class ChaosKeeper(Keeper):
    """The keeper, with or without a guard."""

    def __init__(self, house: "House", settings: dict[str, str]) -> None:
        super().__init__(house.folder / "logs", house.lifeline, settings, house.api.port)
        self.house = house

    def command(self) -> list[str]:
        return self.house.program("worker.keeper")


@dataclass(frozen=True)
class Accepted:
    """A job that got its 202: its number in the ledger, its id, its prompt, when, its expected end, and its edits."""

    number: int
    id: str
    prompt: str
    at: float
    meant: str = "succeeded"
    n: int = 1


def right_picture(accepted: Accepted, edit: int = 0) -> bytes:
    """The bytes that the fake engine's answer to one of a job's edits is stored as."""
    return encode(answer(PHOTO.tobytes(), accepted.prompt, SEED + edit), "png")[0]


class House:
    """Real servers, web tier, keeper and workers. Our processes are restarted when they end."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._temporary = tempfile.TemporaryDirectory(prefix="darkroom-chaos-")
        self.folder = Path(self._temporary.name)
        self.ledger = self.folder / "ledger"
        self.disks = [self.folder / name for name in ("valkey", "s3")] if plan.disk_megabytes else []
        for disk in self.disks:
            disk.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={plan.disk_megabytes}m", "tmpfs", disk], check=True)
        self.lifeline = Lifeline()
        self.valkey = Valkey(self.folder / "valkey", self.lifeline)
        self.seaweed = SeaweedFS(self.folder / "s3", self.lifeline)
        self.web_to_redis, self.to_redis = Proxy(self.valkey.port), Proxy(self.valkey.port)
        self.web_to_s3, self.to_s3 = Proxy(self.seaweed.ports[0]), Proxy(self.seaweed.ports[0])
        self.accepted: list[Accepted] = []
        self.numbers = itertools.count(1_000_000)  # for jobs of many threads at once; `submit` counts from 1
        self.said: list[str] = []
        self._closing = threading.Event()
        settings = settings_for([self.valkey, self.seaweed]) | plan.environment()
        self.direct = settings | {"CHAOS_LEDGER": str(self.ledger)}
        self.settings = self.direct | self._by(self.to_redis, self.to_s3)
        web = self.direct | (self._by(self.web_to_redis, self.web_to_s3) if plan.web_by_proxy else {})
        self.api = Api(self.folder / "logs", self.lifeline, web, free_ports(1)[0])
        self.keeper = ChaosKeeper(self, self.settings)
        self.workers = [NamedWorker(number, self, self.settings) for number in range(plan.workers)]
        self.supervisor = Supervisor([self.valkey, self.api, self.keeper, *self.workers], self.said.append)
        self._supervising = threading.Thread(target=self._supervise, daemon=True, name="supervisor")

    def _by(self, redis: Proxy, s3: Proxy) -> dict[str, str]:
        """The settings of a process that reaches Redis and S3 through proxies."""
        url = self.direct["REDIS_URL"].replace(f":{self.valkey.port}/", f":{redis.port}/")
        return {"REDIS_URL": url, "S3_ENDPOINT_URL": f"http://127.0.0.1:{s3.port}"}

    def program(self, module: str) -> list[str]:
        """The command line of one of our programs, without a guard if the plan says so."""
        altered = ["chaos.altered", self.plan.without] if self.plan.without else []
        return [sys.executable, "-m", *altered, module]

    # ---- life

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        self.supervisor.spawn(self.valkey)
        self.valkey.wait_until_ready()
        self.redis: Any = redis.Redis.from_url(self.valkey.url, decode_responses=True, socket_timeout=60)
        self.seaweed.start()
        mine = {name.lower(): value for name, value in self.direct.items() if name.lower() in Settings.model_fields}
        self.own_settings = Settings(_env_file=None, **mine)  # type: ignore[arg-type]
        self.store = JobStore(self.redis)
        self.pictures = PictureStore.connect(self.own_settings, timeout=30)
        ours: list[Process] = [self.api, self.keeper, *self.workers]
        for process in ours:
            process.patience = PATIENCE
            self.supervisor.spawn(process)
        for process in ours:
            process.wait_until_ready()
        self._supervising.start()
        self.http = httpx.Client(base_url=self.api.url, timeout=30, trust_env=False)

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        if self._supervising.is_alive():
            self._supervising.join(5)
        for process in (*self.workers, self.keeper, self.api, self.seaweed, self.valkey):
            process.kill()
        self.lifeline.close()
        for proxy in (self.web_to_redis, self.to_redis, self.web_to_s3, self.to_s3):
            proxy.close()
        for disk in self.disks:
            subprocess.run(["umount", "--lazy", disk], check=True)
        self._temporary.cleanup()

    def _supervise(self) -> None:
        while not self._closing.wait(0.1):
            for life in self.supervisor.lives.values():
                life.short_lives = 0  # here the harness kills them, often soon after their start
            try:
                self.supervisor.check()
            except (ProcessError, OSError) as error:
                self.said.append(str(error))

    # ---- jobs

    def post(self, prompt: str, key: str | None = None, **fields: str) -> httpx.Response:
        """Submit one picture."""
        data = {"prompt": prompt, "seed": str(SEED), "steps": str(STEPS), "size": "256x256", **fields}
        headers = {"Idempotency-Key": key} if key else {}
        return self.http.post("/v1/jobs", files={"image": png(PHOTO)}, data=data, headers=headers)

    def submit(
        self,
        manners: str = "",
        *,
        patience: float = 120.0,
        fields: Mapping[str, str] | None = None,
        meant: str = "succeeded",
    ) -> Accepted:
        """Submit a job with the next number until it is accepted; asking again makes no second one.

        `meant`: the status that it is to end in.
        """
        number, edits = len(self.accepted) + 1, int((fields or {}).get("n", 1))
        prompt = f"job {number} {manners}".strip()
        ends = time.monotonic() + patience
        while True:
            with contextlib.suppress(httpx.HTTPError):
                got = self.post(prompt, f"chaos-{number}", **fields or {})
                if got.status_code == httpx.codes.ACCEPTED:
                    self.accepted.append(Accepted(number, got.json()["id"], prompt, time.time(), meant, edits))
                    return self.accepted[-1]
            if time.monotonic() > ends:
                raise RuntimeError(f"job {number} was not accepted in {patience:.0f} s")
            time.sleep(0.2)

    def job(self, accepted: Accepted) -> Job:
        """Its record."""
        return Job.from_record(self.redis.hgetall(redis_keys.JOB + accepted.id))

    def unfinished(self) -> list[Accepted]:
        """The accepted jobs that are not over."""
        pipe = self.redis.pipeline(transaction=False)
        for accepted in self.accepted:
            pipe.hget(redis_keys.JOB + accepted.id, "status")
        over = ("succeeded", "failed", "canceled")
        return [job for job, status in zip(self.accepted, pipe.execute(), strict=True) if status not in over]

    def waiting(self) -> int:
        """How many jobs are queued."""
        return int(self.redis.zcard(redis_keys.QUEUE) + self.redis.zcard(redis_keys.DELAYED))

    def wait_for_all(self, seconds: float) -> float | None:
        """Until every job is over; the seconds that took, or None."""
        return until(lambda: not self.unfinished(), seconds, every=0.5)

    def expected(self, accepted: Accepted) -> bytes:
        """The bytes that the fake engine's answer to a job is stored as."""
        return right_picture(accepted)

    def runs(self) -> list[Run]:
        """All runs so far."""
        return read_ledger(self.ledger)

    # ---- faults

    def worker_of(self, pid: int) -> str | None:
        """The name of the worker with this process id."""
        for name, text in self.redis.hgetall(redis_keys.WORKER_INFO).items():
            if json.loads(text)["pid"] == pid:
                return str(name)
        return None

    def pids_heard(self) -> set[int]:
        """The process ids of all workers that ever had a heartbeat."""
        return {json.loads(text)["pid"] for text in self.redis.hvals(redis_keys.WORKER_INFO)}

    def held_by(self, pid: int) -> int:
        """How many jobs a worker holds now."""
        name = self.worker_of(pid)
        return int(self.redis.scard(redis_keys.HELD_JOBS + name)) if name else 0

    def fences_of(self, pid: int) -> dict[str, str]:
        """The jobs that a worker holds now, each with its fence."""
        name = self.worker_of(pid)
        ids = self.redis.smembers(redis_keys.HELD_JOBS + name) if name else ()
        return {job_id: self.redis.hget(redis_keys.JOB + job_id, "fence") for job_id in ids}

    def is_taken_over(self, fences: Mapping[str, str]) -> bool:
        """Whether one of these jobs was claimed again since it had this fence."""
        return any(self.redis.hget(redis_keys.JOB + job_id, "fence") != fence for job_id, fence in fences.items())


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a process (SIGSTOP) in this block, and continue it afterwards."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def until(true: Callable[[], Any], seconds: float, every: float = 0.05) -> float | None:
    """Wait until something is true. Returns the seconds that took; None: it never was."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        with contextlib.suppress(redis.RedisError, httpx.HTTPError):
            if true():
                return time.monotonic() - started
        time.sleep(every)
    return None
