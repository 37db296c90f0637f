import { MantineProvider } from "@mantine/core";
import { render, screen } from "@testing-library/react";
import { MemoryRouter } from "react-router";
import { expect, test } from "vitest";
import { job } from "@/test/jobs";
import { Receipt } from "./receipt";

const show = (told: ReturnType<typeof job>) =>
  render(
    <MantineProvider>
      <MemoryRouter>
        <Receipt job={told} />
      </MemoryRouter>
    </MantineProvider>,
  );

test("a result says which words were not read", () => {
  const detail = "The prompt is longer than the 75 tokens that are read. Not read: “and a kite”";
  show(job({ status: "succeeded", warnings: [{ code: "prompt-truncated", detail }] }));
  expect(screen.getByRole("note").textContent).toBe(detail);
});

test("a result with nothing to say says nothing", () => {
  show(job({ status: "succeeded" }));
  expect(screen.queryByRole("note")).toBeNull();
});

test("a result says whose signature it carries, and one without says nothing of it", () => {
  const { unmount } = show(job({ receipt: { signed_by: "Acme" } }));
  expect(screen.getByText(/signed by Acme/)).toBeDefined();
  unmount();
  show(job({ receipt: { signed_by: null } }));
  expect(screen.queryByText(/signed by/)).toBeNull();
});
