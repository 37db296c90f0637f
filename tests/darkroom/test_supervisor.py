"""A process that ends is started again. If it ends again and again, the supervisor gives up with a clear message."""

from pathlib import Path

import pytest

from darkroom.local.process import Lifeline, Process, ProcessError
from darkroom.local.stack import PAUSES, Supervisor
from tests.darkroom.sleepers import Sleeper
from tests.waiting import eventually


class Fainting(Process):
    """Ends at once, and says why."""

    name = "fainting"

    def command(self) -> list[str]:
        return ["sh", "-c", "echo so pale; exit 7"]

    def ready(self) -> bool:
        return self.running


def test_a_killed_process_is_started_again_at_once(tmp_path: Path) -> None:
    lifeline, said = Lifeline(), []
    sleeper = Sleeper(tmp_path, lifeline)
    supervisor = Supervisor([sleeper], said.append)
    supervisor.spawn(sleeper)
    killed = sleeper.pid
    sleeper.kill()
    supervisor.check()
    supervisor.check()
    assert sleeper.running
    assert sleeper.pid != killed
    assert said == ["sleeper ended with SIGKILL; starting it again now."]
    sleeper.stop()
    lifeline.close()


def test_what_ends_again_and_again_is_given_up_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("darkroom.local.stack.PAUSES", tuple(pause / 100 for pause in PAUSES))
    lifeline, said = Lifeline(), []
    fainting = Fainting(tmp_path, lifeline)
    supervisor = Supervisor([fainting], said.append)
    supervisor.spawn(fainting)

    def given_up() -> bool:
        try:
            supervisor.check()
        except ProcessError as error:
            return "ended 6 times at once, the last time with status 7" in str(error) and "so pale" in str(error)
        return False

    assert eventually(given_up, 10)
    assert len(said) == len(PAUSES)
    lifeline.close()


def test_what_has_been_ready_is_never_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("darkroom.local.stack.PAUSES", (0.0, 0.0))
    lifeline, said = Lifeline(), []
    sleeper = Sleeper(tmp_path, lifeline)
    supervisor = Supervisor([sleeper], said.append)
    supervisor.spawn(sleeper)
    supervisor.wait_until_ready(sleeper)
    for _ in range(6):
        sleeper.kill()
        supervisor.check()
        supervisor.check()
    assert sleeper.running
    assert len(said) == 6
    sleeper.stop()
    lifeline.close()
