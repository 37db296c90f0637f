import { useMutation, useQueryClient } from "@tanstack/react-query";
import { client, type CreateJobData, createJob, type JobView } from "@/shared/api/client";
import { listJob, putJob } from "../jobs/cache";
import type { Source, Value } from "./draft";

export type Order = { source: Source; fields: Record<string, Value>; metadata?: Record<string, unknown> };

/** Send an edit. The key makes it safe to send again when the answer was lost on the way. */
export function useSubmit() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (order: Order) => patiently(order, newKey()),
    onSuccess: (job) => {
      putJob(queries, job);
      listJob(queries, job.id);
    },
  });
}

// randomUUID would be shorter, but browsers have it on https and localhost only.
const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(36)).join("");

async function patiently(order: Order, key: string): Promise<JobView> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await send(order, key);
    } catch (error) {
      const away = (error as { status?: number }).status === 0 || (error as { status?: number }).status === 503;
      if (!away || attempt === 3) throw error;
      await new Promise((resolve) => setTimeout(resolve, attempt * 1_000));
    }
  }
}

async function send({ source, fields, metadata }: Order, key: string): Promise<JobView> {
  const headers = { "idempotency-key": key };
  if (source.kind === "job") {
    const body = { ...fields, image: `job:${source.id}`, metadata } as CreateJobData["body"];
    return (await createJob({ body, headers, throwOnError: true })).data;
  }
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) body.append(name, String(value));
  if (metadata) body.append("metadata", JSON.stringify(metadata));
  body.append("image", source.file);
  const answer = await client.post<{ 202: JobView }, unknown, true>({
    url: "/v1/jobs", body, headers: { ...headers, "Content-Type": null }, bodySerializer: null, throwOnError: true,
  });
  return answer.data as JobView;
}
