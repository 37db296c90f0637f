"""Ends the processes of `darkroom up` when it is gone, even after a kill -9.

A small program beside `darkroom up`, run by path with `python -I -S` so that it stays light (standard library only):

    lifeline.py watch                 reads "+PID" and "-PID" from its standard input, the far end of a pipe that
                                      the parent keeps open. When the parent is gone, however it went, the pipe ends,
                                      and every process group still listed is ended, the last one first.
    lifeline.py hold FD COMMAND...    writes "+PID" of itself to that pipe, then becomes the command: from its
                                      first instruction on there is no moment at which a child is not listed.
"""

import os
import signal
import sys
import time

SECONDS_EACH = 1.0  # so five processes are gone within 5 s


def watch() -> None:
    """Keep the list of living process groups until the parent is gone, then end them."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: list[int] = []
    for line in sys.stdin:
        group = int(line[1:])
        if line[0] == "+":
            groups.append(group)
        elif group in groups:
            groups.remove(group)
    for group in reversed(groups):
        end(group)


def end(group: int) -> None:
    """Send SIGTERM to one process group, then SIGKILL to what is left of it."""
    try:
        os.killpg(group, signal.SIGTERM)
        patience = time.monotonic() + SECONDS_EACH
        while time.monotonic() < patience:
            time.sleep(0.05)
            os.killpg(group, 0)
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # gone (macOS says so of a group of zombies by the latter)
        return


def hold(pipe: int, command: list[str]) -> None:
    """Register this process group with the watcher behind `pipe`, then become `command`."""
    os.set_inheritable(pipe, False)
    os.write(pipe, b"+%d\n" % os.getpid())
    try:
        os.execvp(command[0], command)  # noqa: S606
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    if sys.argv[1] == "watch":
        watch()
    else:
        hold(int(sys.argv[2]), sys.argv[3:])
