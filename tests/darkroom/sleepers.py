"""Child processes that only sleep, and functions to see what is left of them."""

import subprocess

from darkroom.local.process import Process


class Sleeper(Process):
    """Sleeps, and ends when it is asked to."""

    name = "sleeper"

    def command(self) -> list[str]:
        return ["sleep", "100"]

    def ready(self) -> bool:
        """Whether it is the sleeper already, and no longer the program that becomes it."""
        return command_of(self.pid).startswith("sleep")


class Stubborn(Sleeper):
    """Ignores SIGTERM, and creates a file with its name once it does."""

    name = "stubborn"
    script = "trap '' TERM; touch '{file}'; while :; do sleep 0.1; done"

    def command(self) -> list[str]:
        return ["sh", "-c", self.script.format(file=self.folder / self.name)]

    def ready(self) -> bool:
        return (self.folder / self.name).exists()


class Family(Stubborn):
    """Obeys SIGTERM, and has a child of its own."""

    name = "family"
    script = "sleep 100 & touch '{file}'; sleep 100"


def command_of(pid: int) -> str:
    """The command line of a living process, otherwise empty."""
    return subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True).stdout


def group_is_gone(leader: int) -> bool:
    """Whether nothing but zombies, which whoever adopted them has still to bury, is left of a process group."""
    listing = subprocess.run(["ps", "-A", "-o", "pgid=,stat="], capture_output=True, text=True, check=True).stdout
    groups = map(str.split, listing.splitlines())
    return not any(group == str(leader) and not state.startswith("Z") for group, state in groups)
