import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { fireEvent, render, screen } from "@testing-library/react";
import type { ReactNode } from "react";
import { MemoryRouter } from "react-router";
import { expect, test } from "vitest";
import { FULL, MODELS } from "@/test/models";
import { useDraft } from "./draft";
import { PromptField } from "./prompt-field";

const able = { ...MODELS, data: [{ ...FULL, abilities: { weather: ["make it foggy", "make it snowy"], art: ["make it a pencil sketch"] } }] };

function Around({ children }: { children: ReactNode }) {
  return (
    <MantineProvider>
      <QueryClientProvider client={new QueryClient()}>
        <MemoryRouter>{children}</MemoryRouter>
      </QueryClientProvider>
    </MantineProvider>
  );
}

function type(text: string) {
  fireEvent.change(screen.getByLabelText("What should change?"), { target: { value: text } });
}

test("what is typed is met by the nearest things that the checkpoint can do, before it is sent", () => {
  useDraft.setState({ prompt: "" });
  render(<PromptField models={able} onSubmit={() => undefined} />, { wrapper: Around });
  type("a bit of fog");
  expect(screen.getByRole("list", { name: "Near to what you typed" }).textContent).toBe("make it foggy");
  type("put a hat on the dog");
  expect(screen.queryByRole("list", { name: "Near to what you typed" })).toBeNull();
  expect(screen.getByText(/None of its instructions has a word of yours/)).toBeDefined();
  type("make it foggy");
  expect(screen.queryByRole("list", { name: "Near to what you typed" })).toBeNull();
});

test("a checkpoint that says nothing of itself promises nothing", () => {
  useDraft.setState({ prompt: "" });
  render(<PromptField models={MODELS} onSubmit={() => undefined} />, { wrapper: Around });
  type("put a hat on the dog");
  expect(screen.queryByText(/None of its instructions/)).toBeNull();
});
