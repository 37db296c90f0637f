import { skipToken, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback } from "react";
import {
  ApiError, cancelJob, type JobListView, listJobs, readJob, readQueue, retryJob,
} from "@/shared/api/client";
import { complain } from "@/shared/notices";
import { type JobList, jobKey, LIST, listJob, PLACES, previewKey, putJob, withFirstPage, withNextPage } from "./cache";
import { isOver, type Job } from "./job";
import { deleteSoon } from "./deletion";
import { useConnection } from "./live";

const PAGE = 100;
const POLL_MS = 2_500;
const FOREVER = Number.POSITIVE_INFINITY;

const useIsLive = () => useConnection().state === "live";

/** The ids of the jobs, newest first. */
export function useJobList() {
  const queries = useQueryClient();
  const live = useIsLive();
  const keep = (page: JobListView) => page.data.forEach((job) => putJob(queries, job));
  const read = async (): Promise<JobList> => {
    const page = (await listJobs({ query: { limit: PAGE }, throwOnError: true })).data;
    keep(page);
    return withFirstPage(queries.getQueryData<JobList>(LIST), page);
  };
  const list = useQuery({ queryKey: LIST, queryFn: read, refetchInterval: live ? false : POLL_MS, throwOnError: false });
  const older = useMutation({
    mutationFn: async (after: string) => (await listJobs({ query: { limit: PAGE, after }, throwOnError: true })).data,
    onSuccess: (page) => {
      keep(page);
      queries.setQueryData<JobList>(LIST, (known) => known && withNextPage(known, page));
    },
    onError: complain("Older edits cannot be had:"),
  });
  return {
    ids: list.data?.ids,
    next: list.data?.next ?? null,
    error: list.error,
    retry: list.refetch,
    loadOlder: older.mutate,
    loading: older.isPending,
  };
}

/** A job as it is now: null when it is gone, undefined while it is not known. */
export function useJob(id: string): Job | null | undefined {
  const live = useIsLive();
  const queries = useQueryClient();
  const read = async () => {
    try {
      return putJob(queries, (await readJob({ path: { job_id: id }, throwOnError: true })).data);
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return null;
      throw error;
    }
  };
  return useQuery({
    queryKey: jobKey(id),
    queryFn: read,
    staleTime: FOREVER,
    refetchInterval: ({ state }) => (live || !state.data || isOver(state.data) ? false : POLL_MS),
  }).data;
}

/** The step of the latest preview: the stream tells; without it any step may have one. 0: there is none yet. */
export function usePreviewStep(job: Job): number {
  const live = useIsLive();
  const told = useQuery<number>({ queryKey: previewKey(job.id), queryFn: skipToken }).data;
  return (live ? told : job.progress?.step) ?? 0;
}

/** Keep the places of waiting jobs true: others' jobs move them without an event of ours. */
export function usePlaces(): void {
  const queries = useQueryClient();
  useQuery({
    queryKey: PLACES,
    queryFn: async () => {
      const page = (await listJobs({ query: { status: "queued", limit: PAGE }, throwOnError: true })).data;
      page.data.forEach((job) => putJob(queries, job));
      return page.data.length;
    },
    refetchInterval: ({ state }) => (state.data ? POLL_MS : false),
    throwOnError: false,
  });
}

/** Whether the service takes jobs on but begins none; asked while one waits. */
export function useIsPaused(waits: boolean): boolean {
  const { data } = useQuery({
    queryKey: ["queue"],
    queryFn: async () => (await readQueue({ throwOnError: true })).data,
    enabled: waits,
    refetchInterval: POLL_MS,
    throwOnError: false,
  });
  return waits && data?.paused === true;
}

/** What can be done with a job; what cannot be done is told. */
export function useJobActions() {
  const queries = useQueryClient();
  const path = (id: string) => ({ path: { job_id: id }, throwOnError: true as const });
  const cancel = useMutation({
    mutationFn: async (id: string) => putJob(queries, (await cancelJob(path(id))).data),
    onError: complain("It could not be canceled:"),
  });
  const retry = useMutation({
    mutationFn: async (id: string) => {
      const job = putJob(queries, (await retryJob(path(id))).data);
      listJob(queries, job.id);
      return job;
    },
    onError: complain("It could not be tried again:"),
  });
  const remove = useCallback((...ids: string[]) => deleteSoon(queries, ids), [queries]);
  return { cancel, retry, remove };
}
