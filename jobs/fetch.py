"""Requests to addresses that strangers name: webhooks, and pictures by URL. They never reach a private network.

A URL's spelling proves nothing, so no spelling is judged. Its host is resolved once, every address of the answer is
checked, and the connection goes to a checked address; the host's name stays in TLS and in the Host header. No proxy is
taken from the environment, no redirect is followed unchecked.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

import httpcore
import httpx

from jobs.fair_slots import FairSlots
from jobs.settings import Network, Settings

CONNECT_SECONDS = 3.0
TOTAL_SECONDS = 15.0
REDIRECTS = 3
LONGEST_URL = 2048
PLACES = 32  #: pictures fetched at a time, for they are held in memory
LOOKUPS = 64  #: threads that ask name servers, which may stay silent for half a minute
SHARE = 4  #: one tenant has at most this part of either
PATIENCE = 10.0  #: seconds that a picture waits for a place, before its own time begins

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[Iterable[str]]]

ON_BEHALF_OF: ContextVar[str] = ContextVar("the tenant for whom an address is asked", default="")

GLOBAL_UNICAST = IPv6Network("2000::/3")
#: Not for us, although some versions of `ipaddress` call them global: protocol assignments, relays and translators
#: behind which any address may stand (6to4, Teredo), multicast, documentation, and the host agent of Azure.
DENIED = [
    ip_network(text)
    for text in (
        "168.63.129.16/32 192.0.0.0/24 192.88.99.0/24 224.0.0.0/4 240.0.0.0/4 "
        "2001::/23 2001:db8::/32 2002::/16 3fff::/20"
    ).split()
]


class FetchError(Exception):
    """The request was refused, or got no answer. The text is for our logs: a stranger could map networks by it."""


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return is_public(address.ipv4_mapped)
        if address not in GLOBAL_UNICAST:
            return False
    return address.is_global and not any(address in network for network in DENIED)


@dataclass(frozen=True)
class Answer:
    """What a server said: `body` is cut off at the limit that was asked for."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Resolver:
    """Asks the system for a host's addresses, in threads of its own: a silent name server holds up nothing else.

    The question cannot be taken back, so its place is the tenant's until the thread is free, though nobody waits.
    """

    def __init__(self, ask: Callable[..., Iterable[Any]] = socket.getaddrinfo) -> None:
        self._ask = ask
        self._threads = ThreadPoolExecutor(LOOKUPS, "resolver")
        self._slots = FairSlots(LOOKUPS, LOOKUPS // SHARE)

    async def __call__(self, host: str, port: int) -> list[str]:
        """
        Raises:
            Unavailable: all threads wait for name servers, or as many as one tenant may have.
        """
        tenant, loop = ON_BEHALF_OF.get(), asyncio.get_running_loop()
        await self._slots.acquire(tenant, seconds=CONNECT_SECONDS / 2)
        lookup = self._threads.submit(self._ask, host, port, type=socket.SOCK_STREAM)

        def release(_: object) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._slots.release, tenant)

        lookup.add_done_callback(release)
        return [str(sockaddr[0]) for *_, sockaddr in await asyncio.wrap_future(lookup)]


@contextmanager
def on_behalf_of(tenant: str) -> Iterator[None]:
    """Whose places the lookups within take."""
    token = ON_BEHALF_OF.set(tenant)
    try:
        yield
    finally:
        ON_BEHALF_OF.reset(token)


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to public addresses, and to the private networks that the operator has listed."""

    def __init__(self, private_networks: Iterable[Network], resolve: Resolve) -> None:
        self._private_networks = tuple(private_networks)
        self._resolve = resolve
        self._network = httpcore.AnyIOBackend()

    def allows(self, address: Address) -> bool:
        real = getattr(address, "ipv4_mapped", None) or address
        return is_public(real) or any(real in network for network in self._private_networks)

    async def connect_tcp(self, host: str, port: int, *args: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        async with asyncio.timeout(CONNECT_SECONDS):
            addresses = [ip_address(text) for text in await self._resolve(host, port)]
            if not addresses or not all(self.allows(address) for address in addresses):
                raise FetchError("the host has an address that is not public")
            return await self._connect(addresses, port, *args, **options)

    async def _connect(self, addresses: list[Address], *args: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        *others, last = dict.fromkeys(addresses)
        for address in others:
            try:
                return await self._network.connect_tcp(str(address), *args, **options)
            except httpcore.ConnectError:
                continue
        return await self._network.connect_tcp(str(last), *args, **options)


class Fetcher:
    """Sends requests to strangers' servers, each over a connection of its own.

    Raises:
        FetchError: from every method, whatever the reason.
    """

    def __init__(
        self, settings: Settings, *, resolve: Resolve | None = None, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        self._ports = settings.ports
        self._network = CheckedNetwork(settings.private_networks, resolve or Resolver())
        self._plain_allowed = settings.darkroom_mode == "local"
        self._ssl = ssl_context
        self._slots = FairSlots(PLACES, PLACES // SHARE)

    def check(self, text: str) -> httpx.URL:
        """The URL, if it is one that may be tried; what its host stands for is checked when connecting."""
        try:
            url = httpx.URL(text)
        except (httpx.InvalidURL, UnicodeError) as error:
            raise FetchError("not a URL") from error
        if len(text) > LONGEST_URL or not url.host or url.userinfo:
            raise FetchError("too long, or without a host, or with a user in it")
        if url.scheme != "https" and not (url.scheme == "http" and self._may_be_plain(url.host)):
            raise FetchError("not https")
        if (url.port or (443 if url.scheme == "https" else 80)) not in self._ports:
            raise FetchError("not one of our ports")
        return url

    def _may_be_plain(self, host: str) -> bool:
        """Plain http goes to our own machine only, where the operator has allowed it."""
        try:
            address = ip_address("127.0.0.1" if host == "localhost" else host)
        except ValueError:
            return False
        return self._plain_allowed and address.is_loopback and self._network.allows(address)

    async def get(self, text: str, *, limit: int, tenant: str = "") -> bytes:
        """The whole body behind a URL, of at most `limit` bytes; up to three redirects are followed, each checked.

        Raises:
            Unavailable: there was no place to fetch it for this tenant.
        """
        async with self._slots.slot(tenant, seconds=PATIENCE):
            with failing(), on_behalf_of(tenant):
                async with asyncio.timeout(TOTAL_SECONDS):
                    return await self._follow(text, limit)

    async def _follow(self, text: str, limit: int) -> bytes:
        url = self.check(text)
        for _ in range(REDIRECTS + 1):
            answer = await self._ask("GET", url, {}, None, limit + 1)
            if answer.status not in (301, 302, 303, 307, 308):
                return _whole(answer, limit)
            url = self.check(str(url.join(answer.headers.get("location", ""))))
        raise FetchError("too many redirects")

    async def post(
        self,
        text: str,
        *,
        headers: Mapping[str, str],
        content: bytes,
        limit: int,
        seconds: float = TOTAL_SECONDS,
        tenant: str = "",
    ) -> Answer:
        """What a server answers to a POST, redirects included; no more than `limit` bytes of it are read."""
        with failing(), on_behalf_of(tenant):
            async with asyncio.timeout(seconds):
                return await self._ask("POST", self.check(text), headers, content, limit)

    async def _ask(
        self, method: str, url: httpx.URL, headers: Mapping[str, str], content: bytes | None, limit: int
    ) -> Answer:
        self._ssl = self._ssl or httpx.create_ssl_context()
        request = httpx.Request(method, url, headers={**PLAIN, **headers}, content=content)
        waits = {"connect": CONNECT_SECONDS, "read": TOTAL_SECONDS, "write": TOTAL_SECONDS}
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        async with (
            httpcore.AsyncConnectionPool(ssl_context=self._ssl, network_backend=self._network) as pool,
            pool.stream(
                method, target, headers=request.headers.raw, content=content, extensions={"timeout": waits}
            ) as response,
        ):
            body = bytearray()
            async for part in response.aiter_stream():
                body += part
                if len(body) >= limit:
                    break
            given = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
            return Answer(response.status, given, bytes(body[:limit]))


PLAIN = {"Accept-Encoding": "identity", "User-Agent": "Darkroom", "Connection": "close"}


def _whole(answer: Answer, limit: int) -> bytes:
    if answer.status != 200:
        raise FetchError(f"answered {answer.status}")
    if len(answer.body) > limit:
        raise FetchError("too many bytes")
    return answer.body


FAILURES = (
    httpcore.NetworkError,
    httpcore.TimeoutException,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
    httpx.InvalidURL,
    TimeoutError,
    OSError,
    ValueError,  # UnicodeError too: a name that no resolver takes
)


@contextmanager
def failing() -> Iterator[None]:
    """Makes every failure of a request a FetchError."""
    try:
        yield
    except FAILURES as error:
        raise FetchError(repr(error)) from error
