import { expect, test } from "@playwright/test";
import { prepare, stopAll } from "./editing";
import { complaints } from "./looks";

test.describe.configure({ timeout: 150_000 });
test.afterEach(({ request }) => stopAll(request));

test("one photo at several strengths of guidance is a grid that can be come back to", async ({ page }) => {
  const heard = complaints(page);
  await prepare(page, "make it look like night");
  await page.getByRole("navigation").getByRole("link", { name: "Compare" }).click();
  await page.getByText("By guidance").click();
  await page.getByLabel("Text CFG, down").fill("1.5, 3");
  await page.getByLabel("Image CFG, across").fill("1.2");
  await page.getByRole("button", { name: "Develop 2 edits" }).click();
  await expect(page.getByRole("rowheader")).toHaveText(["Text CFG 1.5", "Text CFG 3"]);
  await expect(page.getByAltText("The edit")).toHaveCount(2, { timeout: 30_000 });

  await page.goto(page.url());
  await expect(page.getByAltText("The edit")).toHaveCount(2);
  await page.getByRole("link", { name: /text CFG 3/ }).click();
  await expect(page.getByRole("heading", { name: "make it look like night" })).toBeVisible();
  expect(heard).toEqual([]);
});

test("one photo through several models, and the rest can be canceled", async ({ page }) => {
  await prepare(page, "make it snowy", 400);
  await page.getByRole("navigation").getByRole("link", { name: "Compare" }).click();
  for (const model of ["pix2pix-base", "pix2pix-1", "pix2pix-2", "pix2pix-full-no-cfg-no-ddim"]) await page.getByLabel(model, { exact: true }).uncheck();
  await page.getByRole("button", { name: "Develop 2 edits" }).click();
  await expect(page.getByRole("list", { name: "Edits" })).toContainText("pix2pix-full-no-ddim");
  await page.getByRole("button", { name: "Cancel the rest" }).click();
  await expect(page.getByText("2 edits.")).toBeVisible({ timeout: 20_000 });
  await expect(page.getByRole("list", { name: "Edits" })).toContainText("Canceled");
});
