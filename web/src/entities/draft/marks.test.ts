import { describe, expect, it } from "vitest";
import { type Box, boxBetween, maskOf, nudged } from "./marks";

describe("where a photo is edited", () => {
  it("is told as rectangles where it is rectangles", async () => {
    const mask = await maskOf([{ box: [0.123456, -0.1, 1.2, 0.5] }], { width: 400, height: 300 });
    expect(mask).toEqual([{ box: [0.1235, 0, 1, 0.5] }]);
  });

  it("is the same rectangle from whichever corner it was drawn", () => {
    expect(boxBetween([0.8, 0.9], [0.2, -0.3])).toEqual([0.2, 0, 0.8, 0.9]);
  });

  it("stays inside the photo, and a rectangle, wherever keys move it", () => {
    let box: Box = [0.4, 0.4, 0.6, 0.6];
    for (let n = 0; n < 99; n++) box = nudged(box, 0.05, -0.05, n % 3 === 0);
    const [left, top, right, bottom] = box;
    expect([left >= 0, top >= 0, right <= 1, bottom <= 1, right > left, bottom > top]).toEqual(Array(6).fill(true));
  });
});
