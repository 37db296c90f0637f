import text from "@docs/math.md?raw";
import { MantineProvider } from "@mantine/core";
import { act, render, screen, within } from "@testing-library/react";
import { MemoryRouter } from "react-router";
import { expect, test } from "vitest";
import MathPage, { FIGURES } from ".";

/** The page, once the fonts of its formulas are there. */
const page = () =>
  act(async () =>
    render(
      <MantineProvider>
        <MemoryRouter>
          <MathPage />
        </MemoryRouter>
      </MantineProvider>,
    ),
  );

const PATIENCE = 30_000; // hundreds of formulas, on a busy machine

test("every formula is set, and none is shown as its source", async () => {
  const { container } = await page();
  expect(container.querySelectorAll(".katex").length).toBeGreaterThan(100);
  expect(container.querySelectorAll(".katex-error")).toHaveLength(0);
  expect(container.querySelectorAll(".katex-display")).toHaveLength((text.split("$$").length - 1) / 2);
  for (const annotation of container.querySelectorAll("annotation")) annotation.remove();
  expect(container.textContent).not.toMatch(/\\[a-z]{2,}|\$/);
}, PATIENCE);

test("each figure stands in the section it belongs to", async () => {
  await page();
  for (const title of Object.keys(FIGURES)) {
    const section = screen.getByRole("region", { name: title });
    expect(within(section).getByRole("figure")).toBeTruthy();
  }
}, PATIENCE);
