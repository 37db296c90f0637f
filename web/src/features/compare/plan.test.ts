import { describe, expect, it } from "vitest";
import { job } from "@/test/jobs";
import { FULL, MODELS } from "@/test/models";
import { at, axes } from "./axes";
import { around, byGuidance, byModels, numbers } from "./plan";

const BASE = { prompt: "make it night", values: {} };

describe("a comparison", () => {
  it("has one job for each model, all with one seed, each with the model's own parameters", () => {
    const plan = byModels(MODELS, ["pix2pix-full", "pix2pix-1"], { ...BASE, values: { cfg_scale: 4 } }, 7);
    expect(plan.map(({ model, seed, cfg_scale }) => [model, seed, cfg_scale])).toEqual([
      ["pix2pix-full", 7, 4],
      ["pix2pix-1", 7, undefined],
    ]);
  });

  it("has one job for each pair of scales", () => {
    const plan = byGuidance(FULL, [2, 3], [1, 1.5], BASE, 7);
    expect(plan.map(({ cfg_scale, image_cfg_scale }) => [cfg_scale, image_cfg_scale])).toEqual([[2, 1], [2, 1.5], [3, 1], [3, 1.5]]);
  });

  it("keeps a seed that was chosen", () => {
    expect(byGuidance(FULL, [2], [1], { ...BASE, values: { seed: 42 } }, 7)[0]?.seed).toBe(42);
  });

  it("says what is wrong with a list of scales", () => {
    expect(numbers("1.5, 2.5 4", FULL, "cfg_scale")).toEqual({ values: [1.5, 2.5, 4], problem: null });
    expect(numbers("0.5, 2", FULL, "cfg_scale").problem).toBe("Each must be a number from 1 to 14.");
    expect(numbers("two", FULL, "cfg_scale").problem).toMatch(/must be a number/);
    expect(numbers("", FULL, "cfg_scale").problem).toMatch(/at least one/);
  });

  it("begins with values that the model takes", () => {
    expect(numbers(around(FULL, "image_cfg_scale", 1.3), FULL, "image_cfg_scale").problem).toBeNull();
  });
});

describe("its grid", () => {
  const scaled = (cfg_scale: number, image_cfg_scale: number, model = "pix2pix-full") =>
    job({ id: `${cfg_scale}-${image_cfg_scale}`, model, params: { cfg_scale, image_cfg_scale } });

  it("has text guidance down and image guidance across", () => {
    const jobs = [scaled(3, 1), scaled(2, 1), scaled(2, 1.5), scaled(3, 1.5)];
    expect(axes(jobs)).toEqual({ rows: [2, 3], columns: [1, 1.5] });
    expect(at(jobs, 3, 1.5)?.id).toBe("3-1.5");
  });

  it("is a plain row where models differ or a pair is missing", () => {
    expect(axes([scaled(2, 1), scaled(2, 1, "pix2pix-1")])).toBeNull();
    expect(axes([scaled(2, 1), scaled(3, 1.5)])).toBeNull();
  });
});
