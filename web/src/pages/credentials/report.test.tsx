import { MantineProvider } from "@mantine/core";
import { render, screen } from "@testing-library/react";
import { expect, test } from "vitest";
import type { CredentialsCheck } from "@/shared/api/client";
import { Report } from "./report";

const CHECK: CredentialsCheck = {
  object: "credentials_check",
  present: true,
  valid: true,
  trusted: true,
  sentence: "They are valid.",
  issuer: "Acme",
  edited_by_ai: true,
  made_here: true,
  job: "01abc",
  problems: [],
  manifests: [
    {
      issuer: "Acme",
      common_name: "",
      generator: "Darkroom 1",
      signed_at: null,
      actions: [
        { action: "c2pa.opened", agent: "", by_ai: false },
        { action: "c2pa.edited", agent: "Darkroom", by_ai: true },
      ],
      details: {},
    },
    { issuer: "", common_name: "", generator: "", signed_at: null, actions: [{ action: "com.odd", agent: "", by_ai: false }], details: {} },
  ],
  pixels_sha256: null,
};

test("a report tells the verdict and the history", () => {
  render(<Report check={CHECK} name="photo.jpg" />, { wrapper: MantineProvider });
  const { textContent: said } = screen.getByRole("region", { name: "What photo.jpg says" });
  for (const words of ["They are valid.", "in job 01abc", "Acme, with Darkroom 1", "Edited, by a trained model", "com.odd", "Nobody"]) {
    expect(said).toContain(words);
  }
});

test("what is wrong is told by its name", () => {
  const problems = [{ code: "assertion.dataHash.mismatch", text: "the hash differs" }];
  render(<Report check={{ ...CHECK, valid: false, made_here: false, problems }} />, { wrapper: MantineProvider });
  expect(screen.getByText("the hash differs (assertion.dataHash.mismatch)")).toBeDefined();
  expect(screen.queryByText(/This Darkroom has made it/)).toBeNull();
});
