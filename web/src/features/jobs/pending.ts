import { useQueryClient } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { type JobList, jobOf, LIST } from "./cache";
import { isActive } from "./job";

/** The ids of the jobs that wait or run; the same text, and so no redraw, while these are the same. */
export function usePending(): string[] {
  const queries = useQueryClient();
  const told = useSyncExternalStore(
    (listener) => queries.getQueryCache().subscribe(listener),
    () => {
      const ids = queries.getQueryData<JobList>(LIST)?.ids ?? [];
      const active = ids.filter((id) => {
        const job = jobOf(queries, id);
        return job && isActive(job);
      });
      return active.join(" ");
    },
  );
  return told ? told.split(" ") : [];
}
