"""Requests to addresses that clients name: webhooks, and pictures by URL. They never reach a private network.

The spelling of a URL is not judged, because it proves nothing. The host is resolved once, every address is checked, and
the connection goes to a checked address. TLS and the Host header keep the host's name. Proxies of the environment are
ignored, and every redirect is checked again.
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
PLACES = 32  #: pictures fetched at a time, because they are held in memory
LOOKUPS = 64  #: threads for name lookups, which may take half a minute
SHARE = 4  #: one tenant gets at most a quarter of the slots and threads
PATIENCE = 10.0  #: a fetch waits this long for a slot; its own time limit begins afterwards

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[Iterable[str]]]

ON_BEHALF_OF: ContextVar[str] = ContextVar("the tenant for whom an address is asked", default="")

GLOBAL_UNICAST = IPv6Network("2000::/3")
#: Refused, although some versions of `ipaddress` call them global: protocol assignments, relays and translators that
#: lead to any address (6to4, Teredo), multicast, documentation, and the host agent of Azure.
DENIED = [
    ip_network(text)
    for text in (
        "168.63.129.16/32 192.0.0.0/24 192.88.99.0/24 224.0.0.0/4 240.0.0.0/4 "
        "2001::/23 2001:db8::/32 2002::/16 3fff::/20"
    ).split()
]


class FetchError(Exception):
    """The request was refused or got no answer. The text goes to our logs only, because it could reveal our network."""


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
    """A server's answer. `body` is cut off at the limit."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Resolver:
    """Resolves host names in threads of its own, so that a silent name server delays nothing else.

    A lookup cannot be canceled. It keeps the tenant's slot until its thread is free, even if nobody waits for it.
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
    """Count the lookups in this block against the slots of a tenant."""
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
    """Sends requests to foreign servers, each over a connection of its own.

    Raises:
        FetchError: from every method, for any reason.
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
        """Parse a URL and refuse what is never allowed. The addresses of its host are checked when connecting."""
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
        """Whether plain http is allowed: only to this machine, and only if the operator allows that."""
        try:
            address = ip_address("127.0.0.1" if host == "localhost" else host)
        except ValueError:
            return False
        return self._plain_allowed and address.is_loopback and self._network.allows(address)

    async def get(self, text: str, *, limit: int, tenant: str = "") -> bytes:
        """Fetch the whole body of a URL, at most `limit` bytes. Follows up to three redirects and checks each.

        Raises:
            Unavailable: no slot was free for this tenant in time.
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
        """Send a POST and return the answer, even a redirect. At most `limit` bytes of its body are read."""
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
    """Turn every failure of a request into a FetchError."""
    try:
        yield
    except FAILURES as error:
        raise FetchError(repr(error)) from error
