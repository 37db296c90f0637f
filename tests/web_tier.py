"""The web tier as a separate process, for tests that kill it, measure it, or write to its socket."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from api.http_limits import BoundedHttp
from darkroom.local.ports import free_ports
from darkroom.local.process import Lifeline
from darkroom.local.services import Api
from jobs.settings import Settings
from tests.conftest import ROOT


def as_environment(settings: Settings) -> dict[str, str]:
    """The variables that make a process read these settings."""

    def text(value: Any) -> str:
        return value.get_secret_value() if isinstance(value, SecretStr) else str(value)

    given = settings.model_dump(exclude_none=True)
    return {"PYTHONPATH": str(ROOT)} | {name.upper(): text(value) for name, value in given.items()}


class Hasty(BoundedHttp):
    """The same protocol with shorter time limits."""

    head_seconds = 0.5
    body_seconds = 0.7
    stalled_seconds = 0.5


class WebTier(Api):
    """uvicorn with our app, and Linux' data about the process."""

    protocol = "api.http_limits:BoundedHttp"
    processes = 1

    def command(self) -> list[str]:
        ours = super().command()
        ours[ours.index("--http") + 1] = self.protocol
        return [*ours, "--workers", str(self.processes)] if self.processes > 1 else ours

    def environment(self) -> dict[str, str]:
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        return {**super().environment(), "TMPDIR": str(temporary)}

    def kilobytes(self, kind: str = "VmRSS") -> int:
        """Its memory: `VmRSS` is the present, `VmHWM` the highest."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split(kind + ":")[1].split()[0])

    def spooled(self) -> int:
        """The bytes of its temporary files, including removed ones."""
        files = 0
        for entry in Path(f"/proc/{self.pid}/fd").iterdir():
            target = str(entry.readlink()) if entry.is_symlink() else ""
            files += entry.stat().st_size if target.startswith(str(self.folder / "tmp")) else 0
        return files + sum(file.stat().st_size for file in (self.folder / "tmp").iterdir())


@contextmanager
def web_tier(
    settings: Settings, folder: Path, protocol: str = WebTier.protocol, processes: int = 1
) -> Iterator[WebTier]:
    """A running web tier on a free port."""
    lifeline = Lifeline()
    tier = WebTier(folder, lifeline, as_environment(settings), free_ports(1)[0])
    tier.protocol, tier.processes = protocol, processes
    try:
        with tier:
            yield tier
    finally:
        lifeline.close()
