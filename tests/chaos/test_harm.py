"""Which processes the chaos harness hits, and what it reports when it hit none."""

import random
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from chaos import scenarios
from chaos.house import Plan
from chaos.workers import Harm, at_work, victim
from jobs.settings import Settings

HELD = {1: 0, 2: 3, 3: 1}  # jobs by process id


def a_house(*pids: int, **others: Any) -> Any:
    workers = [SimpleNamespace(name=f"worker-{pid}", pid=pid, running=True) for pid in pids]
    return SimpleNamespace(workers=workers, held_by=HELD.get, **others)


def test_a_worker_is_at_work_only_while_it_holds_a_job_and_runs_and_is_not_being_hit():
    house = a_house(1, 2, 3)
    assert [worker.pid for worker in at_work(house, {})] == [2, 3]
    assert [worker.pid for worker in at_work(house, {"worker-2": Future()})] == [3]
    house.workers[2].running = False
    assert [worker.pid for worker in at_work(house, {})] == [2]


def test_nobody_is_hit_when_all_jobs_are_over_and_nobody_waits_for_more():
    house = a_house(1, accepted=[None] * 5, unfinished=list)
    assert victim(house, {}, random.Random(1), jobs=5, seconds=60) is None
    house.accepted.pop()  # the fifth is still to come
    assert victim(house, {}, random.Random(1), jobs=5, seconds=0.2) is None
    assert victim(a_house(1, 2), {}, random.Random(1), jobs=5, seconds=60).pid == 2


def test_faults_are_spread_over_the_jobs_and_one_in_so_many_is_a_freeze():
    assert [Harm(4, 50).due(number) for number in range(4)] == [10, 20, 30, 40]
    assert [Harm(8, 50).is_freeze(number) for number in range(8)] == [False, False, False, True] * 2
    assert Harm(1, 9, freeze_every=1).is_freeze(0)


@pytest.mark.parametrize("hits", [[], [False], [False, True]], ids=str)
def test_web_killed_fails_unless_it_killed_before_and_after_words_were_sent_on(monkeypatch, hits):
    """`hits`: for which of the two there is a point at which the web tier is killed."""
    shots: dict[bool, int] = {}

    def bullet(_: Any, point: int, sent_on: bool) -> Any:
        shots[sent_on] = point
        return SimpleNamespace(hit=sent_on in hits and point < 3, put_away=lambda: None)

    for name in ("until", "once", "again_killed"):
        monkeypatch.setattr(scenarios, name, lambda *_: None)
    monkeypatch.setattr(scenarios, "made_of", lambda _: set())
    monkeypatch.setattr(scenarios, "Bullet", bullet)
    monkeypatch.setattr(scenarios.time, "sleep", lambda _: None)
    house, rules = MagicMock(), scenarios.Rules()
    house.api.url, house.post.return_value.status_code, house.redis.zcard.return_value = "http://house", 202, 0
    told = scenarios.web_killed(house, random.Random(1), rules)
    assert told["failpoints"] == 2 * len(hits)
    assert len(rules.wrong) == 2 - len(hits)


def test_a_report_says_whether_poison_is_on():
    assert Plan().poison == "off (MAX_CRASHES=1000, the service's default is 3)"
    usual = str(Settings.model_fields["max_crashes"].default)
    assert Plan(settings={"MAX_CRASHES": usual}).poison == "after 3 crashes"
