import type { ModelListView, ModelView, ParameterView } from "@/shared/api/client";

const number = (name: string, minimum: number, maximum: number, value: number | null): ParameterView => ({
  name, kind: "number", summary: name, required: false, minimum, maximum, choices: null, default: value,
});

const COMMON = [
  { ...number("prompt", 1, 1000, null), kind: "text" as const, required: true },
  { ...number("negative_prompt", 0, 1000, null), kind: "text" as const, default: "" },
  number("steps", 2, 1000, 10),
  number("temperature", 0.1, 1, 1),
  number("seed", 0, 2 ** 53 - 1, null),
  { ...number("size", 0, 0, null), kind: "choice" as const, choices: ["auto", "512x512", "256x256"], default: "auto" },
];
const THREE_WAY = [number("cfg_scale", 1, 14, 2.5), number("image_cfg_scale", 1, 5, 1.2)];

const model = (id: string, change: Partial<ModelView>): ModelView => ({
  id, object: "model", summary: id, made_of: { text_encoder: "ours", vae: "ours", unet: "ours" }, sampler: "DDIM",
  guidance: "three-way", text_scale: null, default: false, parameters: [...COMMON, ...THREE_WAY],
  parameters_schema: {}, sizes: [], checkpoint: { name: "micro", revision: "1" }, owner: "", license: "", workers: 1,
  served_since: null, rivals: [], troubles: [], abilities: {}, ...change,
});

export const FULL = model("pix2pix-full", { default: true });
export const TEXT_ONLY = model("pix2pix-1", { guidance: "text", text_scale: 2.5, parameters: COMMON });
export const MODELS: ModelListView = {
  object: "list", data: [FULL, TEXT_ONLY], checkpoint: { name: "micro", revision: "1", instructions: ["make it sunset"] },
  limits: { upload_bytes: 20 * 2 ** 20, output_pixels: 50_000_000, retention_seconds: 86_400 },
};
