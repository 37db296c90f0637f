"""Delivers webhooks, in a thread of the keeper's process, with an event loop of its own.

Any number of keepers may run: each delivery is leased to one of them at a time. When a keeper dies, the
others make its deliveries again under the same ids.
"""

import asyncio
import json
import logging
import random
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from redis.exceptions import RedisError

from jobs import logs, predictions, redis_keys, traces
from jobs.connections import connect_async
from jobs.errors import Unavailable
from jobs.fetch import Answer, Fetcher, FetchError
from jobs.links import Links
from jobs.outbox import Attempt, Delivery, Event, Outbox
from jobs.scripts import JOB_ENDPOINT
from jobs.settings import Settings
from jobs.signatures import sign
from jobs.store import JobStore
from worker.metrics import KeeperMetrics

log = logging.getLogger("webhooks")

JITTER = 0.2  #: share of every delay by which it varies, up or down
MAX_PAUSE = 86_400  #: longest Retry-After that is honored, in seconds
LOGGED_BYTES = 200
LEASE_MARGIN = 5.0  #: seconds by which a lease is longer than an attempt
TENANT_SHARE = 4  #: one tenant has at most a quarter of one keeper's senders, over all keepers
POLL_SECONDS = 1.0  #: seconds between two looks for due deliveries when no wake-up arrives


@dataclass(frozen=True)
class Verdict:
    """The outcome of an attempt."""

    outcome: str
    pause_seconds: float = 0.0


@dataclass(frozen=True)
class Message:
    """The HTTP request to a receiver."""

    url: str
    headers: Mapping[str, str]
    body: bytes


def verdict_of(answer: Answer | None) -> Verdict:
    """2xx: delivered. 410: the endpoint is gone. Anything else: failed; a throttling receiver may name a pause."""
    if answer is None:
        return Verdict("failed")
    if 200 <= answer.status < 300:
        return Verdict("delivered")
    if answer.status == 410:
        return Verdict("gone")
    seconds = answer.headers.get("retry-after", "")
    pause = min(int(seconds), MAX_PAUSE) if seconds.isascii() and seconds.isdigit() else 0
    return Verdict("failed", pause)


class WebhookSender:
    """Sends due deliveries, a limited number at a time."""

    def __init__(
        self, outbox: Outbox, fetcher: Fetcher, settings: Settings, metrics: KeeperMetrics | None = None
    ) -> None:
        self.outbox = outbox
        self.settings = settings
        self.metrics = metrics or KeeperMetrics(CollectorRegistry())
        self._fetcher = fetcher
        self._links = Links(settings)
        self._lease_ms = round((settings.webhook_timeout_seconds + LEASE_MARGIN) * 1000)
        self._each = max(1, settings.webhook_senders // TENANT_SHARE)
        self._wake = asyncio.Event()
        self._attempts: set[asyncio.Task[None]] = set()

    @classmethod
    def start(cls, settings: Settings, metrics: KeeperMetrics) -> threading.Thread:
        """Start a thread that delivers for as long as the process lives."""
        store = JobStore.connect(settings.redis_url, timeout=5)
        sender = cls(Outbox(store), Fetcher(settings), settings, metrics)
        thread = threading.Thread(target=lambda: asyncio.run(sender.run()), daemon=True, name="webhooks")
        thread.start()
        return thread

    async def run(self) -> None:
        """Deliver until the task is canceled."""
        listening = asyncio.create_task(self._listen())
        try:
            while True:
                self._wake.clear()
                await self._send_what_is_due()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), POLL_SECONDS)
        finally:
            for task in (listening, *self._attempts):
                task.cancel()

    async def _send_what_is_due(self) -> None:
        try:
            while free := self.settings.webhook_senders - len(self._attempts):
                due = await asyncio.to_thread(self.outbox.dispatch, free, self._lease_ms, self._each)
                for delivery in due:
                    attempt = asyncio.create_task(self._deliver(delivery))
                    self._attempts.add(attempt)
                    attempt.add_done_callback(self._on_done)
                if not due:
                    return
        except Unavailable as error:
            log.warning("no deliveries taken: %s", error)
        except Exception:
            log.exception("no deliveries taken")

    def _on_done(self, attempt: asyncio.Task[None]) -> None:
        self._attempts.discard(attempt)
        self._wake.set()
        if not attempt.cancelled() and (error := attempt.exception()):
            log.error("a delivery failed unexpectedly; it is repeated when its lease runs out", exc_info=error)

    async def _listen(self) -> None:
        """Look for deliveries as soon as one is written."""
        while True:
            with suppress(RedisError, OSError):
                url = self.settings.redis_url
                async with (
                    connect_async(url, socket_connect_timeout=5) as client,
                    client.pubsub() as channel,
                ):
                    await channel.subscribe(redis_keys.OUTBOX_WAKE)
                    while True:
                        if await channel.get_message(ignore_subscribe_messages=True, timeout=10):
                            self._wake.set()
            await asyncio.sleep(POLL_SECONDS)

    async def _deliver(self, delivery: Delivery) -> None:
        """Make one attempt and record its outcome."""
        with (
            logs.about(job_id=delivery.job, tenant=delivery.tenant, request_id=delivery.request_id),
            traces.span("webhook", delivery.traceparent, delivery=delivery.id, attempt=delivery.tries + 1),
        ):
            at = time.time()
            message = await asyncio.to_thread(self._message, delivery, int(at))
            if message is None:  # its endpoint has just been deleted; the next dispatch drops the delivery
                return
            started = time.monotonic()
            answer = await self._ask(delivery, message)
            await self._conclude(delivery, at, time.monotonic() - started, answer)

    async def _conclude(self, delivery: Delivery, at: float, seconds: float, answer: Answer | None) -> None:
        verdict = verdict_of(answer)
        self.metrics.deliveries.labels(verdict.outcome).observe(seconds)
        attempt = Attempt(
            at_ms=round(at * 1000),
            ms=round(seconds * 1000),
            status=answer.status if answer else None,
            answer=answer.body.decode(errors="replace") if answer else "no answer",
        )
        await asyncio.to_thread(self._note, delivery, attempt, verdict)

    async def _ask(self, delivery: Delivery, message: Message) -> Answer | None:
        try:
            return await self._fetcher.post(
                message.url,
                headers=message.headers,
                content=message.body,
                limit=LOGGED_BYTES,
                seconds=self.settings.webhook_timeout_seconds,
                tenant=delivery.tenant,
            )
        except FetchError as error:
            log.info("delivery %s got no answer: %s", delivery.id, error)
            return None

    def _message(self, delivery: Delivery, at: int) -> Message | None:
        """The request of a delivery, signed at this time. None: the endpoint is deleted."""
        endpoint = self.outbox.endpoint(delivery.endpoint, delivery.tenant)
        if endpoint is None:
            return None
        body, key = self._body(delivery), self.outbox.signing_key()
        signatures = [sign(secret, delivery.id, at, body) for secret in endpoint.secrets(at * 1000)]
        headers = {
            "Content-Type": "application/json",
            "Webhook-Id": delivery.id,
            "Webhook-Timestamp": str(at),
            "Webhook-Signature": " ".join([*signatures, key.sign(delivery.id, at, body)]),
        }
        return Message(endpoint.url or delivery.url, headers, body)

    def _body(self, delivery: Delivery) -> bytes:
        """The message. The webhook of a prediction describes a prediction, as long as the job is kept."""
        base = self.settings.public_url.rstrip("/")
        own = delivery.endpoint == JOB_ENDPOINT and predictions.is_prediction(json.loads(delivery.metadata))
        if own and (job := self.outbox.job(delivery)):
            return predictions.message(job, delivery.job_status, delivery.step, delivery.steps, base, self._links)
        return delivery.body(base)

    def _note(self, delivery: Delivery, attempt: Attempt, verdict: Verdict) -> None:
        again = self._delay(delivery)
        again_ms = None if again is None else round(max(again, verdict.pause_seconds) * 1000)
        status = self.outbox.attempted(
            delivery,
            verdict.outcome,
            attempt,
            again_ms=again_ms,
            pause_ms=round(verdict.pause_seconds * 1000),
            rest_ms=round(self.settings.webhook_circuit_seconds * 1000),
        )
        log.info("delivery %s: attempt %s, %s, now %s", delivery.id, delivery.tries + 1, attempt.status, status)

    def _delay(self, delivery: Delivery) -> float | None:
        """Seconds until the next attempt, or None if this was the last. Progress events are not repeated for long."""
        delays = self.settings.webhook_delays
        if delivery.type == Event.PROGRESS or delivery.tries >= len(delays):
            return None
        return delays[delivery.tries] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - jitter
