import { SegmentedControl } from "@mantine/core";
import { useState } from "react";
import { aspect, inputUrl, isOver, isSquared, type Job, previewUrl } from "@/entities/job/job";
import { usePreviewStep } from "@/entities/job/queries";
import { Frame } from "@/shared/pictures/frame";
import { LivePicture } from "@/shared/pictures/live-picture";
import classes from "./visualizer.module.css";

type View = "predicted" | "noisy" | "both";
const VIEWS = [
  { value: "predicted", label: "Predicted picture" },
  { value: "noisy", label: "Noisy latent" },
  { value: "both", label: "Both" },
];

/** The step that a job is at, or at which it was stopped. */
const stepOf = (job: Job) => job.cancellation?.step ?? job.progress?.step ?? 0;

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
            {stepOf(job) > 0 && <span className={classes.count}>{stepOf(job)}</span>}
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
  const steps = job.progress?.steps ?? Number(job.params.steps ?? 1);
  const step = stepOf(job);
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
      <span style={{ transform: `scaleX(${Math.min(1, step / steps)})` }} />
    </div>
  );
}
