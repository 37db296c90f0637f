import { inputUrl, type Job, outputUrl } from "@/entities/job/job";
import { insist } from "@/shared/api/session-ends";

/** A job's result, or the blend of it over its photo: `share` is how much of it shows, 1 for all. */
export async function resultOf(job: Job, share: number): Promise<Blob> {
  const result = await fetched(outputUrl(job));
  if (share === 1) return result;
  const [photo, edit] = await Promise.all([fetched(inputUrl(job)).then(createImageBitmap), createImageBitmap(result)]);
  const canvas = new OffscreenCanvas(edit.width, edit.height);
  const pen = canvas.getContext("2d") as OffscreenCanvasRenderingContext2D;
  pen.drawImage(photo, 0, 0, edit.width, edit.height);
  pen.globalAlpha = share;
  pen.drawImage(edit, 0, 0);
  return canvas.convertToBlob({ type: result.type, quality: 0.95 });
}

async function fetched(url: string): Promise<Blob> {
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
