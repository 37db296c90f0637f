import type { ModelView } from "@/shared/api/client";
import { parameter } from "@/shared/api/models";
import { type Draft, type Value, valueOf } from "./draft";

/** What people should know about a value before they wonder about its picture. */
export function advice(name: string, value: Value | undefined): string | null {
  const number = Number(value);
  if (name === "temperature" && number < 0.4) return "Below 0.4 most instructions barely show.";
  if (name === "temperature" && number === 1) return "Starts from noise alone; the photo still guides every step.";
  if (name === "image_cfg_scale" && number > 3) return "Above 3 pictures begin to speckle.";
  if (name === "cfg_scale" && number > 10) return "Above 10 colours tend to burn out.";
  if (name === "steps" && number > 200) return "So many steps take long and add little.";
  return null;
}

type Direction = "less" | "more";

/** The values to move when an edit changed too much or too little, as far as the model has them. */
export function moved(model: ModelView, values: Draft["values"], direction: Direction): Record<string, number> {
  const way = direction === "more" ? 1 : -1;
  const steps: [string, number][] = [["image_cfg_scale", -0.3 * way], ["cfg_scale", 0.8 * way]];
  const found = steps.filter(([name]) => parameter(model, name));
  const wanted = found.length ? found : ([["temperature", 0.15 * way]] as [string, number][]);
  return Object.fromEntries(wanted.map(([name, by]) => [name, within(model, name, Number(valueOf(model, values, name)) + by)]));
}

function within(model: ModelView, name: string, value: number): number {
  const { minimum, maximum } = parameter(model, name) ?? {};
  return Math.round(Math.min(maximum ?? value, Math.max(minimum ?? value, value)) * 100) / 100;
}
