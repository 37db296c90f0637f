import { type QueryClient, useQueryClient } from "@tanstack/react-query";
import { useMemo } from "react";
import { type NavigateFunction, useNavigate } from "react-router";
import { adopt, fromFile, setSources, type Source, useDraft, type Value } from "@/entities/draft/draft";
import type { SendTogether } from "@/entities/draft/use-send";
import { fetchFile } from "@/entities/draft/photos";
import { jobOf } from "@/entities/job/cache";
import { fileName, inputUrl, type Job, outputUrl, photoName } from "@/entities/job/job";
import { complain } from "@/shared/notices";

const VARIATIONS = 4;

/** What can be done with an edit that is looked at. */
export function useStageActions(send: SendTogether) {
  const navigate = useNavigate();
  const queries = useQueryClient();
  return useMemo(() => stageActions(navigate, queries, send), [navigate, queries, send]);
}

function stageActions(navigate: NavigateFunction, queries: QueryClient, send: SendTogether) {
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
    onGoOn: (job: Job) => {
      setSources([{ kind: "job", id: job.id, name: fileName(job), url: outputUrl(job) }]);
      useDraft.setState({ prompt: "" });
      navigate("/");
      toInstruction();
    },
    onVary: (job: Job) => {
      photoOf(job).then((source) => {
        const fields = { ...sent(job), model: job.model };
        const seeds = Array.from({ length: VARIATIONS }, (_, n) => Number(job.params.seed) + 1 + n);
        return send(seeds.map((seed) => ({ source, fields: { ...fields, seed } })), onTogether);
      }, complain("Its photo cannot be had:"));
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
