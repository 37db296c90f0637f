import { create } from "zustand";
import type { ModelView } from "@/shared/api/client";
import { parameter } from "@/shared/api/models";
import type { Mark } from "./marks";

/** What is to be edited: a file of one's own, or the result of a job. */
export type Source = { kind: "file"; file: File; url: string } | { kind: "job"; id: string; name: string; url: string };

export const nameOf = (source: Source) => (source.kind === "file" ? source.file.name : source.name);

export type Value = string | number;

/**
 * The edit that is being prepared. `values` holds only what was touched; the rest follows the model's defaults. Several
 * sources are a batch, all edited alike; `marks` tell where the one source is edited, and none of them means everywhere.
 */
export type Draft = {
  sources: Source[];
  model: string | null;
  prompt: string;
  values: Record<string, Value>;
  marks: Mark[];
};

const EMPTY: Draft = { sources: [], model: null, prompt: "", values: {}, marks: [] };

/** Components take from it what they show: `useDraft((draft) => draft.prompt)`. */
export const useDraft = create<Draft>(() => EMPTY);

export const sourceOf = (draft: Draft): Source | null => draft.sources[0] ?? null;

/** Edit these instead of what was there. */
export function setSources(sources: Source[]): void {
  const kept = new Set(sources.map(({ url }) => url));
  for (const old of useDraft.getState().sources) {
    if (old.kind === "file" && !kept.has(old.url)) URL.revokeObjectURL(old.url);
  }
  useDraft.setState({ sources, marks: [] });
}

export const fromFile = (file: File): Source => ({ kind: "file", file, url: URL.createObjectURL(file) });

export const setFiles = (files: File[]) => setSources(files.map(fromFile));

export const addFiles = (files: File[]) => setSources([...useDraft.getState().sources, ...files.map(fromFile)]);

export function setValue(name: string, value: Value | undefined): void {
  useDraft.setState(({ values: { [name]: _, ...rest } }) => ({ values: value === undefined ? rest : { ...rest, [name]: value } }));
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

/** The settings of a job or of a link, taken over; the photo stays. Without an instruction the present one stays too. */
export function adopt(model: string | null, params: Record<string, unknown>): void {
  const { prompt, format: _, mask: __, ...rest } = params;
  const given = Object.entries(rest).filter(([, value]) => value !== null && value !== "");
  const told = typeof prompt === "string" && prompt ? { prompt } : {};
  useDraft.setState({ model, ...told, values: Object.fromEntries(given) as Draft["values"] });
}
