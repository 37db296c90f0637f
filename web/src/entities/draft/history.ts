import { useQueryClient } from "@tanstack/react-query";
import { useRef } from "react";
import { type JobList, jobOf, LIST } from "@/entities/job/cache";
import { prompt } from "@/entities/job/job";

/** Different things of a list, in order. */
export const distinct = (texts: string[]) => [...new Set(texts)];

/** Steps through earlier instructions: `1` to an older one, `-1` back; null when there is none. */
export function usePromptHistory(): (direction: number, current: string) => string | null {
  const queries = useQueryClient();
  const at = useRef({ index: -1, typed: "" });
  return (direction, current) => {
    const ids = queries.getQueryData<JobList>(LIST)?.ids ?? [];
    const told = distinct(ids.flatMap((id) => jobOf(queries, id) ?? []).map(prompt));
    if (told[at.current.index] !== current) at.current = { index: -1, typed: current };
    const index = at.current.index + direction;
    if (index < -1 || index >= told.length) return null;
    at.current.index = index;
    return index === -1 ? at.current.typed : (told[index] ?? null);
  };
}
