import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { expect, it } from "vitest";

const SOURCES = join(import.meta.dirname, "..");
const ORDER = ["shared", "features", "pages", "app"]; // each may import from itself and from what stands before it

function files(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name) && !/\.test\./.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
}

it("imports point one way: shared, features, pages, app", () => {
  const wrong = ORDER.flatMap((layer, rank) =>
    files(join(SOURCES, layer)).flatMap((file) =>
      [...readFileSync(file, "utf8").matchAll(/from "@\/(\w+)/g)]
        .filter(([, target = ""]) => ORDER.indexOf(target) > rank)
        .map(([, target]) => `${relative(SOURCES, file)} imports ${target}`),
    ),
  );
  expect(wrong).toEqual([]);
});
