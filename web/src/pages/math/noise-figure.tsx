import { useEffect, useRef, useState } from "react";
import photo from "@examples/mountains.jpg";
import { Control, Figure, Readings } from "./figures";
import classes from "./figures.module.css";
import { alphaAt } from "./schedule";

const [WIDTH, HEIGHT] = [384, 256];

/** A photo at any training step: equation (1), done to pixels in [-1, 1] instead of latents. */
export function NoiseFigure() {
  const [t, setT] = useState(350);
  const canvas = useRef<HTMLCanvasElement>(null);
  const picture = usePicture();
  const a = alphaAt(t);
  useEffect(() => {
    if (canvas.current && picture) draw(canvas.current, picture, a);
  }, [picture, a]);
  return (
    <Figure
      controls={<Control label="Training step t" shown={String(t)} value={t} min={0} max={999} step={1} onChange={setT} />}
      caption={
        <>
          One photo, one draw of noise, mixed as in (1). Note how long the large shapes outlive the small ones: they are
          what the first steps of an edit decide.
        </>
      }
    >
      <canvas ref={canvas} width={WIDTH} height={HEIGHT} className={classes.canvas} role="img" aria-label={`A photo under noise, at step ${t}`} />
      <Readings of={[["signal √a", Math.sqrt(a).toFixed(3)], ["noise √(1 − a)", Math.sqrt(1 - a).toFixed(3)]]} />
    </Figure>
  );
}

/** The photo's pixels in [-1, 1]. */
function usePicture(): Float32Array | null {
  const [picture, setPicture] = useState<Float32Array | null>(null);
  useEffect(() => {
    const image = new Image(WIDTH, HEIGHT);
    image.onload = () => setPicture(pixelsOf(image));
    image.src = photo;
  }, []);
  return picture;
}

function pixelsOf(image: HTMLImageElement): Float32Array | null {
  const pen = Object.assign(document.createElement("canvas"), { width: WIDTH, height: HEIGHT }).getContext("2d");
  pen?.drawImage(image, 0, 0, WIDTH, HEIGHT);
  const data = pen?.getImageData(0, 0, WIDTH, HEIGHT).data;
  return data ? Float32Array.from(data, (byte) => byte / 127.5 - 1) : null;
}

function draw(canvas: HTMLCanvasElement, picture: Float32Array, a: number): void {
  const pen = canvas.getContext("2d");
  if (!pen) return;
  const [signal, noise] = [Math.sqrt(a), Math.sqrt(1 - a)];
  const image = pen.createImageData(WIDTH, HEIGHT);
  for (let i = 0; i < picture.length; i++) {
    const value = signal * (picture[i] as number) + noise * (NOISE[i] as number);
    image.data[i] = i % 4 === 3 ? 255 : (value + 1) * 127.5;
  }
  pen.putImageData(image, 0, 0);
}

/** One draw of standard normal noise (Box and Muller), the same for every step. */
const NOISE = Float32Array.from({ length: WIDTH * HEIGHT * 4 }, () => {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
});
