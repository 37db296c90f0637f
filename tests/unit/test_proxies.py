"""Servers on this machine are called directly, without a proxy."""

import pytest

from jobs.pictures import PictureStore
from jobs.proxies import is_loopback
from tests.local_stack import DEAD_PROXY


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:8333", True),
        ("http://127.8.8.8", True),
        ("http://[::1]:9000/path", True),
        ("https://LOCALHOST:1", True),
        ("https://s3.example", False),
        ("http://127.0.0.1.example", False),
        ("http://10.0.0.1", False),
        ("http://seaweed:8333", False),
        ("", False),
    ],
)
def test_this_machine_is_known_by_its_addresses(url, here):
    assert is_loopback(url) is here


def test_pictures_on_this_machine_are_stored_without_the_proxy_of_the_environment(parts, monkeypatch):
    for name, value in DEAD_PROXY.items():
        monkeypatch.setenv(name, value)
    PictureStore.connect(parts, timeout=5).ping()
