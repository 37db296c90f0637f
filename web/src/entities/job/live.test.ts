import { QueryClient } from "@tanstack/react-query";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { readJob } from "@/shared/api/client";
import { job, progress } from "@/test/jobs";
import { type JobList, jobOf, LIST, previewKey, putJob } from "./cache";
import { Applied } from "./live";

vi.mock("@/shared/api/client", async (original) => ({ ...(await original<object>()), readJob: vi.fn() }));

const ID = job().id;
let queries: QueryClient;
let applied: Applied;
const tell = (type: string, data: object) => applied.event({ id: "1-0", type, data: { job: ID, ...data } });

beforeEach(() => {
  queries = new QueryClient();
  applied = new Applied(queries);
  queries.setQueryData<JobList>(LIST, { ids: [], next: null });
  vi.mocked(readJob).mockImplementation((async () => ({ data: job({ status: "succeeded" }) })) as never);
});
afterEach(() => void vi.clearAllMocks());

describe("an event of the stream", () => {
  it("moves a job on without asking for it", () => {
    putJob(queries, job({ status: "running", started_at: "2026-01-01T00:00:01Z", progress: progress(1) }));
    for (let step = 2; step <= 9; step++) tell("progress", { step, steps: 10 });
    tell("preview", { step: 9 });
    expect(jobOf(queries, ID)?.progress).toMatchObject({ step: 9, fraction: 0.9 });
    expect(queries.getQueryData(previewKey(ID))).toBe(9);
    expect(readJob).not.toHaveBeenCalled();
  });

  it("of a job that was sent from another tab brings it onto the list", async () => {
    tell("status", { status: "queued" });
    await vi.waitFor(() => expect(queries.getQueryData<JobList>(LIST)?.ids).toEqual([ID]));
  });

  it("asks once more, and no oftener, however many come while a job is being read", async () => {
    for (let n = 0; n < 20; n++) tell("status", { status: "running" });
    await vi.waitFor(() => expect(jobOf(queries, ID)?.status).toBe("succeeded"));
    await new Promise((resolve) => setTimeout(resolve));
    expect(readJob).toHaveBeenCalledTimes(2);
  });

  it("shows that a job is being canceled at once", () => {
    putJob(queries, job({ status: "running", started_at: "2026-01-01T00:00:01Z", progress: progress(3) }));
    tell("status", { status: "canceling" });
    expect(jobOf(queries, ID)?.status).toBe("canceling");
  });

  it("takes a deleted job away", () => {
    putJob(queries, job({ status: "succeeded" }));
    queries.setQueryData<JobList>(LIST, { ids: [ID], next: null });
    tell("deleted", {});
    expect(queries.getQueryData<JobList>(LIST)?.ids).toEqual([]);
  });
});
