"""Jobs and their ids."""

import time

from jobs.job import NEXT, SENTENCES, Status, is_id, new_id


def test_ids_sort_by_time_and_never_meet():
    ids = []
    for _ in range(200):
        ids.append(new_id())
        time.sleep(0.00001)
    assert ids == sorted(ids)
    assert len(set(ids)) == 200
    assert all(is_id(one) for one in ids)


def test_what_is_no_id():
    good = new_id()
    for bad in ("", good[:-1], good + "0", good.upper(), "../" + good[3:], good[:-1] + "u", good[:-1] + "é"):
        assert not is_id(bad)


def test_every_state_has_a_sentence_and_the_ended_ones_lead_nowhere():
    assert set(SENTENCES) == set(NEXT) == set(Status)
    assert {status for status in Status if status.is_over} == {Status.SUCCEEDED, Status.FAILED, Status.CANCELED}
