import { fromFile, nameOf, type Source } from "@/entities/draft/draft";
import type { Box } from "@/entities/draft/marks";

/** What a picture was made from by cropping and turning, so that it can be had again. */
const origins = new WeakMap<File, Source>();

/** The photo before it was cropped and turned; null where it was not. */
export function undoTurn(source: Source): Source | null {
  const origin = source.kind === "file" ? origins.get(source.file) : undefined;
  return origin?.kind === "file" ? fromFile(origin.file) : (origin ?? null);
}

export const turned = (source: Source): Promise<Source> => redrawn(source, (image) => ({ width: image.height, height: image.width }), (pen, image) => {
  pen.translate(image.height, 0);
  pen.rotate(Math.PI / 2);
  pen.drawImage(image, 0, 0);
});

export function cropped(source: Source, [left, top, right, bottom]: Box): Promise<Source> {
  const cut = (image: ImageBitmap) => {
    const [x, y] = [Math.round(left * image.width), Math.round(top * image.height)];
    return { x, y, width: Math.max(16, Math.round(right * image.width) - x), height: Math.max(16, Math.round(bottom * image.height) - y) };
  };
  return redrawn(source, cut, (pen, image) => pen.drawImage(image, -cut(image).x, -cut(image).y));
}

type Pen = OffscreenCanvasRenderingContext2D;

/** A picture drawn anew, as a JPEG where it was one, else without loss; the result of a job becomes a file. */
async function redrawn(source: Source, sizeOf: (image: ImageBitmap) => { width: number; height: number }, draw: (pen: Pen, image: ImageBitmap) => void): Promise<Source> {
  const blob = source.kind === "file" ? source.file : await (await fetch(source.url)).blob();
  const image = await createImageBitmap(blob);
  const { width, height } = sizeOf(image);
  const canvas = new OffscreenCanvas(width, height);
  draw(canvas.getContext("2d") as Pen, image);
  const type = blob.type === "image/jpeg" ? blob.type : "image/png";
  const drawn = await canvas.convertToBlob({ type, quality: 0.95 });
  const file = new File([drawn], nameOf(source).replace(/(\.\w+)?$/, type === "image/jpeg" ? ".jpg" : ".png"), { type });
  origins.set(file, (source.kind === "file" && origins.get(source.file)) || source);
  return fromFile(file);
}
