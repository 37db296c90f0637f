"""Recognizes the automatic retries of clients that send no idempotency key, so that a retry finds the first job."""

import hashlib
from collections.abc import Iterable
from uuid import uuid4

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from api.forms import SentFile
from jobs import redis_keys
from jobs.scripts import reaching_redis

COUNT = "x-stainless-retry-count"  #: sent by clients that Stainless generated; 0 at the first attempt
REMEMBERED = 3600  #: seconds; longer than all attempts of a client together, each of which may take 600 s


async def idempotency_key(request: Request, parts: Iterable[tuple[str, object]]) -> str | None:
    """The client's own key. For a client that counts its attempts: the key of the call's first attempt. Otherwise None.

    Attempts with the same path, API key and fields belong to one call. `parts` are the fields after parsing, because
    each attempt has its own multipart boundary. Two identical calls stay two calls, unless both are retried at the same
    time.
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
