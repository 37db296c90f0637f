import index from "@docs/gallery/index.json";
import { expect, test } from "vitest";
import { EDITS, editorLink, photoUrl, pictureUrl } from "./gallery";

test("there is enough to see, and every edit has its photo, its picture and its receipt", () => {
  expect(EDITS).toHaveLength(index.length);
  expect(EDITS.length).toBeGreaterThanOrEqual(12);
  for (const edit of EDITS) {
    expect(photoUrl(edit)).toMatch(/\.jpg/);
    expect(pictureUrl(edit)).toMatch(/\.jpg/);
    expect(edit.params.seed).toEqual(expect.any(Number));
    expect(edit.receipt).toMatchObject({ checkpoint: expect.any(String), revision: expect.any(String) });
  }
});

test("all edits are by one checkpoint", () => {
  expect(new Set(EDITS.map(({ receipt }) => `${receipt.checkpoint} ${receipt.revision}`)).size).toBe(1);
});

test("an edit opens in the editor with all that made it", () => {
  for (const edit of EDITS) {
    const link = new URL(editorLink(edit), "http://darkroom");
    expect(link.pathname).toBe("/");
    expect(link.searchParams.get("photo")).toBe(photoUrl(edit));
    expect(link.searchParams.get("model")).toBe(edit.model);
    expect(link.searchParams.get("prompt")).toBe(edit.params.prompt);
    expect(Number(link.searchParams.get("seed"))).toBe(edit.params.seed);
  }
});
