"""Retries: after random, growing delays, and not too often."""

import statistics
from copy import deepcopy

import pytest
import redis
from botocore.exceptions import ClientError, EndpointConnectionError

from jobs.errors import StorageUnavailable
from jobs.pictures import PictureStore
from jobs.retries import Budget, RedisRetry, full_jitter


def test_waits_are_anything_up_to_a_limit_that_doubles_until_it_is_capped():
    for tries, most in ((0, 1.0), (1, 2.0), (3, 8.0), (9, 20.0)):
        waits = [full_jitter(tries, base=1.0, cap=20.0) for _ in range(2000)]
        assert 0 <= min(waits) < 0.1 * most
        assert 0.9 * most < max(waits) <= most
        assert abs(statistics.mean(waits) - most / 2) < 0.1 * most


def test_a_dependency_that_fails_altogether_is_asked_a_tenth_more_at_most():
    budget, retries = Budget(), 0
    for _ in range(1000):
        budget.earn()
        retries += budget.spend()
    assert retries <= 10 + 100


class Failing:
    """A storage or a Redis that counts its calls."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.asked = 0

    def __call__(self, **_: object) -> None:
        self.asked += 1
        raise self.error

    head_bucket = __call__


def refusal(status: int, code: str) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "HeadBucket")


@pytest.mark.parametrize(
    ("error", "asked", "away"),
    [
        (EndpointConnectionError(endpoint_url="http://s3"), 4, True),
        (refusal(503, "ServiceUnavailable"), 4, True),
        (refusal(400, "RequestTimeout"), 4, False),
        (refusal(403, "AccessDenied"), 1, False),
    ],
)
def test_only_what_may_pass_is_asked_again_and_a_refusal_keeps_nobody_else_out(error, asked, away):
    storage = Failing(error)
    pictures = PictureStore(storage, storage, "b", patience=10.0)
    with pytest.raises(StorageUnavailable):
        pictures.ping()
    assert storage.asked == asked
    assert pictures.failing == away


def test_redis_is_asked_once_more_while_the_budget_lasts():
    broken, retry = Failing(redis.ConnectionError()), RedisRetry(Budget(reserve=1.0))
    for asked in (2, 3):
        with pytest.raises(redis.ConnectionError):
            retry.call_with_retry(broken, lambda _: None)
        assert broken.asked == asked


def test_all_connections_of_a_client_share_one_budget():
    retry = RedisRetry()
    assert deepcopy(retry)._budget is retry._budget
