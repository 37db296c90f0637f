import type { JobView } from "@/shared/api/client";

export type Job = JobView;

export const isOver = (job: Job) => ["succeeded", "failed", "canceled"].includes(job.status);

/** Whether a job works now, so that it can be stopped. */
export const isActive = (job: Job) => job.status === "queued" || job.status === "running";

export const prompt = (job: Job) => String(job.params.prompt ?? "");

/** Of the edited picture, or of one of several. */
export const outputUrl = (job: Job, place = 0) => (place ? `${job.outputs[place]?.path}?proxy=1` : `/v1/jobs/${job.id}/output?proxy=1`);
export const inputUrl = (job: Job) => `/v1/jobs/${job.id}/input?proxy=1`;
export const stepsUrl = (job: Job) => `/v1/jobs/${job.id}/steps?proxy=1`;
export const previewUrl = (job: Job, step: number, kind = "predicted") => `/v1/jobs/${job.id}/preview?kind=${kind}&step=${step}`;

/** Of the edited picture once there is one, before of the photo; the address differs, so that no cache mixes them. */
export const thumbnailUrl = (job: Job) => `/v1/jobs/${job.id}/thumbnail?of=${job.output ? "output" : "input"}`;

/** The name of the photo's file, which this site sends along; empty where another client sent the job. */
export const photoName = (job: Job) => (typeof job.metadata.photo === "string" ? job.metadata.photo : "");

/** What a job was sent together with, in one comparison or batch: they have this in common. Null where it came alone. */
export const groupOf = (job: Job) => (typeof job.metadata.group === "string" ? job.metadata.group : null);

/** A name for the edited picture's file, made of the photo's name, the instruction, and what tells it from others of the job. */
export function fileName(job: Job, ...told: (string | number)[]): string {
  const stem = slug(photoName(job).replace(/\.\w+$/, ""));
  const ending = job.output?.content_type.split("/")[1]?.replace("jpeg", "jpg") ?? "png";
  return `${[stem, slug(prompt(job)).slice(0, 60), ...told].filter(Boolean).join("-") || job.id}.${ending}`;
}

const slug = (text: string) => text.normalize("NFC").replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "").toLowerCase();

/** The shape that the edited picture has or will have: width / height. */
export function aspect(job: Job): number {
  if (job.output) return job.output.width / job.output.height;
  return isSquared(job) ? 1 : job.input.width / job.input.height;
}

/** Whether the edited picture is a square, whatever the shape of its photo. */
export const isSquared = (job: Job) => job.params.size !== "auto" && job.params.resolution !== "own";

export const pixels = ({ width, height }: { width: number; height: number }) => `${width} × ${height}`;

/** The photo's size and the result's, once there is one. */
export function sizes(job: Job): string {
  if (!job.output) return `photo ${pixels(job.input)}`;
  const [before, after] = [pixels(job.input), pixels(job.output)];
  return before === after ? `${after} pixels, as the photo` : `photo ${before}, result ${after} pixels`;
}

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

/** What is going on with a job, in few words. In a service that is paused nothing that waits has a time. */
export function sentence(job: Job, now = Date.now(), paused = false): string {
  const left = secondsLeft(job, now);
  const about = left === null ? "" : left < 1 ? ", nearly there" : `, about ${duration(left)} left`;
  switch (job.status) {
    case "queued":
      if (paused) return "Waiting: the service is paused";
      if (!job.queue) return "Waiting";
      return job.queue.position ? `${job.queue.position} ahead${about}` : `Next${about}`;
    case "running":
      return job.progress ? `Step ${job.progress.step} of ${job.progress.steps}${about}` : "Starting";
    case "canceling":
      return "Stopping at the next step";
    case "succeeded":
      return `Done in ${duration((job.timing.total_ms ?? 0) / 1000)}${groupOf(job) ? ", with others" : ""}`;
    case "failed":
      return job.error?.title ?? "Failed";
    case "canceled":
      return job.cancellation?.step ? `Canceled at step ${job.cancellation.step}` : "Canceled";
  }
}

/** How long edits that were sent together took from the first's submission to the last's end; null until all are over. */
export function sharedSeconds(jobs: Job[]): number | null {
  if (!jobs.length || !jobs.every(({ finished_at }) => finished_at)) return null;
  const times = (moments: (string | null)[]) => moments.map((moment) => Date.parse(moment as string));
  return (Math.max(...times(jobs.map((job) => job.finished_at))) - Math.min(...times(jobs.map((job) => job.created_at)))) / 1000;
}
