import type { QueryClient } from "@tanstack/react-query";
import { create } from "zustand";
import { ApiError, readJob } from "@/shared/api/client";
import { type Connection, EventStream, type ServerEvent } from "@/shared/stream/event-stream";
import { dropJob, jobKey, jobOf, LIST, listJob, PLACES, patchJob, previewKey, putJob } from "./cache";
import type { Job } from "./job";

type Told = { job: string; status?: Job["status"]; step?: number; steps?: number; jobs?: Job[] };

/** How the one stream of this tab is doing. While it is not live, queries poll. */
export const useConnection = create<{ state: Connection }>(() => ({ state: "connecting" }));

/** Follow all jobs on one stream, and keep the cache as it tells. */
export function followJobs(queries: QueryClient): () => void {
  queries.setQueryDefaults(["job"], { gcTime: Number.POSITIVE_INFINITY });
  const applied = new Applied(queries);
  return new EventStream("/v1/events", {
    event: (event) => applied.event(event),
    state: (state, resumed) => {
      useConnection.setState({ state });
      if (state === "live" && !resumed) applied.refresh();
    },
  }).start();
}

/** Events, applied to the cache: small ones at once, the rest by asking for the job again. */
export class Applied {
  private readonly asked = new Set<string>();
  private readonly again = new Set<string>();

  constructor(private readonly queries: QueryClient) {}

  event({ type, data }: ServerEvent): void {
    const told = data as Told;
    switch (type) {
      case "progress":
        return this.progress(told);
      case "preview":
        this.queries.setQueryData(previewKey(told.job), told.step);
        return;
      case "status":
      case "done":
        return this.moved(told);
      case "deleted":
        return dropJob(this.queries, told.job);
      case "reset":
        return this.refresh();
    }
  }

  /** Ask for everything that is shown: some events were missed. */
  refresh(): void {
    void this.queries.invalidateQueries({ queryKey: LIST });
    void this.queries.invalidateQueries({ queryKey: ["job"], predicate: (query) => query.isActive() });
  }

  private progress({ job, step = 0, steps = 1 }: Told): void {
    const preview_url = `/v1/jobs/${job}/preview`;
    patchJob(this.queries, job, { status: "running", progress: { step, steps, fraction: step / steps, preview_url } });
    if (!jobOf(this.queries, job)?.started_at) void this.ask(job);
  }

  private moved({ job, status }: Told): void {
    if (status) patchJob(this.queries, job, { status });
    void this.ask(job);
    void this.queries.invalidateQueries({ queryKey: PLACES });
  }

  /** Read a job; while it is being read, further wishes become one. */
  private async ask(id: string): Promise<void> {
    if (this.asked.has(id)) {
      this.again.add(id);
      return;
    }
    this.asked.add(id);
    try {
      putJob(this.queries, (await readJob({ path: { job_id: id }, throwOnError: true })).data);
      listJob(this.queries, id);
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) dropJob(this.queries, id);
      else void this.queries.invalidateQueries({ queryKey: jobKey(id) });
    }
    this.asked.delete(id);
    if (this.again.delete(id)) await this.ask(id);
  }
}
