import { MantineProvider } from "@mantine/core";
import { render, screen } from "@testing-library/react";
import { expect, test } from "vitest";
import { job } from "@/test/jobs";
import { Scrubber } from "./scrubber";

const moments = (steps: number[]) => {
  const { unmount } = render(<Scrubber job={job({ frames: { url: "/steps", width: 8, height: 8, steps } })} />, { wrapper: MantineProvider });
  const slider = screen.getByRole("slider", { name: "Step" });
  const told = Number(slider.getAttribute("aria-valuemax")) + 1;
  expect(slider.getAttribute("aria-valuetext")).toBe(`Step ${steps.at(-1)} of ${steps.at(-1)}`);
  unmount();
  return told;
};

test("an edit of two steps is a film of nine moments, one of many steps has a moment for each", () => {
  expect(moments([1, 2])).toBe(9);
  expect(moments([1, 2, 3, 4])).toBe(10);
  expect(moments(Array.from({ length: 24 }, (_, n) => n + 1))).toBe(24);
  expect(moments([1])).toBe(1);
});
