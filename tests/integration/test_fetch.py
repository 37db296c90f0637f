"""Foreign addresses: whatever their spelling, nothing of ours is reached, and the public internet is."""

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from jobs import fetch
from jobs.errors import Unavailable
from jobs.fetch import LOOKUPS, PLACES, SHARE, Fetcher, FetchError, Resolver, is_public, on_behalf_of
from jobs.settings import Settings
from tests.receivers import Canary, certificate, receiving

# Ways to write an address of this machine, or of the network around it.
HOSTS = """
ⓛocalhost loc%61lhost 127.0.0.1
127.0.0.2 127.1 127.0.1 127.255.255.254 2130706433 0x7f000001 0x7f.0.0.1 0x7f.1 0177.0.0.1 017700000001
0177.0.0.01 00000177.0.0.1 0 0.0.0.0 0x0 127。0。0。1 127.0.0.1. ①②⑦.⓪.⓪.① １２７.０.０.１ localhost LOCALHOST
localhost. localhost.localdomain ip6-localhost ip6-loopback
[::1] [0:0:0:0:0:0:0:1] [::] [::ffff:127.0.0.1] [::ffff:7f00:1] [0:0:0:0:0:ffff:7f00:1] [::127.0.0.1] [::7f00:1]
[64:ff9b::7f00:1] [64:ff9b::127.0.0.1] [64:ff9b:1::7f00:1] [2002:7f00:1::] [2002:7f00:1::1] [2001:0:7f00:1::]
[2001:0:4136:e378:8000:63bf:80ff:fffe] [fe80::1] [fe80::1%25lo] [fec0::1] [fc00::1] [fd00:ec2::254] [ff02::1]
[2001:db8::1] [3fff::1] [100::1] [5f00::1] [::ffff:169.254.169.254] [::ffff:0:127.0.0.1] [2002:a9fe:a9fe::]
10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.254 192.168.0.1 169.254.169.254 2852039166 0xa9fea9fe 0251.0376.0251.0376
169.254.170.2 100.64.0.1 100.100.100.200 168.63.129.16 192.0.0.192 192.0.2.1 192.88.99.1 198.18.0.1 198.51.100.1
203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
""".split()  # noqa: RUF001
# Names that a stranger's name server may answer with any of these.
NAMES = {
    "localtest.example": ["127.0.0.1"],
    "metadata.example": ["169.254.169.254"],
    "mixed.example": ["93.184.216.34", "127.0.0.1"],
    "mixed6.example": ["2606:2800:220:1:248:1893:25c8:1946", "::1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "scoped.example": ["fe80::1%lo"],
    "nowhere.example": [],
}
URLS = """
http://{host} ftp://93.184.216.34/ file:///etc/passwd gopher://127.0.0.1:{port}/_ data:text/plain,x //127.0.0.1:{port}/
https:///x https:// https://user@127.0.0.1:{port}/ https://93.184.216.34@127.0.0.1:{port}/ https://user:pass@example.com:{port}/
https://93.184.216.34:22/ https://93.184.216.34:6379/ https://127.0.0.1:{port}#@93.184.216.34/ https://127.0.0.1:{port}\\@example.com/
https://[::1/ https://exa\tmple:{port}/ unix:///tmp/socket https://127.0.0.1:99999/ HTTPS://127.0.0.1:{port}/
""".split("\n")
URLS = [part for line in URLS for part in line.split(" ") if part]


@pytest.fixture
def canary() -> Iterator[Canary]:
    canary = Canary()
    yield canary
    canary.close()


def settings_for(*ports: int, **changes) -> Settings:
    return Settings(_env_file=None, fetch_ports=",".join(map(str, ports)), **changes)


async def named(host: str, port: int) -> list[str]:
    return NAMES[host] if host in NAMES else await Resolver()(host, port)


def refuses(fetcher: Fetcher, url: str) -> bool:
    """Whether both ways to connect are refused."""

    async def knock() -> int:
        shut = 0
        for request in (fetcher.get(url, limit=100), fetcher.post(url, headers={}, content=b"{}", limit=100)):
            try:
                await request
            except FetchError:
                shut += 1
        return shut

    return asyncio.run(knock()) == 2


def test_there_are_sixty_of_them():
    assert len(HOSTS) + len(NAMES) + len(URLS) >= 60
    assert len(set(HOSTS)) == len(HOSTS)


def test_no_hostile_address_reaches_the_canary_nor_opens_any_connection(canary):
    fetcher = Fetcher(settings_for(canary.port, 80, 443), resolve=named)
    dialled = []
    connect = fetcher._network._connect
    fetcher._network._connect = lambda addresses, *rest, **more: (
        dialled.append(addresses) or connect(addresses, *rest, **more)
    )
    hosts = [f"{scheme}://{host}:{canary.port}/x" for host in [*HOSTS, *NAMES] for scheme in ("https", "http")]
    urls = [url.format(host="127.0.0.1", port=canary.port) for url in URLS]
    started = time.monotonic()
    open_doors = [url for url in [*hosts, *urls] if not refuses(fetcher, url)]
    assert open_doors == []
    assert (dialled, canary.touched) == ([], 0)
    assert time.monotonic() - started < 60


def test_the_canary_hears_those_who_may_come(canary):
    """Shows that the test above can fail: with loopback allowed, the same spellings arrive."""
    allowed = settings_for(canary.port, allow_private_networks="127.0.0.0/8,::1/128,0.0.0.0/8")
    fetcher = Fetcher(allowed)
    for host in ("127.0.0.1", "2130706433", "0x7f.1", "127。0。0。1", "localhost", "[::ffff:7f00:1]", "[::1]"):
        before = canary.touched
        assert refuses(fetcher, f"https://{host}:{canary.port}/")  # it speaks no TLS
        assert canary.touched > before, host


def test_an_answer_that_changes_between_check_and_connect_changes_nothing(canary):
    """Each connection asks DNS once, and goes to the address that was checked."""
    answers = itertools.cycle([["93.184.216.34"], ["127.0.0.1"]])
    dialled = []

    async def turning(host: str, port: int) -> list[str]:
        return next(answers)

    async def note(addresses, *_, **__):
        dialled.extend(addresses)
        raise FetchError("far away")

    fetcher = Fetcher(settings_for(canary.port), resolve=turning)
    fetcher._network._connect = note
    for _ in range(4):
        assert refuses(fetcher, f"https://turning.example:{canary.port}/")
    assert [str(address) for address in dialled] == ["93.184.216.34"] * 4
    assert canary.touched == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_checked_like_any_address(canary, status):
    targets = iter([f"https://127.0.0.2:{canary.port}/", f"http://[::1]:{canary.port}/", "file:///etc/passwd", ""])
    with receiving(lambda _: (status, {"Location": next(targets)}, b"")) as door:
        fetcher = Fetcher(settings_for(door.port, canary.port, allow_private_networks="127.0.0.1/32"))
        for _ in range(3):
            with pytest.raises(FetchError):
                asyncio.run(fetcher.get(door.url, limit=100))
    assert canary.touched == 0
    assert len(door.requests) == 3


def test_three_redirects_are_followed_and_no_fourth():
    def hop(request):
        left = int(request.path[1:])
        return (302, {"Location": f"/{left - 1}"}, b"") if left else (200, {}, b"picture")

    with receiving(hop) as door:
        fetcher = Fetcher(settings_for(door.port, allow_private_networks="127.0.0.1/32"))
        assert asyncio.run(fetcher.get(f"{door.url}/3", limit=100)) == b"picture"
        with pytest.raises(FetchError):
            asyncio.run(fetcher.get(f"{door.url}/4", limit=100))
        answer = asyncio.run(fetcher.post(f"{door.url}/3", headers={}, content=b"{}", limit=100))
    assert answer.status == 302, "a POST goes nowhere else"


def test_a_body_is_read_up_to_its_limit_and_never_unpacked():
    with receiving(lambda request: (200, {"Content-Encoding": "gzip"}, b"x" * int(request.path[1:]))) as door:
        fetcher = Fetcher(settings_for(door.port, allow_private_networks="127.0.0.1/32"))
        assert asyncio.run(fetcher.get(f"{door.url}/1000", limit=1000)) == b"x" * 1000
        with pytest.raises(FetchError):
            asyncio.run(fetcher.get(f"{door.url}/1001", limit=1000))
        with pytest.raises(FetchError):
            asyncio.run(fetcher.get(f"{door.url}/50000000", limit=1000))
    assert {request.headers["accept-encoding"] for request in door.requests} == {"identity"}


def test_the_proxy_of_the_environment_is_not_asked(monkeypatch, canary):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{canary.port}")
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{canary.port}")
    with receiving(lambda _: (200, {}, b"direct")) as door:
        fetcher = Fetcher(settings_for(door.port, allow_private_networks="127.0.0.1/32"))
        assert asyncio.run(fetcher.get(door.url, limit=100)) == b"direct"
    assert canary.touched == 0


def test_a_server_that_never_ends_its_answer_is_left_after_its_time():
    with receiving(lambda _: (time.sleep(20), (200, {}, b""))[1]) as door:
        fetcher = Fetcher(settings_for(door.port, allow_private_networks="127.0.0.1/32"))
        started = time.monotonic()
        with pytest.raises(FetchError):
            asyncio.run(fetcher.post(door.url, headers={}, content=b"", limit=10, seconds=0.3))
        assert time.monotonic() - started < 15


def test_the_hosts_name_stays_in_tls_and_in_the_request(tmp_path):
    """The connection goes to an address, but the certificate is checked against the name."""
    server, trusting = certificate("photos.example", tmp_path)
    asked_for = []
    server.sni_callback = lambda _socket, name, _context: asked_for.append(name)

    async def here(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    with receiving(lambda _: (200, {}, b"picture"), tls=server) as door:
        settings = settings_for(door.port, allow_private_networks="127.0.0.1/32")
        fetcher = Fetcher(settings, resolve=here, ssl_context=trusting)
        assert asyncio.run(fetcher.get(f"https://photos.example:{door.port}/a?b=c", limit=100)) == b"picture"
        assert refuses(fetcher, f"https://other.example:{door.port}/")
        assert refuses(Fetcher(settings, resolve=here), f"https://photos.example:{door.port}/")
    (request,) = door.requests
    assert (request.path, request.headers["host"]) == ("/a?b=c", f"photos.example:{door.port}")
    assert asked_for[0] == "photos.example"


def test_a_name_server_that_never_answers_is_left_after_three_seconds():
    async def silent(host: str, port: int) -> list[str]:
        await asyncio.sleep(60)
        return []

    started = time.monotonic()
    with pytest.raises(FetchError):
        asyncio.run(Fetcher(settings_for(443), resolve=silent).get("https://silent.example/", limit=1))
    assert time.monotonic() - started < 30


def test_a_tenants_slow_origin_takes_no_more_than_its_share_of_the_places():
    answered = threading.Event()

    def reply(request):
        if request.path == "/slow":
            answered.wait(20)
        return 200, {}, b"x"

    with receiving(reply) as door:
        fetcher = Fetcher(settings_for(door.port, allow_private_networks="127.0.0.1/32"))

        async def story() -> None:
            slow = [
                asyncio.create_task(fetcher.get(f"{door.url}/slow", limit=9, tenant="slow")) for _ in range(2 * PLACES)
            ]
            while len(door.requests) < PLACES // SHARE:
                await asyncio.sleep(0.01)
            for _ in range(PLACES):
                assert await fetcher.get(f"{door.url}/quick", limit=9, tenant="quick") == b"x"
            assert sum(request.path == "/slow" for request in door.requests) == PLACES // SHARE
            for task in slow:
                task.cancel()

        asyncio.run(story())
        answered.set()


def test_a_picture_that_finds_no_place_is_not_said_to_be_out_of_reach(monkeypatch):
    monkeypatch.setattr(fetch, "PATIENCE", 0.01)

    async def story() -> None:
        fetcher = Fetcher(settings_for(443))
        for _ in range(PLACES // SHARE):
            await fetcher._slots.acquire("a", seconds=1)
        with pytest.raises(Unavailable):
            await fetcher.get("https://example.com/", limit=9, tenant="a")

    asyncio.run(story())


def test_a_tenants_silent_name_servers_hold_no_more_than_its_share_of_the_threads():
    """This also holds when nobody waits for them any longer, because a DNS query of the system cannot be canceled."""
    silent, asked = threading.Event(), []

    def ask(host: str, port: int, **_) -> list:
        asked.append(host)
        if host == "silent":
            silent.wait(30)
        return [(0, 0, 0, "", ("93.184.216.34", port))]

    async def story() -> None:
        resolve = Resolver(ask)
        with on_behalf_of("a"):
            lookups = [asyncio.create_task(resolve("silent", 443)) for _ in range(2 * LOOKUPS)]
        while len(asked) < LOOKUPS // SHARE:
            await asyncio.sleep(0.01)
        for task in lookups:
            task.cancel()
        with on_behalf_of("b"):
            for _ in range(LOOKUPS):
                assert await resolve("quick", 443) == ["93.184.216.34"]
        assert asked.count("silent") == LOOKUPS // SHARE
        silent.set()

    asyncio.run(story())


def test_plain_http_goes_to_listed_loopback_in_local_mode_only():
    secrets = {"s3_secret_access_key": "x", "redis_url": "redis://:p@h/0"}
    with receiving() as door:
        production = settings_for(
            door.port, allow_private_networks="127.0.0.1/32", darkroom_mode="production", auth="on", **secrets
        )
        assert refuses(Fetcher(production), door.url)
        assert refuses(Fetcher(settings_for(door.port)), door.url)
        assert door.requests == []


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "2a00::1"])
def test_the_public_internet_is_public(address):
    assert is_public(ip_address(address))
