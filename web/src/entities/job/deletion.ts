import type { QueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { create } from "zustand";
import { ApiError, deleteJob } from "@/shared/api/client";
import { notify } from "@/shared/notices";
import { dropJob, jobOf } from "./cache";
import { prompt } from "./job";

const SECONDS = 10;

/** Jobs that are no longer shown, and will be deleted unless somebody thinks better of it. */
export const useDoomed = create<{ ids: ReadonlySet<string> }>(() => ({ ids: new Set() }));

/** Delete jobs after ten seconds, in which it can be undone. Who leaves the page does not undo it. */
export function deleteSoon(queries: QueryClient, ids: string[]): void {
  const [first = ""] = ids;
  const job = jobOf(queries, first);
  const what = ids.length === 1 && job ? `“${prompt(job)}” is deleted.` : `${ids.length} edits are deleted.`;
  doom(ids);
  const timer = setTimeout(() => void carryOut(queries, ids), SECONDS * 1_000);
  const undo = () => {
    clearTimeout(timer);
    spare(ids);
  };
  notify({ text: what, isError: false, seconds: SECONDS, action: { label: "Undo", run: undo } });
}

const doom = (ids: string[]) => useDoomed.setState((before) => ({ ids: new Set([...before.ids, ...ids]) }));

const spare = (ids: string[]) => useDoomed.setState((before) => ({ ids: new Set([...before.ids].filter((id) => !ids.includes(id))) }));

async function carryOut(queries: QueryClient, ids: string[]): Promise<void> {
  const failed: string[] = [];
  for (const id of ids) {
    try {
      await deleteJob({ path: { job_id: id }, throwOnError: true });
      dropJob(queries, id);
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) dropJob(queries, id);
      else failed.push((error as Error).message);
    }
  }
  spare(ids);
  if (failed.length) notify({ text: `Not deleted: ${failed[0]}`, isError: true });
}

/** What is still to be deleted is deleted when the page is left. */
export function useDeletionOnLeaving(): void {
  useEffect(() => {
    const leave = () => {
      for (const id of useDoomed.getState().ids) void fetch(`/v1/jobs/${id}`, { method: "DELETE", keepalive: true });
    };
    window.addEventListener("pagehide", leave);
    return () => window.removeEventListener("pagehide", leave);
  }, []);
}
