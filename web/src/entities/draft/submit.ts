import { useMutation, useQueryClient } from "@tanstack/react-query";
import { ApiError, client, type CreateJobData, createJob, type JobView } from "@/shared/api/client";
import { listJob, putJob } from "../job/cache";
import { type Mark, maskOf, type Size } from "./marks";
import { nameOf, type Source, type Value } from "./draft";

export type Order = { source: Source; fields: Record<string, Value>; marks?: Mark[]; group?: string };

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

/** A name that nobody else has. randomUUID would be shorter, but browsers have it on https and localhost only. */
export const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(36)).join("");

async function patiently(order: Order, key: string): Promise<JobView> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await send(order, key);
    } catch (error) {
      if (!(error instanceof ApiError && error.isAway) || attempt === 3) throw error;
      await new Promise((resolve) => setTimeout(resolve, attempt * 1_000));
    }
  }
}

async function send({ source, fields, marks = [], group }: Order, key: string): Promise<JobView> {
  const headers = { "idempotency-key": key };
  const metadata = { photo: nameOf(source), ...(group && { group }) };
  const mask = marks.length ? await maskOf(marks, await sizeOf(source.url)) : null;
  if (source.kind === "job") {
    const told = mask && { mask: mask instanceof Blob ? await dataUri(mask) : mask };
    const body = { ...fields, ...told, image: `job:${source.id}`, metadata } as unknown as CreateJobData["body"];
    return (await createJob({ body, headers, throwOnError: true })).data;
  }
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) body.append(name, String(value));
  body.append("metadata", JSON.stringify(metadata));
  if (mask) body.append("mask", mask instanceof Blob ? mask : JSON.stringify(mask));
  body.append("image", source.file);
  const answer = await client.post<{ 202: JobView }, unknown, true>({
    url: "/v1/jobs", body, headers: { ...headers, "Content-Type": null }, bodySerializer: null, throwOnError: true,
  });
  return answer.data as JobView;
}

/** A picture's size, upright. */
export async function sizeOf(url: string): Promise<Size> {
  const image = new Image();
  image.src = url;
  await image.decode();
  return { width: image.naturalWidth, height: image.naturalHeight };
}

function dataUri(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}
