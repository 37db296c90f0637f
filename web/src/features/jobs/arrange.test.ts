import { expect, test } from "vitest";
import { job } from "@/test/jobs";
import { arrange, matches } from "./arrange";

const NOW = new Date(2026, 0, 10, 12);
const at = (id: string, day: number, group?: string) =>
  job({ id, created_at: new Date(2026, 0, day, 11).toISOString(), metadata: group ? { group } : {} });

test("jobs stand under their days, and those that were sent together are one row", () => {
  const days = arrange([at("f", 10), at("e", 10, "g"), at("d", 10, "g"), at("c", 9, "g"), at("b", 9), at("a", 5)], NOW);
  expect(days.map(({ day }) => day)).toEqual(["Today", "Yesterday", "Monday, January 5"]);
  expect(days[0]?.rows).toEqual([{ kind: "job", id: "f" }, { kind: "group", group: "g", ids: ["c", "d", "e"] }]);
});

test("every job is in exactly one row", () => {
  const jobs = Array.from({ length: 40 }, (_, n) => at(String(99 - n), 10 - (n >> 3), n % 3 ? `g${n % 4}` : undefined));
  const ids = arrange(jobs, NOW).flatMap(({ rows }) => rows.flatMap((row) => (row.kind === "job" ? [row.id] : row.ids)));
  expect(ids.sort()).toEqual(jobs.map(({ id }) => id).sort());
});

test("a list can be searched and narrowed", () => {
  const night = job({ status: "succeeded", params: { prompt: "Make it NIGHT" } });
  expect(matches(night, { text: " night ", state: "all" })).toBe(true);
  expect(matches(night, { text: "night", state: "at work" })).toBe(false);
  expect(matches(night, { text: "snow", state: "done" })).toBe(false);
});
