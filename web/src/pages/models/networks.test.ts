import { expect, test } from "vitest";
import { counted, members, type Module, network, SIZES, shaped } from "./networks";

const all = SIZES.flatMap((size) => (["text_encoder", "vae", "unet"] as const).map((part) => network(size, part)));

test.each(all)("the members of $kind account for all of its parameters, at every depth", (whole) => {
  const check = (module: Module) => {
    const inside = members(module);
    if (!inside.length) return;
    expect(inside.reduce((sum, one) => sum + (one.parameters ?? 0), 0)).toBe(module.parameters ?? 0);
    inside.forEach(check);
  };
  check(whole);
});

test("Stable Diffusion's UNet has its 860 million parameters and returns latents of its picture", () => {
  const unet = network("stable-diffusion", "unet");
  expect(counted(unet.parameters ?? 0)).toBe("860 M");
  expect(shaped(unet.shape ?? [])).toBe("4 × 64 × 64");
});

test("members of lists are named after their list", () => {
  const names = members(network("micro", "unet")).map(({ name }) => name);
  expect(names).toContain("down.0");
  expect(names).not.toContain("down");
});
