import { SegmentedControl } from "@mantine/core";
import { useState } from "react";
import { LivePicture } from "@/shared/pictures/live-picture";
import { aspect, inputUrl, isOver, isSquared, type Job, previewUrl } from "../jobs/job";
import { usePreviewStep } from "../jobs/queries";
import { Frame } from "./frame";
import classes from "./visualizer.module.css";

type View = "predicted" | "noisy" | "both";
const VIEWS = [
  { value: "predicted", label: "Predicted picture" },
  { value: "noisy", label: "Noisy latent" },
  { value: "both", label: "Both" },
];

/** The denoising as it happens, over the photo that it starts from. */
export function Developing({ job }: { job: Job }) {
  const [view, setView] = useState<View>("predicted");
  const step = usePreviewStep(job);
  const kinds = view === "both" ? (["predicted", "noisy"] as const) : ([view] as const);
  const url = (kind: string) => (step && !isOver(job) ? previewUrl(job, step, kind) : null);
  return (
    <>
      <div className={classes.pair} data-count={kinds.length}>
        {kinds.map((kind) => (
          <Frame key={kind} ratio={aspect(job)} over={isOver(job)}>
            <img src={inputUrl(job)} alt="The photo" className={classes.photo} data-waits={!step || undefined} data-squared={isSquared(job) || undefined} />
            <LivePicture
              url={url(kind)}
              grain={kind === "noisy"}
              label={kind === "noisy" ? "The latent with its noise" : "The edit as predicted so far"}
            />
            {job.progress && <span className={classes.count}>{job.progress.step}</span>}
          </Frame>
        ))}
      </div>
      <Progress job={job} />
      <SegmentedControl
        data={VIEWS}
        value={view}
        onChange={(value) => setView(value as View)}
        aria-label="What to watch"
        className={classes.views}
      />
    </>
  );
}

function Progress({ job }: { job: Job }) {
  const { step = 0, steps = 1, fraction = 0 } = job.progress ?? {};
  return (
    <div
      className={classes.track}
      role="progressbar"
      aria-label="Denoising"
      aria-valuemin={0}
      aria-valuemax={steps}
      aria-valuenow={step}
      data-waits={job.status === "queued" || undefined}
    >
      <span style={{ transform: `scaleX(${fraction})` }} />
    </div>
  );
}
