"""Who may call: API keys and the site's sessions, of which only SHA-256 digests are kept.

A key is `dk_<id>_<secret>`: an id to look it up by, 32 random bytes in hex, and their CRC-32, so that scanners
for leaked secrets can tell a key from look-alikes. A fast digest is right for so many random bits. The secret is shown
once, when the key is made.
"""

import hashlib
import hmac
import re
import secrets
import time
import zlib
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from jobs import redis_keys
from jobs.pages import page_of
from jobs.scripts import reaching_redis

KEY_PATTERN = re.compile(r"dk_([0-9a-f]{16})_([0-9a-f]{64})([0-9a-f]{8})")
TENANT = r"[a-z0-9][a-z0-9-]{0,39}"
COUNT_PAGE = 1000  #: keys
LOCAL_TENANT = "default"  #: the tenant of a service without keys, and of ADMIN_KEY
NO_DIGEST = hashlib.sha256(b"").hexdigest()  # no secret has this digest; an unknown id's secret is compared with it


class Scope(StrEnum):
    """What a key permits."""

    SUBMIT = "submit"  # make, cancel, retry and delete jobs
    READ = "read"  # everything that changes nothing
    ADMIN = "admin"  # make and revoke keys, for any tenant


@dataclass(frozen=True)
class Key:
    """A key, without its secret."""

    id: str
    tenant: str
    scopes: frozenset[Scope]
    name: str = ""
    created_ms: int = 0

    @classmethod
    def from_record(cls, key_id: str, record: dict[str, str]) -> Self:
        """Read a key from its record."""
        scopes = frozenset(map(Scope, record["scopes"].split()))
        return cls(key_id, record["tenant"], scopes, record["name"], int(record["created_ms"]))


class ApiKeys:
    """All keys and sessions, except the admin key of the settings, which is valid as long as it is set.

    Raises:
        RecordsUnavailable: from any method, when Redis does not answer in time.
    """

    def __init__(self, client: Any, admin_key: str | None = None) -> None:
        self.redis = client  # the store's
        self._admin_digest = digest_of(admin_key) if admin_key else None

    def make(self, tenant: str, scopes: frozenset[Scope], name: str = "") -> tuple[Key, str]:
        """Make a key. Returns it, and the text that its owner sends, which is known only now."""
        key = Key(secrets.token_hex(8), tenant, scopes, name, time.time_ns() // 1_000_000)
        secret = secrets.token_hex(32)
        record = {
            "tenant": tenant,
            "scopes": " ".join(sorted(scopes)),
            "name": name,
            "created_ms": key.created_ms,
            "digest": digest_of(secret),
        }
        pipe = self.redis.pipeline()
        pipe.hset(redis_keys.KEY + key.id, mapping=record)
        pipe.zadd(redis_keys.KEYS, {key.id: key.created_ms})
        with reaching_redis():
            pipe.execute()
        return key, f"dk_{key.id}_{secret}{checksum(secret)}"

    def find(self, text: str) -> Key | None:
        """The key that a caller has sent. An unknown id takes the same work as a wrong secret."""
        if self._admin_digest and hmac.compare_digest(self._admin_digest, digest_of(text)):
            return self._admin()
        parts = KEY_PATTERN.fullmatch(text)
        if not parts or checksum(parts[2]) != parts[3]:
            return None
        record = self._record(parts[1])
        right = hmac.compare_digest(record.get("digest", NO_DIGEST), digest_of(parts[2]))
        return Key.from_record(parts[1], record) if right else None

    def page(self, limit: int, after: str | None = None) -> tuple[list[Key], str | None]:
        """A page of the valid keys, oldest first, and the `after` of the next page; None: this was the last."""
        with reaching_redis():
            ids, following = page_of(self.redis, redis_keys.KEYS, limit=limit, after=after)
            pipe = self.redis.pipeline(transaction=False)
            for key_id in ids:
                pipe.hgetall(redis_keys.KEY + key_id)
            records = zip(ids, pipe.execute(), strict=True)
        return [Key.from_record(key_id, record) for key_id, record in records if record], following

    def count_by_tenant(self) -> Counter[str]:
        """How many keys each tenant has."""
        found: Counter[str] = Counter()
        following: str | None = "0-0"
        while following:
            page, following = self.page(COUNT_PAGE, following)
            found.update(key.tenant for key in page)
        return found

    def revoke(self, key_id: str) -> bool:
        """Revoke a key and its sessions, at once. False: there is no such key."""
        pipe = self.redis.pipeline()
        pipe.delete(redis_keys.KEY + key_id)
        pipe.zrem(redis_keys.KEYS, key_id)
        with reaching_redis():
            return bool(pipe.execute()[0])

    def open_session(self, key: Key, seconds: int) -> str:
        """Open a session. Returns a secret that stands for the key until the session ends."""
        token = secrets.token_hex(32)
        with reaching_redis():
            self.redis.set(redis_keys.SESSION + digest_of(token), key.id, ex=seconds)
        return token

    def session(self, token: str) -> Key | None:
        """The key of a session; None if the key is revoked or the session has ended."""
        with reaching_redis():
            key_id = self.redis.get(redis_keys.SESSION + digest_of(token))
        if self._admin_digest and key_id == self._admin().id:
            return self._admin()
        record = self._record(key_id) if key_id else {}
        return Key.from_record(key_id, record) if record else None

    def close_session(self, token: str) -> None:
        """End a session."""
        with reaching_redis():
            self.redis.delete(redis_keys.SESSION + digest_of(token))

    def _record(self, key_id: str) -> dict[str, str]:
        with reaching_redis():
            return dict(self.redis.hgetall(redis_keys.KEY + key_id))

    def _admin(self) -> Key:
        return Key(f"admin-{(self._admin_digest or '')[:8]}", LOCAL_TENANT, frozenset(Scope), "ADMIN_KEY")


def digest_of(secret: str) -> str:
    """SHA-256, in hex."""
    return hashlib.sha256(secret.encode()).hexdigest()


def checksum(secret: str) -> str:
    """CRC-32 of a key's secret, in hex."""
    return f"{zlib.crc32(secret.encode()):08x}"
