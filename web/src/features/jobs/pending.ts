import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useSyncExternalStore } from "react";
import { type JobList, jobOf, LIST } from "./cache";
import { isActive } from "./job";

const SOON_MS = 200;

/** The ids of the jobs that wait or run. Many jobs change many times a second; looked at a few times a second. */
export function usePending(): string[] {
  const queries = useQueryClient();
  const subscribe = useCallback((listener: () => void) => seldom(listener, (often) => queries.getQueryCache().subscribe(often)), [queries]);
  const look = () => {
    const ids = queries.getQueryData<JobList>(LIST)?.ids ?? [];
    return ids.filter((id) => isPending(jobOf(queries, id))).join(" "); // a text: the same while they are the same
  };
  const told = useSyncExternalStore(subscribe, look, look);
  return told ? told.split(" ") : [];
}

const isPending = (job: ReturnType<typeof jobOf>) => job != null && isActive(job);

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
