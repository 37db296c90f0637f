import type { ModelListView, ModelView } from "@/shared/api/client";
import { parameter } from "@/shared/api/models";
import { type Draft, fields, type Value } from "@/entities/draft/draft";

/** The jobs of a comparison: one photo, one instruction and one seed, so that only what is compared differs. */
export type Plan = Record<string, Value>[];

type Base = Pick<Draft, "prompt" | "values">;

export function byModels(models: ModelListView, chosen: string[], base: Base, seed: number): Plan {
  return models.data.filter(({ id }) => chosen.includes(id)).map((model) => fields(model, seeded(base, seed)));
}

export function byGuidance(model: ModelView, text: number[], image: number[], base: Base, seed: number): Plan {
  const common = fields(model, seeded(base, seed));
  return text.flatMap((cfg_scale) => image.map((image_cfg_scale) => ({ ...common, cfg_scale, image_cfg_scale })));
}

const seeded = ({ prompt, values }: Base, seed: number): Base => ({ prompt, values: { seed, ...values } });

/** The numbers of a list like "1.5, 2.5 4", or what is wrong with it. */
export function numbers(text: string, model: ModelView, name: string): { values: number[]; problem: string | null } {
  const { minimum = 0, maximum = 0 } = parameter(model, name) ?? {};
  const values = [...new Set(text.split(/[\s,;]+/).filter(Boolean).map(Number))];
  const fits = (value: number) => value >= Number(minimum) && value <= Number(maximum);
  if (!values.length) return { values, problem: "Give at least one number." };
  if (values.length > 5) return { values, problem: "Give at most five numbers." };
  return { values, problem: values.every(fits) ? null : `Each must be a number from ${minimum} to ${maximum}.` };
}

/** Three values around a default, inside the parameter's range. */
export function around(model: ModelView, name: string, factor: number): string {
  const { minimum, maximum, default: middle } = parameter(model, name) ?? {};
  const within = (value: number) => Math.min(Number(maximum), Math.max(Number(minimum), value));
  const values = [Number(middle) / factor, Number(middle), Number(middle) * factor].map((value) => within(value));
  return [...new Set(values.map((value) => Math.round(value * 10) / 10))].join(", ");
}
