import type { JobView } from "@/shared/api/client";

export type Job = JobView;

export const isOver = (job: Job) => ["succeeded", "failed", "canceled"].includes(job.status);

/** Whether a job works now, so that it can be stopped. */
export const isActive = (job: Job) => job.status === "queued" || job.status === "running";

export const prompt = (job: Job) => String(job.params.prompt ?? "");

export const outputUrl = (job: Job) => `/v1/jobs/${job.id}/output?proxy=1`;
export const inputUrl = (job: Job) => `/v1/jobs/${job.id}/input?proxy=1`;
export const stepsUrl = (job: Job) => `/v1/jobs/${job.id}/steps?proxy=1`;
export const previewUrl = (job: Job, step: number, kind = "predicted") => `/v1/jobs/${job.id}/preview?kind=${kind}&step=${step}`;

/** Of the edited picture once there is one, before of the photo; the address differs, so that no cache mixes them. */
export const thumbnailUrl = (job: Job) => `/v1/jobs/${job.id}/thumbnail?of=${job.output ? "output" : "input"}`;

/** The shape that the edited picture has or will have: width / height. */
export function aspect(job: Job): number {
  if (job.output) return job.output.width / job.output.height;
  return isSquared(job) ? 1 : job.input.width / job.input.height;
}

/** Whether the edited picture is a square, whatever the shape of its photo. */
export const isSquared = (job: Job) => job.params.size !== "auto" && job.params.resolution !== "own";

/** Seconds that a running job still takes, from how fast it came so far; null before it can be told. */
export function secondsLeft(job: Job, now: number): number | null {
  if (job.status === "queued") return job.queue?.eta_seconds ?? null;
  if (job.status !== "running" || !job.progress || !job.started_at) return null;
  const ran = (now - Date.parse(job.started_at)) / 1000;
  return Math.max(0, (ran / job.progress.fraction) * (1 - job.progress.fraction));
}

export function duration(seconds: number): string {
  if (seconds < 1) return "under a second";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

/** What is going on with a job, in few words. */
export function sentence(job: Job, now = Date.now()): string {
  const left = secondsLeft(job, now);
  const about = left === null ? "" : `, about ${duration(left)} left`;
  switch (job.status) {
    case "queued":
      if (!job.queue) return "Waiting";
      return job.queue.position ? `${job.queue.position} ahead${about}` : `Next${about}`;
    case "running":
      return job.progress ? `Step ${job.progress.step} of ${job.progress.steps}${about}` : "Starting";
    case "canceling":
      return "Stopping at the next step";
    case "succeeded":
      return `Done in ${duration((job.timing.total_ms ?? 0) / 1000)}`;
    case "failed":
      return job.error?.title ?? "Failed";
    case "canceled":
      return job.cancellation?.step ? `Canceled at step ${job.cancellation.step}` : "Canceled";
  }
}
