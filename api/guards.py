"""Middleware before the routes: which host names are answered, and the security headers of every answer."""

from collections.abc import Collection
from ipaddress import IPv6Address, ip_address

from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import on_darkroom_error
from jobs.errors import Forbidden

HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]
NOTHING = b"default-src 'none'; frame-ancestors 'none'"
HSTS = (b"strict-transport-security", b"max-age=31536000")


class SecurityHeaders:
    """Adds headers that forbid browsers to guess types, frame pages or run foreign scripts, and caches to keep jobs.

    It also adds the headers that a route has put into `request.state.headers`, to errors too.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        noted: dict[str, str] = {}
        scope.setdefault("state", {})["headers"] = noted
        usual = [*HEADERS, (b"content-security-policy", NOTHING)]
        if scope["scheme"] == "https":
            usual.append(HSTS)

        async def adding(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message["headers"]}
                message["headers"] += [header for header in usual if header[0] not in given]
                message["headers"] += [(name.lower().encode(), value.encode()) for name, value in noted.items()]
            await send(message)

        await self.app(scope, receive, adding)


class KnownNames:
    """In a service without keys, answers only requests to the service's own host names.

    Any site can let a name of its own point to our address. A browser then takes us for that site, and lets its pages
    read our answers. An IP address cannot be misused in this way. A service that is not open to the network serves only
    this machine.
    """

    def __init__(self, app: ASGIApp, names: Collection[str], open_to_network: bool) -> None:
        self.app = app
        self._names = frozenset(names)
        self._open = open_to_network

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (refusal := self._refusal(scope)) is None:
            await self.app(scope, receive, send)
            return
        answer = await on_darkroom_error(Request(scope), Forbidden(refusal))
        await answer(scope, receive, send)

    def _refusal(self, scope: Scope) -> str | None:
        name = _name(scope)
        if self._open:
            return None if name in (*LOCAL, *self._names) or _is_address(name) else UNKNOWN_NAME
        return None if _is_local_client(scope) and name in LOCAL else NOT_OPEN


LOCAL = ("localhost", "127.0.0.1", "::1")
NOT_OPEN = (
    "This Darkroom runs without keys (AUTH=off), so it serves only the machine that it is on, under the name "
    "localhost or 127.0.0.1. Set AUTH=on to let others in, or OPEN_TO_NETWORK=true if you trust the network."
)
UNKNOWN_NAME = (
    "This Darkroom runs without keys (AUTH=off), so it answers only under its address and the names in ALLOWED_HOSTS "
    "(the Host header)."
)


def _is_local_client(scope: Scope) -> bool:
    client = scope.get("client")
    if client is None:
        return True  # a Unix socket
    try:
        address = ip_address(client[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _name(scope: Scope) -> str:
    """The host name of the request, without the port."""
    host = Headers(scope=scope).get("host", "").lower()
    return host[1 : host.find("]")] if host.startswith("[") else host.split(":")[0]


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def own_origin(request: Request) -> str:
    """The origin of our own pages, under the host name of the request."""
    return f"{request.url.scheme}://{request.headers.get('host', '')}".lower()
