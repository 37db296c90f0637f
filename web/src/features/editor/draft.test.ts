import { beforeEach, describe, expect, it } from "vitest";
import { FULL, TEXT_ONLY } from "@/test/models";
import { advice, moved } from "./advice";
import { adopt, draft, fields, setValue, valueOf } from "./draft";

beforeEach(() => draft.set({ source: null, model: null, prompt: " make it night ", values: {} }));

describe("a submission", () => {
  it("has what was touched, and leaves the rest to the model", () => {
    setValue("steps", 25);
    setValue("seed", 3);
    setValue("seed", undefined);
    expect(fields(FULL, draft.get())).toEqual({ model: "pix2pix-full", prompt: "make it night", steps: 25 });
  });

  it("never has a parameter that the model lacks", () => {
    setValue("cfg_scale", 4);
    expect(fields(TEXT_ONLY, draft.get())).not.toHaveProperty("cfg_scale");
    expect(valueOf(FULL, draft.get().values, "cfg_scale")).toBe(4);
  });

  it("takes over a job's settings, the seed included", () => {
    adopt("pix2pix-full", { prompt: "blur it", seed: 9, steps: 12, negative_prompt: "", format: "png" });
    expect(fields(FULL, draft.get())).toEqual({ model: "pix2pix-full", prompt: "blur it", seed: 9, steps: 12 });
  });
});

describe("help where people go wrong", () => {
  it("moves text and image guidance against each other, inside their ranges", () => {
    expect(moved(FULL, {}, "less")).toEqual({ image_cfg_scale: 1.5, cfg_scale: 1.7 });
    expect(moved(FULL, { image_cfg_scale: 1, cfg_scale: 14 }, "more")).toEqual({ image_cfg_scale: 1, cfg_scale: 14 });
  });

  it("moves the temperature of a model that has no such guidance", () => {
    expect(moved(TEXT_ONLY, {}, "less")).toEqual({ temperature: 0.85 });
  });

  it("warns where pictures go wrong and is silent elsewhere", () => {
    expect(advice("temperature", 0.3)).toMatch(/barely show/);
    expect(advice("image_cfg_scale", 3.5)).toMatch(/speckle/);
    expect(advice("image_cfg_scale", 1.5)).toBeNull();
  });
});
