import { expect, test } from "vitest";
import { ALPHAS, alphaAt, levels } from "./schedule";

test("the picture fades from almost all to almost none of the latents' variance", () => {
  expect(ALPHAS).toHaveLength(1000);
  expect(ALPHAS[0]).toBeCloseTo(0.99915, 5);
  expect(ALPHAS[999]).toBeCloseTo(0.00466, 5); // as in every Stable Diffusion 1 model
  expect(ALPHAS.every((a, t) => t === 0 || a < (ALPHAS[t - 1] as number))).toBe(true);
});

test("between training steps a lies between its neighbors, and one step before the first it is 1", () => {
  expect(alphaAt(7)).toBeCloseTo(ALPHAS[7] as number, 12);
  expect(alphaAt(-1)).toBe(1);
  const between = alphaAt(499.5);
  expect(between).toBeLessThan(ALPHAS[499] as number);
  expect(between).toBeGreaterThan(ALPHAS[500] as number);
});

test("an edit begins at the level of its temperature and its steps are evenly spaced", () => {
  expect(levels(4, 1)).toEqual([999, 749, 499, 249]);
  expect(levels(2, 0.5)[0]).toBe(Math.round(999 * 0.5));
});
