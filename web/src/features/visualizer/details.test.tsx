import { MantineProvider } from "@mantine/core";
import { render, screen } from "@testing-library/react";
import { MemoryRouter } from "react-router";
import { expect, test } from "vitest";
import { job } from "@/test/jobs";
import { Details } from "./details";

const show = (told: ReturnType<typeof job>) =>
  render(
    <MantineProvider>
      <MemoryRouter>
        <Details job={told} />
      </MemoryRouter>
    </MantineProvider>,
  );

test("a result says whose signature it carries, and one without says nothing of it", () => {
  const { unmount } = show(job({ receipt: { signed_by: "Acme" } }));
  expect(screen.getByText(/signed by Acme/)).toBeDefined();
  unmount();
  show(job({ receipt: { signed_by: null } }));
  expect(screen.queryByText(/signed by/)).toBeNull();
});
