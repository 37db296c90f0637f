import { get, set } from "idb-keyval";
import { type Draft, fromFile, type Source, useDraft } from "./draft";

const PHOTOS = "photos";
const WORDS = "words";
const SOON_MS = 400;

/** Photos without their addresses, which are good for one visit only. */
type KeptPhoto = Exclude<Source, { kind: "file" }> | { kind: "file"; file: File };
type KeptWords = Pick<Draft, "model" | "prompt" | "values" | "marks">;

let restored: Promise<void> | null = null;

/** What was being prepared when the page was last left, back again unless something new has begun. */
export const restoreDraft = (): Promise<void> => (restored ??= restore());

async function restore(): Promise<void> {
  const untouched = useDraft.getState();
  const [photos, words] = await Promise.all([get<KeptPhoto[]>(PHOTOS), get<KeptWords>(WORDS)]).catch(() => []);
  if (useDraft.getState() === untouched && (photos || words)) {
    const sources = (photos ?? []).map((one) => (one.kind === "file" ? fromFile(one.file) : one));
    useDraft.setState({ ...words, sources });
  }
  useDraft.subscribe(keep);
}

let later: ReturnType<typeof setTimeout> | undefined;

function keep(now: Draft, before: Draft): void {
  if (now.sources !== before.sources) void set(PHOTOS, now.sources.map(kept)).catch(() => {});
  clearTimeout(later);
  later = setTimeout(() => {
    const { model, prompt, values, marks } = useDraft.getState();
    void set(WORDS, { model, prompt, values, marks } satisfies KeptWords).catch(() => {}); // private windows have no such store
  }, SOON_MS);
}

const kept = (source: Source): KeptPhoto => (source.kind === "file" ? { kind: "file", file: source.file } : source);
