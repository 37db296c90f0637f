import { type QueryClient, useQueryClient } from "@tanstack/react-query";
import { useCallback, useSyncExternalStore } from "react";
import { type JobList, jobOf, LIST } from "./cache";
import { isActive, type Job } from "./job";

const SOON_MS = 200;

/** The ids of the jobs that wait or run. */
export function usePending(): string[] {
  const told = useSeldom((jobs) => jobs.filter(isActive).map(({ id }) => id).join(" "));
  return told ? told.split(" ") : [];
}

/**
 * A text made of all listed jobs, which is the same while they are the same. Many jobs change many times a second; they
 * are looked at a few times a second.
 */
export function useSeldom(look: (jobs: Job[]) => string): string {
  const queries = useQueryClient();
  const subscribe = useCallback((listener: () => void) => seldom(listener, (often) => queries.getQueryCache().subscribe(often)), [queries]);
  const now = () => look(listed(queries));
  return useSyncExternalStore(subscribe, now, now);
}

function listed(queries: QueryClient): Job[] {
  const ids = queries.getQueryData<JobList>(LIST)?.ids ?? [];
  return ids.flatMap((id) => jobOf(queries, id) ?? []);
}

function seldom(listener: () => void, subscribe: (often: () => void) => () => void): () => void {
  let soon: ReturnType<typeof setTimeout> | undefined;
  const end = subscribe(() => {
    soon ??= setTimeout(() => {
      soon = undefined;
      listener();
    }, SOON_MS);
  });
  return () => {
    clearTimeout(soon);
    end();
  };
}
