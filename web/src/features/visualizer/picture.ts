import { useMutation, useQueryClient } from "@tanstack/react-query";
import { patchJob } from "@/entities/job/cache";
import type { Job } from "@/entities/job/job";
import { renderJob } from "@/shared/api/client";
import { insist } from "@/shared/api/session-ends";
import { complain } from "@/shared/notices";

/** Have the service make one of a job's results in another strength, which is then kept with the job. */
export function useRender(job: Job, output: number) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async (strength: number) =>
      (await renderJob({ path: { job_id: job.id }, body: { strength, output }, throwOnError: true })).data,
    onSuccess: (made) => {
      const others = job.renders.filter(({ path }) => path !== made.path);
      patchJob(queries, job.id, { renders: [...others, made] });
    },
    onError: complain("This strength could not be made:"),
  });
}

export async function fetchPicture(url: string): Promise<Blob> {
  const answer = await insist(() => fetch(url));
  if (!answer.ok) throw new Error(`The picture is not there (${answer.status}).`);
  return answer.blob();
}

/** Hand a picture to the browser's downloads under a name of ours. */
export function saveAs(picture: Blob, name: string): void {
  const url = URL.createObjectURL(picture);
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** Browsers let pages copy on https and on localhost only. */
export const canCopy = () => typeof ClipboardItem !== "undefined" && Boolean(navigator.clipboard?.write);

/** Copy a picture, as a PNG: the one kind that every browser takes. The promise keeps the click's permission. */
export async function copyPicture(picture: Promise<Blob>): Promise<void> {
  await navigator.clipboard.write([new ClipboardItem({ "image/png": picture.then(asPng) })]);
}

async function asPng(picture: Blob): Promise<Blob> {
  if (picture.type === "image/png") return picture;
  const image = await createImageBitmap(picture);
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d")?.drawImage(image, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}
