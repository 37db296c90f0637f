"""What each operation of the OpenAPI document is called, and one answer that it gives when all is well."""

from typing import Any

JOB_ID = "01krx2v0n8w5tq4e6c9d3hj7ma"
AT = "2026-11-23T09:00:00Z"
WEBHOOK_ID = "01krx30g2s7v1m5y8b4f6k9pzd"
FILE_ID = "01krx2s1c4r8e2v6y9h3m5t7pb"
SECRET = "whsec_RGFya3Jvb20ncyBleGFtcGxlIHNlY3JldC4uLi4="  # noqa: S105 - an example

JOB: dict[str, Any] = {
    "id": JOB_ID,
    "object": "job",
    "status": "queued",
    "status_text": "Waiting for a free place on a worker.",
    "model": "pix2pix-full",
    "params": {"prompt": "make it look like winter", "steps": 10, "seed": 7, "size": "512x512"},
    "input": {
        "width": 768,
        "height": 512,
        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    },
    "output": None,
    "renders": [],
    "frames": None,
    "queue": {"position": 2, "eta_seconds": 12},
    "progress": None,
    "error": None,
    "warnings": [],
    "cancellation": None,
    "attempts": [],
    "timing": {"queued_ms": None, "load_ms": None, "run_ms": None, "upload_ms": None, "total_ms": None},
    "receipt": None,
    "priority": "normal",
    "deadline_seconds": 86400,
    "metadata": {"order": 7},
    "parent": None,
    "urls": {
        "self": f"/v1/jobs/{JOB_ID}",
        "events": f"/v1/jobs/{JOB_ID}/events",
        "cancel": f"/v1/jobs/{JOB_ID}/cancel",
        "output": f"/v1/jobs/{JOB_ID}/output",
    },
    "created_at": AT,
    "started_at": None,
    "finished_at": None,
    "expires_at": None,
}
CANCELED = JOB | {
    "status": "canceled",
    "status_text": "Stopped, as you asked.",
    "queue": None,
    "cancellation": {"step": 0, "ms": 0},
    "finished_at": AT,
    "expires_at": "2026-11-24T09:00:00Z",
}
FILE: dict[str, Any] = {
    "id": FILE_ID,
    "object": "file",
    "image": f"file:{FILE_ID}",
    "name": "photo.jpg",
    "content_type": "image/jpeg",
    "bytes": 181234,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "metadata": {},
    "created_at": AT,
    "expires_at": "2026-11-30T09:00:00Z",
}
RENDER: dict[str, Any] = {
    "url": f"https://pictures.example/darkroom/acme/{JOB_ID}/1-9c1185a5c5e9fc54/render-612808ee8ca9.png?X-Amz-Signature=",
    "expires_at": "2026-11-23T09:15:00Z",
    "content_type": "image/png",
    "width": 768,
    "height": 512,
    "bytes": 612022,
    "sha256": "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
    "object": "render",
    "output": 0,
    "strength": 0.5,
    "path": f"/v1/jobs/{JOB_ID}/renders/0",
    "receipt": {
        "pixels_sha256": "fd61a03af4f77d870fc21e05e7e80678095c92d808cfb3b5c279ee04c74aca13",
        "signed_by": "Darkroom 5f0c9a1e",
    },
    "created_at": AT,
}
WEBHOOK: dict[str, Any] = {
    "id": WEBHOOK_ID,
    "object": "webhook",
    "url": "https://you.example/darkroom",
    "events": ["job.completed"],
    "enabled": True,
    "disabled_because": None,
    "created_at": AT,
}
DELIVERY: dict[str, Any] = {
    "id": f"msg_{JOB_ID}_9_{WEBHOOK_ID}",
    "object": "delivery",
    "type": "job.completed",
    "job": JOB_ID,
    "status": "delivered",
    "created_at": AT,
    "attempts": [{"at": AT, "ms": 41, "status": 200, "answer": "ok"}],
}
KEY: dict[str, Any] = {
    "id": "3f9c2a7be1",
    "object": "key",
    "tenant": "acme",
    "scopes": ["read", "submit"],
    "name": "the shop",
    "created_at": AT,
}
OPERATED_QUEUE: dict[str, Any] = {
    "paused": False,
    "queued": 3,
    "running": 2,
    "oldest_seconds": 1.5,
    "estimated_wait_seconds": 12,
    "workers": 1,
    "slots": 32,
    "kinds": [{"model": "pix2pix-full", "priority": "normal", "queued": 3, "running": 2}],
    "dead_letters": 1,
    "webhook_receivers_waiting": 0,
    "redis_bytes": 8388608,
    "redis_limit_bytes": None,
}
WORKER: dict[str, Any] = {
    "name": "gpu-1-7",
    "object": "worker",
    "alive": True,
    "draining": False,
    "holds": 2,
    "slots": 32,
    "checkpoint": "micro",
    "revision": "",
    "device": "cpu",
    "free_bytes": 6442450944,
    "step_seconds": 0.09,
    "version": "0.1.0",
    "signer": "Darkroom 5f0c9a1e",
    "signer_expires_at": AT,
    "started_at": AT,
    "seen_at": AT,
}
BROKEN_RECORD: dict[str, Any] = {
    "id": JOB_ID,
    "object": "broken_record",
    "tenant": "acme",
    "status": None,
    "wrong": "has no status",
    "repair": "The keeper fills in what it lacks and ends the job as failed.",
}
DEAD_LETTER: dict[str, Any] = {
    "id": JOB_ID,
    "object": "dead_letter",
    "tenant": "acme",
    "model": "pix2pix-full",
    "params": {"prompt": "make it look like winter", "steps": 10, "seed": 7, "size": "512x512"},
    "error": {
        "type": "poison",
        "title": "The job kept breaking its worker",
        "detail": "It was in 3 workers that stopped answering, and is not tried again.",
    },
    "attempts": [{"number": 3, "worker": "gpu-1-7", "started_at": AT, "ended_at": AT, "outcome": "crashed"}],
    "created_at": AT,
    "finished_at": AT,
    "expires_at": "2026-11-24T09:00:00Z",
}
LIMITS: dict[str, Any] = {"queued": 500, "running": 8, "reads_per_minute": None, "writes_per_minute": None}
TENANT: dict[str, Any] = {"tenant": "acme", "object": "tenant", "queued": 3, "running": 2, "kept": 120, "keys": 1} | {
    "limits": LIMITS
}
STREAM = f"""event: status
id: 1795424400000-0
data: {{"job": "{JOB_ID}", "at": 1795424400000, "status": "running"}}

event: progress
id: 1795424400431-0
data: {{"job": "{JOB_ID}", "at": 1795424400431, "step": 3, "steps": 10}}

event: done
id: 1795424401902-0
data: {{"job": "{JOB_ID}", "at": 1795424401902, "status": "succeeded"}}

"""


def _list(one: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"object": "list", "data": [one], **more}


#: operation -> its summary, and the example of its success (None: bytes, or no body)
MODEL: dict[str, Any] = {
    "id": "pix2pix-full",
    "object": "model",
    "summary": "All networks written from scratch, sampled by DDIM or DPM-Solver++.",
    "made_of": {"text_encoder": "ours", "vae": "ours", "unet": "ours"},
    "sampler": "DDIM",
    "guidance": "three-way",
    "text_scale": None,
    "default": True,
    "parameters": [
        {
            "name": "steps",
            "kind": "integer",
            "summary": "Denoising steps: more take longer and add detail.",
            "required": False,
            "minimum": 2,
            "maximum": 1000,
            "choices": None,
            "default": 10,
        }
    ],
}

CREDENTIALS = {
    "object": "credentials_check",
    "present": True,
    "valid": True,
    "trusted": True,
    "sentence": "The content credentials of this picture are valid, and come from Darkroom 5f0c9a1e, which is trusted "
    "here. A trained model has made or edited it.",
    "issuer": "Darkroom 5f0c9a1e",
    "edited_by_ai": True,
    "made_here": True,
    "job": JOB_ID,
    "problems": [],
    "manifests": [
        {
            "issuer": "Darkroom 5f0c9a1e",
            "common_name": "Content credentials",
            "generator": "Darkroom 0.1.0",
            "signed_at": None,
            "actions": [
                {"action": "c2pa.opened", "agent": "", "by_ai": False},
                {"action": "c2pa.edited", "agent": "Darkroom", "by_ai": True},
            ],
            "details": {"job": JOB_ID, "model": "pix2pix-full", "checkpoint": "micro 7", "seed": "7"},
        }
    ],
    "pixels_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
}

OPERATIONS: dict[tuple[str, str], tuple[str, Any]] = {
    ("post", "/v1/jobs"): ("Submit a job", JOB),
    ("get", "/v1/jobs"): ("List jobs", _list(JOB, has_more=False, next=None)),
    ("get", "/v1/jobs/{job_id}"): ("Read a job, or wait for it", JOB),
    ("delete", "/v1/jobs/{job_id}"): ("Delete an ended job", None),
    ("post", "/v1/jobs/{job_id}/cancel"): ("Cancel a job", CANCELED),
    ("post", "/v1/jobs/{job_id}/retry"): ("Try a job again", JOB | {"parent": "01krx2t4z0d6gq8s5n3b7w9xkc"}),
    ("post", "/v1/jobs/{job_id}/render"): ("Render another strength", RENDER),
    ("get", "/v1/jobs/{job_id}/output"): ("Download the edited picture", None),
    ("get", "/v1/jobs/{job_id}/renders/{place}"): ("Download a render", None),
    ("get", "/v1/jobs/{job_id}/input"): ("Download the picture that was sent", None),
    ("get", "/v1/jobs/{job_id}/steps"): ("Download the steps as one sprite", None),
    ("get", "/v1/jobs/{job_id}/preview"): ("See the latest preview", None),
    ("get", "/v1/jobs/{job_id}/thumbnail"): ("See a thumbnail", None),
    ("get", "/v1/jobs/{job_id}/events"): ("Follow a job", STREAM),
    ("get", "/v1/events"): ("Follow all jobs", STREAM),
    ("post", "/v1/credentials/check"): ("Check a picture's content credentials", CREDENTIALS),
    ("post", "/v1/files"): ("Keep a file", FILE),
    ("get", "/v1/files"): ("List your files", _list(FILE, has_more=False, next=None)),
    ("get", "/v1/files/{file_id}"): ("Read what is known of a file", FILE),
    ("get", "/v1/files/{file_id}/content"): ("Download a file", None),
    ("delete", "/v1/files/{file_id}"): ("Remove a file", None),
    ("post", "/v1/uploads"): (
        "Ask for an address to upload to",
        {
            "id": "01krx2s1c4r8e2v6y9h3m5t7pa",
            "object": "upload",
            "image": "upload:01krx2s1c4r8e2v6y9h3m5t7pa",
            "url": "https://s3.example/darkroom",
            "fields": {"key": "_uploads/acme/01krx2s1c4r8e2v6y9h3m5t7pa", "policy": "eyJleHBpcmF0aW9uIjog…"},
            "max_bytes": 20971520,
            "expires_at": AT,
        },
    ),
    ("get", "/v1/webhooks"): ("List webhook endpoints", _list(WEBHOOK)),
    ("post", "/v1/webhooks"): ("Register a webhook endpoint", WEBHOOK | {"secret": SECRET}),
    ("get", "/v1/webhooks/{webhook_id}"): ("Read a webhook endpoint", WEBHOOK),
    ("delete", "/v1/webhooks/{webhook_id}"): ("Delete a webhook endpoint", None),
    ("get", "/v1/webhooks/{webhook_id}/secret"): (
        "Read an endpoint's secret",
        {"id": WEBHOOK_ID, "object": "webhook_secret", "secret": SECRET, "old_valid_until": None},
    ),
    ("post", "/v1/webhooks/{webhook_id}/rotate"): (
        "Change an endpoint's secret",
        {"id": WEBHOOK_ID, "object": "webhook_secret", "secret": SECRET, "old_valid_until": AT},
    ),
    ("post", "/v1/webhooks/{webhook_id}/test"): (
        "Send a test message",
        DELIVERY | {"type": "webhook.test", "job": None, "status": "pending", "attempts": []},
    ),
    ("get", "/v1/webhooks/{webhook_id}/deliveries"): ("List an endpoint's deliveries", _list(DELIVERY)),
    ("post", "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver"): (
        "Send a message again",
        DELIVERY | {"status": "pending"},
    ),
    ("get", "/.well-known/jwks.json"): (
        "Read the public keys of the webhook signatures",
        {"keys": [{"kty": "OKP", "crv": "Ed25519", "use": "sig", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]},
    ),
    ("get", "/v1/session"): (
        "Read who you are",
        {"tenant": "acme", "scopes": ["read", "submit"], "keys_needed": True},
    ),
    ("post", "/v1/session"): ("Sign in", {"tenant": "acme", "scopes": ["read", "submit"], "expires_at": AT}),
    ("delete", "/v1/session"): ("Sign out", None),
    ("get", "/v1/admin/keys"): ("List keys", _list(KEY, has_more=False, next=None)),
    ("post", "/v1/admin/keys"): ("Make a key", KEY | {"key": "dk_3f9c2a7be1_…"}),
    ("delete", "/v1/admin/keys/{key_id}"): ("Revoke a key", None),
    ("get", "/v1/admin/queue"): ("Read the queue as its operator", OPERATED_QUEUE),
    ("post", "/v1/admin/queue/pause"): ("Pause the queue", OPERATED_QUEUE | {"paused": True}),
    ("post", "/v1/admin/queue/resume"): ("Resume the queue", OPERATED_QUEUE),
    ("post", "/v1/admin/queue/prune"): ("Remove ended jobs", {"removed": 120, "more": False}),
    ("get", "/v1/admin/workers"): ("List the workers", _list(WORKER)),
    ("post", "/v1/admin/workers/{worker}/drain"): ("Drain a worker", _list(WORKER | {"draining": True})),
    ("delete", "/v1/admin/workers/{worker}/drain"): ("Let a worker claim again", _list(WORKER)),
    ("get", "/v1/admin/broken-records"): (
        "List the records that are not whole",
        {"object": "list", "data": [BROKEN_RECORD], "has_more": False, "next": None},
    ),
    ("get", "/v1/admin/dead-letters"): ("List the dead letters", _list(DEAD_LETTER, has_more=False, next=None)),
    ("get", "/v1/admin/dead-letters/{job_id}"): ("Read a dead letter", DEAD_LETTER),
    ("post", "/v1/admin/dead-letters/{job_id}/retry"): (
        "Run a dead letter again",
        {"id": "01krx2v0n8w5tq4e6c9d3hj7mb", "parent": JOB_ID, "tenant": "acme"},
    ),
    ("get", "/v1/admin/tenants"): ("List the tenants", _list(TENANT, has_more=False, next=None)),
    ("put", "/v1/admin/tenants/{tenant}/limits"): ("Limit a tenant", LIMITS),
    ("delete", "/v1/admin/tenants/{tenant}/limits"): ("Remove a tenant's limits", None),
    ("get", "/v1/models"): (
        "List the models",
        {
            "object": "list",
            "data": [MODEL],
            "checkpoint": {"name": "micro", "revision": "1", "instructions": ["make it look like night"]},
        },
    ),
    ("get", "/v1/queue"): (
        "Read the queue",
        {
            "queued": 3,
            "running": 2,
            "oldest_seconds": 1.5,
            "estimated_wait_seconds": 12,
            "workers": 1,
            "slots": 32,
            "paused": False,
            "promises": {
                "jobs": 1000,
                "median_error_seconds": 1.4,
                "p90_error_seconds": 5.2,
                "median_seconds": 9.8,
            },
        },
    ),
    ("get", "/v1/queue/scale"): ("Read how many jobs need workers", {"jobs": 5}),
    ("get", "/healthz"): ("Ask whether the process answers", {"status": "ok"}),
    ("get", "/readyz"): (
        "Ask whether jobs can be accepted",
        {"status": "ready", "parts": {"redis": "ok", "s3": "ok"}},
    ),
    ("get", "/metrics"): ("Read Prometheus metrics", "# HELP darkroom_jobs_queued Jobs that wait.\n"),
}

REQUESTS: dict[tuple[str, str], Any] = {
    ("post", "/v1/jobs/{job_id}/render"): {"strength": 0.5},
    ("post", "/v1/webhooks"): {"url": "https://you.example/darkroom", "events": ["job.completed"]},
    ("post", "/v1/admin/queue/prune"): {"status": "succeeded", "older_than_seconds": 3600},
    ("put", "/v1/admin/tenants/{tenant}/limits"): {"queued": 500, "running": 8},
    ("post", "/v1/admin/keys"): {"tenant": "acme", "scopes": ["read", "submit"], "name": "the shop"},
}
