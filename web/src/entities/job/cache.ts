import type { QueryClient } from "@tanstack/react-query";
import type { JobListView } from "@/shared/api/client";
import { isOver, type Job } from "./job";

/** The list holds ids only and each job is kept by itself, so that an event redraws one row. */
export type JobList = { ids: string[]; next: string | null };

export const LIST = ["jobs"] as const;
export const PLACES = ["places"] as const;
export const jobKey = (id: string) => ["job", id] as const;
export const previewKey = (id: string) => ["preview", id] as const;

export function jobOf(queries: QueryClient, id: string): Job | undefined {
  return queries.getQueryData<Job>(jobKey(id));
}

/** Keep what is told of a job, unless what is known is newer: an ended job never changes, and steps only go up. */
export function putJob(queries: QueryClient, told: Job): Job {
  const known = jobOf(queries, told.id);
  const job = known ? newer(known, told) : told;
  queries.setQueryData(jobKey(told.id), job);
  return job;
}

function newer(known: Job, told: Job): Job {
  if (isOver(known) && !isOver(told)) return known;
  if (known.status === "canceling" && told.status === "running") return known;
  const ahead = known.status === told.status && (known.progress?.step ?? 0) > (told.progress?.step ?? 0);
  return ahead ? { ...told, progress: known.progress } : told;
}

export function patchJob(queries: QueryClient, id: string, change: Partial<Job>): void {
  queries.setQueryData<Job>(jobKey(id), (job) => job && newer(job, { ...job, ...change }));
}

/** Put a job on the list, newest first: ids sort by time. */
export function listJob(queries: QueryClient, id: string): void {
  queries.setQueryData<JobList>(LIST, (list) =>
    list && !list.ids.includes(id) ? { ...list, ids: [...list.ids, id].sort().reverse() } : list,
  );
}

export function dropJob(queries: QueryClient, id: string): void {
  queries.setQueryData<JobList>(LIST, (list) => list && { ...list, ids: list.ids.filter((one) => one !== id) });
  queries.setQueryData(jobKey(id), null);
}

/** The list after its first page was read again: older jobs stay, what is missing from the page is gone. */
export function withFirstPage(list: JobList | undefined, page: JobListView): JobList {
  const ids = page.data.map((job) => job.id);
  const last = ids.at(-1);
  if (!list || !page.next || !last) return { ids, next: page.next };
  return { ids: [...ids, ...list.ids.filter((id) => id < last)], next: list.ids.some((id) => id < last) ? list.next : page.next };
}

export function withNextPage(list: JobList, page: JobListView): JobList {
  return { ids: [...new Set([...list.ids, ...page.data.map((job) => job.id)])], next: page.next };
}
