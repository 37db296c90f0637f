import { QueryClient } from "@tanstack/react-query";
import { beforeEach, describe, expect, it } from "vitest";
import { job, progress } from "@/test/jobs";
import { dropJob, type JobList, jobOf, LIST, listJob, putJob, withFirstPage } from "./cache";

let queries: QueryClient;
beforeEach(() => void (queries = new QueryClient()));

const page = (ids: string[], next: string | null = null) => ({
  object: "list" as const, data: ids.map((id) => job({ id })), has_more: next !== null, next,
});

describe("what is known of a job", () => {
  it("does not go back when an old answer comes late", () => {
    putJob(queries, job({ status: "running", progress: progress(6) }));
    expect(putJob(queries, job({ status: "running", progress: progress(4) })).progress?.step).toBe(6);
    putJob(queries, job({ status: "succeeded" }));
    expect(putJob(queries, job({ status: "running", progress: progress(7) })).status).toBe("succeeded");
  });

  it("goes back to the queue when a worker gave the job back", () => {
    putJob(queries, job({ status: "running", progress: progress(6) }));
    expect(putJob(queries, job({ status: "queued" })).status).toBe("queued");
  });
});

describe("the list", () => {
  it("is newest first, and has each job once", () => {
    queries.setQueryData<JobList>(LIST, { ids: ["c", "a"], next: null });
    for (const id of ["b", "d", "b"]) listJob(queries, id);
    expect(queries.getQueryData<JobList>(LIST)?.ids).toEqual(["d", "c", "b", "a"]);
  });

  it("keeps older pages when its first is read again, and drops what is gone from that", () => {
    const known = { ids: ["e", "d", "c", "b", "a"], next: "a" };
    expect(withFirstPage(known, page(["f", "e", "c"], "c"))).toEqual({ ids: ["f", "e", "c", "b", "a"], next: "a" });
  });

  it("is the page itself when that is all there is", () => {
    expect(withFirstPage({ ids: ["b", "a"], next: null }, page(["c"]))).toEqual({ ids: ["c"], next: null });
  });

  it("loses a deleted job, which is then known to be gone", () => {
    putJob(queries, job({ id: "a" }));
    queries.setQueryData<JobList>(LIST, { ids: ["a"], next: null });
    dropJob(queries, "a");
    expect(queries.getQueryData<JobList>(LIST)?.ids).toEqual([]);
    expect(jobOf(queries, "a")).toBeNull();
  });
});
