import { Text, VisuallyHidden } from "@mantine/core";
import { Link } from "react-router";
import { useQueries, useQueryClient } from "@tanstack/react-query";
import { LivePicture } from "@/shared/pictures/live-picture";
import { jobKey, jobOf } from "@/entities/job/cache";
import { aspect, inputUrl, isOver, type Job, outputUrl, photoName, previewUrl, sentence } from "@/entities/job/job";
import { useNow } from "@/entities/job/now";
import { useIsPaused, useJob, usePreviewStep } from "@/entities/job/queries";
import { Frame } from "@/shared/pictures/frame";
import { at, axes } from "./axes";
import classes from "./compare.module.css";

/** A comparison's jobs as a grid, each live. */
export function CompareGrid({ ids }: { ids: string[] }) {
  const jobs = useKnown(ids);
  const layout = axes(jobs);
  const differs = difference(jobs);
  if (!layout || jobs.length < ids.length) {
    return (
      <ul className={classes.cells} aria-label="Edits">
        {ids.map((id) => (
          <li key={id}>
            <Cell id={id} nameOf={differs} />
          </li>
        ))}
      </ul>
    );
  }
  return (
    <div className={classes.scroll} tabIndex={0} role="region" aria-label="Edits by guidance">
      <table className={classes.table}>
        <thead>
          <tr>
            <td />
            {layout.columns.map((value) => (
              <th key={value} scope="col">
                Image CFG {value}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {layout.rows.map((row) => (
            <tr key={row}>
              <th scope="row">Text CFG {row}</th>
              {layout.columns.map((column) => {
                const job = at(jobs, row, column);
                return <td key={column}>{job && <Cell id={job.id} />}</td>;
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Those of the jobs that are known by now; the cells ask for the others. */
function useKnown(ids: string[]): Job[] {
  const queries = useQueryClient();
  return useQueries({
    queries: ids.map((id) => ({ queryKey: jobKey(id), queryFn: () => jobOf(queries, id) ?? null, enabled: false })),
    combine: (results) => results.flatMap(({ data }) => data ?? []),
  });
}

/** By what edits are told apart: their models, else their photos, else their seeds. */
function difference(jobs: Job[]): (job: Job) => string {
  const count = (of: (job: Job) => unknown) => new Set(jobs.map(of)).size;
  if (count(({ model }) => model) > 1) return ({ model }) => model;
  return count(photoName) > 1 ? photoName : ({ params }) => `Seed ${params.seed}`;
}

function Cell({ id, nameOf }: { id: string; nameOf?: (job: Job) => string }) {
  const job = useJob(id);
  if (job === null) return <Text size="sm">This edit is gone.</Text>;
  if (!job) return <Frame ratio={1} />;
  return (
    <Link to={`/jobs/${id}`} className={classes.cell} data-status={job.status}>
      <Frame ratio={aspect(job)} over={isOver(job) && !job.output}>
        <Picture job={job} />
      </Frame>
      {nameOf ? <span className={classes.name}>{nameOf(job)}</span> : <VisuallyHidden>{job.model}</VisuallyHidden>}
      <VisuallyHidden>{strengths(job)}</VisuallyHidden>
      <Doing job={job} />
    </Link>
  );
}

const strengths = (job: Job) => `, text CFG ${job.params.cfg_scale ?? "fixed"}, image CFG ${job.params.image_cfg_scale ?? "none"}, `;

function Picture({ job }: { job: Job }) {
  const step = usePreviewStep(job);
  if (job.output) return <img src={outputUrl(job)} alt="The edit" className={classes.picture} />;
  return (
    <>
      <img src={inputUrl(job)} alt="The photo" className={classes.picture} data-waits />
      <LivePicture url={step && !isOver(job) ? previewUrl(job, step) : null} label="The edit so far" />
    </>
  );
}

function Doing({ job }: { job: Job }) {
  const now = useNow(!isOver(job));
  const paused = useIsPaused(job.status === "queued");
  return (
    <Text component="span" size="xs" c="dimmed">
      {sentence(job, now, paused)}
    </Text>
  );
}
