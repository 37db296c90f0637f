import type { ModelView } from "@/shared/api/client";
import { parameter } from "@/shared/api/models";
import type { Value } from "./draft";

const MANY = 20; // times the steps that suit the checkpoint

/** What people should know about a value before they wonder about its picture. */
export function advice(model: ModelView, name: string, value: Value | undefined): string | null {
  const number = Number(value);
  const usual = Number(parameter(model, name)?.default ?? Number.NaN);
  if (name === "temperature" && number < 0.4) return "Below 0.4 most instructions barely show.";
  if (name === "image_cfg_scale" && number > 3) return "Above 3 pictures begin to speckle.";
  if (name === "cfg_scale" && number > 10) return "Above 10 colors tend to burn out.";
  if (name === "steps" && number > MANY * usual) return `${usual} suit this checkpoint; so many take long and add little.`;
  if (name === "steps" && number < usual) return `Fewer than the ${usual} that suit this checkpoint leave grain.`;
  return null;
}
