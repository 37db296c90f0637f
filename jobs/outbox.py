"""Webhooks: the endpoints, and the messages to deliver. The Lua part is `lua/outbox.lua`."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self, cast
from uuid import uuid4

from jobs import redis_keys
from jobs.batches import Batch
from jobs.job import Job, is_id, new_id
from jobs.scripts import JOB_ENDPOINT, reaching_redis, script_source
from jobs.signatures import SigningKey, new_secret
from jobs.store import JobStore

MOST_ENDPOINTS = 20  #: of one tenant
OVERLAP_MS = 86_400_000  #: how long a replaced secret still signs

SCRIPTS = "dispatch delivery_attempted redeliver test_endpoint tell_of_batch register unregister rotate".split()


class Event(StrEnum):
    """The types of events that webhooks can get."""

    STARTED = "job.started"
    PROGRESS = "job.progress"
    COMPLETED = "job.completed"


@dataclass(frozen=True)
class Endpoint:
    """A webhook of a tenant. `default` has no address: it stands for the addresses that jobs name."""

    id: str
    tenant: str
    secret: str = field(repr=False)
    url: str = ""
    events: tuple[Event, ...] = tuple(Event)
    old_secret: str = field(default="", repr=False)
    old_secret_until_ms: int = 0
    created_ms: int = 0
    disabled_ms: int | None = None
    disabled_because: str | None = None

    def secrets(self, now_ms: float) -> list[str]:
        """The secrets that sign now, newest first."""
        return [self.secret, *([self.old_secret] if self.old_secret_until_ms > now_ms else [])]

    @classmethod
    def from_record(cls, endpoint: str, tenant: str, record: Mapping[str, str]) -> Self:
        events = record.get("events")
        disabled = record.get("disabled_ms")
        return cls(
            id=endpoint,
            tenant=tenant,
            secret=record["secret"],
            url=record.get("url", ""),
            events=tuple(Event(event) for event in events.split()) if events else tuple(Event),
            old_secret=record.get("old_secret", ""),
            old_secret_until_ms=int(record.get("old_secret_until_ms", 0)),
            created_ms=int(record.get("created_ms", 0)),
            disabled_ms=int(disabled) if disabled else None,
            disabled_because=record.get("disabled_because"),
        )


@dataclass(frozen=True)
class Attempt:
    """One attempt: the receiver's status, if any, and the first 200 bytes of its answer."""

    at_ms: int
    ms: int
    status: int | None
    answer: str


@dataclass(frozen=True)
class Delivery:
    """A message to a webhook. Its id is the same in every attempt."""

    id: str
    tenant: str
    endpoint: str
    type: str
    url: str
    at_ms: int
    status: str
    tries: int
    sequence: int
    job: str | None
    job_status: str | None
    step: int | None
    steps: int | None
    metadata: str
    ticket: str
    attempts: tuple[Attempt, ...]
    request_id: str | None = None
    traceparent: str | None = None
    warnings: str = "[]"
    batch: str | None = None
    batch_status: str | None = None
    counts: str = "{}"

    @classmethod
    def from_record(cls, record: Mapping[str, str]) -> Self:
        texts: dict[str, Any] = {name: record[name] for name in "id tenant endpoint type url status metadata".split()}
        numbers: dict[str, Any] = {name: int(record[name]) for name in ("at_ms", "tries", "sequence")}
        steps: dict[str, Any] = {name: int(record[name]) if record.get(name) else None for name in ("step", "steps")}
        return cls(
            **texts,
            **numbers,
            **steps,
            job=record.get("job"),
            job_status=record.get("job_status"),
            ticket=record.get("ticket", ""),
            request_id=record.get("request_id") or None,
            traceparent=record.get("traceparent") or None,
            warnings=record.get("warnings", "[]"),
            batch=record.get("batch"),
            batch_status=record.get("batch_status"),
            counts=record.get("counts", "{}"),
            attempts=tuple(Attempt(**attempt) for attempt in json.loads(record.get("attempts", "[]"))),
        )

    def body(self, base: str) -> bytes:
        """The message, with the same bytes in every attempt. `base` is the API's address, which begins every link."""
        at = datetime.fromtimestamp(self.at_ms / 1000, UTC).isoformat(timespec="milliseconds")
        message = {"type": self.type, "timestamp": at.replace("+00:00", "Z"), "data": self._data(base)}
        return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()

    def _data(self, base: str) -> dict[str, Any]:
        if self.batch is not None:
            path = f"{base}/v1/batches/{self.batch}"
            about = {"metadata": json.loads(self.metadata), "urls": {"self": path, "lines": f"{path}/lines"}}
            return {"id": self.batch, "status": self.batch_status, "counts": json.loads(self.counts), **about}
        if self.job is None:
            return {"webhook": self.endpoint, "sequence": self.sequence}
        path = f"{base}/v1/jobs/{self.job}"
        data: dict[str, Any] = {"id": self.job, "status": self.job_status, "sequence": self.sequence}
        if self.type == Event.PROGRESS:
            data["progress"] = {"step": self.step, "steps": self.steps}
        if self.type == Event.COMPLETED:
            data["warnings"] = json.loads(self.warnings)
        return {**data, "metadata": json.loads(self.metadata), "urls": {"self": path, "output": f"{path}/output"}}


class Outbox:
    """The webhooks of all tenants, and the messages to send.

    Raises:
        RecordsUnavailable: from any method, when Redis does not answer in time.
    """

    def __init__(self, store: JobStore) -> None:
        self.redis = store.redis
        self._store = store
        self._scripts = {name: self.redis.register_script(script_source(name)) for name in SCRIPTS}

    def _run(self, script: str, *args: str | int) -> Any:
        with reaching_redis(script):
            return self._scripts[script](args=args)

    # ---- the web tier's side

    def register(self, tenant: str, url: str, events: tuple[Event, ...]) -> Endpoint | None:
        """Register an endpoint, with a new secret. None: the tenant has as many as allowed."""
        endpoint = new_id()
        pairs = self._run("register", endpoint, tenant, MOST_ENDPOINTS, url, " ".join(events), new_secret())
        return Endpoint.from_record(endpoint, tenant, _record(pairs)) if pairs else None

    def endpoints(self, tenant: str) -> list[Endpoint]:
        """A tenant's registered endpoints, oldest first."""
        with reaching_redis():
            ids = self.redis.zrange(redis_keys.ENDPOINTS + tenant, 0, -1)
        return [endpoint for one in ids if (endpoint := self.endpoint(one, tenant))]

    def endpoint(self, endpoint: str, tenant: str) -> Endpoint | None:
        """An endpoint of a tenant. None if it does not exist or belongs to another tenant. `default` always exists."""
        if endpoint == JOB_ENDPOINT:
            with reaching_redis():
                self.redis.hsetnx(redis_keys.ENDPOINT + _key(JOB_ENDPOINT, tenant), "secret", new_secret())
        elif not is_id(endpoint):
            return None
        with reaching_redis():
            record = self.redis.hgetall(redis_keys.ENDPOINT + _key(endpoint, tenant))
        if endpoint != JOB_ENDPOINT and record.get("tenant") != tenant:
            return None
        return Endpoint.from_record(endpoint, tenant, record)

    def unregister(self, endpoint: str, tenant: str) -> bool:
        """Remove an endpoint. False: the tenant has none with this id."""
        return bool(self._run("unregister", endpoint, tenant))

    def rotate(self, endpoint: Endpoint) -> Endpoint | None:
        """Make a new secret. The old one signs too for a day. None: the endpoint was deleted meanwhile."""
        pairs = self._run("rotate", _key(endpoint.id, endpoint.tenant), new_secret(), OVERLAP_MS)
        return Endpoint.from_record(endpoint.id, endpoint.tenant, _record(pairs)) if pairs else None

    def test(self, endpoint: Endpoint) -> Delivery:
        """Send a test message to a registered endpoint."""
        return Delivery.from_record(_record(self._run("test_endpoint", new_id(), endpoint.tenant, endpoint.id)))

    def tell_of_batch(self, batch: Batch) -> None:
        """Queue the message of a batch's end for the address that the batch names, once."""
        counts = {"total": batch.total, "completed": batch.completed, "failed": batch.failed}
        args = (batch.id, batch.tenant, batch.webhook, batch.status, batch.metadata, json.dumps(counts))
        self._run("tell_of_batch", *args)

    def redeliver(self, delivery: str, endpoint: Endpoint) -> Delivery | None:
        """Deliver a message again, under its old id. None: the endpoint has no such delivery."""
        status = self._run("redeliver", delivery, endpoint.tenant, endpoint.id)
        return self._delivery(delivery) if status else None

    def deliveries(self, endpoint: Endpoint, limit: int) -> list[Delivery]:
        """An endpoint's last deliveries, newest first."""
        with reaching_redis():
            rows = self.redis.zrevrange(f"{redis_keys.DELIVERIES}{endpoint.tenant}:{endpoint.id}", 0, limit - 1)
        return [delivery for row in rows if (delivery := self._delivery(row))]

    def _delivery(self, row: str) -> Delivery | None:
        with reaching_redis():
            record = self.redis.hgetall(redis_keys.DELIVERY + row)
        return Delivery.from_record(record) if "id" in record else None

    # ---- the keeper's side

    def dispatch(self, wanted: int, lease_ms: int, each: int = 10**9) -> list[Delivery]:
        """Lease due deliveries to the caller. At most `each` deliveries of one tenant are under way."""
        records: list[list[str]] = []
        more = True
        while more and not records:
            records, more = self._run("dispatch", wanted, lease_ms, uuid4().hex[:16], each)
        return [Delivery.from_record(_record(pairs)) for pairs in records]

    def attempted(
        self, delivery: Delivery, outcome: str, attempt: Attempt, *, again_ms: int | None, pause_ms: int, rest_ms: int
    ) -> str | None:
        """Record an attempt. Returns the delivery's status; None: the caller's lease was over.

        Args:
            outcome: delivered, failed or gone.
            again_ms: when to try again. None: never.
            pause_ms: how long the receiver asks us to wait.
            rest_ms: how long to wait for a receiver that has failed often in a row.
        """
        said = json.dumps(asdict(attempt))
        again = "" if again_ms is None else again_ms
        args = (delivery.id, delivery.ticket, outcome, said, again, pause_ms, rest_ms)
        return cast(str | None, self._run("delivery_attempted", *args))

    def job(self, delivery: Delivery) -> Job | None:
        """The job that a delivery tells of, while it is kept."""
        return self._store.get(delivery.job, delivery.tenant) if delivery.job else None

    def signing_key(self) -> SigningKey:
        """The service's signing key, made on the first use."""
        with reaching_redis():
            seed = self.redis.get(redis_keys.SIGNING_KEY)
            if seed is None:
                self.redis.set(redis_keys.SIGNING_KEY, SigningKey.new_seed().hex(), nx=True)
                seed = self.redis.get(redis_keys.SIGNING_KEY)
        return SigningKey(bytes.fromhex(seed))


def _record(pairs: list[str]) -> dict[str, str]:
    return dict(zip(pairs[::2], pairs[1::2], strict=True))


def _key(endpoint: str, tenant: str) -> str:
    return f"{JOB_ENDPOINT}:{tenant}" if endpoint == JOB_ENDPOINT else endpoint
