import { expect, test } from "@playwright/test";
import { develop, drawn, prepare, row, settings, stopAll, until } from "./editing";
import { complaints } from "./looks";

test.describe.configure({ timeout: 150_000 });
test.afterEach(({ request }) => stopAll(request));

test("a photo and a sentence become an edit, seen step by step", async ({ page }) => {
  const heard = complaints(page);
  await prepare(page, "make it sunset", 24);
  const id = await develop(page);
  await expect.poll(() => drawn(page), { timeout: 30_000 }).toBeGreaterThan(1);
  await page.getByText("Both", { exact: true }).click();
  await expect(page.getByRole("img", { name: "The latent with its noise" })).toHaveAttribute("data-drawn", /[1-9]/);
  await until(page, "succeeded");
  await expect(row(page, id)).toContainText("Done in");

  const handle = page.getByRole("slider").first();
  await handle.focus();
  const before = Number(await handle.getAttribute("aria-valuenow"));
  await page.keyboard.press("ArrowRight");
  await expect.poll(async () => Number(await handle.getAttribute("aria-valuenow"))).toBeGreaterThan(before);

  await page.locator("article").getByText("Steps", { exact: true }).first().click();
  const step = page.getByRole("slider", { name: "Step", exact: true });
  await expect(step).toHaveAttribute("aria-valuetext", "Step 24 of 24");
  await step.press("Home");
  await expect(page.getByRole("img", { name: "Noisy latent after step 1" })).toBeVisible();

  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "Download" }).click()]);
  expect(download.suggestedFilename()).toMatch(/\.png$/);

  const held = page.getByRole("textbox", { name: "Image CFG" });
  const more = String(Number((Number(await held.inputValue()) + 0.3).toFixed(1)));
  await page.getByRole("button", { name: "It changed too much" }).click();
  await expect(held).toHaveValue(more);
  await page.getByRole("button", { name: "Go on from this" }).click();
  await expect(page.getByAltText("To be edited")).toHaveAttribute("src", new RegExp(`${id}/output`));
  await settings(page, 2);
  await page.getByLabel("What should change?").fill("make it snowy");
  await develop(page);
  await until(page, "succeeded");
  expect(heard).toEqual([]);
});
