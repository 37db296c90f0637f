import { Alert, Button, Text, Title } from "@mantine/core";
import { useState } from "react";
import { useSearchParams } from "react-router";
import { CompareForm } from "@/features/compare/compare-form";
import { CompareGrid } from "@/features/compare/compare-grid";
import type { Plan } from "@/features/compare/plan";
import { nameOf, useDraft } from "@/features/editor/draft";
import { FileButton } from "@/features/editor/file-button";
import { Photo as Preview } from "@/features/editor/photo";
import { EXAMPLES, fetchFile } from "@/features/editor/photos";
import { useSubmit } from "@/features/editor/submit";
import { usePhotos } from "@/features/editor/use-photo";
import { usePending } from "@/features/jobs/pending";
import { useJobActions, useJobList } from "@/features/jobs/queries";
import { useModels } from "@/shared/api/models";
import classes from "./compare.module.css";

/** One photo and instruction, many ways; the jobs are in the address, so that a comparison can be come back to. */
export function Comparison() {
  const [search, setSearch] = useSearchParams();
  const ids = search.get("jobs")?.split(",").filter(Boolean) ?? [];
  const models = useModels();
  const { source } = useDraft();
  const submit = useSubmit();
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  useJobList(); // Cancel asks what is on it

  const start = async (plan: Plan) => {
    if (!source) return;
    setBusy(true);
    setProblem(null);
    const sent: string[] = [];
    try {
      for (const fields of plan) {
        sent.push((await submit.mutateAsync({ source, fields })).id);
        setSearch({ jobs: sent.join(",") }, { replace: sent.length > 1 });
      }
    } catch (error) {
      setProblem(`${sent.length} of ${plan.length} were accepted. ${(error as Error).message}`);
    }
    setBusy(false);
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
            <CancelThese ids={ids} />
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
  const { source } = useDraft();
  const { take, problem } = usePhotos(() => {});
  return (
    <div>
      <div className={classes.photo}>
        {source ? <Preview url={source.url} name={nameOf(source)} small /> : <span />}
        <FileButton take={take} label={source ? "Another photo" : "Choose a photo"} size="compact-sm" variant="default" />
        <ul aria-label="Example photos">
          {EXAMPLES.map(({ name, url, small, by }) => (
            <li key={name}>
              <button type="button" onClick={async () => take(await fetchFile(url, `${name}.jpg`))}>
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

function CancelThese({ ids }: { ids: string[] }) {
  const pending = usePending().filter((id) => ids.includes(id));
  const { cancel } = useJobActions();
  return (
    <div className={classes.bar}>
      <Text size="sm" c="dimmed" role="status">
        {pending.length ? `${ids.length - pending.length} of ${ids.length} done` : `${ids.length === 1 ? "One edit" : `${ids.length} edits`}. Open one to look at it closely.`}
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
  return (
    <div className={classes.empty}>
      <Text fz="1.6rem" ff="heading" maw="30rem">
        One photo, one instruction, side by side.
      </Text>
      <Text c="dimmed" maw="30rem">
        See how the six models differ, or how text and image guidance pull against each other: text CFG follows the
        instruction, image CFG keeps the photo.
      </Text>
    </div>
  );
}
