import { fireEvent, render, screen } from "@testing-library/react";
import { expect, test } from "vitest";
import { MantineProvider } from "@mantine/core";
import { Chips } from "./chips";
import { useDraft } from "./draft";

test("an instruction that is chosen becomes the draft's", () => {
  render(<Chips label="Instructions that it can follow" texts={["make it foggy", "make it snowy"]} />, { wrapper: MantineProvider });
  expect(screen.getByRole("list", { name: "Instructions that it can follow" }).children).toHaveLength(2);
  fireEvent.click(screen.getByRole("button", { name: "make it snowy" }));
  expect(useDraft.getState().prompt).toBe("make it snowy");
});
