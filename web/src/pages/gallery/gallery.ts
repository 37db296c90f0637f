import index from "@docs/gallery/index.json";

/** The account of one edit that `./dev bench gallery` keeps beside its picture. */
export type Edit = {
  name: string;
  photo: string;
  model: string;
  params: Record<string, string | number | null>;
  output: { width: number; height: number };
  receipt: Record<string, string | number>;
};

const receipts = byName(import.meta.glob<Edit>("../../../../docs/gallery/*.json", { eager: true, import: "default" }));
const pictures = byName(
  import.meta.glob<string>(["../../../../docs/gallery/*.jpg", "!**/gallery/gallery.jpg"], { eager: true, query: "?url", import: "default" }),
);
const photos = byName(import.meta.glob<string>("../../../../examples/*.jpg", { eager: true, query: "?url", import: "default" }));

export const EDITS = index.flatMap(({ name }) => receipts[`${name}.json`] ?? []);

export const photoUrl = (edit: Edit) => photos[edit.photo] ?? "";
export const pictureUrl = (edit: Edit) => pictures[`${edit.name}.jpg`] ?? "";

/** The editor with the edit's photo and settings. */
export function editorLink(edit: Edit): string {
  const given = Object.entries(edit.params).filter(([, value]) => value !== null && value !== "");
  const settings = given.map(([name, value]): [string, string] => [name, String(value)]);
  return `/?${new URLSearchParams([["photo", photoUrl(edit)], ["model", edit.model], ...settings])}`;
}

function byName<T>(files: Record<string, T>): Record<string, T> {
  return Object.fromEntries(Object.entries(files).map(([path, content]) => [path.split("/").pop() ?? path, content]));
}
