import { expect, test } from "vitest";
import { nearest } from "./nearest";

const KNOWN = ["make it foggy", "make it snowy", "make it look like night", "turn it blue", "remove the noise", "make it black and white", "add a white frame"];

test("what shares a word comes, in any of its forms, and the nearest first", () => {
  expect(nearest("some fog, please", KNOWN)).toEqual(["make it foggy"]);
  expect(nearest("Snow on the mountains", KNOWN)).toEqual(["make it snowy"]);
  expect(nearest("a photo in black and white", KNOWN)?.[0]).toBe("make it black and white");
});

test("nothing comes where no word is shared, and nothing is claimed of words that say nothing", () => {
  expect(nearest("put a hat on the dog", KNOWN)).toEqual([]);
  expect(nearest("make it", KNOWN)).toBeNull();
  expect(nearest("", KNOWN)).toBeNull();
});

test("at most three come", () => {
  const many = ["blue sky", "blue sea", "blue light", "blue night"];
  expect(nearest("blue", many)).toHaveLength(3);
});
