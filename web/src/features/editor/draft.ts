import type { ModelView } from "@/shared/api/client";
import { parameter } from "@/shared/api/models";
import { createStore, useStore } from "@/shared/store";

/** What is to be edited: a file of one's own, or the result of a job. */
export type Source = { kind: "file"; file: File; url: string } | { kind: "job"; id: string; url: string };

export const nameOf = (source: Source) => (source.kind === "file" ? source.file.name : "the edit before");

export type Value = string | number;

/** The edit that is being prepared. `values` holds only what was touched; the rest follows the model's defaults. */
export type Draft = { source: Source | null; model: string | null; prompt: string; values: Record<string, Value> };

export const draft = createStore<Draft>({ source: null, model: null, prompt: "", values: {} });

export const useDraft = () => useStore(draft);

export function setSource(source: Source | null): void {
  const old = draft.get().source;
  if (old?.kind === "file" && old.url !== source?.url) URL.revokeObjectURL(old.url);
  draft.set({ source });
}

export function setFile(file: File): void {
  setSource({ kind: "file", file, url: URL.createObjectURL(file) });
}

export function setValue(name: string, value: Value | undefined): void {
  draft.set(({ values: { [name]: _, ...rest } }) => ({ values: value === undefined ? rest : { ...rest, [name]: value } }));
}

export function valueOf(model: ModelView, values: Draft["values"], name: string): Value | undefined {
  if (name === "resolution" && (values.size ?? "auto") !== "auto") return values[name] ?? "model"; // as the service has it
  return values[name] ?? parameter(model, name)?.default ?? undefined;
}

/** The fields of a submission: the touched parameters that the model has. */
export function fields(model: ModelView, { prompt, values }: Pick<Draft, "prompt" | "values">): Record<string, Value> {
  const touched = Object.entries(values).filter(([name]) => parameter(model, name));
  return { ...Object.fromEntries(touched), model: model.id, prompt: prompt.trim() };
}

/** The settings of a job or of a link, taken over; the photo stays. */
export function adopt(model: string | null, params: Record<string, unknown>): void {
  const { prompt, format: _, ...rest } = params;
  const given = Object.entries(rest).filter(([, value]) => value !== null && value !== "");
  draft.set({ model, prompt: String(prompt ?? ""), values: Object.fromEntries(given) as Draft["values"] });
}
