"""Retries that clients make by themselves, without an idempotency key: they are to find the job of the first try."""

import hashlib
from collections.abc import Iterable
from uuid import uuid4

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from api.forms import SentFile
from jobs import redis_keys
from jobs.scripts import reaching_redis

COUNT = "x-stainless-retry-count"  #: 0 with a call's first try, of the clients that Stainless generates
REMEMBERED = 3600  #: seconds: longer than a client's tries, each of 600 s


async def idempotency_key(request: Request, parts: Iterable[tuple[str, object]]) -> str | None:
    """The client's own key, or for a client that counts its tries the key of the call's first one; else None.

    A try belongs to the call that has the same path, key and fields (`parts`, as read: each try has its own boundary).
    Two calls alike are two, unless both are tried again at once.
    """
    if own := request.headers.get("idempotency-key"):
        return own
    count = request.headers.get(COUNT, "")
    if not (count.isascii() and count.isdigit()):
        return None
    store = request.app.state.native.state.services.store
    name = redis_keys.ATTEMPT + _digest(request, parts)

    def remembered() -> str:
        new = f"try-{uuid4().hex}"
        with reaching_redis():
            known = store.redis.get(name) if int(count[:9]) else None
            if known is None:
                store.redis.set(name, new, ex=REMEMBERED)
            return known or new

    return await run_in_threadpool(remembered)


def _digest(request: Request, parts: Iterable[tuple[str, object]]) -> str:
    digest = hashlib.sha256(repr((request.url.path, request.headers.get("authorization"))).encode())
    for name, value in parts:
        data = value.data if isinstance(value, SentFile) else repr(value).encode()
        digest.update(hashlib.sha256(name.encode()).digest() + hashlib.sha256(data).digest())
    return digest.hexdigest()
