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
    "params": {"prompt": "make it look like winter", "steps": 10, "seed": 7, "size": "512x512", "n": 1},
    "input": {
        "width": 768,
        "height": 512,
        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    },
    "output": None,
    "outputs": [],
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
BATCH_ID = "01krx2t5f6s2k8m4n7q1w9z3xc"
BATCH: dict[str, Any] = {
    "id": BATCH_ID,
    "object": "batch",
    "status": "in_progress",
    "counts": {"total": 200, "completed": 41, "failed": 1},
    "priority": "low",
    "metadata": {},
    "created_at": AT,
    "expires_at": "2026-11-24T09:00:00Z",
    "ended_at": None,
    "urls": {
        "self": f"/v1/batches/{BATCH_ID}",
        "lines": f"/v1/batches/{BATCH_ID}/lines",
        "cancel": f"/v1/batches/{BATCH_ID}/cancel",
        "contact_sheet": None,
    },
}
LINE: dict[str, Any] = {
    "number": 0,
    "name": "0",
    "status": "succeeded",
    "job": JOB_ID,
    "output": f"/v1/jobs/{JOB_ID}/output",
    "problem": None,
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


def list_of(one: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"object": "list", "data": [one], **more}


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
    "parameters_schema": {
        "type": "object",
        "properties": {"steps": {"type": "integer", "minimum": 2, "maximum": 1000, "default": 10}},
        "required": [],
        "additionalProperties": False,
    },
    "sizes": ["512x512", "256x256"],
    "checkpoint": {"name": "micro", "revision": "1"},
    "owner": "",
    "license": "",
    "workers": 1,
    "served_since": AT,
    "rivals": [],
    "troubles": [],
    "abilities": {"light": ["make it look like night", "make it sunset"], "art": ["make it a pencil sketch"]},
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
BROKEN_RECORDS: Any = {"object": "list", "data": [BROKEN_RECORD], "has_more": False, "next": None}
REDRIVEN: Any = {"id": "01krx2v0n8w5tq4e6c9d3hj7mb", "parent": JOB_ID, "tenant": "acme"}
MODELS: Any = {
    "object": "list",
    "data": [MODEL],
    "checkpoint": {"name": "micro", "revision": "1", "instructions": ["make it look like night"]},
    "limits": {"upload_bytes": 20_971_520, "output_pixels": 50_000_000, "retention_seconds": 86_400},
}
QUEUE: Any = {
    "queued": 3,
    "running": 2,
    "edits": 5,
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
    "models": [
        {
            "model": "pix2pix-full",
            "queued": 3,
            "running": 2,
            "edits": 5,
            "oldest_seconds": 1.5,
            "estimated_wait_seconds": 12,
            "workers": 1,
            "slots": 32,
        }
    ],
}
SESSION: Any = {"tenant": "acme", "scopes": ["read", "submit"], "expires_at": AT}
CALLER: Any = {"tenant": "acme", "scopes": ["read", "submit"], "keys_needed": True}
UPLOAD: Any = {
    "id": "01krx2s1c4r8e2v6y9h3m5t7pa",
    "object": "upload",
    "image": "upload:01krx2s1c4r8e2v6y9h3m5t7pa",
    "url": "https://s3.example/darkroom",
    "fields": {"key": "_uploads/acme/01krx2s1c4r8e2v6y9h3m5t7pa", "policy": "eyJleHBpcmF0aW9uIjog…"},
    "max_bytes": 20971520,
    "expires_at": AT,
}
WEBHOOK_SECRET: Any = {"id": WEBHOOK_ID, "object": "webhook_secret", "secret": SECRET, "old_valid_until": None}
ROTATED_SECRET: Any = {"id": WEBHOOK_ID, "object": "webhook_secret", "secret": SECRET, "old_valid_until": AT}
JWKS: Any = {
    "keys": [{"kty": "OKP", "crv": "Ed25519", "use": "sig", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]
}
