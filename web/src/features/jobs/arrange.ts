import { groupOf, type Job, prompt } from "@/entities/job/job";

/** What of the list is to be seen: instructions with this text in them, and jobs in this state. */
export type Filter = { text: string; state: "all" | "at work" | "done" | "not done" };

/** One row of the list: a job, or all that were sent together. */
export type Row = { kind: "job"; id: string } | { kind: "group"; group: string; ids: string[] };

/** The rows of one day. */
export type Day = { day: string; rows: Row[] };

const STATES: Record<Filter["state"], (job: Job) => boolean> = {
  all: () => true,
  "at work": ({ status }) => ["queued", "running", "canceling"].includes(status),
  done: ({ status }) => status === "succeeded",
  "not done": ({ status }) => status === "failed" || status === "canceled",
};

export const matches = (job: Job, { text, state }: Filter) =>
  STATES[state](job) && prompt(job).toLocaleLowerCase().includes(text.trim().toLocaleLowerCase());

/** Jobs, newest first, as rows under their days; what was sent together is one row, where its newest job is. */
export function arrange(jobs: Job[], today = new Date()): Day[] {
  const days: Day[] = [];
  const groups = new Map<string, Extract<Row, { kind: "group" }>>();
  for (const job of jobs) {
    const group = groupOf(job);
    const known = group ? groups.get(group) : undefined;
    if (known) {
      known.ids.unshift(job.id); // in the order in which they were sent
      continue;
    }
    const row: Row = group ? { kind: "group", group, ids: [job.id] } : { kind: "job", id: job.id };
    if (row.kind === "group") groups.set(row.group, row);
    const day = dayOf(new Date(job.created_at), today);
    if (days.at(-1)?.day !== day) days.push({ day, rows: [] });
    days.at(-1)?.rows.push(row);
  }
  return days;
}

function dayOf(moment: Date, today: Date): string {
  const start = (date: Date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
  const ago = Math.round((start(today) - start(moment)) / 86_400_000);
  if (ago < 2) return ago === 1 ? "Yesterday" : "Today";
  return moment.toLocaleDateString("en", { weekday: "long", day: "numeric", month: "long" });
}
