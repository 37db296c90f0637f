"""The whole Darkroom on one machine: `darkroom up`."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from dotenv import dotenv_values

import darkroom
from darkroom.cli.progress import plain_console, print_json
from darkroom.client import KEY_FILE
from darkroom.local.authority import Authority
from darkroom.local.data_folder import SETTINGS_FILE, DataFolder
from darkroom.local.gpus import devices
from darkroom.local.ports import free_ports, is_free
from darkroom.local.process import STARTS, Lifeline, PortTaken, Process, ProcessError
from darkroom.local.sample import Sample, find_photo, shown
from darkroom.local.servers import REGION, SeaweedFS, Valkey, remembered
from darkroom.local.services import Api, Keeper, Worker

USUAL_PORT = 8000
LIVED_SECONDS = 10.0  # a process that ends sooner than this after its start has ended "at once"
PAUSES = (
    0.0,
    1.0,
    2.0,
    4.0,
    8.0,
)  # pauses before each new start of a process that ends at once; after the last we give up
GLANCE_SECONDS = 0.2
INTERRUPTED = 130  # the usual exit status after Ctrl-C
PROJECT = Path(darkroom.__file__).parent.parent

Say = Callable[[str], None]


def up(
    data: Path,
    *,
    port: int | None = None,
    sample: bool = True,
    once: bool = False,
    auth: bool = False,
    as_json: bool = False,
    gpus: str | None = None,
) -> int:
    """Start everything, send the sample edit, serve until Ctrl-C (or the sample's end); return the exit status.

    `auth`: ask for keys, and make an admin key in the data folder. `gpus`: a worker for each of so many, or `all`.
    Raises DataFolderError or ProcessError, with a sentence, when it cannot start or go on."""
    console = plain_console(stderr=as_json)
    with DataFolder(data) as folder, interruptible(), Stack(folder, port, console.print, auth, gpus) as stack:
        try:
            stack.start()
            report = print_json if as_json else (lambda _: None)
            report({"url": stack.api.url, "data": str(folder.path)})
            example = Sample(stack.api.url, folder.path, console, report, stack.key) if sample else None
            return serve(stack, example, once)
        except KeyboardInterrupt:
            return INTERRUPTED if once else 0


def serve(stack: Stack, sample: Sample | None, once: bool) -> int:
    """Supervise the processes during the sample edit, and afterwards unless `once`."""
    if sample:
        sample.start()
        while sample.is_alive():
            stack.supervise()
            sample.join(GLANCE_SECONDS)
    if once:
        return 0 if sample is None or sample.succeeded else 1
    stack.say(greeting(stack.api.url, stack.folder.path / KEY_FILE if stack.key else None))
    while True:
        stack.supervise()
        time.sleep(GLANCE_SECONDS)


class Stack:
    """The embedded servers and our three processes, in the order in which they are started."""

    def __init__(
        self, folder: DataFolder, port: int | None, say: Say, auth: bool = False, gpus: str | None = None
    ) -> None:
        """`port`: the API's, which must be free; None: the usual one, or any if it is taken. `gpus`: see `devices`."""
        self.devices: Sequence[str | None] = devices(gpus) if gpus is not None else [None]
        self.folder = folder
        self.asked = port
        self.say = say
        self.lifeline = Lifeline(inherits=(folder.lock,))
        self.key: str | None = admin_key(folder.path) if auth or configured("AUTH") == "on" else None
        self._choose()

    def _choose(self) -> None:
        """Choose all ports, and tell each of our processes where the others are."""
        self.servers = embedded_servers(self.folder.path, self.lifeline)
        settings = settings_for(self.servers) | {"BACKUP_KEY": backup_key(self.folder.path)}
        settings |= credentials(self.folder.path)
        if self.key:
            settings |= {"AUTH": "on", "ADMIN_KEY": self.key}
        self.settings = settings
        logs, port = self.folder.path / "logs", choose_port(self.asked)
        self.api = Api(logs, self.lifeline, settings, port)
        self.keeper = Keeper(logs, self.lifeline, settings, port)
        self.workers = [
            Worker(logs, self.lifeline, settings, port, device, number) for number, device in enumerate(self.devices, 1)
        ]
        self.supervisor = Supervisor([*self.servers, self.api, self.keeper, *self.workers], self.say)

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        except KeyboardInterrupt:
            self.say("Killing what is left.")
        finally:
            self.lifeline.close()

    def start(self) -> None:
        """Start everything, and return when a job can be accepted."""
        self.say(f"Darkroom {darkroom.__version__}, with its data and logs in {self.folder.path}")
        self._start_all(STARTS)
        self.folder.settings.touch(mode=0o600)
        self.folder.settings.write_text(json.dumps(self.settings), encoding="utf-8")
        self.folder.address.write_text(self.api.url + "\n", encoding="utf-8")

    def supervise(self) -> None:
        """Restart processes that have ended."""
        self.lifeline.renew()
        self.supervisor.check()

    def stop(self) -> None:
        """End everything: the worker first, so that it can release its jobs, and the servers last."""
        self.say("Stopping (Ctrl-C again kills) …")
        self._stop()

    def _stop(self) -> None:
        for process in (*self.workers, self.keeper, self.api, *reversed(self.servers)):
            process.stop()

    def _start_all(self, starts: int) -> None:
        try:
            self._start(self.servers[:1])  # the server of the records, which all others need at once
            self._start([*self.servers[1:], self.api, self.keeper, *self.workers])
        except PortTaken as taken:
            if starts == 1:
                raise
            self.say(f"{taken}\nOnce more, on other ports.")
            self._stop()
            self._choose()
            self._start_all(starts - 1)

    def _start(self, processes: Sequence[Process]) -> None:
        begin = time.monotonic()
        for process in processes:
            self.supervisor.spawn(process)
        for process in processes:
            self.supervisor.wait_until_ready(process)
            self.say(f"  {process.name:<10} ready after {time.monotonic() - begin:.1f} s{process.origin}")


@dataclass
class Life:
    """When a process was last started, how often in a row it ended at once, and when it may be started again."""

    began: float
    short_lives: int = 0
    next_at: float | None = None
    was_ready: bool = False


class Supervisor:
    """Restarts processes that have ended, with a growing pause if they end at once.

    What has never been ready is given up, in clear words; what has been comes back for as long as we live, for a job
    may break its worker at once, and another one after it."""

    def __init__(self, processes: Sequence[Process], say: Say) -> None:
        self.processes = processes
        self.say = say
        self.lives: dict[str, Life] = {}

    def spawn(self, process: Process) -> None:
        """Start a process and supervise it from now on."""
        process.spawn()
        self.lives.setdefault(process.name, Life(0)).began = time.monotonic()

    def wait_until_ready(self, process: Process) -> None:
        """Wait until it is ready for the first time. Raises the same errors as `Process.start`."""
        process.wait_until_ready()
        self.lives[process.name].was_ready = True

    def check(self) -> None:
        """Check every process once. Call it a few times a second."""
        for process in self.processes:
            life = self.lives[process.name]
            if process.running:
                continue
            if life.next_at is None:
                self._mourn(process, life)
            elif time.monotonic() >= life.next_at:
                life.next_at = None
                self.spawn(process)

    def _mourn(self, process: Process, life: Life) -> None:
        at_once = time.monotonic() - life.began < LIVED_SECONDS
        life.short_lives = life.short_lives + 1 if at_once else 0
        if life.short_lives > len(PAUSES) and not life.was_ready:
            raise ProcessError(
                f"{process.name} ended {life.short_lives} times at once, the last time with {process.ending}. "
                f"Giving up; this is the end of its log:\n{process.tail()}"
            )
        pause = PAUSES[min(max(life.short_lives - 1, 0), len(PAUSES) - 1)]
        life.next_at = time.monotonic() + pause
        when = f"in {pause:.0f} s" if pause else "now"
        self.say(f"{process.name} ended with {process.ending}; starting it again {when}.")


def embedded_servers(folder: Path, lifeline: Lifeline) -> list[Process]:
    """The servers that neither the environment nor .env replaces."""
    servers: list[Process] = []
    if not configured("REDIS_URL"):
        servers.append(Valkey(folder / "valkey", lifeline))
    if not configured("S3_ENDPOINT_URL"):
        servers.append(SeaweedFS(folder / "s3", lifeline))
    return servers


def settings_for(servers: Sequence[Process]) -> dict[str, str]:
    """The environment that tells our processes where the embedded servers and the checkpoint are."""
    settings = {
        "DARKROOM_MODE": configured("DARKROOM_MODE") or "local",
        "CHECKPOINT": checkpoint(),
        "LEASE_SECONDS": configured("LEASE_SECONDS") or "15",  # on one machine a dead worker can be noticed soon
    }
    for server in servers:
        match server:
            case Valkey():
                settings["REDIS_URL"] = server.url
            case SeaweedFS():
                settings |= {
                    "S3_ENDPOINT_URL": server.endpoint_url,
                    "S3_REGION": REGION,
                    "S3_BUCKET": server.bucket,
                    "S3_ACCESS_KEY_ID": server.access_key,
                    "S3_SECRET_ACCESS_KEY": server.secret_key,
                }
    return settings


def admin_key(folder: Path) -> str:
    """The admin key of ADMIN_KEY, else the data folder's, where the command line finds it."""
    return configured("ADMIN_KEY") or remembered(folder / KEY_FILE, lambda: secrets.token_urlsafe(32))


def backup_key(folder: Path) -> str:
    """The backup key of BACKUP_KEY, else the data folder's."""
    return configured("BACKUP_KEY") or remembered(folder / "backup_key", lambda: secrets.token_urlsafe(32))


def credentials(folder: Path) -> dict[str, str]:
    """The settings for signing outputs: the operator's, else those of the data folder's authority."""
    if configured("CREDENTIALS") == "off" or configured("CREDENTIALS_CERT") or not find_spec("c2pa"):
        return {}
    authority = Authority(folder / "credentials")
    authority.prepare()
    return authority.settings


def rebuild_from_bucket(data: Path) -> int:
    """Run `worker.rebuild` on the parts that REDIS_URL names, else on those of the data folder's running stack."""
    environment = dict(os.environ)
    file = data / SETTINGS_FILE
    if not configured("REDIS_URL"):
        if not file.exists():
            raise ProcessError(f"No Darkroom has run on {data}: start it with `darkroom up`, or set REDIS_URL.")
        environment |= json.loads(file.read_text(encoding="utf-8"))
    return subprocess.run([sys.executable, "-m", "worker.rebuild"], env=environment).returncode


def configured(name: str) -> str | None:
    """A setting of the environment, or of .env here, read as in `jobs.settings`: an empty one counts as absent."""
    return os.environ.get(name) or {key.upper(): value for key, value in dotenv_values(".env").items()}.get(name)


def checkpoint() -> str:
    """The checkpoint that CHECKPOINT names, else the project's micro one; a folder as its absolute path."""
    chosen = configured("CHECKPOINT") or "checkpoints/micro"
    for folder in (Path(chosen), PROJECT / chosen):
        if folder.is_dir():
            return str(folder.absolute())
    if chosen == "checkpoints/micro":
        raise ProcessError("There is no checkpoint here: name a diffusers folder or a hub id with CHECKPOINT.")
    return chosen


def choose_port(asked: int | None) -> int:
    """The requested port, which must be free; without one the usual port, or any if that is taken."""
    if asked is None:
        return USUAL_PORT if is_free(USUAL_PORT) else free_ports(1)[0]
    if not is_free(asked):
        raise ProcessError(f"Port {asked} is taken by another program: name a free one, or leave --port away.")
    return asked


def greeting(url: str, key_file: Path | None = None) -> str:
    """The text that says where the service is and what to try next."""
    photo = find_photo()
    name = shown(photo) if photo else "photo.jpg"
    header = f" -H \"Authorization: Bearer $(cat '{shown(key_file)}')\"" if key_file else ""
    return (
        f"\nDarkroom is at {url} (its documentation: {url}/docs/)\n"
        f"Try:  curl{header} -F image=@{name} -F prompt='make it look like night' '{url}/v1/jobs'\n"
        "Ctrl-C ends it."
    )


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM and a closed terminal act like Ctrl-C. Ctrl-C acts also where a shell had it ignored."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # under nohup we outlive the terminal
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
