"""Connections to Redis: to one server, or to whichever of several is the primary, as Sentinel knows it.

One server: `redis://[USER:PASSWORD@]HOST[:PORT][/DB]`, or `rediss://` for TLS; what redis-py takes behind a `?`, such
as `ssl_ca_certs`, `ssl_certfile` and `ssl_keyfile`, counts.

Sentinel: `sentinel://[USER:PASSWORD@]HOST[:PORT],HOST[:PORT],.../NAME[/DB]`, where NAME is the primary's and the
password the servers'. Sentinels with a password of their own: `?password=...`.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import redis
import redis.asyncio
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.exceptions import RedisError
from redis.sentinel import Sentinel

SCHEME = "sentinel://"
SENTINEL_PORT = 26379
IN_CLUSTER = "REDIS_URL leads to a Redis Cluster: transitions of a job touch several keys, so it has to be one server"


class ClusterRefused(Exception):
    """The server is a node of a Redis Cluster, which cannot run our scripts."""


@dataclass(frozen=True)
class Group:
    """A primary and its replicas, which sentinels watch."""

    sentinels: tuple[tuple[str, int], ...]
    name: str
    db: int
    username: str | None
    password: str | None
    sentinel_password: str | None

    @classmethod
    def of(cls, url: str) -> "Group":
        """
        Raises:
            ValueError: the address is incomplete or invalid.
        """
        parts = urlsplit(url)
        credentials, _, hosts = parts.netloc.rpartition("@")
        username, _, password = credentials.partition(":")
        name, _, db = parts.path.strip("/").partition("/")
        if not name or not all(host.partition(":")[0] for host in hosts.split(",")):
            raise ValueError("it is not sentinel://HOST:PORT,HOST:PORT/NAME")
        sentinels = tuple(
            (host, int(port or SENTINEL_PORT)) for host, _, port in (each.partition(":") for each in hosts.split(","))
        )
        own = parse_qs(parts.query).get("password", [None])[0]
        return cls(sentinels, name, int(db or 0), unquote(username) or None, unquote(password) or None, own)

    def primary(self, sentinel: Any, options: dict[str, Any]) -> Any:
        """A client of the primary, made by one of redis-py's two `Sentinel` classes with the options of a client."""
        times = {name: value for name, value in options.items() if name.startswith("socket_")}
        own = {"db": self.db, "username": self.username, "password": self.password}
        watching = {**times, "password": self.sentinel_password}
        return sentinel(self.sentinels, sentinel_kwargs=watching, **options, **own).master_for(self.name)

    @property
    def broker(self) -> str:
        """The address in Celery's form, each sentinel with the password of the servers."""
        return ";".join(f"sentinel://{self._quoted}{host}:{port}/{self.db}" for host, port in self.sentinels)

    @property
    def _quoted(self) -> str:
        return f"{quote(self.username or '')}:{quote(self.password, safe='')}@" if self.password else ""


def connect(url: str, **options: Any) -> Any:
    """A client of redis-py; nothing is contacted before its first command."""
    if url.startswith(SCHEME):
        return Group.of(url).primary(Sentinel, options)
    return redis.Redis.from_url(url, **options)


def connect_async(url: str, **options: Any) -> Any:
    """A client of redis-py for asyncio."""
    if url.startswith(SCHEME):
        return Group.of(url).primary(AsyncSentinel, options)
    return redis.asyncio.Redis.from_url(url, **options)


def refuse_cluster(client: Any) -> None:
    """Raises ClusterRefused for a node of a cluster. A server that does not answer is not refused."""
    with suppress(RedisError, OSError):
        if client.info("cluster").get("cluster_enabled"):
            raise ClusterRefused(IN_CLUSTER)
