/** A rectangle, its sides in shares of a photo's width and height: left, top, right, bottom. */
export type Box = [number, number, number, number];

/** A line drawn with the brush: its points in shares of width and height, its width in shares of the longer side. */
export type Stroke = { points: [number, number][]; width: number; erases: boolean };

/** Where a photo is to be edited. */
export type Mark = { box: Box } | { stroke: Stroke };

export type Size = { width: number; height: number };

const LONGEST = 1024; // of the picture that is sent: edges of masks are soft

const isBox = (mark: Mark): mark is { box: Box } => "box" in mark;

/** What the service is told: rectangles as they are; with the brush's lines, a picture that is white where to edit. */
export async function maskOf(marks: Mark[], size: Size): Promise<{ box: Box }[] | Blob> {
  if (marks.every(isBox)) return marks.map(({ box }) => ({ box: box.map(rounded) as Box }));
  const scale = Math.min(1, LONGEST / Math.max(size.width, size.height));
  const canvas = new OffscreenCanvas(Math.max(1, Math.round(size.width * scale)), Math.max(1, Math.round(size.height * scale)));
  const pen = canvas.getContext("2d") as OffscreenCanvasRenderingContext2D;
  pen.fillStyle = "black";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  draw(pen, marks, "white", "black");
  return canvas.convertToBlob({ type: "image/png" });
}

const rounded = (share: number) => Math.round(Math.min(1, Math.max(0, share)) * 10_000) / 10_000;

type Pen = CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D;

/** Marks on a canvas, in the order in which they were made; `none` erases, or is the color of what is not marked. */
export function draw(pen: Pen, marks: Mark[], color: string, none?: string): void {
  const { width, height } = pen.canvas;
  for (const mark of marks) {
    const erases = !isBox(mark) && mark.stroke.erases;
    pen.globalCompositeOperation = erases && !none ? "destination-out" : "source-over";
    pen.fillStyle = pen.strokeStyle = erases ? (none ?? "black") : color;
    if (isBox(mark)) {
      const [left, top, right, bottom] = mark.box;
      pen.fillRect(left * width, top * height, (right - left) * width, (bottom - top) * height);
    } else {
      line(pen, mark.stroke);
    }
  }
  pen.globalCompositeOperation = "source-over";
}

function line(pen: Pen, { points, width: thickness }: Stroke): void {
  const { width, height } = pen.canvas;
  const [[x, y] = [0, 0]] = points;
  pen.lineCap = pen.lineJoin = "round";
  pen.lineWidth = thickness * Math.max(width, height);
  pen.beginPath();
  pen.moveTo(x * width, y * height);
  for (const [x, y] of points.length > 1 ? points : [...points, ...points]) pen.lineTo(x * width, y * height);
  pen.stroke();
}

/** A rectangle between two corners, inside the photo. */
export function boxBetween([x0, y0]: [number, number], [x1, y1]: [number, number]): Box {
  const within = (share: number) => Math.min(1, Math.max(0, share));
  return [within(Math.min(x0, x1)), within(Math.min(y0, y1)), within(Math.max(x0, x1)), within(Math.max(y0, y1))];
}

/** A rectangle moved, or its lower right corner pulled, by shares; it stays inside the photo and keeps some size. */
export function nudged([left, top, right, bottom]: Box, dx: number, dy: number, resizes: boolean): Box {
  const least = 0.02;
  const between = (low: number, value: number, high: number) => Math.min(high, Math.max(low, value));
  if (resizes) return [left, top, between(left + least, right + dx, 1), between(top + least, bottom + dy, 1)];
  const x = between(-left, dx, 1 - right);
  const y = between(-top, dy, 1 - bottom);
  return [left + x, top + y, right + x, bottom + y];
}
