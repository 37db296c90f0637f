"""What operators see and do, with an admin key or on the service's own machine."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from darkroom.calls import Async, CallSteps, Resource, Sync, call
from darkroom.models import BrokenRecord, DeadLetter, Limits, OperatedQueue, Redriven, Tenant, Worker


class OperationCalls(Resource):
    """The queue, the workers, the dead letters and the tenants."""

    @call
    def queue(self) -> CallSteps[OperatedQueue]:
        """How many jobs wait and run, by model and priority, and how many webhooks, dead letters and others wait."""
        return OperatedQueue.of((yield from self.send("GET", "/v1/admin/queue")).json())

    @call
    def pause(self) -> CallSteps[OperatedQueue]:
        """Let workers claim nothing until `resume`; running jobs go on, new ones are accepted. Returns the queue."""
        return OperatedQueue.of((yield from self.send("POST", "/v1/admin/queue/pause")).json())

    @call
    def resume(self) -> CallSteps[OperatedQueue]:
        """Let workers claim jobs again. Returns the queue."""
        return OperatedQueue.of((yield from self.send("POST", "/v1/admin/queue/resume")).json())

    @call
    def prune(self, older_than_seconds: int, status: str | None = None, tenant: str | None = None) -> CallSteps[int]:
        """Remove ended jobs and their pictures before their time. Returns how many."""
        wanted = {"older_than_seconds": older_than_seconds, "status": status, "tenant": tenant}
        removed, more = 0, True
        while more:
            answer = (yield from self.send("POST", "/v1/admin/queue/prune", json=wanted, timeout=120)).json()
            removed, more = removed + int(answer["removed"]), answer["more"]
        return removed

    @call
    def workers(self) -> CallSteps[Sequence[Worker]]:
        """All workers, with their checkpoint, device, free memory and step time."""
        return [Worker.of(one) for one in (yield from self.send("GET", "/v1/admin/workers")).json()["data"]]

    @call
    def drain(self, worker: str, *, undo: bool = False) -> CallSteps[Worker]:
        """Let a worker claim no more jobs, or let it claim again. Returns the worker."""
        path = f"/v1/admin/workers/{quote(worker, safe='')}/drain"
        return Worker.of((yield from self.send("DELETE" if undo else "POST", path)).json()["data"][0])

    @call
    def broken_records(self) -> CallSteps[Sequence[BrokenRecord]]:
        """Jobs with damaged records, what is wrong with each, and what happens to it."""
        return [BrokenRecord.of(one) for one in (yield from self.send_for_all("/v1/admin/broken-records"))]

    @call
    def dead_letters(self, limit: int = 100) -> CallSteps[Sequence[DeadLetter]]:
        """Jobs that failed through no fault of their client, newest first: at most `limit`."""
        return [DeadLetter.of(one) for one in (yield from self.send_for_all("/v1/admin/dead-letters", most=limit))]

    @call
    def dead_letter(self, job_id: str) -> CallSteps[DeadLetter]:
        """One of them, with all attempts at it."""
        return DeadLetter.of((yield from self.send("GET", letter_path(job_id))).json())

    @call
    def retry(self, job_id: str) -> CallSteps[Redriven]:
        """Run a dead letter again, as a new job of its tenant. Returns that job's id, tenant and parent."""
        return Redriven.of((yield from self.send("POST", letter_path(job_id) + "/retry")).json())

    @call
    def tenants(self) -> CallSteps[Sequence[Tenant]]:
        """All tenants, and how much they use."""
        return [Tenant.of(one) for one in (yield from self.send_for_all("/v1/admin/tenants"))]

    @call
    def limit(
        self,
        tenant: str,
        *,
        queued: int | None = None,
        running: int | None = None,
        reads_per_minute: int | None = None,
        writes_per_minute: int | None = None,
    ) -> CallSteps[Limits]:
        """Set a tenant's limits. What is not named is as the settings say.

        `queued` and `running` are jobs, `reads_per_minute` and `writes_per_minute` requests of each of its keys.
        """
        limits = {"queued": queued, "running": running}
        limits |= {"reads_per_minute": reads_per_minute, "writes_per_minute": writes_per_minute}
        return Limits.of((yield from self.send("PUT", limits_path(tenant), json=limits)).json())

    @call
    def unlimit(self, tenant: str) -> CallSteps[None]:
        """Remove a tenant's limits, so that the settings' limits hold."""
        yield from self.send("DELETE", limits_path(tenant))


def limits_path(tenant: str) -> str:
    return f"/v1/admin/tenants/{quote(tenant, safe='')}/limits"


def letter_path(job_id: str) -> str:
    return f"/v1/admin/dead-letters/{quote(job_id, safe='')}"


class Operations(OperationCalls, Sync):
    """Running the service."""


class AsyncOperations(OperationCalls, Async):
    """Running the service, in asyncio."""
