import type { Job } from "@/entities/job/job";

/** How to lay out a comparison: text CFG down and image CFG across where these differ, else just one beside the other. */
export type Axes = { rows: number[]; columns: number[] } | null;

export function axes(jobs: Job[]): Axes {
  const values = (name: string) => [...new Set(jobs.map((job) => Number(job.params[name])))].sort((a, b) => a - b);
  const [rows, columns] = [values("cfg_scale"), values("image_cfg_scale")];
  const sameModel = new Set(jobs.map((job) => job.model)).size === 1;
  return sameModel && jobs.length > 1 && rows.length * columns.length === jobs.length ? { rows, columns } : null;
}

export function at(jobs: Job[], row: number, column: number): Job | undefined {
  return jobs.find((job) => job.params.cfg_scale === row && job.params.image_cfg_scale === column);
}
