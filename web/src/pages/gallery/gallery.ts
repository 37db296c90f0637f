import edits from "@docs/gallery/gallery.json";

/** A finished edit as `./dev bench gallery` wrote it down. */
export type Edit = {
  photo: string;
  picture: string;
  width: number;
  height: number;
  model: string;
  params: Record<string, string | number | null>;
  receipt: Record<string, string | number>;
};

export const EDITS = edits as Edit[];

const photos = byName(import.meta.glob<string>("../../../../examples/*.jpg", { eager: true, query: "?url", import: "default" }));
const pictures = byName(import.meta.glob<string>("../../../../docs/gallery/*.jpg", { eager: true, query: "?url", import: "default" }));

export const photoUrl = (edit: Edit) => photos[edit.photo] ?? "";
export const pictureUrl = (edit: Edit) => pictures[edit.picture] ?? "";

/** The editor with the edit's photo and settings. */
export function editorLink(edit: Edit): string {
  const given = Object.entries(edit.params).filter(([, value]) => value !== null && value !== "");
  const settings = given.map(([name, value]): [string, string] => [name, String(value)]);
  return `/?${new URLSearchParams([["photo", photoUrl(edit)], ["model", edit.model], ...settings])}`;
}

function byName(files: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(files).map(([path, url]) => [path.split("/").pop() ?? path, url]));
}
