import { useEffect, useRef, useState } from "react";
import { Latest } from "./latest";
import classes from "./pictures.module.css";

type Props = { url: string | null; label: string; grain?: boolean };

/** A picture whose address changes often. Drawn on a canvas, which shows the old one until the new one is there. */
export function LivePicture({ url, label, grain = false }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const latest = useRef<Latest<ImageBitmap>>(null);
  const [drawn, setDrawn] = useState(0);
  useEffect(() => {
    latest.current = new Latest(fetchPicture, (picture) => {
      if (canvas.current) draw(canvas.current, picture);
      setDrawn((count) => count + 1);
    });
    return () => latest.current?.end();
  }, []);
  useEffect(() => {
    if (url) latest.current?.want(url);
  }, [url]);
  return (
    <canvas
      ref={canvas}
      role="img"
      aria-label={label}
      data-drawn={drawn}
      width={1}
      height={1}
      className={classes.live}
      style={{ opacity: drawn ? 1 : 0, imageRendering: grain ? "pixelated" : "auto" }}
    />
  );
}

async function fetchPicture(url: string): Promise<ImageBitmap> {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`no picture: ${answer.status}`);
  return createImageBitmap(await answer.blob());
}

function draw(canvas: HTMLCanvasElement, picture: ImageBitmap): void {
  if (canvas.width !== picture.width) canvas.width = picture.width;
  if (canvas.height !== picture.height) canvas.height = picture.height;
  canvas.getContext("2d")?.drawImage(picture, 0, 0);
  picture.close();
}
