import { MantineProvider } from "@mantine/core";
import { render, screen } from "@testing-library/react";
import { expect, test } from "vitest";
import { job } from "@/test/jobs";
import { Receipt } from "./receipt";

const show = (told: ReturnType<typeof job>) =>
  render(
    <MantineProvider>
      <Receipt job={told} />
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
