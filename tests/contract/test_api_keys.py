"""Keys, sessions and allowances on a real Valkey, which never sees a secret."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from jobs import redis_keys
from jobs.api_keys import KEY_PATTERN, ApiKeys, Scope, checksum
from jobs.operator import Allowed, Operator
from jobs.throttle import Throttle
from tests.conftest import everything_in

ADMIN_KEY = "an admin key of more than 32 letters"
BOTH = frozenset({Scope.SUBMIT, Scope.READ})


@pytest.fixture
def api_keys(store) -> ApiKeys:
    return ApiKeys(store.redis, ADMIN_KEY)


def test_a_key_is_known_by_what_its_owner_sends_and_by_nothing_else(api_keys):
    key, text = api_keys.make("acme", BOTH, "laptop")
    other, other_text = api_keys.make("acme", frozenset({Scope.READ}))
    assert KEY_PATTERN.fullmatch(text)
    assert api_keys.find(text) == key
    assert api_keys.find(other_text) == other
    secret = KEY_PATTERN.fullmatch(text)[2]
    wrong = secret[:-1] + ("0" if secret[-1] != "0" else "1")
    swapped = f"dk_{other.id}_{secret}{checksum(secret)}"
    for bad in ("", "dk_", text[:-1], text + "0", text.upper(), f"dk_{key.id}_{wrong}{checksum(wrong)}", swapped, "é"):
        assert api_keys.find(bad) is None


def test_the_checksum_tells_a_key_from_a_mistyped_one_without_asking_redis(api_keys):
    _, text = api_keys.make("acme", BOTH)
    mistyped = text[:30] + ("0" if text[30] != "0" else "1") + text[31:]
    api_keys.redis.config_resetstat()
    assert api_keys.find(mistyped) is None
    assert "cmdstat_hgetall" not in api_keys.redis.info("commandstats")


def test_an_unknown_id_takes_the_same_work_as_a_wrong_secret(api_keys, monkeypatch):
    key, text = api_keys.make("acme", BOTH)
    unknown, wrong = f"dk_{'0' * 16}_" + text[-72:], f"dk_{key.id}_{'0' * 64}{checksum('0' * 64)}"
    commands = []
    for bad in (unknown, wrong):
        api_keys.redis.config_resetstat()
        assert api_keys.find(bad) is None
        stats = api_keys.redis.info("commandstats")
        commands.append({name: told["calls"] for name, told in stats.items() if "config" not in name})
    assert commands[0] == commands[1] != {}


def test_a_revoked_key_ends_at_once_and_so_do_its_sessions(api_keys):
    key, text = api_keys.make("acme", BOTH)
    session = api_keys.open_session(key, 60)
    assert api_keys.session(session) == key
    assert api_keys.revoke(key.id)
    assert api_keys.find(text) is None
    assert api_keys.session(session) is None
    assert api_keys.page(9) == ([], None)
    assert not api_keys.revoke(key.id)


def test_a_session_ends_by_itself_or_when_it_is_closed(api_keys):
    key, _ = api_keys.make("acme", BOTH)
    short, closed, lasting = (api_keys.open_session(key, seconds) for seconds in (1, 60, 60))
    api_keys.close_session(closed)
    time.sleep(1.1)
    assert [api_keys.session(token) for token in (short, closed, lasting, "")] == [None, None, key, None]


def test_the_admin_key_is_as_long_as_it_is_set(api_keys, store):
    admin = api_keys.find(ADMIN_KEY)
    assert (admin.tenant, admin.scopes) == ("default", frozenset(Scope))
    session = api_keys.open_session(admin, 60)
    assert api_keys.session(session) == admin
    for after in (ApiKeys(store.redis), ApiKeys(store.redis, "another admin key of 32 letters!!")):
        assert after.find(ADMIN_KEY) is None
        assert after.session(session) is None
        assert after.find("") is None


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_keys_are_listed_page_by_page_in_the_order_in_which_they_were_made(api_keys, size):
    """This includes keys of the same millisecond, and a page whose last key is revoked before the next page is read."""
    made = []
    for number in range(6):
        key, _ = api_keys.make("acme", BOTH)
        api_keys.redis.zadd(redis_keys.KEYS, {key.id: 1_700_000_000_000 + number // 3})
        made.append(key.id)
    made = sorted(made[:3]) + sorted(made[3:])
    page, after = api_keys.page(size)
    listed = [key.id for key in page]
    while after:
        api_keys.revoke(listed[-1])
        page, after = api_keys.page(size, after)
        listed += [key.id for key in page]
    assert listed == made


def test_redis_holds_no_secret(api_keys):
    key, text = api_keys.make("acme", BOTH)
    session = api_keys.open_session(key, 60)
    held = everything_in(api_keys.redis)
    for secret in (text, KEY_PATTERN.fullmatch(text)[2], session, ADMIN_KEY):
        assert secret not in held
    assert key.id in held


def test_a_bucket_holds_a_minutes_requests_and_refills_evenly(store):
    throttle = Throttle(store.redis)
    taken = [throttle.take("a", "reads", 600) for _ in range(601)]
    assert [one.allowed for one in taken] == [True] * len(taken[:-1]) + [taken[-1].allowed]
    assert taken[0].remaining == 599
    while taken[-1].allowed:  # what flowed back meanwhile
        taken.append(throttle.take("a", "reads", 600))
    assert (taken[-1].remaining, taken[-1].retry_after) == (0, 1)
    time.sleep(0.25)
    again = [throttle.take("a", "reads", 600).allowed for _ in range(6)]
    assert 2 <= again.count(True) <= 4
    assert throttle.take("b", "reads", 600).allowed, "another caller has a bucket of its own"
    assert throttle.take("a", "writes", 600).allowed, "and so has another kind of request"


def test_requests_that_race_for_a_bucket_never_get_more_than_it_holds(store):
    throttle = Throttle(store.redis)
    started = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        allowed = list(pool.map(lambda _: throttle.take("a", "reads", 60).allowed, range(400)))
    assert 60 <= allowed.count(True) <= 61 + (time.monotonic() - started)


def test_a_bucket_leaves_nothing_behind(store):
    Throttle(store.redis).take("a", "reads", 6000)
    time.sleep(0.1)
    assert store.redis.keys() == []


def test_a_tenants_own_number_of_requests_counts_instead(store):
    throttle = Throttle(store.redis)
    Operator(store).limit("acme", Allowed(reads_per_minute=3))
    taken = [throttle.take("k", "reads", 600, "acme") for _ in range(4)]
    assert [allowance.allowed for allowance in taken] == [True, True, True, False]
    assert taken[0].headers()["RateLimit-Policy"] == '"reads";q=3;w=60'
    assert throttle.take("k", "writes", 600, "acme").limit == 600
    assert throttle.take("l", "reads", 600, "globex").limit == 600
