import type { Job } from "@/entities/job/job";

/** A job as the service tells it, with what differs. */
export function job(change: Partial<Job> = {}): Job {
  const id = change.id ?? "0000000000000000000000000a";
  return {
    id,
    object: "job",
    status: "queued",
    status_text: "",
    model: "pix2pix-full",
    params: { prompt: "make it night", steps: 10, cfg_scale: 2.5, image_cfg_scale: 1.2, seed: 7, size: "auto", format: "png" },
    input: { width: 640, height: 480, sha256: "" },
    output: null,
    frames: null,
    outputs: [],
    renders: [],
    queue: { position: 0, eta_seconds: 4 },
    progress: null,
    error: null,
    warnings: [],
    cancellation: null,
    attempts: [],
    timing: {},
    receipt: null,
    priority: "normal",
    deadline_seconds: 86400,
    metadata: {},
    parent: null,
    urls: { self: `/v1/jobs/${id}`, events: "", cancel: "", output: "" },
    created_at: "2026-01-01T00:00:00Z",
    started_at: null,
    finished_at: null,
    expires_at: null,
    ...change,
  };
}

export const progress = (step: number, steps = 10) => ({ step, steps, fraction: step / steps, preview_url: "" });
