import api from "@docs/api.md?raw";
import math from "@docs/math.md?raw";
import webhooks from "@docs/webhooks.md?raw";
import { expect, test } from "vitest";
import { displayed, sections, slug } from "./markdown";

test("a page is its lead and its sections, and nothing is lost", () => {
  const [lead, first, second] = sections("# Title\n\nLead.\n\n## One\n\nText.\n\n### Deeper\n\nMore.\n\n## Two, or three?\n\nEnd.\n");
  expect(lead).toEqual({ title: "Title", id: "", body: "Lead." });
  expect(first).toEqual({ title: "One", id: "one", body: "Text.\n\n### Deeper\n\nMore." });
  expect(second).toEqual({ title: "Two, or three?", id: "two-or-three", body: "End." });
});

test.each([api, math, webhooks])("the sections of a page of ours can each be linked to", (page) => {
  const ids = sections(page).map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids.slice(1).every((id) => /^[a-z0-9-]+$/.test(id))).toBe(true);
});

test("displayed formulas stand on lines of their own, and those within a line stay there", () => {
  expect(displayed("so $a$ and $$b\n\\tag{1}$$ end")).toBe("so $a$ and \n$$\nb\n\\tag{1}\n$$\n end");
});

test("titles become plain addresses", () => {
  expect(slug("Rows that share a batch")).toBe("rows-that-share-a-batch");
  expect(slug("What's `this`?")).toBe("whats-this");
});
