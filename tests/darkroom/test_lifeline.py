"""No process that we started outlives us."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from darkroom.local.process import Lifeline
from tests.darkroom.sleepers import Sleeper, Stubborn, group_is_gone
from tests.waiting import eventually

PARENT = """
import sys, time
from darkroom.local.process import Lifeline
from tests.darkroom.sleepers import Family, Sleeper, Stubborn

lifeline = Lifeline()
children = [kind(sys.argv[1], lifeline).start() for kind in (Sleeper, Family, Stubborn)]
print(lifeline._watcher.pid, *(child.pid for child in children), flush=True)
time.sleep(100)
"""


def test_when_the_parent_is_gone_so_is_every_child_and_grandchild(tmp_path: Path) -> None:
    """This holds whether the parent was killed or asked to end."""
    numbers = (signal.SIGKILL, signal.SIGTERM)
    parents = {number: a_parent(tmp_path / number.name) for number in numbers}
    for number, (parent, pids) in parents.items():
        assert len(pids) == 4
        assert not any(map(group_is_gone, pids))
        parent.send_signal(number)
        parent.wait()
    for number, (_, pids) in parents.items():
        assert eventually(lambda pids=pids: all(map(group_is_gone, pids)), 10), number.name


def a_parent(folder: Path) -> tuple[subprocess.Popen[str], list[int]]:
    """A process with children, and the process ids of its watcher and of these."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(folder)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    with parent.stdout as out:
        return parent, [int(pid) for pid in out.readline().split()]


def test_a_killed_watcher_is_replaced_and_knows_the_living(tmp_path: Path) -> None:
    lifeline = Lifeline()
    sleeper = Sleeper(tmp_path, lifeline).start()
    assert lifeline._watcher
    lifeline._watcher.kill()
    lifeline._watcher.wait()
    lifeline.renew()
    lifeline.close()  # the pipe ends, as it does when we die
    assert eventually(lambda: not sleeper.running, 5)
    assert sleeper.exit_status == -signal.SIGTERM


def test_a_process_that_was_stopped_is_forgotten(tmp_path: Path) -> None:
    """Its process id may belong to another process by the time that the watcher looks."""
    lifeline = Lifeline()
    sleeper = Sleeper(tmp_path, lifeline).start()
    sleeper.stop()
    assert sleeper.pid not in lifeline.pids
    lifeline.close()


def test_a_process_and_its_watcher_are_told_apart_from_ctrl_c(tmp_path: Path) -> None:
    """The terminal sends Ctrl-C to our process group; they have their own groups."""
    with Sleeper(tmp_path) as sleeper:
        assert sleeper.lifeline._watcher
        groups = {os.getpgid(pid) for pid in (os.getpid(), sleeper.pid, sleeper.lifeline._watcher.pid)}
    assert len(groups) == 3


def test_stop_kills_what_does_not_listen(tmp_path: Path) -> None:
    with Stubborn(tmp_path) as stubborn:
        stubborn.grace = 0.3
        began = time.monotonic()
        stubborn.stop()
        assert 0.3 <= time.monotonic() - began < 5
        assert stubborn.exit_status == -signal.SIGKILL
