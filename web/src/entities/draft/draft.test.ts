import { beforeEach, describe, expect, it } from "vitest";
import { FULL, TEXT_ONLY } from "@/test/models";
import { advice } from "./advice";
import { adopt, fields, setValue, useDraft, valueOf } from "./draft";

beforeEach(() => useDraft.setState({ sources: [], model: null, prompt: " make it night ", values: {}, marks: [] }));

describe("a submission", () => {
  it("has what was touched, and leaves the rest to the model", () => {
    setValue("steps", 25);
    setValue("seed", 3);
    setValue("seed", undefined);
    expect(fields(FULL, useDraft.getState())).toEqual({ model: "pix2pix-full", prompt: "make it night", steps: 25 });
  });

  it("never has a parameter that the model lacks", () => {
    setValue("cfg_scale", 4);
    expect(fields(TEXT_ONLY, useDraft.getState())).not.toHaveProperty("cfg_scale");
    expect(valueOf(FULL, useDraft.getState().values, "cfg_scale")).toBe(4);
  });

  it("keeps its instruction where a link has none, and takes its model", () => {
    adopt("pix2pix-1", {});
    expect(fields(TEXT_ONLY, useDraft.getState())).toEqual({ model: "pix2pix-1", prompt: "make it night" });
  });

  it("takes over a job's settings, the seed included", () => {
    adopt("pix2pix-full", { prompt: "blur it", seed: 9, steps: 12, negative_prompt: "", format: "png" });
    expect(fields(FULL, useDraft.getState())).toEqual({ model: "pix2pix-full", prompt: "blur it", seed: 9, steps: 12 });
  });
});

describe("help where people go wrong", () => {
  it("follows the steps that suit the checkpoint, whatever they are", () => {
    expect(advice(FULL, "steps", 10)).toBeNull();
    expect(advice(FULL, "steps", 4)).toBe("Fewer than the 10 that suit this checkpoint leave grain.");
    expect(advice(FULL, "steps", 201)).toMatch(/^10 suit this checkpoint/);
  });

  it("warns where pictures go wrong and is silent elsewhere", () => {
    expect(advice(FULL, "temperature", 0.3)).toMatch(/barely show/);
    expect(advice(FULL, "image_cfg_scale", 3.5)).toMatch(/speckle/);
    expect(advice(FULL, "image_cfg_scale", 1.5)).toBeNull();
  });
});
