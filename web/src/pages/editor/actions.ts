import { type QueryClient, useQueryClient } from "@tanstack/react-query";
import { useMemo } from "react";
import { type NavigateFunction, useNavigate } from "react-router";
import { adopt, fromFile, setSources, type Source, useDraft, type Value } from "@/entities/draft/draft";
import { type Order, useSubmit } from "@/entities/draft/submit";
import { fetchFile } from "@/entities/draft/photos";
import { jobOf } from "@/entities/job/cache";
import { fileName, inputUrl, type Job, outputUrl, photoName } from "@/entities/job/job";
import { complain } from "@/shared/notices";

const VARIATIONS = 4;

/** What can be done with an edit that is looked at. */
export function useStageActions() {
  const navigate = useNavigate();
  const queries = useQueryClient();
  const { mutateAsync: submit } = useSubmit();
  return useMemo(() => stageActions(navigate, queries, submit), [navigate, queries, submit]);
}

function stageActions(navigate: NavigateFunction, queries: QueryClient, submit: (order: Order) => Promise<Job>) {
  const onTogether = (ids: string[]) => navigate(`/compare?jobs=${ids.join(",")}`, { replace: ids.length > 1 });
  return {
    onTogether,
    onOpen: (id: string) => navigate(`/jobs/${id}`),
    onGone: () => navigate("/"),
    onReuse: (id: string) => {
      const job = jobOf(queries, id);
      if (!job) return;
      photoOf(job).then((source) => {
        adopt(job.model, job.params);
        setSources([source]);
        toInstruction();
      }, complain("Its photo cannot be had:"));
    },
    onGoOn: (job: Job, place: number) => {
      const name = fileName(job);
      const begin = (source: Source) => {
        setSources([source]);
        useDraft.setState({ prompt: "" });
        navigate("/");
        toInstruction();
      };
      if (place === 0) begin({ kind: "job", id: job.id, name, url: outputUrl(job) });
      else fetchFile(outputUrl(job, place), name).then((file) => begin(fromFile(file)), complain("It cannot be had:"));
    },
    onVary: (job: Job) => {
      const seed = Number(job.params.seed) + job.outputs.length;
      photoOf(job)
        .then((source) => submit({ source, fields: { ...sent(job), model: job.model, seed, n: VARIATIONS } }))
        .then(({ id }) => navigate(`/jobs/${id}`), complain("No variations were made:"));
    },
  };
}

const toInstruction = () => document.getElementById("prompt")?.focus();

/** The photo of a job, to be edited again. */
const photoOf = async (job: Job): Promise<Source> => fromFile(await fetchFile(inputUrl(job), photoName(job) || "The same photo"));

/** The parameters of a job, as they are sent. */
function sent(job: Job): Record<string, Value> {
  const given = Object.entries(job.params).filter(([name, value]) => name !== "mask" && value !== null && value !== "");
  return Object.fromEntries(given) as Record<string, Value>;
}
