import { expect, test } from "@playwright/test";
import { develop, drawn, ENDLESS, prepare, row, stopAll, until, visit } from "./editing";

test.describe.configure({ timeout: 150_000 });
test.afterEach(({ request }) => stopAll(request));

test("an edit outlives a reload and a lost connection, and Escape stops it", async ({ page, context }) => {
  await prepare(page, "make it sepia", ENDLESS);
  await develop(page);
  await expect.poll(() => drawn(page), { timeout: 30_000 }).toBeGreaterThan(0);
  await page.reload();
  await expect.poll(() => drawn(page), { timeout: 30_000 }).toBeGreaterThan(0);

  await context.setOffline(true);
  await expect(page.getByText("Reconnecting")).toBeVisible({ timeout: 20_000 });
  const step = await page.getByRole("progressbar").getAttribute("aria-valuenow");
  await context.setOffline(false);
  await expect(page.getByText("Reconnecting")).toBeHidden();
  await expect.poll(() => page.getByRole("progressbar").getAttribute("aria-valuenow")).not.toBe(step);

  await page.keyboard.press("Escape");
  await until(page, "canceled");
  await page.getByRole("button", { name: "Try again" }).click();
  await expect(page.locator("article")).not.toHaveAttribute("data-status", "canceled");
  await page.getByRole("button", { name: "Cancel", exact: true }).click();
  await until(page, "canceled");
});

test("two tabs show the same truth", async ({ page, context }) => {
  const other = await context.newPage();
  await other.goto("/");
  await prepare(page, "turn it blue", ENDLESS);
  const id = await develop(page);
  await expect(row(other, id)).toContainText(/Step \d+ of 1000/, { timeout: 20_000 });
  await row(other, id).getByRole("button", { name: "Cancel “turn it blue”" }).click();
  await until(page, "canceled");
  await expect(row(other, id)).toContainText("Canceled at step");
  await page.getByRole("button", { name: "Delete" }).click();
  await expect(row(other, id)).toHaveCount(0);
});

test("it can all be done by keyboard", async ({ page }) => {
  await prepare(page, "", 2);
  await page.getByLabel("What should change?").blur();
  await page.keyboard.press("/");
  await page.keyboard.type("make it vintage");
  await page.keyboard.press("Enter");
  await until(page, "succeeded");
  const first = page.url();
  await page.getByLabel("What should change?").blur();
  await page.keyboard.press("/");
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.type("blur it");
  await page.keyboard.press("ControlOrMeta+Enter");
  await expect(page.getByRole("heading", { name: "blur it" })).toBeVisible();
  await page.keyboard.press("Alt+ArrowUp");
  await page.keyboard.press("Alt+ArrowUp");
  await expect(page.getByLabel("What should change?")).toHaveValue("make it vintage");
  await page.getByLabel("What should change?").blur();
  await page.keyboard.press("j");
  await expect(page).toHaveURL(first);
});

test("a model has only its own controls, and says what it is made of", async ({ page }) => {
  await page.goto("/");
  await expect(page.getByRole("textbox", { name: "Text CFG" })).toBeVisible();
  await page.getByRole("combobox", { name: "Model" }).click();
  await page.getByRole("option", { name: /^pix2pix-1/ }).click();
  await expect(page.getByRole("textbox", { name: "Text CFG" })).toHaveCount(0);
  await expect(page.getByRole("list", { name: "What it is made of" })).toContainText("VAE library");
});

test("what is no photo is refused in words, and a pasted one is taken", async ({ page }) => {
  await visit(page, "/");
  await page.getByLabel("Choose a photo").setInputFiles({ name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("a") });
  await expect(page.getByRole("alert")).toHaveText("notes.txt is no JPEG, PNG, WebP, HEIC, AVIF, GIF, TIFF or BMP picture.");
  await page.evaluate(async () => {
    const canvas = new OffscreenCanvas(64, 48);
    canvas.getContext("2d")?.fillRect(0, 0, 64, 48);
    const data = new DataTransfer();
    data.items.add(new File([await canvas.convertToBlob()], "pasted.png", { type: "image/png" }));
    document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data }));
  });
  await expect(page.getByAltText("To be edited")).toBeVisible();
});

test("addresses lead where they say: an edit with settings, an edit that is gone", async ({ page }) => {
  await page.goto("/");
  const photo = await page.locator("ul[aria-labelledby=examples] img").first().getAttribute("src");
  await page.goto(`/?photo=${photo}&prompt=make+it+night&model=pix2pix-full-no-ddim&seed=5&steps=12`);
  await expect(page.getByAltText("To be edited")).toBeVisible();
  await expect(page.getByLabel("What should change?")).toHaveValue("make it night");
  await expect(page.getByRole("combobox", { name: "Model" })).toHaveValue("pix2pix-full-no-ddim");
  await expect(page.getByRole("textbox", { name: "Seed" })).toHaveValue("5");
  await page.goto("/jobs/00000000000000000000000000");
  await expect(page.getByRole("heading", { name: "This edit is gone" })).toBeVisible();
});

test("the service's own words are shown where it refuses", async ({ page }) => {
  await visit(page, "/");
  await page.getByLabel("Choose a photo").setInputFiles({ name: "a.png", mimeType: "image/png", buffer: Buffer.from("no png") });
  await page.getByLabel("What should change?").fill("make it night");
  await page.getByRole("button", { name: /^Develop/ }).click();
  await expect(page.getByRole("alert")).toContainText("must be a JPEG, PNG, WebP, HEIC, AVIF, GIF, TIFF or BMP file");
  await expect(page.getByLabel("What should change?")).toHaveValue("make it night");
});
