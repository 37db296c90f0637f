import { Alert } from "@mantine/core";
import { lazy, Suspense } from "react";
import { useMatch, useNavigate } from "react-router";
import { useDraft } from "@/entities/draft/draft";
import { useSendTogether } from "@/entities/draft/use-send";
import { Drops, usePhotos } from "@/entities/draft/use-photos";
import { useSubmit } from "@/entities/draft/submit";
import { useJobList } from "@/entities/job/queries";
import { Advanced } from "@/features/editor/advanced";
import { EditForm, type Prepared } from "@/features/editor/edit-form";
import { PhotoStage } from "@/features/editor/photo-stage";
import { JobList } from "@/features/jobs/job-list";
import { useModels } from "@/shared/api/models";
import { useStageActions } from "./actions";
import classes from "./editor.module.css";
import { useLinkedSettings } from "./linked-settings";
import { useOutcome } from "./outcome";
import { useShortcuts } from "./shortcuts";
import { SourceChip } from "./source-chip";

const JobStage = lazy(() => import("@/features/visualizer/job-stage"));

/** The editor: a photo or an edit in the middle, what to change beside it, all edits on the other side. */
export function Workspace() {
  const id = useMatch("/jobs/:id")?.params.id ?? null;
  const navigate = useNavigate();
  const models = useModels();
  const isFilled = useDraft((draft) => draft.sources.length > 0);
  const photos = usePhotos({ adds: !id && isFilled, onTaken: () => navigate("/") });
  const submit = useSubmit();
  const together = useSendTogether();
  const actions = useStageActions();
  const outcome = useOutcome(models);
  const isKnown = (useJobList().ids?.length ?? 0) > 0;
  useLinkedSettings();
  useShortcuts(id);

  const send = ({ sources, ...order }: Prepared) => {
    const [source] = sources;
    if (sources.length > 1) void together.send(sources.map((one) => ({ source: one, ...order, marks: [] })), actions.onTogether);
    else if (source) submit.mutate({ source, ...order }, { onSuccess: (job) => navigate(`/jobs/${job.id}`) });
  };

  return (
    <div className={classes.workspace}>
      <Drops take={photos.take} label={isFilled && !id ? "Drop it to edit it too" : "Drop it to edit it"} />
      <section className={classes.middle} aria-label="Picture">
        {id ? (
          <Suspense fallback={<div className={classes.waiting} />}>
            <JobStage id={id} {...actions} />
          </Suspense>
        ) : (
          <PhotoStage {...photos} outcome={outcome} />
        )}
      </section>
      <section className={classes.side} aria-label="What to change">
        {id && <SourceChip onChoose={() => navigate("/")} />}
        {models && (
          <EditForm models={models} isKnown={isKnown} busy={submit.isPending || together.busy} error={submit.error} onSubmit={send} />
        )}
        {together.problem && (
          <Alert role="alert" variant="light" mt="sm" title="Not all could be sent">
            {together.problem}
          </Alert>
        )}
      </section>
      <section className={classes.advanced} aria-label="How to change it">
        {models && <Advanced models={models} error={submit.error} />}
      </section>
      <aside className={classes.sheet} aria-label="Edits">
        <JobList current={id} onReuse={actions.onReuse} />
      </aside>
    </div>
  );
}
