import { useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { useNavigate } from "react-router";
import { type JobList, jobOf, LIST } from "@/entities/job/cache";
import { isActive } from "@/entities/job/job";
import { useJobActions } from "@/entities/job/queries";
import { usePreferences } from "@/shared/preferences";

/**
 * Keys of the whole page: `/` to the instruction, Ctrl or ⌘ with Enter sends it, Esc cancels the edit shown, J and K go
 * through edits. Those that are a single character can be switched off, for people whose speech types (WCAG 2.1.4).
 */
export function useShortcuts(current: string | null): void {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const { cancel } = useJobActions();
  useEffect(() => {
    const go = (by: number) => {
      const ids = queries.getQueryData<JobList>(LIST)?.ids ?? [];
      const id = ids[(current ? ids.indexOf(current) : -1) + by];
      if (id) navigate(`/jobs/${id}`);
    };
    const stop = () => {
      const job = current && jobOf(queries, current);
      if (job && isActive(job)) cancel.mutate(job.id);
    };
    const send = () => document.querySelector<HTMLFormElement>("form[aria-label=Edit]")?.requestSubmit();
    const letters: Record<string, () => void> = {
      "/": () => document.getElementById("prompt")?.focus(),
      j: () => go(1),
      k: () => go(-1),
    };
    const bare = (key: string) => (key === "Escape" ? stop : usePreferences.getState().letterKeys ? letters[key] : undefined);
    const onKeyDown = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      const mod = event.metaKey || event.ctrlKey;
      const typing = event.key !== "Escape" && target.closest("input, textarea, select");
      const elsewhere = target.closest("[role=menu], [role=dialog], [role=listbox], [aria-expanded=true]");
      const isBare = !mod && !event.altKey && !typing && !elsewhere;
      const action = mod && event.key === "Enter" ? send : isBare ? bare(event.key) : undefined;
      if (!action || event.defaultPrevented) return;
      event.preventDefault();
      action();
    };
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, [queries, navigate, cancel, current]);
}
