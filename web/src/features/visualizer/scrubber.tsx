import { ActionIcon, Slider, Text } from "@mantine/core";
import { IconPlayerPause, IconPlayerPlay } from "@tabler/icons-react";
import { useEffect, useRef, useState } from "react";
import { aspect, type Job, stepsUrl } from "@/entities/job/job";
import { Frame } from "@/shared/pictures/frame";
import classes from "./visualizer.module.css";

const FRAME_MS = 160;
const FEWEST_MOMENTS = 9;

/**
 * The recorded way of an edit: pull the handle to any step, and see what was predicted and what was still noise. An edit
 * of few steps is told in moments between them too. Latents there are sums of those before and after, and so are their
 * small pictures.
 */
export function Scrubber({ job }: { job: Job }) {
  const sprite = useSprite(stepsUrl(job));
  const steps = job.frames?.steps ?? [];
  const finer = steps.length > 1 ? Math.ceil((FEWEST_MOMENTS - 1) / (steps.length - 1)) : 1;
  const last = (steps.length - 1) * finer;
  const [at, setAt] = useState(last);
  const [plays, setPlays] = useState(false);
  useEffect(() => {
    if (!plays) return;
    const clock = setInterval(() => setAt((frame) => Math.min(frame + 1, last)), FRAME_MS);
    return () => clearInterval(clock);
  }, [plays, last]);
  useEffect(() => {
    if (at === last) setPlays(false);
  }, [at, last]);

  const step = steps[Math.floor(at / finer)];
  const play = () => {
    if (at === last) setAt(0);
    setPlays(!plays);
  };

  return (
    <div className={classes.scrubber}>
      <div className={classes.pair} data-count={2}>
        {["Predicted picture", "Noisy latent"].map((label, row) => (
          <figure key={label}>
            <Frame ratio={aspect(job)}>
              <Moment sprite={sprite} column={at / finer} row={row} columns={steps.length} label={`${label} after step ${step}`} />
            </Frame>
            <Text component="figcaption" size="xs" c="dimmed" ta="center" mt={6}>
              {label}
            </Text>
          </figure>
        ))}
      </div>
      <div className={classes.controls}>
        <ActionIcon variant="default" size="lg" onClick={play} aria-label={plays ? "Pause" : "Play the steps"}>
          {plays ? <IconPlayerPause size={17} /> : <IconPlayerPlay size={17} />}
        </ActionIcon>
        <Slider
          flex={1}
          min={0}
          max={last}
          step={1}
          value={at}
          label={null}
          thumbSize={24}
          thumbLabel="Step"
          thumbValueText={`Step ${step} of ${steps.at(-1)}`}
          onChange={setAt}
        />
        <Text size="sm" c="dimmed" className={classes.stepCount}>
          {step} / {steps.at(-1)}
        </Text>
      </div>
    </div>
  );
}

function useSprite(url: string): ImageBitmap | null {
  const [sprite, setSprite] = useState<ImageBitmap | null>(null);
  useEffect(() => {
    const line = new AbortController();
    const load = async () => createImageBitmap(await (await fetch(url, { signal: line.signal })).blob());
    load().then(setSprite, () => {});
    return () => line.abort();
  }, [url]);
  return sprite;
}

type MomentProps = { sprite: ImageBitmap | null; column: number; row: number; columns: number; label: string };

function Moment({ sprite, column, row, columns, label }: MomentProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const pencil = canvas.current?.getContext("2d");
    if (!sprite || !canvas.current || !pencil) return;
    const [width, height] = [sprite.width / columns, sprite.height / 2];
    canvas.current.width = width;
    canvas.current.height = height;
    const draw = (place: number) => pencil.drawImage(sprite, place * width, row * height, width, height, 0, 0, width, height);
    draw(Math.floor(column));
    pencil.globalAlpha = column % 1;
    if (pencil.globalAlpha > 0) draw(Math.ceil(column));
  }, [sprite, column, row, columns]);
  return <canvas ref={canvas} role="img" aria-label={label} data-column={column} className={classes.canvas} />;
}
