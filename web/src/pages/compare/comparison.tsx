import { Alert, Button, Text, Title } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useSearchParams } from "react-router";
import { nameOf, sourceOf, useDraft } from "@/entities/draft/draft";
import { FileButton } from "@/entities/draft/file-button";
import { Photo as Preview } from "@/entities/draft/photo";
import { EXAMPLES, fetchFile } from "@/entities/draft/photos";
import { Drops, usePhotos } from "@/entities/draft/use-photos";
import { useSendTogether } from "@/entities/draft/use-send";
import { jobOf } from "@/entities/job/cache";
import { duration, sharedSeconds } from "@/entities/job/job";
import { usePending, useSeldom } from "@/entities/job/pending";
import { useJobActions, useJobList } from "@/entities/job/queries";
import { CompareForm } from "@/features/compare/compare-form";
import { CompareGrid } from "@/features/compare/compare-grid";
import type { Plan } from "@/features/compare/plan";
import { useModels } from "@/shared/api/models";
import classes from "./compare.module.css";

/** One photo and instruction, many ways; the jobs are in the address, so that a comparison can be come back to. */
export function Comparison() {
  const [search, setSearch] = useSearchParams();
  const ids = search.get("jobs")?.split(",").filter(Boolean) ?? [];
  const models = useModels();
  const { send, busy, problem } = useSendTogether();
  useJobList(); // Cancel asks what is on it

  const start = (plan: Plan) => {
    const source = sourceOf(useDraft.getState());
    if (!source) return;
    void send(plan.map((fields) => ({ source, fields })), (sent) => setSearch({ jobs: sent.join(",") }, { replace: sent.length > 1 }));
  };

  return (
    <div className={classes.comparison}>
      <section className={classes.side} aria-label="What to compare">
        <Title order={1} size="h2">
          Compare
        </Title>
        <Photo />
        {models && <CompareForm models={models} busy={busy} onStart={start} />}
        {problem && (
          <Alert role="alert" variant="light" title="Not all could be sent">
            {problem}
          </Alert>
        )}
      </section>
      <section className={classes.grid} aria-label="The comparison">
        {ids.length ? (
          <>
            <Together ids={ids} />
            <CompareGrid ids={ids} />
          </>
        ) : (
          <Empty />
        )}
      </section>
    </div>
  );
}

function Photo() {
  const source = useDraft(sourceOf);
  const { take, problem } = usePhotos({ adds: false });
  return (
    <div>
      <Drops take={take} label="Drop it to compare its edits" />
      <div className={classes.photo}>
        {source ? <Preview url={source.url} name={nameOf(source)} small /> : <span />}
        <FileButton take={take} label={source ? "Another photo" : "Choose a photo"} size="compact-sm" variant="default" />
        <ul aria-label="Example photos">
          {EXAMPLES.map(({ name, url, small, by }) => (
            <li key={name}>
              <button type="button" onClick={async () => take([await fetchFile(url, `${name}.jpg`)])}>
                <img src={small} alt={`${name}, a photo by ${by}`} width={36} height={36} />
              </button>
            </li>
          ))}
        </ul>
      </div>
      {problem && (
        <Text size="sm" role="alert">
          {problem}
        </Text>
      )}
    </div>
  );
}

/** How far edits that were sent together have come, and how long all of them took: they share the machine. */
function Together({ ids }: { ids: string[] }) {
  const pending = usePending().filter((id) => ids.includes(id));
  const queries = useQueryClient();
  const told = useSeldom(() => {
    const jobs = ids.flatMap((id) => jobOf(queries, id) ?? []);
    const seconds = jobs.length === ids.length ? sharedSeconds(jobs) : null;
    const count = ids.length === 1 ? "One edit" : `${ids.length} edits`;
    return seconds === null ? `${count}.` : `${count} in ${duration(seconds)}${ids.length > 1 ? " altogether" : ""}.`;
  });
  const { cancel } = useJobActions();
  return (
    <div className={classes.bar}>
      <Text size="sm" c="dimmed" role="status">
        {pending.length ? `${ids.length - pending.length} of ${ids.length} done` : `${told} Open one to look at it closely.`}
      </Text>
      {pending.length > 0 && (
        <Button variant="default" size="compact-sm" onClick={() => pending.forEach((id) => cancel.mutate(id))}>
          Cancel the rest
        </Button>
      )}
    </div>
  );
}

function Empty() {
  const count = useModels()?.data.length;
  return (
    <div className={classes.empty}>
      <Text fz="1.6rem" ff="heading" maw="30rem">
        One photo, one instruction, side by side.
      </Text>
      <Text c="dimmed" maw="30rem">
        See how the {count} models differ, or how text and image guidance pull against each other: text CFG follows the
        instruction, image CFG keeps the photo.
      </Text>
    </div>
  );
}
