import { type QueryClient, useQueryClient } from "@tanstack/react-query";
import { lazy, Suspense, useEffect, useMemo } from "react";
import { useMatch, useNavigate, useSearchParams } from "react-router";
import { moved } from "@/features/editor/advice";
import { adopt, draft, setFile, setSource } from "@/features/editor/draft";
import { EditForm, modelOf } from "@/features/editor/edit-form";
import { PhotoStage } from "@/features/editor/photo-stage";
import { fetchFile } from "@/features/editor/photos";
import { useSubmit } from "@/features/editor/submit";
import { usePhotos } from "@/features/editor/use-photo";
import { jobOf } from "@/features/jobs/cache";
import { inputUrl, type Job, outputUrl } from "@/features/jobs/job";
import { JobList } from "@/features/jobs/job-list";
import { useModels } from "@/shared/api/models";
import classes from "./editor.module.css";
import { SourceChip } from "./source-chip";
import { useShortcuts } from "./shortcuts";

const JobStage = lazy(() => import("@/features/visualizer/job-stage"));

/** The editor: a photo or an edit in the middle, what to change beside it, all edits on the other side. */
export function Workspace() {
  const id = useMatch("/jobs/:id")?.params.id ?? null;
  const navigate = useNavigate();
  const models = useModels();
  const photos = usePhotos(() => navigate("/"));
  const submit = useSubmit();
  const actions = useStageActions();
  useLinkedSettings();
  useShortcuts(id);

  return (
    <div className={classes.workspace}>
      <section className={classes.middle} aria-label="Picture">
        {id ? (
          <Suspense fallback={<div className={classes.waiting} />}>
            <JobStage id={id} {...actions} onMove={(direction, job) => models && actions.onMove(direction, job, models)} />
          </Suspense>
        ) : (
          <PhotoStage {...photos} />
        )}
      </section>
      <section className={classes.side} aria-label="What to change">
        {id && <SourceChip onChoose={() => navigate("/")} />}
        {models && (
          <EditForm
            models={models}
            busy={submit.isPending}
            error={submit.error}
            onSubmit={(source, fields) =>
              submit.mutate({ source, fields }, { onSuccess: (job) => navigate(`/jobs/${job.id}`) })
            }
          />
        )}
      </section>
      <aside className={classes.sheet} aria-label="Edits">
        <JobList current={id} onReuse={actions.onReuse} />
      </aside>
    </div>
  );
}

function useStageActions() {
  const navigate = useNavigate();
  const queries = useQueryClient();
  return useMemo(() => stageActions(navigate, queries), [navigate, queries]);
}

/** The settings and the photo of a job, for another edit like it. */
async function reuse(job: Job): Promise<void> {
  adopt(job.model, job.params);
  setFile(await fetchFile(inputUrl(job), "The same photo"));
}

function stageActions(navigate: (to: string) => void, queries: QueryClient) {
  return {
    onOpen: (id: string) => navigate(`/jobs/${id}`),
    onGone: () => navigate("/"),
    onReuse: async (id: string) => {
      const job = jobOf(queries, id);
      if (job) await reuse(job);
      document.getElementById("prompt")?.focus();
    },
    onGoOn: (job: Job) => {
      setSource({ kind: "job", id: job.id, url: outputUrl(job) });
      draft.set({ prompt: "" });
      navigate("/");
      document.getElementById("prompt")?.focus();
    },
    onMove: async (direction: "less" | "more", job: Job, models: Parameters<typeof modelOf>[0]) => {
      await reuse(job);
      draft.set(({ values }) => ({ values: { ...values, ...moved(modelOf(models, job.model), values, direction) } }));
      document.getElementById("prompt")?.focus();
    },
  };
}

/** Settings in the address, as links of the gallery have them: `/?photo=/…&prompt=…&model=…&seed=…`. */
function useLinkedSettings(): void {
  const [search, setSearch] = useSearchParams();
  useEffect(() => {
    const { photo, model, ...params } = Object.fromEntries(search);
    if (!photo && !params.prompt) return;
    adopt(model ?? null, Object.fromEntries(Object.entries(params).map(([name, value]) => [name, typed(value)])));
    if (photo?.startsWith("/") && !photo.startsWith("//")) fetchFile(photo).then(setFile, () => {});
    setSearch({}, { replace: true });
  }, [search, setSearch]);
}

const typed = (value: string) => (/^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value);
